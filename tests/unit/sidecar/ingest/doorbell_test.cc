// SPDX-License-Identifier: Apache-2.0
#include "ingest/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <catch2/catch.hpp>

#include "io/clock.h"
#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

using ingest::Doorbell;
using ingest::StateFile;

constexpr std::uint64_t kMs = 1'000'000;

std::unique_ptr<io::Loop> make_loop() {
  const char* const asked = std::getenv("OTLPSHM_TEST_LOOP");
  const bool uring = asked != nullptr && std::string(asked) == "io_uring";
  std::string error;
  auto loop = io::make_loop(uring ? io::LoopKind::io_uring : io::LoopKind::epoll, &error);
  INFO(error);
  REQUIRE(loop != nullptr);
  return loop;
}

std::unique_ptr<StateFile> make_state(const SharedDirectory& directory) {
  std::string error;
  auto state = StateFile::open(directory.fd(), &error);
  INFO(error);
  REQUIRE(state != nullptr);
  return state;
}

// Turns and rests until it sleeps for long; how many turns it took.
int fall_asleep(io::Loop& loop, Doorbell& doorbell) {
  for (int turns = 1; turns < 2000; ++turns) {
    const std::uint64_t wait = doorbell.rest(io::monotonic_ns());
    if (wait > 50 * kMs) return turns;
    loop.run_once(wait);
  }
  return 0;
}

TEST_CASE("doorbell: it publishes an odd epoch, looks again, and only then sleeps") {
  SharedDirectory directory;
  const auto state = make_state(directory);
  const auto loop = make_loop();
  {
    Doorbell doorbell(*loop, *state);
    CHECK(doorbell.rest(io::monotonic_ns()) == kMs);
    CHECK(state->asleep());
    CHECK(loop->futex_armed());
    CHECK(fall_asleep(*loop, doorbell) > 1);
    doorbell.wake();
    CHECK_FALSE(state->asleep());
    CHECK(doorbell.rest(io::monotonic_ns()) == kMs);
  }
  CHECK_FALSE(state->asleep());  // nobody rings for a daemon that is gone
}

TEST_CASE("doorbell: who rings without end makes one fence at a time, and it sleeps after him") {
  SharedDirectory directory;
  const auto state = make_state(directory);
  const auto loop = make_loop();
  Doorbell doorbell(*loop, *state);
  for (int i = 0; i < 5000; ++i) {
    (void)doorbell.rest(io::monotonic_ns());
    doorbell.wake();
  }
  CHECK(fall_asleep(*loop, doorbell) > 1);
}

TEST_CASE("doorbell: a ring through a read-only mapping wakes it, once for each sleep") {
  SharedDirectory directory;
  const auto state = make_state(directory);
  const int fd = ::openat(directory.fd(), "state", O_RDONLY);
  const auto* const seen = static_cast<const otlpshm_state*>(
      ::mmap(nullptr, OTLPSHM_STATE_FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0));
  const auto loop = make_loop();
  {
    Doorbell doorbell(*loop, *state);
    for (int sleep = 0; sleep < 3; ++sleep) {
      REQUIRE(fall_asleep(*loop, doorbell) > 0);
      REQUIRE((seen->sleep_epoch & 1) == 1);
      // The wait of a helper thread may not be queued yet when the loop has no futex of its own.
      for (int rings = 0; state->asleep() && rings < 1000; ++rings) {
        ::syscall(SYS_futex, &seen->doorbell, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        loop->run_once(10 * kMs);
      }
      CHECK_FALSE(state->asleep());
      CHECK(seen->sleep_epoch % 2 == 0);
    }
  }
  ::munmap(const_cast<otlpshm_state*>(seen), OTLPSHM_STATE_FILE_BYTES);
  ::close(fd);
}

}  // namespace
}  // namespace otlpshm::tests
