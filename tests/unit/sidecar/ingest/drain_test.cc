// SPDX-License-Identifier: Apache-2.0
#include "ingest/drain.h"

#include <catch2/catch.hpp>
#include <map>

#include "ingest_rig.h"

namespace otlpshm::tests {
namespace {

using Found = ingest::Drain::Found;
using ingest::SegmentState;
using model::Reason;

TEST_CASE("drain: records come whole and in order, and the cursor ends at tail") {
  IngestRig rig;
  for (std::uint64_t i = 1; i <= 50; ++i) rig.writer.commit(0, full_span(i), header_for(i));
  rig.writer.commit(1, ids(7), header_for(7));
  CHECK(rig.turn() == Found::records);
  REQUIRE(rig.sink.bodies[0].size() == 50);
  for (std::uint64_t i = 1; i <= 50; ++i) CHECK(rig.sink.bodies[0][i - 1] == full_span(i));
  CHECK(rig.sink.bodies[1] == std::vector<std::string>{ids(7)});
  CHECK(rig.segment.cursors[0].position == rig.writer.position(0));
  CHECK(rig.segment.cursors[0].sequence == 50);
  CHECK(rig.turn() == Found::nothing);
  CHECK(rig.sink.dropped.empty());
}

TEST_CASE("drain: records that wrap around the end are read back whole, lap after lap") {
  IngestRig rig({65536});
  std::uint64_t number = 0;
  for (int lap = 0; lap < 50; ++lap) {
    for (int i = 0; i < 60; ++i) {
      ++number;
      rig.writer.commit(0, ids(number) + delimited(5, std::string(number % 700, 'n')),
                        header_for(number));
    }
    while (rig.turn() == Found::records) {
    }
    rig.release_all();
  }
  CHECK(rig.writer.position(0) > 10 * 65536);
  REQUIRE(rig.sink.bodies[0].size() == number);
  for (std::uint64_t i = 1; i <= number; ++i) {
    REQUIRE(rig.sink.bodies[0][i - 1] == ids(i) + delimited(5, std::string(i % 700, 'n')));
  }
  CHECK(rig.sink.dropped.empty());
}

TEST_CASE("drain: a record that fills its lane or passes the share of a turn is read whole") {
  IngestRig rig({8 << 20});
  const std::string largest =
      ids(1) + delimited(5, std::string(OTLPSHM_RECORD_BYTES_MAX - 80 - ids(1).size() - 5, 'n'));
  REQUIRE(largest.size() + 80 == OTLPSHM_RECORD_BYTES_MAX);
  rig.writer.commit(0, ids(1));
  rig.writer.commit(0, largest);
  rig.writer.commit(0, ids(3));
  int turns = 0;
  while (rig.turn() == Found::records) REQUIRE(++turns < 100);
  REQUIRE(rig.sink.bodies[0].size() == 3);
  CHECK(rig.sink.bodies[0][1] == largest);
}

TEST_CASE("drain: what the sink does not take stays, and comes again") {
  IngestRig rig;
  for (std::uint64_t i = 1; i <= 10; ++i) rig.writer.commit(0, full_span(i), header_for(i));
  rig.sink.room = 4;
  CHECK(rig.turn() == Found::not_now);
  CHECK(rig.segment.cursors[0].sequence == 4);
  CHECK(rig.turn() == Found::not_now);
  CHECK(rig.sink.bodies[0].size() == 4);
  rig.sink.room = 100;
  CHECK(rig.turn() == Found::records);
  REQUIRE(rig.sink.bodies[0].size() == 10);
  for (std::uint64_t i = 1; i <= 10; ++i) CHECK(rig.sink.bodies[0][i - 1] == full_span(i));
}

// 2000 spans of one producer stand before the only span of another.
struct BusyAndQuiet {
  BusyAndQuiet() {
    for (std::uint64_t i = 1; i <= 2000; ++i) busy.writer.commit(0, full_span(i), header_for(i));
    quiet.writer.commit(0, ids(1));
  }
  SharedDirectory directory;
  IngestRig busy{{1 << 20}, 65536, 1, &directory};
  IngestRig quiet{{1 << 20}, 65536, 2, &directory};
  const std::vector<ingest::Segment*> both = {&busy.segment, &quiet.segment};
  RecordingSink sink;
};

TEST_CASE("drain: a busy producer does not keep a quiet one waiting") {
  BusyAndQuiet rig;
  auto& [directory, busy, quiet, both, sink] = rig;
  CHECK(busy.drain.turn(both, sink) == Found::records);
  CHECK(quiet.segment.cursors[0].sequence == 1);
  CHECK(busy.segment.cursors[0].position < 65536 + 1024);  // its share, and a record begun in it
  int turns = 1;
  while (busy.drain.turn(both, sink) == Found::records) ++turns;
  CHECK(turns >= static_cast<int>(busy.writer.position(0) / (65536 + 1024)));
  CHECK(busy.segment.cursors[0].sequence == 2000);
}

TEST_CASE("drain: a busy producer has no more than its share where the sink is what is slow") {
  BusyAndQuiet rig;
  auto& [directory, busy, quiet, both, sink] = rig;
  while (quiet.segment.cursors[0].sequence == 0) {
    sink.room = 20;
    REQUIRE(busy.segment.cursors[0].sequence < 2000);
    (void)busy.drain.turn(both, sink);
  }
  CHECK(busy.segment.cursors[0].position < 65536 + 1024);
}

TEST_CASE(
    "drain: a turn over many busy producers ends at its bytes, and the next goes on from there") {
  constexpr std::uint64_t kShare = 65536;
  constexpr std::uint8_t kProducers = 10;
  SharedDirectory directory;
  std::vector<std::unique_ptr<IngestRig>> rigs;
  std::vector<ingest::Segment*> segments;
  for (std::uint8_t i = 0; i < kProducers; ++i) {
    const auto number = static_cast<std::uint8_t>(i + 1);
    rigs.push_back(std::make_unique<IngestRig>(std::vector<std::uint64_t>{1 << 20}, kShare, number,
                                               &directory));
    for (std::uint64_t record = 1; record <= 400; ++record) {
      rigs.back()->writer.commit(0, full_span(record), header_for(record));
    }
    segments.push_back(&rigs.back()->segment);
  }
  ingest::Drain drain(kShare, 3 * kShare);
  RecordingSink sink;
  const auto read = [&] {
    std::uint64_t bytes = 0;
    for (const ingest::Segment* segment : segments) bytes += segment->cursors[0].position;
    return bytes;
  };
  std::uint64_t before = 0;
  for (int turn = 1; turn <= 5; ++turn) {
    CHECK(drain.turn(segments, sink) == Found::records);
    CHECK(read() - before <= 4 * kShare);
    before = read();
  }
  // Each had its turn before any had a third one.
  for (const ingest::Segment* segment : segments) {
    CHECK(segment->cursors[0].position > 0);
    CHECK(segment->cursors[0].position < 2 * kShare + 1024);
  }
  for (int turns = 0; drain.turn(segments, sink) == Found::records; ++turns) REQUIRE(turns < 100);
  for (const ingest::Segment* segment : segments) CHECK(segment->cursors[0].sequence == 400);
}

TEST_CASE("drain: what the sink charges beside a record ends the share of a turn, and is owed") {
  IngestRig rig({1 << 20}, 65536);
  for (std::uint64_t i = 1; i <= 100; ++i) rig.writer.commit(0, ids(i), header_for(i));
  rig.sink.charge = 10000;
  CHECK(rig.turn() == Found::records);
  CHECK(rig.sink.bodies[0].size() == 7);
  rig.sink.charge = 150000;
  CHECK(rig.turn() == Found::records);
  CHECK(rig.sink.bodies[0].size() == 8);
  CHECK(rig.turn() == Found::records);
  CHECK(rig.sink.bodies[0].size() == 8);
  rig.sink.charge = 0;
  for (int turns = 0; rig.turn() == Found::records; ++turns) REQUIRE(turns < 10);
  REQUIRE(rig.sink.bodies[0].size() == 100);
  for (std::uint64_t i = 1; i <= 100; ++i) CHECK(rig.sink.bodies[0][i - 1] == ids(i));
}

TEST_CASE("drain: a record of an impossible size is skipped with all behind it, and counted") {
  for (const std::uint32_t size : {1u, 80u, 4194305u, 70000u, UINT32_MAX}) {
    IngestRig rig({65536});
    rig.writer.commit(0, ids(1));
    otlpshm_record_header bad = header_for(2);
    bad.size = size;
    rig.writer.commit(0, ids(2), bad);
    rig.writer.commit(0, ids(3));
    CHECK(rig.turn() == Found::records);
    CHECK(rig.sink.bodies[0].size() == 1);
    CHECK(rig.sink.dropped == std::map<Reason, std::uint64_t>{{Reason::skipped, 2}});
    CHECK(rig.segment.cursors[0].sequence == 3);
    // The lane goes on behind it.
    rig.writer.commit(0, ids(4), header_for(4));
    CHECK(rig.turn() == Found::records);
    CHECK(rig.sink.bodies[0].size() == 2);
    CHECK(rig.segment.cursors[0].sequence == 4);
    CHECK(rig.sink.dropped[Reason::skipped] == 2);
  }
}

TEST_CASE("drain: a record that says it lies elsewhere is skipped") {
  IngestRig rig;
  rig.writer.commit(0, ids(1));
  otlpshm_record_header stale = header_for(2);
  stale.position_low = 4096;
  rig.writer.commit(0, ids(2), stale);
  (void)rig.turn();
  CHECK(rig.sink.bodies[0].size() == 1);
  CHECK(rig.sink.dropped[Reason::skipped] == 1);
}

TEST_CASE("drain: sequences that lag behind the skipped bytes are found at the next record") {
  IngestRig rig;
  rig.writer.commit(0, ids(1));
  rig.writer.advance(0, 8000);  // bytes that hold no records
  __atomic_store_n(&rig.writer.lane_control(0).sequence, 1, __ATOMIC_RELEASE);
  (void)rig.turn();
  CHECK(rig.segment.cursors[0].sequence == 1);
  rig.writer.start_at(0, rig.writer.position(0), 6);
  rig.writer.commit(0, ids(7), header_for(7));  // it is number 7: 2 to 6 were in those bytes
  (void)rig.turn();
  CHECK(rig.sink.dropped[Reason::skipped] == 5);
  CHECK(rig.sink.bodies[0].size() == 2);
  CHECK(rig.segment.cursors[0].sequence == 7);
}

TEST_CASE("drain: a sequence that repeats or jumps drops its record, and no more than that") {
  IngestRig rig;
  rig.writer.commit(0, ids(1));
  otlpshm_record_header record = header_for(2);
  record.sequence = 1;
  rig.writer.commit(0, ids(2), record);
  record.sequence = UINT64_MAX;
  rig.writer.commit(0, ids(3), record);
  rig.writer.commit(0, ids(4));
  (void)rig.turn();
  CHECK(rig.sink.bodies[0].size() == 2);
  CHECK(rig.sink.dropped == std::map<Reason, std::uint64_t>{{Reason::invalid_header, 2}});
  CHECK(rig.segment.cursors[0].sequence == 4);
}

TEST_CASE("drain: a tail that jumps over the lane, backwards or off the grid ends the reading") {
  for (const std::uint64_t tail :
       {UINT64_C(65536) + 8, UINT64_MAX - 7, UINT64_C(12), UINT64_C(80), UINT64_C(1) << 40}) {
    IngestRig rig({65536});
    rig.writer.commit(0, ids(1));
    (void)rig.turn();
    __atomic_store_n(&rig.writer.lane_control(0).tail, tail, __ATOMIC_RELEASE);
    __atomic_store_n(&rig.writer.lane_control(0).sequence, UINT64_MAX, __ATOMIC_RELEASE);
    CHECK(rig.turn() == Found::nothing);
    CHECK(rig.segment.state == SegmentState::quarantined);
    CHECK(rig.sink.bodies[0].size() == 1);
    // What it claims is believed only as far as a lane can hold it.
    ingest::Drain::give_up(rig.segment, rig.sink);
    CHECK(rig.sink.dropped[Reason::quarantined] <= 65536 / 88);
    const auto once = rig.sink.dropped;
    ingest::Drain::give_up(rig.segment, rig.sink);
    CHECK(rig.sink.dropped == once);
  }
}

TEST_CASE("drain: tail less release over the capacity ends the reading, though not the cursor's") {
  IngestRig rig({65536});
  for (int i = 0; i < 400; ++i) rig.writer.commit(0, ids(1));  // nothing of it is released
  while (rig.turn() == Found::records) {
  }
  CHECK(rig.segment.state == SegmentState::live);
  while (rig.writer.position(0) <= 65536) rig.writer.commit(0, ids(1));
  (void)rig.turn();
  CHECK(rig.segment.state == SegmentState::quarantined);
}

TEST_CASE("drain: a file that shrinks is lost, and what it claimed is counted as that") {
  IngestRig rig;
  for (int i = 0; i < 10; ++i) rig.writer.commit(0, full_span(1));
  rig.sink.room = 3;
  (void)rig.turn();
  rig.writer.truncate(OTLPSHM_LANE_AREAS_OFFSET);  // the cursors are still there
  rig.sink.room = 100;
  (void)rig.turn();
  CHECK(rig.segment.state == SegmentState::lost);
  ingest::Drain::give_up(rig.segment, rig.sink);
  CHECK(rig.sink.dropped == std::map<Reason, std::uint64_t>{{Reason::segment_lost, 7}});

  IngestRig gone;
  gone.writer.commit(0, full_span(1));
  gone.writer.truncate(4096);
  (void)gone.turn();
  CHECK(gone.segment.state == SegmentState::lost);
}

TEST_CASE("drain: a hole where records were is skipped") {
  IngestRig rig;
  for (int i = 0; i < 10; ++i) rig.writer.commit(0, full_span(1));
  rig.writer.punch(OTLPSHM_LANE_AREAS_OFFSET, 1 << 20);
  (void)rig.turn();
  CHECK(rig.segment.state == SegmentState::live);
  CHECK(rig.sink.dropped == std::map<Reason, std::uint64_t>{{Reason::skipped, 10}});
}

TEST_CASE("drain: lanes that are not open are not read") {
  IngestRig rig;
  rig.writer.control().lanes_open = 1;
  rig.writer.commit(1, ids(1));
  CHECK(rig.turn() == Found::nothing);
  rig.writer.control().lanes_open = UINT32_MAX;
  CHECK(rig.turn() == Found::records);
  CHECK(rig.sink.bodies[1].size() == 1);
}

}  // namespace
}  // namespace otlpshm::tests
