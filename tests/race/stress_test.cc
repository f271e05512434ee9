// SPDX-License-Identifier: Apache-2.0
// stress_test.cc: many threads write, one thread is the daemon, and every span is accounted for.
//   Reads  the segment with pread, as the daemon does, so that the sanitizer sees no race in bytes
//          that another process would read.
//   Needs  a process of its own for each case: they are run one by one, by in_child.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "in_child.h"
#include "otlpshm/otlpshm.h"
#include "shared_files.h"

namespace otlpshm::library {
namespace {

std::uint64_t mixed(std::uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  return word ^ (word >> 27);
}

// Text that can only be right as a whole: its length and letters follow from its first ones.
std::string checked_text(std::uint64_t seed) {
  char first[17];
  std::snprintf(first, sizeof first, "%016llx", static_cast<unsigned long long>(seed));
  std::string text = first;
  const std::size_t bytes = 16 + mixed(seed) % 700;
  for (std::uint64_t word = seed; text.size() < bytes; word = mixed(word + 1)) {
    text += static_cast<char>('a' + word % 26);
  }
  return text;
}

bool is_whole(const std::string& text) {
  return text.size() >= 16 &&
         text == checked_text(std::strtoull(text.substr(0, 16).c_str(), nullptr, 16));
}

struct Received {
  std::vector<std::string> ids;
  std::uint64_t torn = 0;
  std::uint64_t unreadable = 0;
};

// Drains one segment, settling what it has read.
class Drain {
 public:
  explicit Drain(const std::string& path) : segment_(path), ack_(path) {
    cursors_.resize(segment_.lane_count());
  }
  AckFile& ack() { return ack_; }
  const SegmentFile& segment() const { return segment_; }

  // True when there was something. Nothing more is read of a lane that contradicts the page.
  bool turn(Received& received) {
    bool any = false;
    for (std::uint32_t lane = 0; lane < segment_.lanes_open(); ++lane) {
      Cursor& cursor = cursors_[lane];
      if (cursor.is_broken) continue;
      const auto records = segment_.records(lane, cursor.position, cursor.sequence);
      if (!records) {
        ++received.unreadable;
        cursor.is_broken = true;
        continue;
      }
      for (const Record& record : *records) take(record, received);
      if (records->empty()) continue;
      any = true;
      cursor.position = records->back().next();
      cursor.sequence = records->back().sequence;
      ack_.settle(lane, cursor.position, cursor.sequence, cursor.sequence);
    }
    return any;
  }
  std::uint64_t sequences() const {
    std::uint64_t sum = 0;
    for (const Cursor& cursor : cursors_) sum += cursor.sequence;
    return sum;
  }

 private:
  struct Cursor {
    std::uint64_t position = 0;
    std::uint64_t sequence = 0;
    bool is_broken = false;
  };

  static void take(const Record& record, Received& received) {
    const auto span = parse_span(record.body);
    const Attribute* text = span ? span->attribute("text") : nullptr;
    if (text == nullptr || !is_whole(text->value.bytes) || span->name != "stress" ||
        span->span_id != record.span_id || span->trace_id != record.trace_id) {
      ++received.torn;
      return;
    }
    received.ids.push_back(record.span_id);
  }

  SegmentFile segment_;
  AckFile ack_;
  std::vector<Cursor> cursors_;
};

struct Outcome {
  std::atomic<std::uint64_t> started{0};  // also those that nobody could record
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> kept{0};
};

// What an application does between two spans.
void work(std::uint64_t rounds) {
  volatile std::uint64_t word = rounds;
  for (std::uint64_t i = 0; i < rounds; ++i) word = mixed(word);
}

void write_spans(otlpshm_writer* writer, std::uint64_t seed, std::uint64_t count, Outcome& outcome,
                 std::uint64_t work_rounds = 0) {
  for (std::uint64_t i = 0; i < count; ++i) {
    work(work_rounds);
    const std::string text = checked_text(mixed(seed * 1'000'003 + i));
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "stress", nullptr);
    outcome.started.fetch_add(1);
    if (otlpshm_span_is_recording(&span) == 0) continue;  // counted by the library as no_segment
    otlpshm_span_set_string(&span, "text", 4, text.data(), text.size());
    if (otlpshm_span_end(&span) == OTLPSHM_OK) outcome.kept.fetch_add(1);
    outcome.ended.fetch_add(1);
  }
}

otlpshm_writer* open_writer(const std::string& directory, std::uint64_t budget) {
  otlpshm_writer_options options{};
  options.size = sizeof options;
  options.directory = directory.c_str();
  options.service_name = "race";
  options.lane_bytes_budget = budget;
  otlpshm_writer* writer = nullptr;
  REQUIRE(otlpshm_writer_open(&writer, &options) == OTLPSHM_OK);
  return writer;
}

otlpshm_stats stats_of(otlpshm_writer* writer) {
  otlpshm_stats stats{};
  stats.size = sizeof stats;
  REQUIRE(otlpshm_writer_stats(writer, &stats) == OTLPSHM_OK);
  return stats;
}

std::uint64_t dropped_by_library(const otlpshm_stats& stats) {
  std::uint64_t sum = 0;
  for (unsigned reason = 0; reason < 32; ++reason) sum += stats.dropped[reason];
  return sum;
}

void report(const char* name, const otlpshm_stats& stats) {
  std::printf("%s: ended %llu, committed %llu, lanes_open %u", name,
              static_cast<unsigned long long>(stats.ended),
              static_cast<unsigned long long>(stats.committed), stats.lanes_open);
  for (unsigned reason = 1; reason < 32; ++reason) {
    if (stats.dropped[reason] == 0) continue;
    std::printf(
        ", %s %llu (%.3f %%)", otlpshm_drop_reason_name(reason),
        static_cast<unsigned long long>(stats.dropped[reason]),
        100.0 * static_cast<double>(stats.dropped[reason]) / static_cast<double>(stats.ended));
  }
  std::printf("\n");
  std::fflush(stdout);
}

void require_distinct(std::vector<std::string>& ids) {
  std::sort(ids.begin(), ids.end());
  REQUIRE(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}

struct Load {
  const char* name;
  std::uint64_t threads, spans_each, budget;
  std::uint64_t work_rounds = 0;
};

// One segment from beginning to end.
otlpshm_stats run(const PrivateDirectory& directory, const Load& load) {
  StateFile state(directory);
  otlpshm_writer* writer = open_writer(directory.path(), load.budget);
  Drain drain(directory.segment());
  Received received;
  Outcome outcome;
  std::atomic<bool> is_done{false};
  std::thread daemon([&] {
    for (std::uint32_t epoch = 1;; epoch += 2) {
      const bool was_done = is_done;
      state.sleep(epoch);
      state.beat();
      const bool any = drain.turn(received);
      state.sleep(epoch + 1);
      if (!any && was_done) break;
      if (!any) sched_yield();
    }
  });
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < load.threads; ++i) {
    threads.emplace_back(
        [&, i] { write_spans(writer, i, load.spans_each, outcome, load.work_rounds); });
  }
  for (std::thread& thread : threads) thread.join();
  is_done = true;
  daemon.join();

  const otlpshm_stats stats = stats_of(writer);
  report(load.name, stats);
  REQUIRE(received.torn == 0);
  REQUIRE(received.unreadable == 0);
  REQUIRE(outcome.ended == load.threads * load.spans_each);
  REQUIRE(stats.ended == outcome.ended);
  REQUIRE(stats.committed == outcome.kept);
  REQUIRE(received.ids.size() == outcome.kept);
  REQUIRE(drain.sequences() == outcome.kept);
  REQUIRE(stats.settled == outcome.kept);
  REQUIRE(received.ids.size() + dropped_by_library(stats) == outcome.ended);
  REQUIRE(drain.segment().dropped_total() == dropped_by_library(stats));
  require_distinct(received.ids);
  return stats;
}

}  // namespace

TEST_CASE("stress: threads that share little room lose nothing that is not counted") {
  const PrivateDirectory directory;
  in_child([&] { (void)run(directory, {"small", 8, 4000 / OTLPSHM_RACE_DIVISOR, 18 * 65536}); });
}

TEST_CASE("stress: one lane of 64 KiB wraps a thousand times and is never torn") {
  const PrivateDirectory directory;
  in_child([&] { (void)run(directory, {"one lane", 4, 8000 / OTLPSHM_RACE_DIVISOR, 65536}); });
}

TEST_CASE("stress: 64 threads on few CPUs account for every span, with and without other work") {
  // The rates are reported and not required: a lease that is held across a preemption is a lane
  // that is gone for as long as its holder waits for a CPU, and that is up to the machine.
  for (const Load& load :
       {Load{"oversubscribed, spans only", 64, 2000 / OTLPSHM_RACE_DIVISOR, 64 << 20, 0},
        Load{"oversubscribed, with work", 64, 2000 / OTLPSHM_RACE_DIVISOR, 64 << 20, 10'000}}) {
    const PrivateDirectory directory;
    in_child([&] { (void)run(directory, load); });
  }
}

TEST_CASE("stress: segments that are reaped under their writers hand over, and every span counts") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path(), 4 << 20);
    Received received;
    Outcome outcome;
    std::atomic<bool> is_done{false};
    std::atomic<std::uint64_t> reaped_segments{0};
    std::thread daemon([&] {
      // Each segment in turn: drained for a while, then reaped; late records are read as well.
      std::vector<std::unique_ptr<Drain>> drains;
      std::vector<std::string> known;
      for (;;) {
        const bool was_done = is_done;
        for (const std::string& name : directory.names(".seg")) {
          if (std::find(known.begin(), known.end(), name) != known.end()) continue;
          known.push_back(name);
          drains.push_back(std::make_unique<Drain>(directory.file(name)));
        }
        state.beat();
        bool any = false;
        for (auto& drain : drains) any = drain->turn(received) || any;
        const std::uint64_t each = 2000 / OTLPSHM_RACE_DIVISOR;
        if (!was_done && received.ids.size() >= (reaped_segments + 1) * each) {
          drains.back()->ack().set_state(3);
          ++reaped_segments;
        }
        if (was_done && !any) break;
        usleep(1000);
      }
    });
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        for (int part = 0; part < 20 || (part < 500 && reaped_segments < 4); ++part) {
          write_spans(writer, i * 100 + static_cast<std::uint64_t>(part),
                      400 / OTLPSHM_RACE_DIVISOR, outcome);
          usleep(20'000);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    is_done = true;
    daemon.join();
    const otlpshm_stats stats = stats_of(writer);
    report("reaped", stats);
    REQUIRE(reaped_segments > 0);
    REQUIRE(directory.names(".seg").size() > 1);
    REQUIRE(received.torn == 0);
    REQUIRE(received.unreadable == 0);
    REQUIRE(received.ids.size() == outcome.kept);
    REQUIRE(stats.committed == outcome.kept);
    REQUIRE(stats.ended == outcome.started);
    REQUIRE(stats.committed + dropped_by_library(stats) == stats.ended);
    require_distinct(received.ids);
  });
}

TEST_CASE("stress: writers that open and shut down while others write lose nothing uncounted") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* stays = open_writer(directory.path(), 64 << 20);
    Outcome outcome;
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 6; ++i) {
      threads.emplace_back([&, i] {
        for (std::uint64_t round = 0; round < 100 / OTLPSHM_RACE_DIVISOR + 5; ++round) {
          otlpshm_writer* goes = open_writer(directory.path(), 0);
          write_spans(goes, i * 1000 + round, 10, outcome);
          otlpshm_stats stats = stats_of(goes);
          if (stats.ended == 0) std::abort();
          (void)otlpshm_shutdown(goes, 0);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const otlpshm_stats stats = stats_of(stays);
    report("open and shut", stats);
    REQUIRE(stats.ended == outcome.ended);
    REQUIRE(stats.committed == outcome.kept);
    REQUIRE(SegmentFile(directory.segment()).spans().size() == outcome.kept);
  });
}

TEST_CASE("stress: the last writer goes and comes while threads end their spans") {
  const PrivateDirectory directory;
  in_child([&] {
    std::atomic<bool> is_done{false};
    std::atomic<std::uint64_t> kept{0};
    std::atomic<otlpshm_writer*> current{open_writer(directory.path(), 1 << 20)};
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        while (!is_done) {
          otlpshm_span span{};
          otlpshm_span_start_cstr(current, &span, "stress", nullptr);
          otlpshm_span_set_int_cstr(&span, "k", 1);
          if (otlpshm_span_is_recording(&span) == 0) continue;
          if (otlpshm_span_end(&span) == OTLPSHM_OK) ++kept;
        }
      });
    }
    for (int round = 0; round < 200 / OTLPSHM_RACE_DIVISOR; ++round) {
      otlpshm_writer* goes = current.exchange(nullptr);
      usleep(200);
      (void)otlpshm_shutdown(goes, 0);
      current = open_writer(directory.path(), 1 << 20);
      usleep(500);
    }
    is_done = true;
    for (std::thread& thread : threads) thread.join();
    std::uint64_t found = 0;
    for (const std::string& name : directory.names(".seg")) {
      found += SegmentFile(directory.file(name)).spans().size();
    }
    REQUIRE(found == kept);
  });
}

}  // namespace otlpshm::library
