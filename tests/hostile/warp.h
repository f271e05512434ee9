// SPDX-License-Identifier: Apache-2.0
// warp.h: the clocks of this process can be stepped, so that no case waits for minutes.
//   Owns   clock_gettime of the whole test program, the shared library's calls included.
#ifndef OTLPSHM_TESTS_HOSTILE_WARP_H
#define OTLPSHM_TESTS_HOSTILE_WARP_H

#include <cstdint>

namespace otlpshm::hostile {

inline constexpr std::int64_t kSecond = 1'000'000'000;

void step_monotonic(std::int64_t nanoseconds);  // forward only, as the kernel's
void step_realtime(std::int64_t nanoseconds);   // either way

}  // namespace otlpshm::hostile

#endif
