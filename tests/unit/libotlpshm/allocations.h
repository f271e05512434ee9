// SPDX-License-Identifier: Apache-2.0
// allocations.h: how often this thread called malloc, calloc or realloc from code that is linked
// in.
//   Needs  -Wl,--wrap= for each of the three.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_ALLOCATIONS_H
#define OTLPSHM_TESTS_LIBOTLPSHM_ALLOCATIONS_H

#include <cstdint>

namespace otlpshm::library {

std::uint64_t allocations();
// While true, malloc of this thread fails.
void fail_allocations(bool fail);

}  // namespace otlpshm::library

#endif
