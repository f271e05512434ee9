// SPDX-License-Identifier: Apache-2.0
#include "telemetry/escape.h"

#include <catch2/catch.hpp>

using namespace otlpshm::telemetry;

TEST_CASE("escape: plain text and other scripts stay as they are") {
  for (const char* text : {"", "plain", "Größe", "日本語", "emoji 🎉", "quote \" and = too"}) {
    CHECK(printable(text) == text);
  }
}

TEST_CASE("escape: whatever a terminal obeys is shown instead") {
  CHECK(printable("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(printable("\x1b[31mred") == "\\x1b[31mred");
  CHECK(printable(std::string_view("\0\x7f", 2)) == "\\x00\\x7f");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");           // C1 CSI
  CHECK(printable("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // right-to-left override
  CHECK(printable("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");  // line separator
  CHECK(printable("a\\n") == "a\\\\n");                   // so that nothing is ambiguous
}

TEST_CASE("escape: broken UTF-8 is shown byte by byte") {
  CHECK(printable("\xff") == "\\xff");
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");                    // overlong
  CHECK(printable("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");           // overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  CHECK(printable("\xe2\x82") == "\\xe2\\x82");                    // cut off
  CHECK(printable("\xe2\x82z") == "\\xe2\\x82z");
}

TEST_CASE("escape: a label value cannot end its quotes or its line") {
  CHECK(prometheus_label_value("a\"b\\c\nd") == "a\\\"b\\\\c\\nd");
  CHECK(prometheus_label_value("x\xff"
                               "y") == "x\xef\xbf\xbdy");
  CHECK(prometheus_label_value("tab\tand é") == "tab\tand é");
}
