// SPDX-License-Identifier: Apache-2.0
#include "io/clock.h"

#include <catch2/catch.hpp>
#include <chrono>

using namespace otlpshm::io;

TEST_CASE("clock: monotonic time never goes back") {
  uint64_t last_ns = monotonic_ns();
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t now_ns = monotonic_ns();
    REQUIRE(now_ns >= last_ns);
    last_ns = now_ns;
  }
}

TEST_CASE("clock: real time is the system's time since 1970, in nanoseconds") {
  const auto system_s = std::chrono::duration_cast<std::chrono::seconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
  const auto ours_s = static_cast<int64_t>(realtime_ns() / 1'000'000'000);
  CHECK(std::abs(ours_s - system_s) <= 2);
}
