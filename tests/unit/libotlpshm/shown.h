// SPDX-License-Identifier: Apache-2.0
// shown.h: a record's body as text that a case can compare: every value, nested ones too.
//   Rule   "text", b"bytes", 1, 0.5, true, [array, of, any], {key: value}, () for the empty value.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_SHOWN_H
#define OTLPSHM_TESTS_LIBOTLPSHM_SHOWN_H

#include <catch2/catch.hpp>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "producer.h"

namespace otlpshm::library {

struct ShownPart {  // an event or a link
  std::string name, trace_id, span_id, trace_state;
  std::uint64_t time = 0, flags = 0, dropped = 0;
  std::string attributes;
};
struct Shown {
  std::string name, trace_state, status_message;
  std::uint64_t kind = 0, flags = 0, status = 0;
  std::uint64_t dropped_attributes = 0, dropped_events = 0, dropped_links = 0;
  std::string attributes;  // "k=1 l=[]"
  std::size_t attribute_count = 0;
  std::vector<ShownPart> events, links;
};

inline std::vector<Field> fields_of(const std::string& message) {
  const auto fields = parse(message);
  REQUIRE(fields);
  return *fields;
}

inline std::string shown_value(const std::string& any) {
  const std::vector<Field> fields = fields_of(any);
  if (fields.empty()) return "()";
  REQUIRE(fields.size() == 1);
  const Field& value = fields[0];
  std::ostringstream out;
  const char* comma = "";
  double number = 0;
  switch (value.number) {
    case 1:
      out << '"' << value.bytes << '"';
      break;
    case 2:
      out << (value.word != 0 ? "true" : "false");
      break;
    case 3:
      out << static_cast<std::int64_t>(value.word);
      break;
    case 4:
      std::memcpy(&number, &value.word, sizeof number);
      out << number;
      break;
    case 5:
      out << '[';
      for (const Field& one : fields_of(value.bytes)) {
        out << comma << shown_value(one.bytes);
        comma = ", ";
      }
      out << ']';
      break;
    case 6:
      out << '{';
      for (const Field& entry : fields_of(value.bytes)) {
        std::string key, inner;
        for (const Field& part : fields_of(entry.bytes)) {
          (part.number == 1 ? key : inner) = part.bytes;
        }
        out << comma << key << ": " << shown_value(inner);
        comma = ", ";
      }
      out << '}';
      break;
    case 7:
      out << "b\"" << value.bytes << '"';
      break;
    default:
      out << "no AnyValue";
  }
  return out.str();
}

inline std::string shown_attributes(const std::vector<Field>& fields, unsigned number,
                                    std::size_t* count = nullptr) {
  std::string out;
  for (const Field& field : fields) {
    if (field.number != number) continue;
    const std::vector<Field> pair = fields_of(field.bytes);
    REQUIRE(pair.size() == 2);
    if (!out.empty()) out += ' ';
    out += pair[0].bytes + '=' + shown_value(pair[1].bytes);
    if (count != nullptr) ++*count;
  }
  return out;
}

inline ShownPart shown_event(const std::string& message) {
  const std::vector<Field> fields = fields_of(message);
  ShownPart event;
  event.attributes = shown_attributes(fields, 3);
  for (const Field& field : fields) {
    if (field.number == 1) event.time = field.word;
    if (field.number == 2) event.name = field.bytes;
    if (field.number == 4) event.dropped = field.word;
  }
  return event;
}

inline ShownPart shown_link(const std::string& message) {
  const std::vector<Field> fields = fields_of(message);
  ShownPart link;
  link.attributes = shown_attributes(fields, 4);
  for (const Field& field : fields) {
    if (field.number == 1) link.trace_id = field.bytes;
    if (field.number == 2) link.span_id = field.bytes;
    if (field.number == 3) link.trace_state = field.bytes;
    if (field.number == 5) link.dropped = field.word;
    if (field.number == 6) link.flags = field.word;
  }
  return link;
}

inline Shown shown(const std::string& body) {
  const std::vector<Field> fields = fields_of(body);
  Shown span;
  span.attributes = shown_attributes(fields, 9, &span.attribute_count);
  for (const Field& field : fields) {
    if (field.number == 3) span.trace_state = field.bytes;
    if (field.number == 5) span.name = field.bytes;
    if (field.number == 6) span.kind = field.word;
    if (field.number == 10) span.dropped_attributes = field.word;
    if (field.number == 11) span.events.push_back(shown_event(field.bytes));
    if (field.number == 12) span.dropped_events = field.word;
    if (field.number == 13) span.links.push_back(shown_link(field.bytes));
    if (field.number == 14) span.dropped_links = field.word;
    if (field.number == 16) span.flags = field.word;
    if (field.number != 15) continue;
    for (const Field& part : fields_of(field.bytes)) {
      if (part.number == 2) span.status_message = part.bytes;
      if (part.number == 3) span.status = part.word;
    }
  }
  return span;
}

inline std::vector<Record> records_of(const PrivateDirectory& directory) {
  const auto records = SegmentFile(directory.segment()).records(0);
  REQUIRE(records);
  return *records;
}

// Writes one span by calling `fill` between start and end, and shows it.
template <typename Fill>
Shown shown_span(otlpshm_writer* writer, const PrivateDirectory& directory, Fill fill,
                 const otlpshm_start_options* options = nullptr, const char* name = "name") {
  otlpshm_span span{};
  otlpshm_span_start_cstr(writer, &span, name, options);
  fill(&span);
  REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
  const std::vector<Record> records = records_of(directory);
  REQUIRE(!records.empty());
  const Shown read = shown(records.back().body);
  REQUIRE(records.back().name_hash == hash_name(read.name.data(), read.name.size()));
  REQUIRE(records.back().status_code == read.status);
  REQUIRE(records.back().span_kind == read.kind);
  return read;
}

// ---- values: they borrow what they are made of ----

inline otlpshm_value text_value(std::string_view text) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_STRING;
  value.as.string = {text.data(), text.size()};
  return value;
}
inline otlpshm_value bytes_value(std::string_view bytes) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_BYTES;
  value.as.bytes = {bytes.data(), bytes.size()};
  return value;
}
inline otlpshm_value int_value(std::int64_t number) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_INT;
  value.as.integer = number;
  return value;
}
inline otlpshm_value uint_value(std::uint64_t number) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_UINT;
  value.as.unsigned_integer = number;
  return value;
}
inline otlpshm_value double_value(double number) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_DOUBLE;
  value.as.number = number;
  return value;
}
inline otlpshm_value bool_value(int boolean) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_BOOL;
  value.as.boolean = boolean;
  return value;
}
inline otlpshm_value array_value(const std::vector<otlpshm_value>& values) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_ARRAY;
  value.as.array = {values.data(), values.size()};
  return value;
}
inline otlpshm_value map_value(const std::vector<otlpshm_attribute>& entries) {
  otlpshm_value value{};
  value.type = OTLPSHM_VALUE_MAP;
  value.as.map = {entries.data(), entries.size()};
  return value;
}
inline otlpshm_attribute pair(std::string_view key, const otlpshm_value& value) {
  return {key.data(), key.size(), value};
}

inline otlpshm_start_options start_with(unsigned flags = 0) {
  otlpshm_start_options options{};
  options.size = sizeof options;
  options.flags = flags;
  return options;
}

}  // namespace otlpshm::library

#endif
