// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

bool is_valid(const std::string& text) {
  return otlpshm_utf8_is_valid(text.data(), text.size());
}

std::string sanitized(const std::string& text, std::size_t room) {
  std::string out(room + 1, '\x55');
  const std::size_t bytes = otlpshm_utf8_sanitize(text.data(), text.size(), out.data(), room);
  REQUIRE(bytes <= room);
  REQUIRE(out[room] == '\x55');
  out.resize(bytes);
  return out;
}

// A character in three bytes, and what stands for a byte that is none.
const std::string kEuro = "\xe2\x82\xac";
const std::string kReplacement = "\xef\xbf\xbd";

}  // namespace

TEST_CASE("limits: the edges of UTF-8 are text") {
  for (const char* text : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
                           "ascii of more than eight bytes \xe2\x82\xac and more"}) {
    CHECK(is_valid(text));
  }
  CHECK(is_valid(std::string("a\0b", 3)));
}

TEST_CASE("limits: what RFC 3629 forbids is not text, wherever it stands") {
  for (const std::string bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe2\x82",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xfe", "\xff", "\xe2\x82\x41"}) {
    for (std::size_t before = 0; before < 17; ++before) {
      CHECK_FALSE(is_valid(std::string(before, 'a') + bad));
      CHECK_FALSE(is_valid(std::string(before, 'a') + bad + std::string(9, 'a')));
      const std::string text = std::string(before, 'a') + bad;
      CHECK(otlpshm_utf8_valid_prefix(text.data(), text.size()) == before);
    }
  }
}

TEST_CASE("limits: a prefix holds whole characters") {
  const std::string text = "a" + kEuro + kEuro;
  CHECK(otlpshm_utf8_prefix_of_characters(text.data(), text.size(), 0) == 0);
  CHECK(otlpshm_utf8_prefix_of_characters(text.data(), text.size(), 1) == 1);
  CHECK(otlpshm_utf8_prefix_of_characters(text.data(), text.size(), 2) == 4);
  CHECK(otlpshm_utf8_prefix_of_characters(text.data(), text.size(), 3) == 7);
  CHECK(otlpshm_utf8_prefix_of_characters(text.data(), text.size(), UINT32_MAX) == 7);
  const std::size_t expected[] = {0, 1, 1, 1, 4, 4, 4, 7, 7};
  for (std::size_t bytes = 0; bytes < 9; ++bytes) {
    CHECK(otlpshm_utf8_prefix_of_bytes(text.data(), text.size(), bytes) == expected[bytes]);
  }
}

TEST_CASE("limits: a prefix of bytes that start no character is as long as may be") {
  const std::string text(3000, '\x80');
  for (const std::size_t bytes : {4u, 5u, 1024u, 2999u, 3000u, 4000u}) {
    CHECK(otlpshm_utf8_prefix_of_bytes(text.data(), text.size(), bytes) ==
          (bytes < 5 ? 0 : std::min<std::size_t>(bytes, 3000)));
  }
}

TEST_CASE("limits: each byte that is no text becomes one replacement character") {
  CHECK(sanitized("a\xff"
                  "b",
                  100) == "a" + kReplacement + "b");
  CHECK(sanitized("\xff\xfe", 100) == kReplacement + kReplacement);
  CHECK(sanitized(kEuro.substr(0, 2), 100) == kReplacement + kReplacement);
  CHECK(sanitized("", 100).empty());
}

TEST_CASE("limits: what is made text stops at the room it has, never inside a character") {
  const std::string text = "ab\xff" + kEuro + "\xff" + "c";
  for (std::size_t room = 0; room < 20; ++room) {
    const std::string out = sanitized(text, room);
    CHECK(is_valid(out));
    CHECK(out == sanitized(text, 100).substr(0, out.size()));
  }
}

TEST_CASE("limits: the environment's limits hold, the span's own before the general ones") {
  in_child([] {
    forget_environment();
    otlpshm_limits limits = otlpshm_limits_of_environment();
    REQUIRE(limits.attribute_count_max == 128);
    REQUIRE(limits.attribute_value_length_max == UINT32_MAX);
    REQUIRE(limits.event_count_max == 128);
    REQUIRE(limits.event_attribute_count_max == 128);
    REQUIRE(limits.link_count_max == 128);
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "7", 1);
    setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9", 1);
    limits = otlpshm_limits_of_environment();
    REQUIRE(limits.attribute_count_max == 7);
    REQUIRE(limits.attribute_value_length_max == 9);
    setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0", 1);
    setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "", 1);
    limits = otlpshm_limits_of_environment();
    REQUIRE(limits.attribute_count_max == 0);
    REQUIRE(limits.attribute_value_length_max == 9);
  });
}

TEST_CASE("limits: a limit that is no number is as if it were not set") {
  in_child([] {
    forget_environment();
    for (const char* text : {"", "-1", "+1", " 1", "1 ", "1k", "0x10", "4294967295",
                             "99999999999999999999999", "many"}) {
      setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", text, 1);
      errno = 77;
      REQUIRE(otlpshm_limits_of_environment().event_count_max == 128);
      REQUIRE(errno == 77);
    }
  });
}

}  // namespace otlpshm::library
