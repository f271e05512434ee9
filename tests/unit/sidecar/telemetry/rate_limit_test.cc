// SPDX-License-Identifier: Apache-2.0
#include "telemetry/rate_limit.h"

#include <catch2/catch.hpp>

using namespace otlpshm::telemetry;

TEST_CASE("rate_limit: a message is admitted once in ten seconds, with the count kept back") {
  RateLimit limit;
  CHECK(limit.admit("a", 5) == 0u);
  CHECK_FALSE(limit.admit("a", 6));
  CHECK_FALSE(limit.admit("a", 4 + kLogRepeatNs));
  CHECK(limit.suppressed() == 2);
  CHECK(limit.admit("a", 5 + kLogRepeatNs) == 2u);
  CHECK_FALSE(limit.admit("a", 6 + kLogRepeatNs));
  CHECK(limit.admit("a", 5 + 2 * kLogRepeatNs) == 1u);
  CHECK(limit.suppressed() == 3);
}

TEST_CASE("rate_limit: messages do not hold each other back") {
  RateLimit limit;
  CHECK(limit.admit("a", 0) == 0u);
  CHECK(limit.admit("b", 0) == 0u);
  CHECK_FALSE(limit.admit("a", 1));
}

TEST_CASE("rate_limit: past its table, new messages share one entry and old ones keep theirs") {
  RateLimit limit;
  uint64_t admitted = 0;
  for (int i = 0; i < 10'000; ++i) admitted += limit.admit(std::to_string(i), 0).has_value();
  CHECK(admitted == 256);
  CHECK(limit.suppressed() == 10'000 - 256);
  CHECK_FALSE(limit.admit("0", 1));
  CHECK(limit.admit("0", kLogRepeatNs) == 1u);
  CHECK(limit.admit("new", kLogRepeatNs) == 0u);  // room again: the others are over
}
