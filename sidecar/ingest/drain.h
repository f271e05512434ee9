// SPDX-License-Identifier: Apache-2.0
// drain.h: station 5: committed records leave the lanes, in order and in fair shares.
//   Owns   one private buffer: nothing is parsed anywhere else.
//   Never  reads a shared word twice in a turn, or more than the sink takes: what it does not take
//          stays in its lane, and that is the back-pressure.
//   Loses  records whose size cannot be trusted, and all behind them up to tail: skipped.
//   Order  SYNC(commit), in segment_view.
#ifndef OTLPSHM_INGEST_DRAIN_H
#define OTLPSHM_INGEST_DRAIN_H

#include <cstdint>
#include <memory>
#include <vector>

#include "ingest/segment.h"
#include "model/outcome.h"
#include "model/record.h"

namespace otlpshm::ingest {

// Where a lane's records go, one lane at a time: begin, then records and drops in order, then end.
class RecordSink {
 public:
  virtual ~RecordSink() = default;

  enum class Taken { yes, not_now };

  virtual void begin(Segment& segment, std::uint32_t lane) = 0;
  // The record at `cursor`. not_now: nothing happened, and it will come again. What the record
  // costs beside its own bytes, the sink may take from the segment's credit.
  [[nodiscard]] virtual Taken record(const LaneCursor& cursor, const model::Record& record) = 0;
  // `count` sequences ended in the drain.
  virtual void drop(model::Reason reason, std::uint64_t count) = 0;
  virtual void end(const LaneCursor& cursor) = 0;
};

class Drain {
 public:
  Drain(std::uint64_t segment_bytes_per_turn, std::uint64_t bytes_per_turn);

  enum class Found {
    nothing,  // every lane was empty
    records,  // there may be more
    not_now,  // the sink is full: more are there
  };

  // One fair turn over all segments, or over as many as give `bytes_per_turn` and one share more at
  // most; the next turn goes on behind them. After not_now it goes on with the segment that was
  // stopped, for what was left of its share.
  [[nodiscard]] Found turn(const std::vector<Segment*>& segments, RecordSink& sink);

  // Ends what a lost or quarantined segment still claims, so that the books close. Once.
  static void give_up(Segment& segment, RecordSink& sink);

 private:
  Found visit_segment(Segment& segment, RecordSink& sink);
  void give_share(Segment& segment);
  Found visit_lane(Segment& segment, std::uint32_t lane, RecordSink& sink);
  struct Parsed {
    std::size_t bytes;  // of whole records; 0: the first one needs `bytes_needed`
    std::size_t bytes_needed;
    bool not_now;
  };
  Parsed parse(Segment& segment, std::uint32_t lane, std::size_t bytes, RecordSink& sink);

  const std::uint64_t segment_bytes_per_turn_;
  const std::uint64_t bytes_per_turn_;
  std::uint64_t turn_bytes_ = 0;  // read in this turn
  std::size_t next_segment_ = 0;
  std::uint64_t stopped_serial_ = 0;  // of the segment that a full sink stopped; 0: none
  std::unique_ptr<std::uint8_t[]> buffer_;
};

// Sequences above the cursor that a lane claims and its bytes can hold, at the last look.
[[nodiscard]] std::uint64_t claimed(const Segment& segment, std::uint32_t lane);
// Every open lane was read to its tail, at the last look.
[[nodiscard]] bool is_drained(const Segment& segment);

}  // namespace otlpshm::ingest

#endif
