// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <limits>

#include "producer.h"

namespace otlpshm::library {
namespace {

std::string encoded(const otlpshm_attribute& attribute, std::uint32_t length_max = UINT32_MAX) {
  otlpshm_key_value pair;
  REQUIRE(otlpshm_key_value_of(&pair, &attribute, length_max));
  std::string bytes(otlpshm_key_value_bytes(&pair) + 1, '\x55');
  auto* at = reinterpret_cast<std::uint8_t*>(bytes.data());
  REQUIRE(otlpshm_put_key_value(at, &pair) == at + bytes.size() - 1);
  REQUIRE(bytes.back() == '\x55');
  bytes.pop_back();
  return bytes;
}

Field value_of(const otlpshm_attribute& attribute, std::uint32_t length_max = UINT32_MAX) {
  Field wrapped;
  wrapped.number = 1;
  wrapped.bytes = encoded(attribute, length_max);
  return parse_attributes({wrapped}, 1).at(0).value;
}

bool is_refused(const otlpshm_attribute& attribute) {
  otlpshm_key_value pair;
  return !otlpshm_key_value_of(&pair, &attribute, UINT32_MAX);
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
  attribute.type = OTLPSHM_VALUE_BOOL;
  attribute.value.boolean = 7;
  CHECK(value_of(attribute).number == 2);
  CHECK(value_of(attribute).word == 1);
  attribute.type = OTLPSHM_VALUE_INT;
  for (const std::int64_t value :
       {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
        std::numeric_limits<std::int64_t>::max()}) {
    attribute.value.integer = value;
    CHECK(value_of(attribute).number == 3);
    CHECK(static_cast<std::int64_t>(value_of(attribute).word) == value);
  }
  attribute.type = OTLPSHM_VALUE_DOUBLE;
  attribute.value.number = -0.5;
  double number = 0;
  const Field field = value_of(attribute);
  std::memcpy(&number, &field.word, sizeof number);
  CHECK(field.number == 4);
  CHECK(number == -0.5);
}

TEST_CASE("encode: text that is not there is empty text, and text that is not UTF-8 is bytes") {
  otlpshm_attribute attribute = string_attribute("k", "");
  attribute.value.string.text = nullptr;
  attribute.value.string.bytes = 9;
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
  CHECK(is_refused(string_attribute("k\xff", "v")));
  CHECK(is_refused(string_attribute(std::string(1025, 'k').c_str(), "v")));
  CHECK_FALSE(is_refused(string_attribute(std::string(1024, 'k').c_str(), "v")));
  otlpshm_attribute attribute = string_attribute("k", "v");
  attribute.type = 99;
  CHECK(is_refused(attribute));
  attribute.type = 0;
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
