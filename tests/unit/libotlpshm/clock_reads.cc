// SPDX-License-Identifier: Apache-2.0
// clock_reads.cc: see clock_reads.h.
#include "clock_reads.h"

#include <time.h>

namespace otlpshm::library {
namespace {
thread_local std::uint64_t count = 0;
}  // namespace

std::uint64_t clock_reads() {
  return count;
}

}  // namespace otlpshm::library

extern "C" {

int __real_clock_gettime(clockid_t clock, timespec* now);

int __wrap_clock_gettime(clockid_t clock, timespec* now) {
  ++otlpshm::library::count;
  return __real_clock_gettime(clock, now);
}

}  // extern "C"
