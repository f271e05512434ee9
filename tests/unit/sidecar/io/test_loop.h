// SPDX-License-Identifier: Apache-2.0
// test_loop.h: the loop that this run of a test program is about, named by OTLPSHM_TEST_LOOP.
#ifndef OTLPSHM_TEST_LOOP_H
#define OTLPSHM_TEST_LOOP_H

#include <catch2/catch.hpp>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "io/clock.h"
#include "io/loop.h"

namespace otlpshm::io {

constexpr uint64_t kMs = 1'000'000;

inline std::unique_ptr<Loop> make_test_loop() {
  const char* asked = std::getenv("OTLPSHM_TEST_LOOP");  // NOLINT(concurrency-mt-unsafe)
  const std::string kind = asked == nullptr ? "epoll" : asked;
  std::string error;
  auto loop = make_loop(kind == "io_uring" ? LoopKind::io_uring : LoopKind::epoll, &error);
  INFO(error);
  REQUIRE(loop != nullptr);
  REQUIRE(std::string(loop->name()) == kind);
  return loop;
}

// Turns until `reached`, for at most five seconds.
inline bool run_until(Loop& loop, const std::function<bool()>& reached) {
  const uint64_t give_up_ns = monotonic_ns() + 5000 * kMs;
  while (!reached()) {
    if (monotonic_ns() > give_up_ns) return false;
    loop.run_once(20 * kMs);
  }
  return true;
}

// For what should not happen: gives it the time in which it would have.
inline void run_for(Loop& loop, uint64_t duration_ns) {
  const uint64_t end_ns = monotonic_ns() + duration_ns;
  while (monotonic_ns() < end_ns) loop.run_once(5 * kMs);
}

}  // namespace otlpshm::io

#endif  // OTLPSHM_TEST_LOOP_H
