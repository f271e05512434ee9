// SPDX-License-Identifier: Apache-2.0
// response.cc: see response.h.
#include "export/response.h"

#include <algorithm>

#include "model/wire.h"

namespace otlpshm::exporting {
namespace {

using Bytes = std::span<const std::uint8_t>;
using model::Wire;

// Walks the fields of one protobuf message. After next() is false, ok() says whether the end was
// reached or something that is not a message.
class FieldReader {
 public:
  explicit FieldReader(Bytes bytes) : rest_(bytes) {}

  bool next() {
    if (rest_.empty() || !ok_) return false;
    ok_ = read_field();
    return ok_;
  }

  bool ok() const { return ok_; }
  bool is_varint(std::uint32_t field) const { return field_ == field && wire_ == Wire::varint; }
  bool is_bytes(std::uint32_t field) const { return field_ == field && wire_ == Wire::length; }
  std::uint64_t varint() const { return varint_; }
  Bytes bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  bool read_varint(std::uint64_t& value) {
    return advance_to(model::get_varint(rest_.data(), rest_.data() + rest_.size(), &value));
  }

  bool read_varint32(std::uint32_t& value) {
    return advance_to(model::get_varint32(rest_.data(), rest_.data() + rest_.size(), &value));
  }

  bool advance_to(const std::uint8_t* at) {
    if (at == nullptr) return false;
    rest_ = rest_.subspan(static_cast<std::size_t>(at - rest_.data()));
    return true;
  }

  bool take(std::size_t count) {
    if (count > rest_.size()) return false;
    bytes_ = rest_.first(count);
    rest_ = rest_.subspan(count);
    return true;
  }

  bool read_field() {
    std::uint32_t tag = 0;
    std::uint32_t length = 0;
    if (!read_varint32(tag)) return false;
    field_ = tag >> 3;
    wire_ = static_cast<Wire>(tag & 7);
    if (field_ == 0) return false;
    switch (wire_) {
      case Wire::varint:
        return read_varint(varint_);
      case Wire::fixed64:
        return take(8);
      case Wire::length:
        return read_varint32(length) && take(length);
      case Wire::fixed32:
        return take(4);
      default:
        return false;  // groups: proto3 has none
    }
  }

  Bytes rest_;
  Bytes bytes_;
  std::uint64_t varint_ = 0;
  std::uint32_t field_ = 0;
  Wire wire_ = Wire::varint;
  bool ok_ = true;
};

// ExportTracePartialSuccess, merged into `response` as protobuf merges a repeated occurrence.
bool read_partial_success(Bytes bytes, ExportResponse& response) {
  FieldReader fields(bytes);
  while (fields.next()) {
    if (fields.is_varint(1)) response.rejected_spans = static_cast<std::int64_t>(fields.varint());
    if (fields.is_bytes(2)) response.error_message = cut_backend_text(fields.text());
  }
  return fields.ok();
}

// google.protobuf.Duration.
std::optional<std::uint64_t> read_duration_ms(Bytes bytes) {
  std::int64_t seconds = 0;
  std::int64_t nanos = 0;
  FieldReader fields(bytes);
  while (fields.next()) {
    if (fields.is_varint(1)) seconds = static_cast<std::int64_t>(fields.varint());
    if (fields.is_varint(2)) nanos = static_cast<std::int32_t>(fields.varint());
  }
  if (!fields.ok()) return std::nullopt;
  if (seconds < 0 || nanos < 0) return 0;
  // Far beyond any delay we honour, and small enough to multiply.
  constexpr std::int64_t kSecondsMax = 1'000'000'000;
  return static_cast<std::uint64_t>(std::min(seconds, kSecondsMax)) * 1000 +
         static_cast<std::uint64_t>((nanos + 999'999) / 1'000'000);
}

// google.rpc.RetryInfo: without a retry_delay it asks for a retry all the same.
std::optional<std::uint64_t> read_retry_info(Bytes bytes) {
  std::optional<std::uint64_t> delay_ms = 0;
  FieldReader fields(bytes);
  while (fields.next()) {
    if (fields.is_bytes(1)) delay_ms = read_duration_ms(fields.bytes());
  }
  return fields.ok() ? delay_ms : std::nullopt;
}

// google.protobuf.Any; nothing if it holds another type.
std::optional<std::uint64_t> read_detail(Bytes bytes) {
  std::string_view type_url;
  Bytes value;
  FieldReader fields(bytes);
  while (fields.next()) {
    if (fields.is_bytes(1)) type_url = fields.text();
    if (fields.is_bytes(2)) value = fields.bytes();
  }
  if (!fields.ok()) return std::nullopt;
  if (type_url.substr(type_url.rfind('/') + 1) != "google.rpc.RetryInfo") return std::nullopt;
  return read_retry_info(value);
}

}  // namespace

std::optional<ExportResponse> read_export_response(Bytes bytes) {
  ExportResponse response;
  FieldReader fields(bytes);
  while (fields.next()) {
    if (fields.is_bytes(1) && !read_partial_success(fields.bytes(), response)) return std::nullopt;
  }
  if (!fields.ok()) return std::nullopt;
  return response;
}

std::optional<std::uint64_t> read_retry_delay_ms(Bytes bytes) {
  if (bytes.size() > kStatusDetailsBytesMax) return std::nullopt;
  std::optional<std::uint64_t> delay_ms;
  FieldReader fields(bytes);
  while (fields.next()) {
    if (fields.is_bytes(3) && !delay_ms) delay_ms = read_detail(fields.bytes());
  }
  return fields.ok() ? delay_ms : std::nullopt;
}

std::string cut_backend_text(std::string_view text) {
  if (text.size() <= kBackendTextBytesMax) return std::string(text);
  std::size_t end = kBackendTextBytesMax;
  // Back over the bytes of a split code point, four at most; other bytes are not UTF-8 anyway.
  for (int step = 0; step < 3 && (static_cast<std::uint8_t>(text[end]) & 0xc0) == 0x80; ++step) {
    --end;
  }
  return std::string(text.substr(0, end));
}

}  // namespace otlpshm::exporting
