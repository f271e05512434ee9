// SPDX-License-Identifier: Apache-2.0
// kill_test.cc: a producer is killed (SIGKILL) before each instruction of a commit, and at each
// system call of an attachment; then its segment is read by the rules of docs/abi.md alone.
//   Owns   a page that outlives the producer: what its calls returned before it died.
//   Rule   one process is killed once. A stride leaves instructions out where a run has thousands;
//          OTLPSHM_KILLS=every leaves out none (./dev prove --kills).
//   Needs  ptrace; without it the cases say that they were skipped.
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "host.h"
#include "steps.h"
#include "warp.h"

namespace otlpshm::hostile {
namespace {

constexpr std::uint64_t kTwoLanes = 17 * kOneLane;  // lane 0 of 1 MiB, lane 1 of 64 KiB
constexpr std::uint32_t kSpansMax = 256;
constexpr int kNotReturned = 1;  // no status of the library is positive
constexpr std::size_t kText = 700;
constexpr std::size_t kOversizeText = 40000;  // over half of 64 KiB

// ---- the producer ----

// What the producer says before and after each end, in memory that it shares with the test.
struct Told {
  std::uint32_t begun;
  std::uint32_t settled;  // of the spans begun: those that the ack released
  std::uint64_t release;  // and the position behind them, in lane 0
  int result[kSpansMax];
  std::uint32_t text_bytes[kSpansMax];
};

class ToldPage {
 public:
  ToldPage()
      : told_(static_cast<Told*>(mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    if (told_ == MAP_FAILED) throw std::runtime_error("no memory for what a producer tells");
  }
  ~ToldPage() { munmap(told_, sizeof(Told)); }
  ToldPage(const ToldPage&) = delete;
  ToldPage& operator=(const ToldPage&) = delete;
  Told* operator->() const { return told_; }
  Told& operator*() const { return *told_; }

 private:
  Told* told_;
};

char letter_of(std::uint32_t index) {
  return static_cast<char>('a' + index % 26);
}

class Producer {
 public:
  Producer(const PrivateDirectory& directory, std::uint64_t lane_bytes, Told& told)
      : told_(told), writer_(open_writer(directory.path(), lane_bytes)) {
    segment_ = directory.segment();
    end(kText);
    bytes_ = SegmentFile(segment_).tail(0);
  }
  const std::string& segment() const { return segment_; }

  void end(std::size_t text_bytes) {
    finish(
        text_bytes, [] {}, [] {});
  }
  // The end in which it may die.
  void end_traced(std::size_t text_bytes) { finish(text_bytes, begin_trace, end_trace); }
  // Until no more of these spans fit lane 0.
  void fill() {
    const SegmentFile segment(segment_);
    while (segment.tail(0) + bytes_ <= segment.area_bytes(0)) end(kText);
  }

 private:
  template <typename Before, typename After>
  void finish(std::size_t text_bytes, Before before, After after) {
    const std::uint32_t index = told_.begun;
    REQUIRE(index < kSpansMax);
    const std::string text(text_bytes, letter_of(index));
    otlpshm_span span{};
    otlpshm_span_start(writer_, &span, "kill", 4, nullptr);
    otlpshm_span_set_int(&span, "index", 5, index);
    otlpshm_span_set_string(&span, "text", 4, text.data(), text.size());
    told_.text_bytes[index] = static_cast<std::uint32_t>(text_bytes);
    told_.result[index] = kNotReturned;
    told_.begun = index + 1;
    before();
    told_.result[index] = otlpshm_span_end(&span);
    after();
  }

  Told& told_;
  otlpshm_writer* writer_;
  std::string segment_;
  std::uint64_t bytes_ = 0;  // of a record with kText, in its lane
};

// ---- what it leaves ----

struct Left {
  bool has_last = false;     // the span in whose end it died is there
  bool lags = false;         // a lane's sequence does not count its newest record yet
  bool counts_drop = false;  // the drop of that span is counted
  bool wraps = false;        // its record goes round the end of its area
  std::uint32_t lane = 0;    // that has it
};

// The lock goes with the mapping, which whoever looks into /proc/<pid> keeps a moment longer.
void require_unlocked(const std::string& path) {
  for (int tries = 0; tries < 5000 && is_locked(path); ++tries) usleep(1000);
  REQUIRE(!is_locked(path));
}

void require_whole(const library::Record& record, const library::Span& span, const Told& told,
                   std::uint32_t index) {
  REQUIRE(record.reserved == std::string(5, '\0'));
  REQUIRE(record.scope_index == 0);
  REQUIRE(record.record_kind == 1);
  REQUIRE(span.trace_id == record.trace_id);
  REQUIRE(span.span_id == record.span_id);
  REQUIRE(span.end - span.start == record.duration);
  REQUIRE(span.flags == record.span_flags);
  REQUIRE(span.name == "kill");
  REQUIRE(span.attributes.size() == 2);
  const library::Attribute* text = span.attribute("text");
  REQUIRE(text != nullptr);
  REQUIRE(text->value.bytes == std::string(told.text_bytes[index], letter_of(index)));
}

// Requires of a dead producer's segment what docs/abi.md promises of it.
Left require_sound(const PrivateDirectory& directory, const Told& told) {
  Left left;
  const std::string path = directory.segment();
  REQUIRE(!path.empty());
  require_unlocked(path);
  const SegmentFile segment(path);
  REQUIRE(segment.resource_count() == 1);
  REQUIRE(segment.scope_count() == 1);
  const std::uint32_t last = told.begun - 1;

  std::vector<int> seen(told.begun);
  std::uint64_t ended = segment.dropped_total();
  for (std::uint32_t lane = 0; lane < segment.lane_count(); ++lane) {
    if (lane >= segment.lanes_open()) {
      REQUIRE(segment.tail(lane) == 0);
      REQUIRE(segment.sequence(lane) == 0);
      continue;
    }
    const std::uint64_t release = lane == 0 ? told.release : 0;
    const std::uint64_t settled = lane == 0 ? told.settled : 0;
    REQUIRE(segment.tail(lane) % 8 == 0);
    REQUIRE(segment.tail(lane) >= release);
    const auto records = segment.records(lane, release, settled);
    REQUIRE(records);  // no gap, no repeat, each where its header says, the last one ends at tail
    const std::uint64_t newest = records->empty() ? settled : records->back().sequence;
    REQUIRE(newest - segment.sequence(lane) <= 1);
    if (newest != segment.sequence(lane)) {
      REQUIRE(!left.lags);
      left.lags = true;
    }
    ended += newest;
    std::int64_t before = -1;
    for (const library::Record& record : *records) {
      const auto span = library::parse_span(record.body);
      REQUIRE(span);
      const library::Attribute* number = span->attribute("index");
      REQUIRE(number != nullptr);
      REQUIRE(number->value.word < told.begun);
      const auto index = static_cast<std::uint32_t>(number->value.word);
      REQUIRE(static_cast<std::int64_t>(index) > before);
      before = index;
      ++seen[index];
      require_whole(record, *span, told, index);
      if (index != last) continue;
      const std::uint64_t area = segment.area_bytes(lane);
      left.wraps = record.position / area != (record.next() - 1) / area;
      left.lane = lane;
    }
  }

  std::uint64_t lost = 0;  // of those that returned
  for (std::uint32_t index = told.settled; index < told.begun; ++index) {
    const int result = told.result[index];
    if (result == OTLPSHM_OK) REQUIRE(seen[index] == 1);
    if (result != OTLPSHM_OK && result != kNotReturned) {
      REQUIRE(result == OTLPSHM_ERROR_DROPPED);
      REQUIRE(seen[index] == 0);
      ++lost;
    }
    if (result == kNotReturned) REQUIRE(index == last);
  }
  left.has_last = seen[last] == 1;
  left.counts_drop = segment.dropped_total() == lost + 1;
  if (told.result[last] == kNotReturned) {
    REQUIRE(seen[last] <= 1);
    REQUIRE(segment.dropped_total() >= lost);
    REQUIRE(segment.dropped_total() <= lost + 1);
    REQUIRE(!(left.has_last && left.counts_drop));
  } else {
    REQUIRE(segment.dropped_total() == lost);
    left.counts_drop = told.result[last] == OTLPSHM_ERROR_DROPPED;
    REQUIRE(!left.lags);
  }
  if (left.lags) REQUIRE(left.has_last);
  // Every span counts as ended once, the last one perhaps not yet.
  REQUIRE(ended == told.begun - (left.has_last || left.counts_drop ? 0u : 1u));
  return left;
}

// Requires what docs/abi.md says of a file that has its name, before its first record.
void require_complete(const std::string& path) {
  require_unlocked(path);
  const SegmentFile segment(path);
  struct stat stat = {};
  REQUIRE(::stat(path.c_str(), &stat) == 0);
  const auto bytes = static_cast<std::uint64_t>(stat.st_size);
  REQUIRE(segment.read(0, 8) == "OLSHMSEG");
  REQUIRE(segment.u64(8) == (std::uint64_t{64} << 32 | 1));  // major, minor, header_bytes
  REQUIRE(segment.u64(16) == bytes);
  REQUIRE(segment.u64(24) == 0);  // features
  REQUIRE(segment.lane_count() == 1);
  REQUIRE(segment.lanes_open() == 1);
  REQUIRE(segment.area_offset(0) == 131072);
  REQUIRE(segment.area_bytes(0) == kOneLane);
  REQUIRE(bytes == 131072 + kOneLane);
  REQUIRE(static_cast<std::uint64_t>(stat.st_blocks) * 512 >= bytes);
  REQUIRE(segment.tail(0) == 0);
  REQUIRE(segment.sequence(0) == 0);
  REQUIRE(segment.dropped_total() == 0);
  REQUIRE(segment.resource_count() <= 1);
  REQUIRE(segment.scope_count() <= segment.resource_count());
  if (segment.resource_count() == 1) REQUIRE(library::parse(segment.resource(0)));
  if (segment.scope_count() == 1) REQUIRE(library::parse(segment.scope(0)));
}

// ---- the sweep ----

long stride_of(long stride) {
  const char* asked = std::getenv("OTLPSHM_KILLS");
  return asked != nullptr && std::strcmp(asked, "every") == 0 ? 1 : stride;
}

constexpr int kKilled = 128 + SIGKILL;
constexpr long kLastInstructions = 64;

struct Sweep {
  long instructions = 0;  // of the commit, when nobody kills it
  long kills = 0;
  long without_last = 0;  // deaths after which nothing of the last span is there
  long with_last = 0;
  long lagging = 0;
  long counted = 0;  // deaths after which its drop is counted
  Left whole;        // what the run leaves that is not killed
  std::uint64_t dropped[32] = {};
};

using Body = std::function<void(const PrivateDirectory&, Told&)>;

Trace run_killed(long at, const PrivateDirectory& directory, Told& told, const Body& body) {
  std::memset(&told, 0, sizeof told);
  return signal_within("otlpshm_lane_commit", SIGKILL, at, [&] { body(directory, told); });
}

// Kills a producer before every stride-th instruction of the commit of the span that `body` traces,
// and before each of the last ones, where cursors and drops are stored.
Sweep kill_at_each(long stride, const Body& body) {
  stride = stride_of(stride);
  Sweep sweep;
  const ToldPage told;
  {
    const PrivateDirectory directory;
    const Trace trace = run_killed(std::numeric_limits<long>::max(), directory, *told, body);
    REQUIRE(trace.status == 0);
    sweep.instructions = trace.instructions;
  }
  const long dense = sweep.instructions - kLastInstructions;
  for (long at = 0;; at += at < dense ? std::min(stride, dense - at) : 1) {
    const PrivateDirectory directory;
    const Trace trace = run_killed(at, directory, *told, body);
    INFO("killed before instruction " << at);
    REQUIRE(trace.status == (trace.signals == 0 ? 0 : kKilled));
    const Left left = require_sound(directory, *told);
    if (trace.signals == 0) {
      const SegmentFile segment(directory.segment());
      for (unsigned reason = 0; reason < 32; ++reason) {
        sweep.dropped[reason] = segment.dropped(reason);
      }
      sweep.whole = left;
      break;
    }
    ++sweep.kills;
    sweep.without_last += !left.has_last && !left.counts_drop;
    sweep.with_last += left.has_last;
    sweep.lagging += left.lags;
    sweep.counted += left.counts_drop;
  }
  WARN(sweep.kills << " producers killed within " << sweep.instructions
                   << " instructions: " << sweep.without_last << " left nothing of the last span, "
                   << sweep.with_last << " its record, " << sweep.lagging
                   << " of these a sequence that lags, " << sweep.counted << " its drop");
  return sweep;
}

}  // namespace

TEST_CASE("kill: in the first lap, what ended is there whole and the last span whole or not") {
  if (!can_trace()) return;
  const Sweep sweep = kill_at_each(1, [](const PrivateDirectory& directory, Told& told) {
    Producer producer(directory, kOneLane, told);
    producer.end(kText);
    producer.end_traced(kText);
  });
  REQUIRE(sweep.without_last > 0);
  REQUIRE(sweep.lagging > 0);
  REQUIRE(sweep.with_last > sweep.lagging);
  REQUIRE(sweep.whole.has_last);
}

TEST_CASE("kill: a record that goes round the end of its lane is there whole or not at all") {
  if (!can_trace()) return;
  const Sweep sweep = kill_at_each(7, [](const PrivateDirectory& directory, Told& told) {
    Producer producer(directory, kOneLane, told);
    AckFile ack(producer.segment());
    step_monotonic(kSecond);
    producer.fill();  // and sees the ack
    const auto records = SegmentFile(producer.segment()).records(0);
    REQUIRE(records);
    const std::size_t half = records->size() / 2;
    ack.settle(0, records->at(half).position, half, half);
    told.settled = static_cast<std::uint32_t>(half);
    told.release = records->at(half).position;
    producer.end_traced(kText);
  });
  REQUIRE(sweep.without_last > 0);
  REQUIRE(sweep.with_last > 0);
  REQUIRE(sweep.whole.has_last);
  REQUIRE(sweep.whole.wraps);
}

TEST_CASE("kill: with its lane full, what is in it stays whole and the drop is counted once") {
  if (!can_trace()) return;
  const Sweep sweep = kill_at_each(5, [](const PrivateDirectory& directory, Told& told) {
    Producer producer(directory, kOneLane, told);
    producer.fill();
    producer.end_traced(kText);
  });
  REQUIRE(sweep.without_last > 0);
  REQUIRE(sweep.counted > 0);
  REQUIRE(sweep.with_last == 0);
  REQUIRE(sweep.dropped[kLaneFull] == 1);
}

TEST_CASE("kill: a record over half of the other lanes is in lane 0 whole or not at all") {
  if (!can_trace()) return;
  const Sweep sweep = kill_at_each(499, [](const PrivateDirectory& directory, Told& told) {
    Producer producer(directory, kTwoLanes, told);
    producer.end_traced(kOversizeText);
  });
  REQUIRE(sweep.without_last > 0);
  REQUIRE(sweep.with_last > 0);
  REQUIRE(sweep.whole.has_last);
  REQUIRE(sweep.whole.lane == 0);
}

TEST_CASE(
    "kill: a record over half of the largest lane leaves none, and its drop is counted once") {
  if (!can_trace()) return;
  const Sweep sweep = kill_at_each(1, [](const PrivateDirectory& directory, Told& told) {
    Producer producer(directory, kOneLane, told);
    producer.end_traced(kOversizeText);
  });
  REQUIRE(sweep.without_last > 0);
  REQUIRE(sweep.counted > 0);
  REQUIRE(sweep.with_last == 0);
  REQUIRE(sweep.dropped[kRecordTooLarge] == 1);
}

TEST_CASE("kill: a span that opens a second lane is in it whole or not at all") {
  if (!can_trace()) return;
  const Sweep sweep = kill_at_each(97, [](const PrivateDirectory& directory, Told& told) {
    Producer producer(directory, kTwoLanes, told);
    for (int i = 0; i < 5; ++i) producer.end(200'000);
    producer.fill();
    producer.end_traced(kText);
  });
  REQUIRE(sweep.without_last > 0);
  REQUIRE(sweep.with_last > 0);
  REQUIRE(sweep.whole.has_last);
  REQUIRE(sweep.whole.lane == 1);
}

TEST_CASE("kill: an attachment leaves a file without its name, or a segment that is complete") {
  if (!can_trace()) return;
  long nothing = 0;
  long unnamed = 0;
  long complete = 0;
  for (long at = 0;; ++at) {
    const PrivateDirectory directory;
    const Trace trace = signal_at_call(SIGKILL, at, [&] {
      begin_trace();
      (void)open_writer(directory.path(), kOneLane);
      end_trace();
    });
    INFO("killed " << (at % 2 == 0 ? "before" : "after") << " system call " << at / 2);
    REQUIRE(trace.status == (trace.signals == 0 ? 0 : kKilled));
    const auto names = directory.names("");
    REQUIRE(names.size() <= 1);
    if (names.empty()) {
      ++nothing;
      REQUIRE(unnamed == 0);
    } else if (directory.segment().empty()) {
      ++unnamed;
      REQUIRE(complete == 0);
      REQUIRE(names[0].front() == '.');
      REQUIRE(directory.names(".seg.tmp") == names);
      require_unlocked(directory.file(names[0]));
    } else {
      ++complete;
      require_complete(directory.segment());
    }
    if (trace.signals == 0) break;
  }
  REQUIRE(nothing > 0);
  REQUIRE(unnamed > 0);
  REQUIRE(complete > 1);
}

}  // namespace otlpshm::hostile
