// SPDX-License-Identifier: Apache-2.0
// ingest_rig.h: a producer, its segment as the daemon holds it, and a sink that remembers.
#ifndef OTLPSHM_TESTS_INGEST_RIG_H
#define OTLPSHM_TESTS_INGEST_RIG_H

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingest/drain.h"
#include "support/segment_writer.h"

namespace otlpshm::tests {

class RecordingSink : public ingest::RecordSink {
 public:
  void begin(ingest::Segment& segment, std::uint32_t lane) override {
    segment_ = &segment;
    lane_ = lane;
  }
  Taken record(const ingest::LaneCursor&, const model::Record& record) override {
    if (room == 0) return Taken::not_now;
    --room;
    segment_->credit_bytes -= charge;
    bodies[lane_].emplace_back(record.body.begin(), record.body.end());
    return Taken::yes;
  }
  void drop(model::Reason reason, std::uint64_t count) override {
    if (count > 0) dropped[reason] += count;
  }
  void end(const ingest::LaneCursor&) override {}

  std::size_t room = SIZE_MAX;
  std::int64_t charge = 0;                                   // for each record, beside its bytes
  std::map<std::uint32_t, std::vector<std::string>> bodies;  // by lane
  std::map<model::Reason, std::uint64_t> dropped;

 private:
  ingest::Segment* segment_ = nullptr;
  std::uint32_t lane_ = 0;
};

struct IngestRig {
  explicit IngestRig(const std::vector<std::uint64_t>& lanes = {1 << 20, 1 << 16},
                     std::uint64_t bytes_per_turn = 1 << 20, std::uint8_t number = 1,
                     SharedDirectory* shared = nullptr)
      : own(shared == nullptr ? std::make_unique<SharedDirectory>() : nullptr),
        directory(shared == nullptr ? *own : *shared),
        writer(directory, number, lanes),
        drain(bytes_per_turn, 4 * bytes_per_turn) {
    writer.publish();
    ingest::OpenFault fault = ingest::OpenFault::none;
    std::string why;
    segment.serial = number;
    segment.view = ingest::SegmentView::open(directory.fd(), writer.id(), &fault, &why);
    REQUIRE(segment.view != nullptr);
    segment.ack = ingest::Ack::open(directory.fd(), writer.id(),
                                    static_cast<std::uint32_t>(lanes.size()), &why);
    REQUIRE(segment.ack != nullptr);
    segment.cursors.resize(lanes.size());
  }

  ingest::Drain::Found turn() { return drain.turn({&segment}, sink); }

  // As if all that was read had been exported.
  void release_all() {
    for (std::uint32_t lane = 0; lane < segment.lane_count(); ++lane) {
      model::LaneSettled settled;
      settled.release = segment.cursors[lane].position;
      settled.sequence = segment.cursors[lane].sequence;
      settled.exported = settled.sequence;
      REQUIRE(segment.ack->release(lane, settled));
    }
  }

  std::unique_ptr<SharedDirectory> own;
  SharedDirectory& directory;
  SegmentWriter writer;
  ingest::Segment segment;
  ingest::Drain drain;
  RecordingSink sink;
};

}  // namespace otlpshm::tests

#endif
