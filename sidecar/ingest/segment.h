// SPDX-License-Identifier: Apache-2.0
// segment.h: one producer, as the stations of ingest share it: its file, its ack, its cursors.
//   Owns   view and ack.
//   State  live -> quarantined: drain, when a cursor contradicts itself.
//          live -> lost: whoever finds the file truncated.   Both are final.
#ifndef OTLPSHM_INGEST_SEGMENT_H
#define OTLPSHM_INGEST_SEGMENT_H

#include <cstdint>
#include <memory>
#include <vector>

#include "ingest/release.h"
#include "ingest/segment_view.h"

namespace otlpshm::ingest {

enum class SegmentState : std::uint8_t { live, quarantined, lost };

// How far the daemon has read a lane; private to it.
struct LaneCursor {
  std::uint64_t position = 0;
  std::uint64_t sequence = 0;  // of the last record that was read or given up
  std::uint64_t gap_max = 0;   // sequences that the bytes skipped last may have held
  // Below it stands what was found again without an ack. A living producer goes on from the release
  // that it knows, and may overwrite it.
  std::uint64_t found_to = 0;
};

struct Segment {
  std::uint64_t serial = 0;  // never used again in one life of the daemon
  std::unique_ptr<SegmentView> view;
  std::unique_ptr<Ack> ack;
  SegmentState state = SegmentState::live;

  ControlUntrusted control;         // as loaded last
  std::vector<LaneCursor> cursors;  // one for each lane
  std::uint32_t next_lane = 0;      // where the next turn begins
  std::int64_t credit_bytes = 0;    // what it may still give in this turn; a large record owes

  bool has_name = true;        // false: the directory does not name it any more
  bool producer_gone = false;  // its lock was free when last looked at
  bool given_up = false;       // what it still claimed was counted, see Drain::give_up

  [[nodiscard]] std::uint32_t lane_count() const {
    return static_cast<std::uint32_t>(cursors.size());
  }
};

}  // namespace otlpshm::ingest

#endif
