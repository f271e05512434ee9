// SPDX-License-Identifier: Apache-2.0
// clock_reads.h: how often this thread read a clock of the kernel from code that is linked in.
//   Needs  -Wl,--wrap=clock_gettime.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_CLOCK_READS_H
#define OTLPSHM_TESTS_LIBOTLPSHM_CLOCK_READS_H

#include <cstdint>

namespace otlpshm::library {

std::uint64_t clock_reads();

}  // namespace otlpshm::library

#endif
