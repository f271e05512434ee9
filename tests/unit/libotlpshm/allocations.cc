// SPDX-License-Identifier: Apache-2.0
// allocations.cc: see allocations.h.
#include "allocations.h"

#include <cerrno>
#include <cstddef>

namespace otlpshm::library {
namespace {
thread_local std::uint64_t count = 0;
thread_local bool is_failing = false;
}  // namespace

std::uint64_t allocations() {
  return count;
}
void fail_allocations(bool fail) {
  is_failing = fail;
}

}  // namespace otlpshm::library

extern "C" {

void* __real_malloc(std::size_t bytes);
void* __real_calloc(std::size_t count, std::size_t bytes);
void* __real_realloc(void* old, std::size_t bytes);

void* __wrap_malloc(std::size_t bytes) {
  ++otlpshm::library::count;
  if (otlpshm::library::is_failing) {
    errno = ENOMEM;
    return nullptr;
  }
  return __real_malloc(bytes);
}
void* __wrap_calloc(std::size_t count, std::size_t bytes) {
  ++otlpshm::library::count;
  return otlpshm::library::is_failing ? nullptr : __real_calloc(count, bytes);
}
void* __wrap_realloc(void* old, std::size_t bytes) {
  ++otlpshm::library::count;
  return __real_realloc(old, bytes);
}

}  // extern "C"
