// SPDX-License-Identifier: Apache-2.0
#include "io/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "test_loop.h"

using namespace otlpshm::io;

namespace {

struct Pipe {
  Pipe() { REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0); }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_read() { close_end(0); }
  void close_write() { close_end(1); }
  void close_end(int end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
  void put(size_t bytes = 1) const {
    const std::string content(bytes, 'x');
    REQUIRE(write(ends[1], content.data(), bytes) == static_cast<ssize_t>(bytes));
  }
  bool take() const {
    char byte = 0;
    return read(ends[0], &byte, 1) == 1;
  }
  int read_end() const { return ends[0]; }
  int write_end() const { return ends[1]; }

  int ends[2] = {-1, -1};
};

}  // namespace

// ---- timers --------------------------------------------------------------------------------

TEST_CASE("loop: timers run once, in the order of their due times, none early") {
  auto loop = make_test_loop();
  const uint64_t start_ns = monotonic_ns();
  std::vector<int> order;
  for (const int delay_ms : {30, 10, 20, 10, 0})
    loop->after(static_cast<uint64_t>(delay_ms), [&, delay_ms] {
      CHECK(monotonic_ns() - start_ns >= static_cast<uint64_t>(delay_ms) * kMs);
      order.push_back(delay_ms);
    });
  REQUIRE(run_until(*loop, [&] { return order.size() == 5; }));
  CHECK(order == std::vector<int>{0, 10, 10, 20, 30});
  run_for(*loop, 20 * kMs);
  CHECK(order.size() == 5);
}

TEST_CASE("loop: timers of one due time run in the order of setting") {
  auto loop = make_test_loop();
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) loop->after(5, [&, i] { order.push_back(i); });
  REQUIRE(run_until(*loop, [&] { return order.size() == 100; }));
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("loop: a periodic timer goes on until cancelled, also by itself") {
  auto loop = make_test_loop();
  int ticks = 0;
  TimerId timer = 0;
  timer = loop->every(2, [&] {
    if (++ticks == 5) loop->cancel(timer);
  });
  REQUIRE(timer != 0);
  REQUIRE(run_until(*loop, [&] { return ticks == 5; }));
  run_for(*loop, 20 * kMs);
  CHECK(ticks == 5);
}

TEST_CASE("loop: ticks missed by a late loop are not made up for") {
  auto loop = make_test_loop();
  int ticks = 0;
  loop->every(1, [&] { ++ticks; });
  usleep(30'000);
  loop->run_once(0);
  CHECK(ticks == 1);
}

TEST_CASE("loop: a cancelled timer does not run, even if it is due in the same turn") {
  auto loop = make_test_loop();
  int runs = 0;
  TimerId second = 0;
  const TimerId cancelled = loop->after(0, [&] { ++runs; });
  loop->after(1, [&] { loop->cancel(second); });
  second = loop->after(2, [&] { ++runs; });
  loop->cancel(cancelled);
  loop->cancel(cancelled);
  loop->cancel(0);
  usleep(5000);
  run_for(*loop, 20 * kMs);
  CHECK(runs == 0);
}

TEST_CASE("loop: a timer set in a callback waits for a later turn") {
  auto loop = make_test_loop();
  int runs = 0;
  Callback again;
  again = [&] {
    if (++runs < 10) loop->after(0, again);
  };
  loop->after(0, again);
  size_t turns = 0;
  while (runs < 10 && turns < 100) {
    const int before = runs;
    loop->run_once(10 * kMs);
    REQUIRE(runs <= before + 1);
    ++turns;
  }
  CHECK(runs == 10);
}

TEST_CASE("loop: ten thousand timers, half of them cancelled") {
  auto loop = make_test_loop();
  std::mt19937 random(1);
  std::vector<TimerId> timers;
  std::vector<uint64_t> order;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t delay_ms = random() % 50;
    timers.push_back(loop->after(delay_ms, [&] { order.push_back(monotonic_ns()); }));
  }
  for (size_t i = 0; i < timers.size(); i += 2) loop->cancel(timers[i]);
  REQUIRE(run_until(*loop, [&] { return order.size() == 5000; }));
  run_for(*loop, 60 * kMs);
  CHECK(order.size() == 5000);
}

TEST_CASE("loop: an absurd delay is far away, not now") {
  auto loop = make_test_loop();
  int runs = 0;
  loop->after(UINT64_MAX, [&] { ++runs; });
  loop->run_once(5 * kMs);
  CHECK(runs == 0);
}

// ---- descriptors ---------------------------------------------------------------------------

TEST_CASE("loop: reading is level-triggered") {
  auto loop = make_test_loop();
  Pipe pipe;
  int calls = 0;
  REQUIRE(loop->watch(pipe.read_end(), Interest::read, [&] {
    ++calls;
    CHECK(pipe.take());
  }));
  loop->run_once(0);
  CHECK(calls == 0);
  pipe.put(3);
  REQUIRE(run_until(*loop, [&] { return calls == 3; }));
  run_for(*loop, 10 * kMs);
  CHECK(calls == 3);
  pipe.put();
  REQUIRE(run_until(*loop, [&] { return calls == 4; }));
}

TEST_CASE("loop: a descriptor that is not read is reported in every turn") {
  auto loop = make_test_loop();
  Pipe pipe;
  int calls = 0;
  REQUIRE(loop->watch(pipe.read_end(), Interest::read, [&] { ++calls; }));
  pipe.put();
  for (int turn = 1; turn <= 5; ++turn) {
    CHECK(loop->run_once(1000 * kMs) == 1);
    CHECK(calls == turn);
  }
}

TEST_CASE("loop: writing is reported while there is room") {
  auto loop = make_test_loop();
  Pipe pipe;
  int calls = 0;
  REQUIRE(loop->watch(pipe.write_end(), Interest::write, [&] { ++calls; }));
  CHECK(loop->run_once(1000 * kMs) == 1);
  char block[4096] = {};
  while (write(pipe.write_end(), block, sizeof block) > 0) {
  }
  loop->run_once(0);  // may still report what was true when the turn before ended
  calls = 0;
  run_for(*loop, 20 * kMs);
  CHECK(calls == 0);
  while (read(pipe.read_end(), block, sizeof block) > 0) {
  }
  REQUIRE(run_until(*loop, [&] { return calls > 0; }));
}

TEST_CASE("loop: a hang-up is reported to a reader and to a writer") {
  auto loop = make_test_loop();
  Pipe to_read;
  Pipe to_write;
  bool read_called = false;
  bool write_called = false;
  char block[4096] = {};
  while (write(to_write.write_end(), block, sizeof block) > 0) {
  }
  REQUIRE(loop->watch(to_read.read_end(), Interest::read, [&] { read_called = true; }));
  REQUIRE(loop->watch(to_write.write_end(), Interest::write, [&] { write_called = true; }));
  loop->run_once(0);
  REQUIRE_FALSE(read_called);
  REQUIRE_FALSE(write_called);
  to_read.close_write();
  to_write.close_read();
  REQUIRE(run_until(*loop, [&] { return read_called && write_called; }));
}

TEST_CASE("loop: watching again replaces interest and callback") {
  auto loop = make_test_loop();
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  int reads = 0;
  int writes = 0;
  REQUIRE(loop->watch(ends[0], Interest::write, [&] { ++writes; }));
  loop->run_once(1000 * kMs);
  CHECK(writes == 1);
  REQUIRE(loop->watch(ends[0], Interest::read, [&] { ++reads; }));
  run_for(*loop, 10 * kMs);
  CHECK(writes == 1);
  CHECK(reads == 0);
  REQUIRE(write(ends[1], "x", 1) == 1);
  REQUIRE(run_until(*loop, [&] { return reads > 0; }));
  CHECK(writes == 1);
  loop->unwatch(ends[0]);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("loop: unwatch in its own callback is the last call") {
  auto loop = make_test_loop();
  Pipe pipe;
  auto held = std::make_shared<int>(0);
  REQUIRE(loop->watch(pipe.read_end(), Interest::read, [&loop, &pipe, held] {
    loop->unwatch(pipe.read_end());
    ++*held;  // what the callback captured is still alive
  }));
  pipe.put();
  REQUIRE(run_until(*loop, [&] { return *held == 1; }));
  run_for(*loop, 10 * kMs);
  CHECK(*held == 1);
  CHECK(held.use_count() == 1);
  loop->unwatch(pipe.read_end());
}

TEST_CASE("loop: of two that are ready and unwatch each other, one is called") {
  auto loop = make_test_loop();
  Pipe a;
  Pipe b;
  int calls = 0;
  const auto both = [&] {
    ++calls;
    loop->unwatch(a.read_end());
    loop->unwatch(b.read_end());
  };
  REQUIRE(loop->watch(a.read_end(), Interest::read, both));
  REQUIRE(loop->watch(b.read_end(), Interest::read, both));
  a.put();
  b.put();
  run_for(*loop, 20 * kMs);
  CHECK(calls == 1);
}

TEST_CASE("loop: an event of a closed descriptor does not reach the next owner of its number") {
  auto loop = make_test_loop();
  for (int round = 0; round < 50; ++round) {
    auto a = std::make_unique<Pipe>();
    auto b = std::make_unique<Pipe>();
    auto fresh = std::unique_ptr<Pipe>();
    int calls = 0;
    int fresh_calls = 0;
    // Whichever is called first replaces the other, whose event of this turn is then stale.
    const auto replace = [&](std::unique_ptr<Pipe>& other) {
      ++calls;
      const int number = other->read_end();
      loop->unwatch(a->read_end());
      loop->unwatch(b->read_end());
      other.reset();
      fresh = std::make_unique<Pipe>();
      REQUIRE((fresh->read_end() == number || fresh->write_end() == number));
      REQUIRE(loop->watch(fresh->read_end(), Interest::read, [&] { ++fresh_calls; }));
    };
    REQUIRE(loop->watch(a->read_end(), Interest::read, [&] { replace(b); }));
    REQUIRE(loop->watch(b->read_end(), Interest::read, [&] { replace(a); }));
    a->put();
    b->put();
    REQUIRE(run_until(*loop, [&] { return calls > 0; }));
    run_for(*loop, kMs);
    REQUIRE(calls == 1);
    REQUIRE(fresh_calls == 0);
    fresh->put();
    REQUIRE(run_until(*loop, [&] { return fresh_calls > 0; }));
    loop->unwatch(fresh->read_end());
  }
}

TEST_CASE("loop: a descriptor closed after unwatch is closed at once") {
  auto loop = make_test_loop();
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  REQUIRE(loop->watch(ends[0], Interest::read, [] {}));
  loop->run_once(0);
  loop->unwatch(ends[0]);
  close(ends[0]);
  char byte = 0;
  CHECK(read(ends[1], &byte, 1) == 0);  // and not EAGAIN: nobody holds it open
  close(ends[1]);
}

TEST_CASE("loop: what cannot be watched is refused with an errno") {
  auto loop = make_test_loop();
  CHECK_FALSE(loop->watch(-1, Interest::read, [] {}));
  CHECK(errno == EBADF);
  Pipe pipe;
  const int closed = pipe.read_end();
  pipe.close_read();
  CHECK_FALSE(loop->watch(closed, Interest::read, [] {}));
  CHECK(errno == EBADF);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  CHECK_FALSE(loop->watch(file, Interest::read, [] {}));
  CHECK(errno == EPERM);
  close(file);
  loop->unwatch(closed);
  CHECK(loop->run_once(0) == 0);
}

TEST_CASE("loop: more descriptors are ready than any queue of the kernel holds") {
  constexpr int kCount = 700;
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  if (files.rlim_cur < kCount + 64) {
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, kCount + 64);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
  }
  auto loop = make_test_loop();
  std::vector<int> fds;
  std::vector<int> calls(kCount, 0);
  for (int i = 0; i < kCount; ++i) {
    fds.push_back(eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
    REQUIRE(fds.back() >= 0);
    REQUIRE(loop->watch(fds.back(), Interest::read, [&calls, i] { ++calls[size_t(i)]; }));
  }
  for (int round = 1; round <= 3; ++round) {
    REQUIRE(run_until(*loop, [&] {
      return std::all_of(calls.begin(), calls.end(), [&](int n) { return n >= round; });
    }));
  }
  for (const int fd : fds) {
    loop->unwatch(fd);
    close(fd);
  }
  std::fill(calls.begin(), calls.end(), 0);
  run_for(*loop, 10 * kMs);
  CHECK(std::all_of(calls.begin(), calls.end(), [](int n) { return n == 0; }));
}

// ---- posted calls, signals -----------------------------------------------------------------

TEST_CASE("loop: calls posted by four threads all run here, each thread's in order") {
  auto loop = make_test_loop();
  constexpr int kThreads = 4;
  constexpr int kCalls = 2000;
  const auto here = std::this_thread::get_id();
  std::vector<std::vector<int>> seen(kThreads);
  size_t count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i)
        loop->post([&, t, i] {
          ++count;
          if (std::this_thread::get_id() == here) seen[size_t(t)].push_back(i);
        });
    });
  REQUIRE(run_until(*loop, [&] { return count == kThreads * kCalls; }));
  for (std::thread& thread : threads) thread.join();
  for (const auto& one : seen) {
    CHECK(one.size() == kCalls);
    CHECK(std::is_sorted(one.begin(), one.end()));
  }
}

TEST_CASE("loop: a post wakes a loop that waits") {
  auto loop = make_test_loop();
  bool called = false;
  std::thread poster([&] {
    usleep(20'000);
    loop->post([&] { called = true; });
  });
  CHECK(loop->run_once(5000 * kMs) == 1);
  CHECK(called);
  poster.join();
}

TEST_CASE("loop: a call posted by a posted call waits for the next turn") {
  auto loop = make_test_loop();
  int calls = 0;
  loop->post([&] {
    ++calls;
    loop->post([&] { ++calls; });
  });
  CHECK(loop->run_once(1000 * kMs) == 1);
  CHECK(calls == 1);
  CHECK(loop->run_once(1000 * kMs) == 1);
  CHECK(calls == 2);
}

TEST_CASE("loop: signals arrive as callbacks, each to its own") {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    auto loop = make_test_loop();
    int first = 0;
    int second = 0;
    // A helper thread that is older than the mask must not take them: it would end the process.
    bool fenced = false;
    loop->fence_all_producers([&](bool) { fenced = true; });
    REQUIRE(run_until(*loop, [&] { return fenced; }));
    REQUIRE(loop->on_signal(SIGUSR1, [&] { ++first; }));
    REQUIRE(loop->on_signal(SIGUSR2, [&] { ++second; }));
    loop->run_once(0);
    kill(getpid(), SIGUSR1);
    REQUIRE(run_until(*loop, [&] { return first == 1; }));
    CHECK(second == 0);
    for (int i = 1; i <= 3; ++i) {
      kill(getpid(), SIGUSR2);
      REQUIRE(run_until(*loop, [&] { return second == i; }));
    }
    CHECK(first == 1);
    CHECK_FALSE(loop->on_signal(-1, [] {}));
    kill(getpid(), SIGUSR1);
    REQUIRE(run_until(*loop, [&] { return first == 2; }));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("loop: a signal that another part of the program takes only ends the wait") {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  struct sigaction before {};
  REQUIRE(sigaction(SIGALRM, &action, &before) == 0);
  auto loop = make_test_loop();
  bool due = false;
  loop->after(60, [&] { due = true; });
  ualarm(10'000, 10'000);
  REQUIRE(run_until(*loop, [&] { return due; }));
  ualarm(0, 0);
  sigaction(SIGALRM, &before, nullptr);
}

// ---- turns ---------------------------------------------------------------------------------

TEST_CASE("loop: an idle turn waits its timeout and no longer than that") {
  auto loop = make_test_loop();
  CHECK(loop->run_once(0) == 0);
  for (const uint64_t timeout_ns : {300'000ul, 5 * kMs, 30 * kMs}) {
    const uint64_t start_ns = monotonic_ns();
    CHECK(loop->run_once(timeout_ns) == 0);
    CHECK(monotonic_ns() - start_ns >= timeout_ns);
  }
}

TEST_CASE("loop: idle is idle: few turns in 200 ms, whatever was watched before") {
  auto loop = make_test_loop();
  Pipe quiet;
  Pipe gone;
  uint32_t word = 0;
  REQUIRE(loop->watch(quiet.read_end(), Interest::read, [] {}));
  REQUIRE(loop->watch(gone.read_end(), Interest::read, [&] { gone.take(); }));
  gone.put();
  (void)loop->arm_futex(&word, 0, [] {});
  loop->post([] {});
  run_for(*loop, 20 * kMs);
  loop->unwatch(gone.read_end());
  loop->run_once(0);
  const uint64_t end_ns = monotonic_ns() + 200 * kMs;
  int turns = 0;
  for (; monotonic_ns() < end_ns; ++turns) loop->run_once(50 * kMs);
  CHECK(turns <= 6);
}

TEST_CASE("loop: a timer ends a longer wait") {
  auto loop = make_test_loop();
  bool due = false;
  loop->after(10, [&] { due = true; });
  for (int turn = 0; turn < 3 && !due; ++turn) loop->run_once(600'000 * kMs);
  CHECK(due);
}

TEST_CASE("loop: a turn tells how many callbacks ran, of every kind") {
  auto loop = make_test_loop();
  Pipe pipe;
  REQUIRE(loop->watch(pipe.read_end(), Interest::read, [&] { pipe.take(); }));
  loop->run_once(0);
  pipe.put();
  for (int i = 0; i < 3; ++i) loop->post([] {});
  for (int i = 0; i < 2; ++i) loop->after(0, [] {});
  usleep(1000);
  CHECK(loop->run_once(1000 * kMs) == 6);
}

TEST_CASE("loop: it may be destroyed with everything still pending") {
  Pipe pipe;
  pipe.put();
  auto held = std::make_shared<int>(0);
  {
    auto loop = make_test_loop();
    REQUIRE(loop->watch(pipe.read_end(), Interest::read, [held] {}));
    loop->run_once(0);
    loop->after(1000, [held] {});
    loop->every(1000, [held] {});
    loop->post([held] {});
  }
  CHECK(held.use_count() == 1);
}
