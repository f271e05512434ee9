// SPDX-License-Identifier: Apache-2.0
#include "io/tsc.h"

#include <catch2/catch.hpp>

#include "io/clock.h"

using namespace otlpshm::io;

// Skips nothing: where the counter is not invariant a sample must still be one, or none at all.
TEST_CASE("tsc: a sample lies between two readings of the kernel's clocks, and counts forward") {
  std::uint64_t tsc = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t monotonic_before = monotonic_ns();
    const std::uint64_t realtime_before = realtime_ns();
    const auto sample = sample_tsc();
    if (!sample) continue;
    REQUIRE(sample->monotonic_ns >= monotonic_before);
    REQUIRE(sample->monotonic_ns <= monotonic_ns());
    REQUIRE(sample->realtime_ns >= realtime_before);
    REQUIRE(sample->realtime_ns <= realtime_ns());
    if (tsc_is_invariant()) REQUIRE(sample->tsc > tsc);
    tsc = sample->tsc;
  }
}

TEST_CASE("tsc: a kernel that keeps time by the counter found it invariant") {
  if (kernel_keeps_time_by_tsc()) CHECK(tsc_is_invariant());
}
