// SPDX-License-Identifier: Apache-2.0
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <vector>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

// A process that waits on the doorbell. Its exit status: 0 woken, 1 not.
class Waiter {
 public:
  explicit Waiter(const std::uint32_t* doorbell) : pid_(fork()) {
    if (pid_ == 0) {
      alarm(kBodySeconds);
      const timespec most = {2, 0};
      const long answer = syscall(SYS_futex, doorbell, FUTEX_WAIT, 0, &most, nullptr, 0);
      _exit(answer == 0 ? 0 : 1);
    }
    // Asleep in the futex: the state of the process is S and it is in that system call.
    const std::string path = "/proc/" + std::to_string(pid_) + "/syscall";
    for (int tries = 0; tries < 2000; ++tries) {
      FILE* file = fopen(path.c_str(), "re");
      long number = -1;
      if (file != nullptr && fscanf(file, "%ld", &number) != 1) number = -1;
      if (file != nullptr) fclose(file);
      if (number == SYS_futex) break;
      usleep(1000);
    }
    usleep(20'000);
  }
  bool is_woken() {
    int status = 1;
    waitpid(pid_, &status, 0);
    return status == 0;
  }

 private:
  pid_t pid_;
};

}  // namespace

TEST_CASE("doorbell: a daemon that sleeps in another process is woken by a span") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    Waiter daemon(state.doorbell());
    state.sleep(1);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(daemon.is_woken());
  });
}

TEST_CASE("doorbell: it rings once in each sleep") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    Waiter first(state.doorbell());
    Waiter second(state.doorbell());
    state.sleep(7);
    for (int i = 0; i < 100; ++i) REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(first.is_woken() != second.is_woken());
    REQUIRE(writer->attachment->epoch_rung == 7);
    Waiter third(state.doorbell());
    state.sleep(9);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(third.is_woken());
  });
}

TEST_CASE("doorbell: a daemon that is awake is left alone") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    Waiter daemon(state.doorbell());
    for (const std::uint32_t epoch : {0u, 2u, 4u}) {
      state.sleep(epoch);
      REQUIRE(write_span(writer) == OTLPSHM_OK);
    }
    REQUIRE_FALSE(daemon.is_woken());
    REQUIRE(writer->attachment->epoch_rung == 0);
  });
}

TEST_CASE("doorbell: a daemon whose heartbeat stopped is not rung, and is again once it beats") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t now = otlpshm_clock_monotonic();
    otlpshm_attach_look(writer->attachment, now, false);
    otlpshm_attach_look(writer->attachment, now + 10 * kSecond, false);
    REQUIRE(writer->attachment->expired == 0);
    otlpshm_attach_look(writer->attachment, now + 10 * kSecond + 1, false);
    REQUIRE(writer->attachment->expired == 1);
    Waiter daemon(state.doorbell());
    state.sleep(1);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE_FALSE(daemon.is_woken());
    state.beat();
    otlpshm_attach_look(writer->attachment, now + 11 * kSecond, false);
    Waiter again(state.doorbell());
    state.sleep(3);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(again.is_woken());
  });
}

}  // namespace otlpshm::library
