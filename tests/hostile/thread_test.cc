// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "host.h"

namespace otlpshm::hostile {
namespace {

otlpshm_writer* the_writer;
std::atomic<std::uint64_t> kept;
std::atomic<std::uint64_t> written;

// No destructor on its way: a thread may be unwound from any of its instructions.
void write_until_cancelled() {
  for (;;) {
    otlpshm_span span;
    std::memset(&span, 0, sizeof span);
    otlpshm_span_start(the_writer, &span, "thread", 6, nullptr);
    otlpshm_span_set_int(&span, "n", 1, 1);
    if (otlpshm_span_end(&span) == OTLPSHM_OK) kept.fetch_add(1, std::memory_order_relaxed);
    written.fetch_add(1, std::memory_order_relaxed);
  }
}

void* run_small(void* body) {
  (*static_cast<void (**)()>(body))();
  return nullptr;
}

// Runs `body` on a thread with the smallest stack that POSIX has.
void on_small_stack(void (*body)()) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 16384) == 0);
  pthread_t thread;
  REQUIRE(pthread_create(&thread, &attributes, run_small, &body) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  REQUIRE(pthread_attr_destroy(&attributes) == 0);
}

void write_large_span() {
  otlpshm_span span{};
  otlpshm_span_start(the_writer, &span, "small \xff stack", 13, nullptr);
  for (int i = 0; i < 60; ++i) {  // beyond the inline bytes
    const char key[4] = {'k', static_cast<char>('0' + i / 10), static_cast<char>('0' + i % 10), 0};
    otlpshm_span_set_string(&span, key, 3, "a value of some length", 22);
  }
  otlpshm_span_add_event(&span, "event \xff", 7, 0, nullptr, 0);
  otlpshm_span_set_status(&span, OTLPSHM_STATUS_ERROR, "why \xff", 5);
  if (otlpshm_span_end(&span) == OTLPSHM_OK) ++kept;
  ++written;
}

}  // namespace

TEST_CASE("thread: a cancellation that waits is acted upon in no call, and no span is lost") {
  static bool is_through;
  const PrivateDirectory directory;
  in_child([&] {
    static std::string path = directory.path();
    std::thread([] {
      // What a C library's cancellation does is no exception that this thread could catch.
      pthread_t self = pthread_self();
      (void)pthread_cancel(self);
      otlpshm_writer* writer = nullptr;
      const otlpshm_writer_options options = options_of(path);
      (void)otlpshm_writer_open(&writer, &options);
      the_writer = writer;
      write_large_span();
      (void)write_spans(writer, 10);
      otlpshm_stats stats{};
      stats.size = sizeof stats;
      (void)otlpshm_writer_stats(writer, &stats);
      (void)otlpshm_writer_status(writer);
      (void)otlpshm_force_flush(writer, 1);
      otlpshm_writer* second = nullptr;
      (void)otlpshm_writer_open(&second, &options);
      (void)otlpshm_shutdown(second, 1);
      is_through = stats.committed == 11;
      pthread_testcancel();
      is_through = false;
    }).join();
    REQUIRE(is_through);
    REQUIRE(check_books(the_writer, directory).committed == 11);
  });
}

TEST_CASE("thread: cancelled at any instant, 400 threads lose the span at hand at most") {
  const PrivateDirectory directory;
  in_child([&] {
    the_writer = open_writer(directory.path(), kRoomy);
    constexpr int kThreads = 400;
    unsigned random = 1;
    for (int i = 0; i < kThreads; ++i) {
      pthread_t thread;
      REQUIRE(pthread_create(
                  &thread, nullptr,
                  [](void*) -> void* {
                    (void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
                    write_until_cancelled();
                    return nullptr;
                  },
                  nullptr) == 0);
      random = random * 1664525 + 1013904223;
      usleep(random >> 25);
      REQUIRE(pthread_cancel(thread) == 0);
      REQUIRE(pthread_join(thread, nullptr) == 0);
    }
    // Nobody is left who could be in the way: what they held is taken back at the next look.
    usleep(110'000);
    written += 2;
    for (int i = 0; i < 2; ++i) {
      if (write_span(the_writer) == OTLPSHM_OK) ++kept;
    }
    const std::uint64_t ended = written;
    const std::uint64_t committed = kept;
    REQUIRE(write_spans(the_writer, 100) == 100);
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(stats.committed >= committed + 100);
    REQUIRE(stats.committed <= committed + 100 + kThreads);
    REQUIRE(stats.ended >= ended + 100);
    REQUIRE(stats.ended <= ended + 100 + kThreads);
  });
}

TEST_CASE("thread: 10 000 threads that come and go lose no span that is not counted") {
  const PrivateDirectory directory;
  in_child([&] {
    the_writer = open_writer(directory.path(), kRoomy);
    constexpr int kThreads = 10'000;
    constexpr int kBatch = 50;
    for (int begun = 0; begun < kThreads; begun += kBatch) {
      std::vector<std::thread> batch;
      batch.reserve(kBatch);
      for (int i = 0; i < kBatch; ++i) {
        batch.emplace_back([] { kept += write_spans(the_writer, 2); });
      }
      for (std::thread& thread : batch) thread.join();
    }
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(stats.ended == 2 * kThreads);
    REQUIRE(stats.committed == kept);
    REQUIRE(dropped_of(stats) == stats.dropped[kLanesBusy]);
    REQUIRE(stats.lanes_lost == 0);
  });
}

TEST_CASE("thread: a stack of 16 KiB is enough to write, to attach anew and to be interrupted") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    the_writer = open_writer(directory.path());
    on_small_stack(write_large_span);

    struct sigaction action = {};
    action.sa_handler = [](int) {
      if (write_span(the_writer, "handler", OTLPSHM_SPAN_SIGNAL_SAFE) == OTLPSHM_OK) ++kept;
      ++written;
    };
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
    on_small_stack([] { (void)raise(SIGUSR1); });

    const std::string first = directory.segment();
    const SegmentFile segment(first);
    AckFile ack(first);
    usleep(110'000);
    on_small_stack(write_large_span);  // sees the ack
    ack.set_state(3);
    REQUIRE(unlink(first.c_str()) == 0);
    on_small_stack(write_large_span);
    REQUIRE(written == 4);
    REQUIRE(kept == 4);
    REQUIRE(stats_of(the_writer).committed == 4);
    REQUIRE(check_records(segment) + check_records(SegmentFile(directory.segment())) == 4);
  });
}

TEST_CASE("thread: a stack of 16 KiB is enough to open a writer and to shut it down") {
  const PrivateDirectory directory;
  in_child([&] {
    static std::string path = directory.path();
    on_small_stack([] {
      const otlpshm_writer_options options = options_of(path);
      (void)otlpshm_writer_open(&the_writer, &options);
      write_large_span();
    });
    REQUIRE(check_books(the_writer, directory).committed == 1);
    on_small_stack([] { (void)otlpshm_shutdown(the_writer, 0); });
    REQUIRE(otlpshm_writer_status(the_writer) == OTLPSHM_ERROR_SHUTDOWN);
  });
}

namespace {

// A timer whose signals go to the thread that made it.
class ThreadTimer {
 public:
  ThreadTimer(int signal, long nanoseconds) {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal;
    event._sigev_un._tid = gettid();
    is_set_ = timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    const itimerspec each = {{0, nanoseconds}, {0, nanoseconds}};
    if (is_set_) (void)timer_settime(timer_, 0, &each, nullptr);
  }
  ~ThreadTimer() {
    if (is_set_) timer_delete(timer_);
  }
  ThreadTimer(const ThreadTimer&) = delete;
  ThreadTimer& operator=(const ThreadTimer&) = delete;

 private:
  timer_t timer_{};
  bool is_set_ = false;
};

void write_in_handler(int) {
  if (write_span(the_writer, "handler", OTLPSHM_SPAN_SIGNAL_SAFE) == OTLPSHM_OK) ++kept;
  ++written;
}

void on_each_signal(void (*action)(int), int flags) {
  struct sigaction how = {};
  how.sa_handler = action;
  how.sa_flags = flags;
  for (const int signal : {SIGUSR1, SIGUSR2, SIGPROF}) {
    REQUIRE(sigaction(signal, &how, nullptr) == 0);
  }
}

}  // namespace

TEST_CASE("thread: handlers that interrupt threads and each other lose no span but lanes_busy") {
  const PrivateDirectory directory;
  in_child([&] {
    the_writer = open_writer(directory.path(), kRoomy);
    on_each_signal(write_in_handler, SA_RESTART);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([] {
        const ThreadTimer first(SIGUSR1, 43'000);
        const ThreadTimer second(SIGUSR2, 61'000);
        const ThreadTimer third(SIGPROF, 97'000);
        kept += write_spans(the_writer, 8000);
        written += 8000;
      });
    }
    for (std::thread& thread : threads) thread.join();
    const otlpshm_stats stats = check_books(the_writer, directory);
    REQUIRE(written > 24'000);
    REQUIRE(stats.ended == written);
    REQUIRE(stats.committed == kept);
    REQUIRE(dropped_of(stats) == stats.dropped[kLanesBusy]);
  });
}

TEST_CASE("thread: system calls that signals interrupt all the time lose no span") {
  const PrivateDirectory directory;
  in_child([&] {
    on_each_signal([](int) {}, 0);  // without SA_RESTART
    const ThreadTimer first(SIGUSR1, 31'000);
    const ThreadTimer second(SIGUSR2, 53'000);
    StateFile state(directory);
    the_writer = open_writer(directory.path());
    for (int i = 0; i < 20; ++i) {
      const std::string path = directory.segment();
      const SegmentFile segment(path);
      AckFile ack(path);
      REQUIRE(write_spans(the_writer, 5) == 5);
      REQUIRE(otlpshm_force_flush(the_writer, 5) != OTLPSHM_OK);
      ack.settle_all(segment);
      state.beat();
      REQUIRE(otlpshm_force_flush(the_writer, 5000) == OTLPSHM_OK);
      REQUIRE(check_records(segment) == 5);
      REQUIRE(otlpshm_shutdown(the_writer, 5000) == OTLPSHM_OK);
      REQUIRE(segments_of(directory).empty());  // a clean exit, though interrupted
      REQUIRE(unlink((path.substr(0, path.size() - 3) + "ack").c_str()) == 0);
      the_writer = open_writer(directory.path());
    }
    const otlpshm_stats stats = stats_of(the_writer);
    REQUIRE(stats.committed == 100);
    REQUIRE(stats.settled == 100);
    REQUIRE(stats.ended == 100);
    REQUIRE(errno_changes == 0);
  });
}

}  // namespace otlpshm::hostile
