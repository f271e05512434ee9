// SPDX-License-Identifier: Apache-2.0
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test_loop.h"

using namespace otlpshm::io;

TEST_CASE("fence: done is called on the loop, with what the kernel said") {
  const bool allowed = syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0;
  auto loop = make_test_loop();
  int calls = 0;
  bool ok = !allowed;
  loop->fence_all_producers([&](bool result) {
    ++calls;
    ok = result;
  });
  CHECK(calls == 0);
  REQUIRE(run_until(*loop, [&] { return calls == 1; }));
  CHECK(ok == allowed);
}

TEST_CASE("fence: requests during a barrier are each answered, once") {
  auto loop = make_test_loop();
  int calls = 0;
  for (int i = 0; i < 20; ++i) {
    loop->fence_all_producers([&](bool) { ++calls; });
    loop->run_once(0);
  }
  REQUIRE(run_until(*loop, [&] { return calls >= 20; }));
  run_for(*loop, 50 * kMs);
  CHECK(calls == 20);
}

TEST_CASE("fence: a loop may be destroyed while a barrier is under way") {
  int calls = 0;
  for (int i = 0; i < 5; ++i) {
    auto loop = make_test_loop();
    loop->fence_all_producers([&](bool) { ++calls; });
    loop->fence_all_producers([&](bool) { ++calls; });
  }
  CHECK(calls == 0);
}
