// SPDX-License-Identifier: Apache-2.0
// copy_short_test.cc: the encoder's copy of short texts; copy_short_plain_test.cc has it compiled
// as for a processor without SSE2.
#include <catch2/catch.hpp>
#include <memory>
#include <string>

#if defined(COPY_SHORT_PLAIN)
#undef __SSE2__
#define TITLE(text) "encode: word by word, " text
#else
#define TITLE(text) "encode: " text
#endif

#include "library.h"

TEST_CASE(TITLE("a short text is copied whole, and what is not ASCII is seen wherever it stands")) {
  for (std::size_t bytes = 0; bytes <= 120; ++bytes) {
    const auto from = std::make_unique<char[]>(bytes);  // a sanitizer sees who reads beyond it
    for (std::size_t i = 0; i < bytes; ++i) from[i] = static_cast<char>('!' + i % 90);
    const std::string around(16, '\x55');
    std::string to = around + std::string(bytes, '\0') + around;
    auto* start = reinterpret_cast<std::uint8_t*>(to.data()) + around.size();
    REQUIRE(copy_short(start, from.get(), bytes) == 0);
    REQUIRE(to == around + std::string(from.get(), bytes) + around);
    for (std::size_t at = 0; at < bytes; ++at) {
      const char before = from[at];
      from[at] = '\x80';
      REQUIRE(copy_short(start, from.get(), bytes) != 0);
      from[at] = before;
    }
  }
}
