// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "host.h"
#include "steps.h"
#include "warp.h"

namespace otlpshm::hostile {
namespace {

// Attached, with a daemon that is seen, and with its first lane's memory.
struct Settled {
  explicit Settled(const PrivateDirectory& directory) : state(directory) {
    writer = open_writer(directory.path(), kRoomy);
    const AckFile ack(directory.segment());
    step_monotonic(kSecond);
    (void)write_spans(writer, 20);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_OK);
  }
  StateFile state;
  otlpshm_writer* writer;
};

long futexes(const Trace& trace) {
  return trace.has(SYS_futex) ? trace.calls.at(SYS_futex) : 0;
}

}  // namespace

TEST_CASE("asleep: a daemon that was killed asleep costs one wake, not one for each span") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = count_calls([&] {
    Settled host(directory);
    host.state.sleep(7);
    begin_trace();
    (void)write_spans(host.writer, 5000);
    end_trace();
    REQUIRE(check_books(host.writer, directory).committed == 5020);
  });
  REQUIRE(trace.status == 0);
  REQUIRE(futexes(trace) == 1);
}

TEST_CASE("asleep: it is rung once in each of its sleeps, and never while it is awake") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = count_calls([&] {
    Settled host(directory);
    begin_trace();
    for (std::uint32_t epoch = 1; epoch <= 20; ++epoch) {  // odd: asleep
      host.state.sleep(epoch);
      (void)write_spans(host.writer, 50);
    }
    end_trace();
    REQUIRE(check_books(host.writer, directory).committed == 1020);
  });
  REQUIRE(trace.status == 0);
  REQUIRE(futexes(trace) == 10);
}

TEST_CASE("asleep: once its heartbeat has expired it is not rung at all") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = count_calls([&] {
    Settled host(directory);
    step_monotonic(11 * kSecond);
    (void)write_span(host.writer);
    begin_trace();
    for (std::uint32_t epoch = 1; epoch <= 20; ++epoch) {
      host.state.sleep(epoch);
      (void)write_spans(host.writer, 50);
    }
    end_trace();
  });
  REQUIRE(trace.status == 0);
  REQUIRE(futexes(trace) == 0);
}

TEST_CASE("asleep: each process rings it once, also when it is a child of another") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = count_calls([&] {
    Settled host(directory);
    host.state.sleep(7);
    (void)write_spans(host.writer, 5);
    const pid_t pid = _Fork();
    if (pid == 0) {
      alarm(kBodySeconds);
      (void)write_span(host.writer);  // attaches and rings
      (void)write_spans(host.writer, 5);
      _exit(0);
    }
    REQUIRE(wait_for(pid) == 0);
    begin_trace();
    (void)write_spans(host.writer, 500);
    end_trace();
  });
  REQUIRE(trace.status == 0);
  REQUIRE(futexes(trace) == 0);  // the parent had rung; its child's ring is its own
}

TEST_CASE("asleep: with a daemon that lives, spans enter the kernel for nothing") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = count_calls([&] {
    Settled host(directory);
    begin_trace();
    (void)write_spans(host.writer, 1000);
    end_trace();
  });
  REQUIRE(trace.status == 0);
  for (const auto& [number, count] : trace.calls) {
    INFO("system call " << number << ", " << count << " times");
    const bool is_of_this_program = number == SYS_clock_gettime;  // warp.h
    REQUIRE(is_of_this_program);
  }
}

}  // namespace otlpshm::hostile
