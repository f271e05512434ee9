// SPDX-License-Identifier: Apache-2.0
#include "model/utf8.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using otlpshm::model::is_utf8;
using otlpshm::model::utf8_character;

namespace {

bool is(const std::string& text) {
  return is_utf8(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

}  // namespace

TEST_CASE("model: text of one to four bytes a character is UTF-8, wherever it lies") {
  const std::string text = "plain, zażółć, 世界, 🚀";
  for (std::size_t i = 0; i < 9; ++i) CHECK(is(std::string(i, 'x') + text + std::string(i, 'y')));
  CHECK(is(""));
  CHECK(is(std::string(1, '\0')));
  CHECK(is("\xf4\x8f\xbf\xbf"));
}

TEST_CASE("model: overlong forms, surrogates, stray and missing bytes are not UTF-8") {
  for (const char* text :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x80\x80", "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xff", "\xfe", "\xe2\x28\xa1", "\xf0\x90\x28\xbc", "\xf0\x9f\x9a"}) {
    INFO(std::strlen(text));
    CHECK_FALSE(is(text));
    CHECK_FALSE(is("12345678" + std::string(text)));
    CHECK_FALSE(is(std::string(text) + "12345678"));
    CHECK_FALSE(is("1234567" + std::string(text) + "x"));
  }
}

TEST_CASE("model: the first character of a text has a length and a code point") {
  struct Case {
    const char* text;
    std::size_t bytes;
    std::uint32_t code;
  };
  for (const Case& one :
       {Case{"ab", 1, 'a'}, Case{"\xc2\x80z", 2, 0x80}, Case{"\xdf\xbf", 2, 0x7ff},
        Case{"\xe0\xa0\x80", 3, 0x800}, Case{"\xef\xbf\xbd", 3, 0xfffd},
        Case{"\xf0\x90\x80\x80", 4, 0x10000}, Case{"\xf4\x8f\xbf\xbf", 4, 0x10ffff}}) {
    CHECK(utf8_character(one.text).bytes == one.bytes);
    CHECK(utf8_character(one.text).code == one.code);
  }
  for (const char* broken :
       {"", "\x80", "\xc1\xbf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf"}) {
    CHECK(utf8_character(broken).bytes == 0);
  }
}

TEST_CASE("model: as many strings of three bytes are UTF-8 as Unicode has") {
  std::uint64_t good = 0;
  for (std::uint32_t i = 0; i < (1u << 24); ++i) {
    const std::uint8_t text[3] = {static_cast<std::uint8_t>(i >> 16),
                                  static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    good += is_utf8(text, 3) ? 1 : 0;
  }
  // One-byte characters are 128, two-byte ones 1920, three-byte ones 63488 less 2048 surrogates.
  CHECK(good == 128ull * 128 * 128 + 2ull * 128 * 1920 + 61440);
}
