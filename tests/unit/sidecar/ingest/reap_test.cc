// SPDX-License-Identifier: Apache-2.0
#include "ingest/reap.h"

#include <catch2/catch.hpp>

#include "ingest_rig.h"

namespace otlpshm::tests {
namespace {

using ingest::Reap;

struct Over {
  explicit Over(IngestRig& rig) : rig_(rig), reap_(rig.directory.fd()) {}
  bool finish() {
    Reap::look(rig_.segment);
    return reap_.finish(rig_.segment);
  }
  [[nodiscard]] bool has_segment() const {
    return rig_.directory.has(rig_.writer.id().segment_name());
  }
  [[nodiscard]] bool has_ack() const { return rig_.directory.has(rig_.writer.id().ack_name()); }

 private:
  IngestRig& rig_;
  Reap reap_;
};

TEST_CASE("reap: a segment goes when its producer is gone, and all of it is drained and settled") {
  IngestRig rig;
  Over over(rig);
  rig.writer.commit(0, ids(1));
  CHECK_FALSE(over.finish());  // it lives
  rig.writer.die();
  (void)rig.segment.view->load_control(&rig.segment.control);
  CHECK_FALSE(over.finish());  // not drained
  (void)rig.turn();
  CHECK_FALSE(over.finish());  // not settled
  CHECK(over.has_segment());
  CHECK(rig.segment.ack->state() == otlpshm_ack_live);
  rig.release_all();
  CHECK(over.finish());
  CHECK(rig.segment.ack->state() == otlpshm_ack_reaped);
  CHECK_FALSE(over.has_segment());
  CHECK_FALSE(over.has_ack());
}

TEST_CASE("reap: a live producer is never reaped, however idle it is") {
  IngestRig rig;
  Over over(rig);
  for (int i = 0; i < 10; ++i) CHECK_FALSE(over.finish());
  CHECK(over.has_segment());
}

TEST_CASE("reap: a tail that moves after the last turn keeps the segment") {
  IngestRig rig;
  Over over(rig);
  const int second = ::openat(rig.directory.fd(), rig.writer.id().segment_name().c_str(), O_RDWR);
  (void)rig.turn();
  rig.writer.die();
  const std::uint64_t tail = 88;
  REQUIRE(::pwrite(second, &tail, 8, OTLPSHM_LANE_CONTROLS_OFFSET) == 8);
  CHECK_FALSE(over.finish());
  CHECK(over.has_segment());
  (void)rig.turn();  // nothing readable: skipped
  rig.release_all();
  CHECK(over.finish());
  ::close(second);
}

TEST_CASE("reap: another file that took the segment's name is left alone") {
  IngestRig rig;
  Over over(rig);
  rig.writer.die();
  const std::string name = rig.writer.id().segment_name();
  ::unlinkat(rig.directory.fd(), name.c_str(), 0);
  const int other = ::openat(rig.directory.fd(), name.c_str(), O_RDWR | O_CREAT, 0644);
  ::close(other);
  (void)rig.turn();
  CHECK(over.finish());
  CHECK(over.has_segment());
}

TEST_CASE("reap: a lost segment goes at once when its drained records have settled") {
  IngestRig rig;
  Over over(rig);
  rig.writer.commit(0, ids(1));
  (void)rig.turn();
  rig.writer.truncate(0);
  (void)rig.turn();
  REQUIRE(rig.segment.state == ingest::SegmentState::lost);
  CHECK_FALSE(over.finish());
  ingest::Drain::give_up(rig.segment, rig.sink);
  CHECK_FALSE(over.finish());
  rig.release_all();
  CHECK(over.finish());
  CHECK_FALSE(over.has_segment());
}

TEST_CASE("reap: a suspected death is looked at now, after 10 ms and after 100 ms") {
  Reap reap(-1);
  CHECK(reap.due_ns() == UINT64_MAX);
  reap.suspect(5, 1000);
  CHECK(reap.due_ns() == 1000);
  CHECK(reap.take_due(1000) == 5);
  CHECK(reap.take_due(1000) == 0);
  CHECK(reap.due_ns() == 1000 + 10'000'000);
  CHECK(reap.take_due(reap.due_ns()) == 5);
  CHECK(reap.due_ns() == 1000 + 100'000'000);
  CHECK(reap.take_due(reap.due_ns()) == 5);
  CHECK(reap.take_due(UINT64_MAX - 1) == 0);
  for (int i = 0; i < 100000; ++i) reap.suspect(5, 0);  // bounded
  int looks = 0;
  while (reap.take_due(UINT64_MAX - 1) != 0) ++looks;
  CHECK(looks < 5000);
}

}  // namespace
}  // namespace otlpshm::tests
