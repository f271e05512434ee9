// SPDX-License-Identifier: Apache-2.0
// span_bytes.h: OTLP wire bytes and records, put together by hand for tests.
//   Never  uses the code that it tests: tags and lengths are written here once more.
#ifndef OTLPSHM_TESTS_SPAN_BYTES_H
#define OTLPSHM_TESTS_SPAN_BYTES_H

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "otlpshm/layout.h"

namespace otlpshm::tests {

inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value > 127; value /= 128) bytes += static_cast<char>(value % 128 + 128);
  return bytes + static_cast<char>(value);
}

inline std::string field(std::uint32_t number, std::uint32_t wire, const std::string& rest) {
  return varint(number * 8 + wire) + rest;
}

inline std::string delimited(std::uint32_t number, const std::string& value) {
  return field(number, 2, varint(value.size()) + value);
}

inline std::string fixed64(std::uint32_t number, std::uint64_t value) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &value, 8);
  return field(number, 1, bytes);
}

inline std::string fixed32(std::uint32_t number, std::uint32_t value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return field(number, 5, bytes);
}

inline std::string attribute(const std::string& key, const std::string& value) {
  return delimited(1, key) + delimited(2, delimited(1, value));
}

inline std::string id_bytes(std::size_t bytes, std::uint64_t number) {
  std::string id(bytes, '\x01');
  std::memcpy(id.data(), &number, sizeof number);
  return id;
}

// trace_id and span_id alone.
inline std::string ids(std::uint64_t number) {
  return delimited(1, id_bytes(16, number)) + delimited(2, id_bytes(8, number));
}

// A span with something of everything.
inline std::string full_span(std::uint64_t number) {
  const std::string event = fixed64(1, 7) + delimited(2, "exception") +
                            delimited(3, attribute("exception.type", "E")) + field(4, 0, varint(1));
  const std::string link = delimited(1, id_bytes(16, 9)) + delimited(2, id_bytes(8, 9)) +
                           delimited(3, "a=b") + delimited(4, attribute("k", "v")) +
                           field(5, 0, varint(0)) + fixed32(6, 1);
  const std::string list =
      delimited(1, delimited(1, "in a list")) + delimited(1, field(3, 0, varint(1)));
  return ids(number) + delimited(3, "vendor=state") + delimited(4, id_bytes(8, 4)) +
         delimited(5, "GET /zażółć/世界/🚀") + field(6, 0, varint(2)) + fixed64(7, 1000) +
         fixed64(8, 2000 + number) + delimited(9, attribute("http.request.method", "GET")) +
         delimited(9, delimited(1, "list") + delimited(2, delimited(5, list))) +
         delimited(9, delimited(1, "map") +
                          delimited(2, delimited(6, delimited(1, attribute("a", "b"))))) +
         delimited(9, delimited(1, "raw") + delimited(2, delimited(7, "\xff\xfe"))) +
         delimited(9, delimited(1, "pi") + delimited(2, fixed64(4, 3))) +
         delimited(9, delimited(1, "yes") + delimited(2, field(2, 0, varint(1)))) +
         field(10, 0, varint(3)) + delimited(11, event) + field(12, 0, varint(1)) +
         delimited(13, link) + field(14, 0, varint(1)) +
         delimited(15, delimited(2, "broken") + field(3, 0, varint(2))) + fixed32(16, 0x101);
}

inline std::string resource_row(const std::string& name) {
  return delimited(1, delimited(1, attribute("service.name", name))) + delimited(3, "https://x/1");
}

inline std::string scope_row(const std::string& name) {
  return delimited(1, delimited(1, name) + delimited(2, "1.0"));
}

// As a row stands in a record of kind 2.
inline std::string prefixed(const std::string& row) {
  const auto bytes = static_cast<std::uint32_t>(row.size());
  return std::string(reinterpret_cast<const char*>(&bytes), 4) + row;
}

// A header that fits span `number`, without size, position and sequence.
inline otlpshm_record_header header_for(std::uint64_t number) {
  otlpshm_record_header header = {};
  std::memcpy(header.trace_id, id_bytes(16, number).data(), 16);
  std::memcpy(header.span_id, id_bytes(8, number).data(), 8);
  header.record_kind = OTLPSHM_RECORD_SPAN;
  return header;
}

}  // namespace otlpshm::tests

#endif
