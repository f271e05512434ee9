// SPDX-License-Identifier: Apache-2.0
// allocations.h: counts the calls of malloc, calloc and realloc of the whole process.
#ifndef OTLPSHM_BENCH_ALLOCATIONS_H
#define OTLPSHM_BENCH_ALLOCATIONS_H

#include <cstdint>

namespace otlpshm::bench {
std::uint64_t allocations();
}

#endif
