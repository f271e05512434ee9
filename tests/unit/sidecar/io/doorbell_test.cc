// SPDX-License-Identifier: Apache-2.0
// The doorbell as producers ring it: from another process, through a read-only mapping.
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>

#include "test_loop.h"

using namespace otlpshm::io;

namespace {

// A shared page: the daemon's writable mapping, and what a producer needs to map it read-only.
class Page {
 public:
  Page() : fd_(memfd_create("doorbell", MFD_CLOEXEC)) {
    REQUIRE(ftruncate(fd_, kBytes) == 0);
    void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    REQUIRE(at != MAP_FAILED);
    word_ = static_cast<uint32_t*>(at);
  }
  ~Page() {
    munmap(word_, kBytes);
    close(fd_);
  }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  const uint32_t* word() const { return word_; }
  void set(uint32_t value) { __atomic_store_n(word_, value, __ATOMIC_RELEASE); }

  // How many waiters a producer, which is another process, woke.
  int ring_from_another_process() const {
    const pid_t child = fork();
    if (child == 0) {
      void* at = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd_, 0);
      if (at == MAP_FAILED) _exit(255);
      _exit(static_cast<int>(syscall(SYS_futex, at, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0)));
    }
    int status = -1;
    waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) != 255);
    return WEXITSTATUS(status);
  }

  // Rings until somebody was there: what producers of one epoch after another do.
  void ring_until_heard() const {
    for (int i = 0; i < 1000; ++i) {
      if (ring_from_another_process() > 0) return;
      usleep(2000);
    }
    FAIL("nobody waits for the doorbell");
  }

 private:
  static constexpr size_t kBytes = 4096;
  int fd_;
  uint32_t* word_ = nullptr;
};

}  // namespace

TEST_CASE("doorbell: a wake by another process through a read-only mapping is heard") {
  Page page;
  auto loop = make_test_loop();
  int wakes = 0;
  const Armed armed = loop->arm_futex(page.word(), 0, [&] { ++wakes; });
  CHECK(loop->futex_armed());
  page.ring_until_heard();
  REQUIRE(run_until(*loop, [&] { return wakes == 1; }));
  CHECK_FALSE(loop->futex_armed());
  run_for(*loop, 20 * kMs);
  CHECK(wakes == 1);
  if (std::string(loop->name()) == "epoll") CHECK(armed == Armed::unproven);
}

TEST_CASE("doorbell: proven means that a wake before the next turn is not lost") {
  Page page;
  auto loop = make_test_loop();
  for (int i = 0; i < 50; ++i) {
    bool woken = false;
    if (loop->arm_futex(page.word(), 0, [&] { woken = true; }) == Armed::unproven) {
      // Only a loop without the io_uring operation may say so.
      SUCCEED("this backend does not claim it");
      return;
    }
    REQUIRE(page.ring_from_another_process() == 1);
    loop->run_once(1000 * kMs);
    REQUIRE(woken);
  }
}

TEST_CASE("doorbell: it stays armed over many turns, without a busy loop") {
  Page page;
  auto loop = make_test_loop();
  int wakes = 0;
  (void)loop->arm_futex(page.word(), 0, [&] { ++wakes; });
  rusage before{};
  rusage after{};
  getrusage(RUSAGE_SELF, &before);
  run_for(*loop, 1200 * kMs);  // longer than one wait of the helper thread
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_nvcsw - before.ru_nvcsw < 2000);  // a sleep each turn, of 5 ms
  CHECK(wakes == 0);
  CHECK(loop->futex_armed());
  page.ring_until_heard();
  REQUIRE(run_until(*loop, [&] { return wakes == 1; }));
}

TEST_CASE("doorbell: a word that holds another value counts as a wake") {
  Page page;
  page.set(7);
  auto loop = make_test_loop();
  int wakes = 0;
  (void)loop->arm_futex(page.word(), 6, [&] { ++wakes; });
  CHECK(wakes == 0);  // never from inside arm_futex
  REQUIRE(run_until(*loop, [&] { return wakes == 1; }));
  (void)loop->arm_futex(page.word(), 7, [&] { ++wakes; });
  run_for(*loop, 50 * kMs);
  CHECK(wakes == 1);
}

TEST_CASE("doorbell: it can be armed again in its own callback, a thousand times") {
  Page page;
  auto loop = make_test_loop();
  int wakes = 0;
  Callback again;
  again = [&] {
    if (++wakes < 1000) (void)loop->arm_futex(page.word(), 1, again);  // the word holds 0
  };
  (void)loop->arm_futex(page.word(), 1, again);
  REQUIRE(run_until(*loop, [&] { return wakes == 1000; }));
}

TEST_CASE("doorbell: disarmed, it does not run, not even for a wake that came before") {
  Page page;
  auto loop = make_test_loop();
  int wakes = 0;
  for (int i = 0; i < 20; ++i) {
    (void)loop->arm_futex(page.word(), 0, [&] { ++wakes; });
    if (i % 2 == 0) page.ring_until_heard();
    loop->disarm_futex();
    CHECK_FALSE(loop->futex_armed());
    CHECK(page.ring_from_another_process() == 0);
    loop->run_once(2 * kMs);
  }
  loop->disarm_futex();
  run_for(*loop, 20 * kMs);
  CHECK(wakes == 0);
}

TEST_CASE("doorbell: arming while armed replaces the callback") {
  Page page;
  auto loop = make_test_loop();
  int first = 0;
  int second = 0;
  (void)loop->arm_futex(page.word(), 0, [&] { ++first; });
  (void)loop->arm_futex(page.word(), 0, [&] { ++second; });
  page.ring_until_heard();
  REQUIRE(run_until(*loop, [&] { return second == 1; }));
  CHECK(first == 0);
}

TEST_CASE("doorbell: a wake of an earlier arming does not run the next callback") {
  Page page;
  auto loop = make_test_loop();
  int wakes = 0;
  (void)loop->arm_futex(page.word(), 0, [] {});
  page.ring_until_heard();
  usleep(20'000);  // the wake is on its way to the loop
  (void)loop->arm_futex(page.word(), 0, [&] { ++wakes; });
  run_for(*loop, 50 * kMs);
  CHECK(wakes == 0);
  CHECK(loop->futex_armed());
}

TEST_CASE("doorbell: other events are kept while it is disarmed") {
  Page page;
  auto loop = make_test_loop();
  int calls = 0;
  (void)loop->arm_futex(page.word(), 0, [] {});
  loop->run_once(0);
  loop->post([&] { ++calls; });
  loop->disarm_futex();
  REQUIRE(run_until(*loop, [&] { return calls == 1; }));
}

TEST_CASE("doorbell: a loop may be destroyed while it is armed") {
  Page page;
  for (int i = 0; i < 5; ++i) {
    auto loop = make_test_loop();
    (void)loop->arm_futex(page.word(), 0, [] { FAIL("rang"); });
    if (i % 2 == 0) loop->run_once(kMs);
  }
  CHECK(page.ring_from_another_process() == 0);
}
