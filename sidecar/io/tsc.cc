// SPDX-License-Identifier: Apache-2.0
// tsc.cc: of a few samples the one that took least, so that its readings are of one moment.
#include "io/tsc.h"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "io/clock.h"

namespace otlpshm::io {

#if defined(__x86_64__)

namespace {

constexpr unsigned kPowerManagementLeaf = 0x80000007;
constexpr unsigned kInvariantTsc = 1u << 8;  // of its EDX
constexpr int kTries = 8;
constexpr std::uint64_t kWidthNs = 5000;

}  // namespace

bool tsc_is_invariant() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(kPowerManagementLeaf, &eax, &ebx, &ecx, &edx) != 0 &&
         (edx & kInvariantTsc) != 0;
}

std::optional<TscSample> sample_tsc() {
  std::optional<TscSample> best;
  std::uint64_t best_ns = kWidthNs;
  for (int tries = 0; tries < kTries; ++tries) {
    TscSample sample;
    sample.monotonic_ns = monotonic_ns();
    sample.tsc = __builtin_ia32_rdtsc();
    sample.realtime_ns = realtime_ns();
    const std::uint64_t took_ns = monotonic_ns() - sample.monotonic_ns;
    if (took_ns >= best_ns) continue;
    best_ns = took_ns;
    best = sample;
  }
  return best;
}

#else

bool tsc_is_invariant() {
  return false;
}

std::optional<TscSample> sample_tsc() {
  return std::nullopt;
}

#endif

bool kernel_keeps_time_by_tsc() {
  const int fd = ::open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                        O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[32];
  const ssize_t bytes = ::read(fd, text, sizeof text);
  ::close(fd);
  return bytes > 0 && std::string_view(text, static_cast<std::size_t>(bytes)) == "tsc\n";
}

}  // namespace otlpshm::io
