// SPDX-License-Identifier: Apache-2.0
// release.h: station 11: a segment's ack: what has settled, told to its producer and to the next
// daemon.
//   Owns   <id>.ack and every word in it.
//   Never  shows a position without its counts: both change with one store of the selector.
//   Loses  nothing: until that store, the next daemon starts at the old release.
//   Layout docs/abi.md#ack.         Order  SYNC(release), SYNC(reaped).
#ifndef OTLPSHM_INGEST_RELEASE_H
#define OTLPSHM_INGEST_RELEASE_H

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingest/own_file.h"
#include "ingest/segment_id.h"
#include "model/settled.h"

namespace otlpshm::ingest {

class Ack {
 public:
  // Adopts the segment's ack if it is fit, and makes a new one otherwise. Null, with a sentence,
  // if it cannot be made.
  static std::unique_ptr<Ack> open(int directory, const SegmentId& id, std::uint32_t lane_count,
                                   std::string* error);

  // Left by an earlier daemon. Without one, nothing is known of what had settled before.
  [[nodiscard]] bool adopted() const { return adopted_; }
  [[nodiscard]] const model::LaneSettled& settled(std::uint32_t lane) const {
    return settled_[lane];
  }
  [[nodiscard]] std::uint64_t adoptions() const;
  [[nodiscard]] std::uint64_t flush_echo() const;
  [[nodiscard]] std::uint64_t dropped_echo(std::size_t reason) const;
  [[nodiscard]] otlpshm_ack_state state() const { return state_; }

  // Each is false if the file was truncated under us.
  [[nodiscard]] bool release(std::uint32_t lane, const model::LaneSettled& settled);
  [[nodiscard]] bool set_state(otlpshm_ack_state state);
  [[nodiscard]] bool echo_flush(std::uint64_t flush_request);
  [[nodiscard]] bool echo_dropped(
      const std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS>& dropped);

 private:
  Ack(std::unique_ptr<OwnFile> file, std::uint32_t lane_count, bool adopted);
  bool load_slots();
  otlpshm_ack_header& header() const;
  otlpshm_ack_slot& slot(std::uint32_t lane) const;

  std::unique_ptr<OwnFile> file_;
  bool adopted_;
  otlpshm_ack_state state_ = otlpshm_ack_live;
  // What the slots hold, so that the file is only ever written.
  std::vector<std::uint64_t> selectors_;
  std::vector<model::LaneSettled> settled_;
  std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS> dropped_echo_{};
  std::uint64_t flush_echo_ = 0;
  std::uint64_t adoptions_ = 0;
};

}  // namespace otlpshm::ingest

#endif
