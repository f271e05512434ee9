// SPDX-License-Identifier: Apache-2.0
// scrape_test.cc: what is read back from a metrics page, and what is not.
#include "cli/scrape.h"

#include <catch2/catch.hpp>

using otlpshm::cli::Scrape;

TEST_CASE("cli: a counter is the sum over its label sets") {
  const Scrape page(
      "# HELP spans_total Spans.\n"
      "# TYPE spans_total counter\n"
      "spans_total{segment=\"a\"} 3\n"
      "spans_total{segment=\"b\"} 4 1700000000000\n"
      "spans_total_other 100\n"
      "plain 2.5e3");
  CHECK(page.sum("spans_total") == 7.0);
  CHECK(page.sum("plain") == 2500.0);
  CHECK_FALSE(page.sum("spans"));
}

TEST_CASE("cli: a counter is split by one label") {
  const Scrape page(
      "dropped_total{reason=\"lane_full\",segment=\"a\"} 3\n"
      "dropped_total{segment=\"b\",reason=\"lane_full\"} 1\n"
      "dropped_total{reason=\"quo\\\"te\\\\d\\n\"} 5\n"
      "dropped_total 9\n");
  const auto by = page.by("dropped_total", "reason");
  CHECK(by.size() == 2);
  CHECK(by.at("lane_full") == 4.0);
  CHECK(by.at("quo\"te\\d\n") == 5.0);
}

TEST_CASE("cli: a line that is not understood is not there") {
  const Scrape page(
      "\n"
      "broken{reason=\"never closed\n"
      "broken{reason=\"x\" 1\n"
      "broken{reason} 1\n"
      "broken one\n"
      "broken\n"
      "{} 1\n"
      "whole 1\n");
  CHECK_FALSE(page.sum("broken"));
  CHECK(page.sum("whole") == 1.0);
}
