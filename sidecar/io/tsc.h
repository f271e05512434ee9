// SPDX-License-Identifier: Apache-2.0
// tsc.h: the processor's time stamp counter, beside the kernel's clocks.
//   Owns   nothing.
//   Never  reads the counter where it is not invariant: then sample_tsc() has nothing to say.
#ifndef OTLPSHM_IO_TSC_H
#define OTLPSHM_IO_TSC_H

#include <cstdint>
#include <optional>

namespace otlpshm::io {

// Three clocks at one moment, to within a few microseconds.
struct TscSample {
  std::uint64_t tsc = 0;
  std::uint64_t monotonic_ns = 0;
  std::uint64_t realtime_ns = 0;
};

// CPUID says that the counter ticks at one rate, whatever the processor does. False but on x86-64.
bool tsc_is_invariant();

// The kernel keeps its own time by the counter, so its watchdog has found no fault in it.
bool kernel_keeps_time_by_tsc();

// Nothing when others ran between the readings each time that it was tried.
std::optional<TscSample> sample_tsc();

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_TSC_H
