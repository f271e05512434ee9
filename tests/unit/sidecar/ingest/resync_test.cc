// SPDX-License-Identifier: Apache-2.0
#include "ingest/resync.h"

#include <catch2/catch.hpp>

#include "ingest_rig.h"

namespace otlpshm::tests {
namespace {

// A lane that has wrapped while its records were released; then its ack is lost.
struct LostAck : IngestRig {
  LostAck() : IngestRig({65536}) {
    while (writer.position(0) < 200000) {
      for (int i = 0; i < 20; ++i) commit();
      (void)turn();
      release_all();
    }
    for (int i = 0; i < 5; ++i) commit();
  }
  void commit() {
    const std::uint64_t number = writer.sequence(0) + 1;
    writer.commit(0, ids(number) + delimited(5, std::string(number % 300, 'n')),
                  header_for(number));
  }
  void lose() {
    ::unlinkat(directory.fd(), writer.id().ack_name().c_str(), 0);
    std::string why;
    segment.ack = ingest::Ack::open(directory.fd(), writer.id(), 1, &why);
    REQUIRE(segment.ack != nullptr);
    REQUIRE_FALSE(segment.ack->adopted());
    const std::uint64_t found_to = ingest::resync(*segment.view, *segment.ack)[0];
    const model::LaneSettled& settled = segment.ack->settled(0);
    segment.cursors[0] = {settled.release, settled.sequence, 0, found_to};
    sink.bodies.clear();
  }
};

TEST_CASE("resync: what a wrapped lane still holds is read again, and the rest counts as skipped") {
  LostAck rig;
  rig.lose();
  model::LaneSettled settled = rig.segment.ack->settled(0);
  CHECK(settled.release >= rig.writer.position(0) - 65536);
  CHECK(settled.release < rig.writer.position(0) - 65536 + 1024);
  CHECK(settled.dropped_for(model::Reason::skipped) == settled.sequence);
  while (rig.turn() == ingest::Drain::Found::records) {
  }
  CHECK(rig.segment.state == ingest::SegmentState::live);
  CHECK(rig.sink.dropped.empty());
  CHECK(rig.sink.bodies[0].size() == rig.writer.sequence(0) - settled.sequence);
  CHECK(rig.segment.cursors[0].sequence == rig.writer.sequence(0));
}

TEST_CASE("resync: a producer that goes on from the release that it knows is not silenced for it") {
  for (const std::uint64_t ahead : {200, 40000, 65536}) {
    INFO(ahead << " bytes further");
    LostAck rig;
    rig.lose();
    const std::uint64_t before = rig.segment.cursors[0].sequence;
    const std::uint64_t found_to = rig.writer.position(0);
    while (rig.writer.position(0) + 512 < found_to + ahead) rig.commit();
    while (rig.turn() == ingest::Drain::Found::records) {
    }
    CHECK(rig.segment.state == ingest::SegmentState::live);
    const std::uint64_t skipped = rig.sink.dropped[model::Reason::skipped];
    CHECK(rig.sink.bodies[0].size() + skipped == rig.writer.sequence(0) - before);
    CHECK(rig.segment.cursors[0].sequence == rig.writer.sequence(0));
    rig.release_all();
    rig.sink.bodies.clear();
    rig.commit();
    (void)rig.turn();
    CHECK(rig.sink.bodies[0].size() == 1);
  }
}

TEST_CASE("resync: a daemon that dies before its producer has caught up leaves no quarantine") {
  LostAck rig;
  rig.lose();
  while (rig.writer.position(0) + 512 < rig.segment.cursors[0].found_to + 40000) rig.commit();
  const std::uint64_t skipped_before = rig.segment.ack->settled(0).sequence;
  std::string why;
  rig.segment.ack.reset();
  rig.segment.ack = ingest::Ack::open(rig.directory.fd(), rig.writer.id(), 1, &why);
  REQUIRE(rig.segment.ack != nullptr);
  REQUIRE(rig.segment.ack->adopted());
  const std::uint64_t found_to = ingest::resync(*rig.segment.view, *rig.segment.ack)[0];
  CHECK(found_to == rig.writer.position(0));
  model::LaneSettled settled = rig.segment.ack->settled(0);
  CHECK(settled.dropped_for(model::Reason::skipped) > skipped_before);
  CHECK(settled.dropped_for(model::Reason::skipped) == settled.sequence);
  rig.segment.cursors[0] = {settled.release, settled.sequence, 0, found_to};
  while (rig.turn() == ingest::Drain::Found::records) {
  }
  CHECK(rig.segment.state == ingest::SegmentState::live);
  CHECK(rig.sink.bodies[0].size() == rig.writer.sequence(0) - settled.sequence);
}

TEST_CASE("resync: an ack that fits is left as it is") {
  IngestRig rig({65536});
  rig.writer.commit(0, ids(1));
  (void)rig.turn();
  rig.release_all();
  std::string why;
  rig.segment.ack.reset();
  rig.segment.ack = ingest::Ack::open(rig.directory.fd(), rig.writer.id(), 1, &why);
  REQUIRE(rig.segment.ack != nullptr);
  CHECK(ingest::resync(*rig.segment.view, *rig.segment.ack)[0] == 0);
  CHECK(rig.segment.ack->settled(0).exported == 1);
}

TEST_CASE("resync: beyond a lap more the producer contradicts itself") {
  LostAck rig;
  rig.lose();
  rig.writer.advance(0, 65536 + 4096);
  (void)rig.turn();
  CHECK(rig.segment.state == ingest::SegmentState::quarantined);
}

TEST_CASE("resync: a lane in its first lap may be overwritten before it was read") {
  IngestRig rig({65536});
  for (int i = 0; i < 300; ++i) rig.writer.commit(0, ids(1) + delimited(5, std::string(30, 'n')));
  const std::uint64_t tail = rig.writer.position(0);
  REQUIRE(tail < 65536);
  rig.segment.cursors[0].found_to = ingest::resync(*rig.segment.view, *rig.segment.ack)[0];
  CHECK(rig.segment.cursors[0].found_to == tail);
  while (rig.writer.position(0) < 65536 + tail / 2) rig.writer.commit(0, ids(2));
  const std::uint64_t sequence = rig.writer.sequence(0);
  while (rig.turn() == ingest::Drain::Found::records) {
  }
  CHECK(rig.segment.state == ingest::SegmentState::live);
  CHECK(rig.sink.bodies[0].size() + rig.sink.dropped[model::Reason::skipped] == sequence);
}

TEST_CASE("resync: a tail that no chain of records leads to is left to the drain") {
  LostAck rig;
  rig.writer.advance(0, 4096);
  rig.lose();
  CHECK(rig.segment.ack->settled(0).release == 0);
  (void)rig.turn();
  CHECK(rig.segment.state == ingest::SegmentState::quarantined);
}

TEST_CASE("resync: a lane full of false starts ends the search") {
  IngestRig rig({1 << 20});
  const std::uint64_t tail = 3 << 20;
  for (std::uint64_t at = 0; at + 88 < (1 << 20); at += 88) {
    otlpshm_record_header header = header_for(1);
    header.size = 88;
    header.sequence = at / 88 + 1;
    header.position_low = static_cast<std::uint32_t>((2 << 20) + at);
    std::memcpy(rig.writer.bytes() + OTLPSHM_LANE_AREAS_OFFSET + at, &header, sizeof header);
  }
  rig.writer.start_at(0, tail, 40000);
  (void)ingest::resync(*rig.segment.view, *rig.segment.ack);
  CHECK(rig.segment.ack->settled(0).release == 0);
}

TEST_CASE("resync: a lane in its first lap begins at its beginning") {
  IngestRig rig;
  rig.writer.commit(0, ids(1));
  (void)ingest::resync(*rig.segment.view, *rig.segment.ack);
  CHECK(rig.segment.ack->settled(0).release == 0);
  CHECK(rig.segment.ack->settled(0).sequence == 0);
}

}  // namespace
}  // namespace otlpshm::tests
