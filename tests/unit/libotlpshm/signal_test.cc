// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "allocations.h"
#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

otlpshm_writer* handlers_writer;
std::atomic<std::uint64_t> handled;
std::atomic<std::uint64_t> kept;
std::atomic<std::uint64_t> allocated;

void on_signal(int) {
  const std::uint64_t before = allocations();
  otlpshm_start_options options{};
  options.size = sizeof options;
  options.flags = OTLPSHM_SPAN_SIGNAL_SAFE;
  otlpshm_span span{};
  otlpshm_span_start(handlers_writer, &span, "handler", 7, &options);
  otlpshm_span_set_int(&span, "k", 1, 1);
  if (otlpshm_span_end(&span) == OTLPSHM_OK) ++kept;
  ++handled;
  allocated += allocations() - before;
}

void install() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  REQUIRE(sigaction(SIGPROF, &action, nullptr) == 0);
}

class Rain {
 public:
  Rain() {
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGPROF;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0);
    const itimerspec each = {{0, 30'000}, {0, 30'000}};
    REQUIRE(timer_settime(timer_, 0, &each, nullptr) == 0);
  }
  ~Rain() { timer_delete(timer_); }

 private:
  timer_t timer_{};
};

// All span ids of a segment; every record and every sequence is checked on the way.
std::size_t distinct_ids(const SegmentFile& segment) {
  std::set<std::string> ids;
  for (const Span& span : segment.spans()) ids.insert(span.span_id);
  return ids.size();
}

}  // namespace

TEST_CASE(
    "signal: spans of a handler and of the code that it interrupts all count, with ids of their "
    "own") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), 64 << 20);
    handlers_writer = writer;
    install();
    std::uint64_t written = 0;
    std::uint64_t main_kept = 0;
    {
      const Rain rain;
      for (; written < 60'000 && (written < 20'000 || handled < 200); ++written) {
        otlpshm_span span{};
        otlpshm_span_start(writer, &span, "main", 4, nullptr);
        for (const char* key : {"a", "b", "c"}) otlpshm_span_set_int(&span, key, 1, 1);
        if (otlpshm_span_end(&span) == OTLPSHM_OK) ++main_kept;
      }
    }
    REQUIRE(handled > 0);
    REQUIRE(allocated == 0);
    const SegmentFile segment(directory.segment());
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == written + handled);
    REQUIRE(stats.committed == main_kept + kept);
    REQUIRE(stats.committed + segment.dropped_total() == stats.ended);
    REQUIRE(distinct_ids(segment) == stats.committed);
  });
}

TEST_CASE("signal: a handler that comes while a thread makes its first span repeats no id") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), 64 << 20);
    handlers_writer = writer;
    install();
    std::uint64_t written = 0;
    {
      const Rain rain;
      for (int i = 0; i < 1500; ++i) {
        std::thread thread([&] {
          for (int span = 0; span < 3; ++span) {
            (void)write_span(writer);
            ++written;
          }
        });
        // A handler runs on whichever thread the kernel picks; this one picks the new thread.
        (void)pthread_kill(thread.native_handle(), SIGPROF);
        thread.join();
      }
    }
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == written + handled);
    REQUIRE(distinct_ids(SegmentFile(directory.segment())) == stats.committed);
  });
}

TEST_CASE("signal: with one lane a handler drops rather than waits for the frame it interrupted") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), kSmall);
    handlers_writer = writer;
    install();
    otlpshm_segment* segment = writer->attachment->current;
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(take_u32(&segment->lanes[0].lease, OTLPSHM_LEASE_FREE, otlpshm_thread.tid));
    REQUIRE(raise(SIGPROF) == 0);
    REQUIRE(kept == 0);
    store_release_u32(&segment->lanes[0].lease, OTLPSHM_LEASE_FREE);
    REQUIRE(raise(SIGPROF) == 0);
    REQUIRE(kept == 1);
    const SegmentFile file(directory.segment());
    REQUIRE(file.dropped(otlpshm_drop_lanes_busy) == 1);
    REQUIRE(file.sequence(0) == 2);
  });
}

}  // namespace otlpshm::library
