// SPDX-License-Identifier: Apache-2.0
// step_test.cc: the library is interrupted before each of its instructions, with a debugger's
// means.
//   Needs ptrace; without it the cases say that they were skipped.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "host.h"
#include "steps.h"
#include "warp.h"

namespace otlpshm::hostile {
namespace {

otlpshm_writer* the_writer;
std::uint64_t handled;
std::uint64_t handled_kept;
sigjmp_buf way_out;

void write_and_return(int) {
  if (write_span(the_writer, "handler", OTLPSHM_SPAN_SIGNAL_SAFE) == OTLPSHM_OK) ++handled_kept;
  ++handled;
  end_of_handling();
}
void jump_out(int) {
  siglongjmp(way_out, 1);
}
void end_thread(int) {
  pthread_exit(nullptr);
}

void on_signal(void (*action)(int)) {
  struct sigaction how = {};
  how.sa_handler = action;
  how.sa_flags = SA_RESTART;
  REQUIRE(sigaction(SIGUSR1, &how, nullptr) == 0);
}

// Everything that a signal-safe span may do, so that its owner may be interrupted anywhere.
void write_full_span(otlpshm_writer* writer) {
  otlpshm_span span{};
  otlpshm_context context{};
  otlpshm_span_start(writer, &span, "main", 4, nullptr);
  otlpshm_span_set_string(&span, "text", 4, "value", 5);
  otlpshm_span_set_int(&span, "int", 3, 1);
  otlpshm_span_set_double(&span, "double", 6, 1.5);
  otlpshm_span_set_bool(&span, "bool", 4, 1);
  otlpshm_span_set_int(&span, "int", 3, 2);  // replaces
  otlpshm_span_add_event(&span, "event", 5, 0, nullptr, 0);
  otlpshm_span_set_status(&span, OTLPSHM_STATUS_ERROR, "why", 3);
  otlpshm_span_update_name(&span, "other", 5);
  otlpshm_span_get_context(&span, &context);
  (void)otlpshm_span_end(&span);
}

// A span whose end comes next.
void begin_span(otlpshm_writer* writer, otlpshm_span* span) {
  std::memset(span, 0, sizeof *span);
  otlpshm_span_start(writer, span, "main", 4, nullptr);
  otlpshm_span_set_int(span, "int", 3, 1);
}

// Runs `body` once for every stride-th instruction, with the signal there; the first run that comes
// to its end without the signal is the last. Returns how many runs had it.
template <typename Body>
long at_every_instruction(int stride, Body body) {
  for (long at = 0;; at += stride) {
    const PrivateDirectory directory;
    const Trace trace = signal_at(SIGUSR1, at, [&] { body(directory); });
    INFO("the signal came before instruction " << at);
    REQUIRE(trace.status == 0);
    if (trace.signals == 0) return at / stride;
  }
}

}  // namespace

TEST_CASE("step: handlers before each instruction of start, set, event, status, end lose no span") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = signal_at_each(SIGUSR1, 1, [&] {
    the_writer = open_writer(directory.path(), kRoomy);
    write_full_span(the_writer);  // the linker's work is done
    on_signal(write_and_return);
    begin_trace();
    write_full_span(the_writer);
    end_trace();
    REQUIRE(handled > 500);
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(stats.ended == handled + 2);
    REQUIRE(dropped_of(stats) == 0);
  });
  REQUIRE(trace.status == 0);
  REQUIRE(trace.signals == trace.instructions);
}

TEST_CASE("step: with one lane, handlers lose what finds it leased, counted as lanes_busy") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = signal_at_each(SIGUSR1, 1, [&] {
    the_writer = open_writer(directory.path(), kOneLane);
    on_signal(write_and_return);
    otlpshm_span span;
    begin_span(the_writer, &span);
    begin_trace();
    const int ended = otlpshm_span_end(&span);
    end_trace();
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(stats.ended == handled + 1);
    REQUIRE(dropped_of(stats) == stats.dropped[kLanesBusy] + stats.dropped[kLaneFull]);
    REQUIRE(stats.dropped[kLanesBusy] > 0);
    REQUIRE(stats.committed == handled_kept + (ended == OTLPSHM_OK ? 1u : 0u));
  });
  REQUIRE(trace.status == 0);
}

TEST_CASE("step: handlers in a thread's very first span lose none and repeat no id") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = signal_at_each(SIGUSR1, 3, [&] {
    the_writer = open_writer(directory.path(), kRoomy);
    on_signal(write_and_return);
    pthread_t thread;
    REQUIRE(pthread_create(
                &thread, nullptr,
                [](void*) -> void* {
                  begin_trace();
                  write_full_span(the_writer);
                  end_trace();
                  return nullptr;
                },
                nullptr) == 0);
    REQUIRE(pthread_join(thread, nullptr) == 0);
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(handled > 100);
    REQUIRE(stats.ended == handled + 1);
    REQUIRE(dropped_of(stats) == 0);
  });
  REQUIRE(trace.status == 0);
}

TEST_CASE("step: handlers while a writer is opened, asked, flushed and shut down lose no span") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = signal_at_each(SIGUSR1, 61, [&] {
    the_writer = open_writer(directory.path(), kRoomy);
    on_signal(write_and_return);
    begin_trace();
    otlpshm_writer* writer = open_writer(directory.path());
    (void)write_span(writer);
    (void)otlpshm_writer_status(writer);
    (void)stats_of(writer);
    (void)otlpshm_force_flush(writer, 0);
    (void)otlpshm_shutdown(writer, 0);
    end_trace();
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(handled > 100);
    REQUIRE(stats.ended == handled + 1);
    REQUIRE(dropped_of(stats) == 0);
  });
  REQUIRE(trace.status == 0);
}

TEST_CASE("step: handlers while a thread attaches anew lose what is counted as no_segment") {
  if (!can_trace()) return;
  const PrivateDirectory directory;
  const Trace trace = signal_at_each(SIGUSR1, 41, [&] {
    StateFile state(directory);
    the_writer = open_writer(directory.path());
    const std::string first = directory.segment();
    const SegmentFile segment(first);
    AckFile ack(first);
    step_monotonic(kSecond);
    (void)write_span(the_writer);  // and sees the ack
    ack.settle_all(segment);
    ack.set_state(3);
    REQUIRE(unlink(first.c_str()) == 0);
    on_signal(write_and_return);
    begin_trace();
    write_full_span(the_writer);
    end_trace();
    const otlpshm_stats stats = stats_of(the_writer);
    const SegmentFile next(directory.segment());
    REQUIRE(handled > 100);
    REQUIRE(stats.ended == handled + 2);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
    REQUIRE(dropped_of(stats) == stats.dropped[kNoSegment]);
    REQUIRE(stats.committed == check_records(segment) + check_records(next));
    REQUIRE(stats.committed >= handled_kept + 1);
    REQUIRE(errno_changes == 0);
  });
  REQUIRE(trace.status == 0);
}

TEST_CASE("step: a longjmp out of any instruction of an end loses that span at most") {
  if (!can_trace()) return;
  const long runs = at_every_instruction(2, [](const PrivateDirectory& directory) {
    otlpshm_writer* writer = open_writer(directory.path(), 2 << 20);
    write_full_span(writer);
    on_signal(jump_out);
    static otlpshm_span span;
    begin_span(writer, &span);
    if (sigsetjmp(way_out, 1) == 0) {
      begin_trace();
      (void)otlpshm_span_end(&span);
      end_trace();
    }
    REQUIRE(write_spans(writer, 5) == 5);
    const otlpshm_stats stats = check_books(writer, directory);
    REQUIRE((stats.committed == 6 || stats.committed == 7));
    REQUIRE(dropped_of(stats) == 0);
    REQUIRE(stats.lanes_lost <= 1);
  });
  REQUIRE(runs > 80);
}

TEST_CASE(
    "step: a span that was left by a longjmp out of its end takes nothing more beyond its room") {
  if (!can_trace()) return;
  static struct {
    otlpshm_span span;
    unsigned char behind[64];
  } guarded;
  const auto fill = [](char first) {  // to its last byte: with ever shorter keys in the end
    for (char second = 'a'; second <= 'z'; ++second) {
      const char key[] = {first, second};
      otlpshm_span_set_string(&guarded.span, key, sizeof key, "a value of 28 bytes, or so it", 28);
    }
    for (std::size_t bytes = 60; bytes > 0; --bytes) {
      const std::string key(bytes, first);
      otlpshm_span_set_string(&guarded.span, key.data(), key.size(), "", 0);
    }
  };
  const long runs = at_every_instruction(3, [&](const PrivateDirectory& directory) {
    otlpshm_writer* writer = open_writer(directory.path(), 2 << 20);
    write_full_span(writer);
    on_signal(jump_out);
    std::memset(&guarded, 0x55, sizeof guarded);
    otlpshm_start_options options{};
    options.size = sizeof options;
    options.flags = OTLPSHM_SPAN_SIGNAL_SAFE;
    otlpshm_span_start(writer, &guarded.span, "main", 4, &options);
    fill('a');
    otlpshm_span_set_status(&guarded.span, OTLPSHM_STATUS_ERROR, nullptr, 0);
    if (sigsetjmp(way_out, 1) == 0) {
      begin_trace();
      (void)otlpshm_span_end(&guarded.span);
      end_trace();
    }
    fill('A');
    (void)otlpshm_span_end(&guarded.span);
    for (const unsigned char byte : guarded.behind) REQUIRE(byte == 0x55);
    const otlpshm_stats stats = check_books(writer, directory);
    REQUIRE((stats.committed == 1 || stats.committed == 2));
    REQUIRE(dropped_of(stats) == 0);
  });
  REQUIRE(runs > 80);
}

TEST_CASE("step: a longjmp out of any part of a span's life loses that span at most") {
  if (!can_trace()) return;
  const long runs = at_every_instruction(97, [](const PrivateDirectory& directory) {
    otlpshm_writer* writer = open_writer(directory.path(), 2 << 20);
    write_full_span(writer);
    on_signal(jump_out);
    if (sigsetjmp(way_out, 1) == 0) {
      begin_trace();
      write_full_span(writer);
      end_trace();
    }
    REQUIRE(write_spans(writer, 5) == 5);
    const otlpshm_stats stats = check_books(writer, directory);
    REQUIRE((stats.committed == 6 || stats.committed == 7));
    REQUIRE(dropped_of(stats) == 0);
  });
  REQUIRE(runs > 20);
}

TEST_CASE("step: a thread that ends in any instruction of an end loses its span at most") {
  if (!can_trace()) return;
  static otlpshm_span span;
  const long runs = at_every_instruction(3, [](const PrivateDirectory& directory) {
    // One lane: what the dead thread held is taken over, or nobody writes any more.
    the_writer = open_writer(directory.path(), kOneLane);
    write_full_span(the_writer);
    on_signal(end_thread);
    pthread_t thread;
    REQUIRE(pthread_create(
                &thread, nullptr,
                [](void*) -> void* {
                  begin_span(the_writer, &span);
                  begin_trace();
                  (void)otlpshm_span_end(&span);
                  end_trace();
                  return nullptr;
                },
                nullptr) == 0);
    REQUIRE(pthread_join(thread, nullptr) == 0);
    (void)write_span(the_writer);
    step_monotonic(2 * kSecond);
    (void)write_span(the_writer);  // what the thread held is taken back
    REQUIRE(write_spans(the_writer, 5) == 5);
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(stats.ended >= 8);
    REQUIRE(stats.ended <= 9);
    REQUIRE(dropped_of(stats) <= 2);
    REQUIRE(dropped_of(stats) == stats.dropped[kLanesBusy]);
  });
  REQUIRE(runs > 40);
}

TEST_CASE(
    "step: a child of a fork in any instruction of an end goes on, and loses that span alone") {
  if (!can_trace()) return;
  static pid_t application;
  static pid_t child;
  const long runs = at_every_instruction(5, [](const PrivateDirectory& directory) {
    otlpshm_writer* writer = open_writer(directory.path(), 2 << 20);
    const std::string parents = directory.segment();
    write_full_span(writer);
    application = getpid();
    on_signal([](int) { child = fork(); });  // and back into the interrupted frame, both of them
    static otlpshm_span span;
    begin_span(writer, &span);
    begin_trace();
    (void)otlpshm_span_end(&span);
    end_trace();
    if (getpid() != application) {
      alarm(kBodySeconds);
      const bool is_kept = write_spans(writer, 3) == 3;
      otlpshm_stats stats{};
      stats.size = sizeof stats;
      (void)otlpshm_writer_stats(writer, &stats);
      const bool adds_up = stats.committed >= 3 && stats.ended <= 4 &&
                           stats.ended == stats.committed + dropped_of(stats);
      _exit(!is_kept ? 2 : !adds_up ? 3 : 0);
    }
    REQUIRE((child == 0 ? 0 : wait_for(child)) == 0);  // 0: the signal never came
    REQUIRE(write_spans(writer, 3) == 3);
    REQUIRE(check_books(writer, std::vector<std::string>{parents}).committed == 5);
  });
  REQUIRE(runs > 20);
}

TEST_CASE("step: a longjmp out of a look at the daemon's files stops no later look") {
  if (!can_trace()) return;
  const long runs = at_every_instruction(53, [](const PrivateDirectory& directory) {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path(), 2 << 20);
    write_full_span(writer);
    on_signal(jump_out);
    static otlpshm_span span;
    begin_span(writer, &span);
    step_monotonic(kSecond);  // its end looks for an ack
    if (sigsetjmp(way_out, 1) == 0) {
      begin_trace();
      (void)otlpshm_span_end(&span);
      end_trace();
    }
    AckFile ack(directory.segment());
    int status = OTLPSHM_ERROR_NO_DAEMON;
    for (int second = 0; second < 15 && status != OTLPSHM_OK; ++second) {
      step_monotonic(kSecond);
      state.beat();
      REQUIRE(write_span(writer) == OTLPSHM_OK);
      status = otlpshm_writer_status(writer);
    }
    REQUIRE(status == OTLPSHM_OK);
    (void)check_books(writer, directory);
  });
  REQUIRE(runs > 20);
}

}  // namespace otlpshm::hostile
