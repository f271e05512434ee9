// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <limits>

#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint32_t kField = 9;

otlpshm_limits limits_with(std::uint32_t length_max = UINT32_MAX, std::uint32_t depth_max = 64) {
  otlpshm_limits limits{};
  limits.attribute_value_length_max = length_max;
  limits.value_depth_max = depth_max;
  return limits;
}

// The attribute as a field of number kField; "" when it is refused. Nothing lies behind it.
std::string encoded(const otlpshm_attribute& attribute, const otlpshm_limits& limits) {
  std::string room(4096, '\x55');
  auto* start = reinterpret_cast<std::uint8_t*>(room.data());
  otlpshm_cursor cursor{start, start + room.size(), false};
  if (!otlpshm_put_attribute(&cursor, kField, &attribute, &limits)) {
    REQUIRE(cursor.at == start);
    return {};
  }
  REQUIRE_FALSE(cursor.full);
  const auto bytes = static_cast<std::size_t>(cursor.at - start);
  REQUIRE(room.find_first_not_of('\x55', bytes) == std::string::npos);
  return room.substr(0, bytes);
}

Field value_of(const otlpshm_attribute& attribute, std::uint32_t length_max = UINT32_MAX) {
  const auto fields = parse(encoded(attribute, limits_with(length_max)));
  REQUIRE(fields);
  return parse_attributes(*fields, kField).at(0).value;
}

bool is_refused(const otlpshm_attribute& attribute) {
  return encoded(attribute, limits_with()).empty();
}

}  // namespace

TEST_CASE("encode: a varint takes the bytes that were counted for it") {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t value :
         {(std::uint64_t{1} << bit) - 1, std::uint64_t{1} << bit, ~std::uint64_t{0} >> bit}) {
      std::uint8_t out[10];
      const auto bytes = static_cast<std::size_t>(put_varint(out, value) - out);
      CHECK(bytes == varint_bytes(value));
      const auto fields = parse(std::string("\x08") + std::string(out, out + bytes));
      REQUIRE(fields);
      CHECK(fields->at(0).word == value);
    }
  }
}

TEST_CASE("encode: each type of value is the OTLP AnyValue of that type") {
  otlpshm_attribute attribute = string_attribute("k", "text");
  CHECK(value_of(attribute).number == 1);
  CHECK(value_of(attribute).bytes == "text");
  attribute.value.type = OTLPSHM_VALUE_BOOL;
  attribute.value.as.boolean = 7;
  CHECK(value_of(attribute).number == 2);
  CHECK(value_of(attribute).word == 1);
  attribute.value.type = OTLPSHM_VALUE_INT;
  for (const std::int64_t value :
       {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
        std::numeric_limits<std::int64_t>::max()}) {
    attribute.value.as.integer = value;
    CHECK(value_of(attribute).number == 3);
    CHECK(static_cast<std::int64_t>(value_of(attribute).word) == value);
  }
  attribute.value.type = OTLPSHM_VALUE_DOUBLE;
  attribute.value.as.number = -0.5;
  double number = 0;
  const Field field = value_of(attribute);
  std::memcpy(&number, &field.word, sizeof number);
  CHECK(field.number == 4);
  CHECK(number == -0.5);
}

TEST_CASE("encode: text that is not there is empty text, and text that is not UTF-8 is bytes") {
  otlpshm_attribute attribute = string_attribute("k", "");
  attribute.value.as.string.text = nullptr;
  attribute.value.as.string.bytes = 9;
  CHECK(value_of(attribute).number == 1);
  CHECK(value_of(attribute).bytes.empty());
  attribute = string_attribute("k",
                               "a\xff"
                               "b");
  CHECK(value_of(attribute).number == 7);
  CHECK(value_of(attribute).bytes ==
        "a\xff"
        "b");
}

TEST_CASE("encode: text is cut by characters, bytes by bytes") {
  CHECK(value_of(string_attribute("k", "aäöü"), 3).bytes == "aäö");
  CHECK(value_of(string_attribute("k", "aäöü"), 4).bytes == "aäöü");
  CHECK(value_of(string_attribute("k", "aäöü"), 0).bytes.empty());
  CHECK(value_of(string_attribute("k", "\xff\xff\xff"), 2).bytes == "\xff\xff");
}

TEST_CASE("encode: a pair without a usable key or type is refused") {
  CHECK(is_refused(string_attribute(nullptr, "v")));
  CHECK(is_refused(string_attribute("", "v")));
  CHECK(is_refused(string_attribute(std::string(1025, 'k').c_str(), "v")));
  CHECK_FALSE(is_refused(string_attribute(std::string(1024, 'k').c_str(), "v")));
  otlpshm_attribute attribute = string_attribute("k", "v");
  attribute.value.type = 99;
  CHECK(is_refused(attribute));
  attribute.value.type = -1;
  CHECK(is_refused(attribute));
}

TEST_CASE("encode: a field is found behind fields of every other wire type") {
  std::uint8_t message[64];
  std::uint8_t* at = put_varint(put_tag(message, 1, WIRE_VARINT), 300);
  at = put_fixed64(put_tag(at, 2, WIRE_FIXED64), 9);
  at = put_fixed32(put_tag(at, 16, WIRE_FIXED32), 9);
  const std::size_t start = static_cast<std::size_t>(at - message);
  at = put_field(at, 9, "abc", 3);
  const std::size_t first_end = static_cast<std::size_t>(at - message);
  at = put_field(at, 9, "d", 1);
  const auto bytes = static_cast<std::size_t>(at - message);
  std::size_t offset = 0;
  std::size_t value = 0;
  std::size_t end = 0;
  REQUIRE(otlpshm_find_field(message, bytes, 9, &offset, &value, &end));
  CHECK(offset == start);
  CHECK(end == first_end);
  CHECK(std::string(message + value, message + end) == "abc");
  offset = end;
  REQUIRE(otlpshm_find_field(message, bytes, 9, &offset, &value, &end));
  CHECK(std::string(message + value, message + end) == "d");
  offset = end;
  CHECK_FALSE(otlpshm_find_field(message, bytes, 9, &offset, &value, &end));
}

}  // namespace otlpshm::library
