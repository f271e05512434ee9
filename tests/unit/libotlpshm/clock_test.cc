// SPDX-License-Identifier: Apache-2.0
#include <time.h>

#include <catch2/catch.hpp>

#include "producer.h"

namespace otlpshm::library {

TEST_CASE("clock: monotonic time never falls, and the offset makes it wall time") {
  std::uint64_t before = otlpshm_clock_monotonic();
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t now = otlpshm_clock_monotonic();
    REQUIRE(now >= before);
    before = now;
  }
  timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  const std::uint64_t now = otlpshm_clock_monotonic();
  const auto told = static_cast<std::int64_t>(now + otlpshm_clock_offset(now));
  const std::int64_t expected = wall.tv_sec * INT64_C(1'000'000'000) + wall.tv_nsec;
  CHECK(std::abs(told - expected) < INT64_C(1'000'000'000));
}

TEST_CASE("clock: the offset is renewed at most once a second") {
  const std::uint64_t now = otlpshm_clock_monotonic();
  const std::uint64_t first = otlpshm_clock_offset(now);
  for (int i = 0; i < 1000; ++i) REQUIRE(otlpshm_clock_offset(now) == first);
}

}  // namespace otlpshm::library
