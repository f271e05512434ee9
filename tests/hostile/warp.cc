// SPDX-License-Identifier: Apache-2.0
// warp.cc: see warp.h.
#include "warp.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace otlpshm::hostile {
namespace {
std::atomic<std::int64_t> monotonic_step{0};
std::atomic<std::int64_t> realtime_step{0};
}  // namespace

void step_monotonic(std::int64_t nanoseconds) {
  monotonic_step += nanoseconds;
}
void step_realtime(std::int64_t nanoseconds) {
  realtime_step += nanoseconds;
}

}  // namespace otlpshm::hostile

extern "C" int clock_gettime(clockid_t clock, struct timespec* out) noexcept {
  using otlpshm::hostile::kSecond;
  const long answer = syscall(SYS_clock_gettime, clock, out);
  if (answer != 0) return static_cast<int>(answer);
  std::int64_t step = 0;
  if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
    step = otlpshm::hostile::monotonic_step;
  }
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
    step = otlpshm::hostile::realtime_step;
  }
  const std::int64_t nanoseconds = out->tv_sec * kSecond + out->tv_nsec + step;
  out->tv_sec = nanoseconds / kSecond;
  out->tv_nsec = nanoseconds % kSecond;
  return 0;
}
