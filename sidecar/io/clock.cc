// SPDX-License-Identifier: Apache-2.0
// clock.cc: the two clocks of the daemon, in nanoseconds.
#include "io/clock.h"

#include <ctime>

namespace otlpshm::io {
namespace {

uint64_t read_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t monotonic_ns() {
  return read_ns(CLOCK_MONOTONIC);
}

uint64_t realtime_ns() {
  return read_ns(CLOCK_REALTIME);
}

}  // namespace otlpshm::io
