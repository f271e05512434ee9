// SPDX-License-Identifier: Apache-2.0
// allocations.cc: see allocations.h. The program's malloc stands before libc's, also for shared
// libraries; glibc keeps its own under the names used here.
#include "allocations.h"

#include <atomic>
#include <cstddef>

namespace {
std::atomic<std::uint64_t> count{0};
}

std::uint64_t otlpshm::bench::allocations() {
  return count.load(std::memory_order_relaxed);
}

extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t items, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);

void* malloc(std::size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t items, std::size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(items, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(old, bytes);
}

}  // extern "C"
