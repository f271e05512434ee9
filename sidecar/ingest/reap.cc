// SPDX-License-Identifier: Apache-2.0
// reap.cc: removal is the only thing that depends on death, and it comes last.
#include "ingest/reap.h"

#include <unistd.h>

#include "ingest/drain.h"

namespace otlpshm::ingest {

namespace {

constexpr std::uint64_t kLooksNs[] = {0, 10'000'000, 100'000'000};
constexpr std::size_t kLooksMax = 4096;  // more deaths at once wait for the next scan

// Every record was read, or given up, and each of these has settled.
bool is_settled(const Segment& segment) {
  if (segment.state == SegmentState::live ? !is_drained(segment) : !segment.given_up) return false;
  for (std::uint32_t lane = 0; lane < segment.lane_count(); ++lane) {
    const model::LaneSettled& settled = segment.ack->settled(lane);
    const LaneCursor& cursor = segment.cursors[lane];
    if (settled.sequence != cursor.sequence) return false;
    if (segment.state == SegmentState::live && settled.release != cursor.position) return false;
  }
  return true;
}

}  // namespace

void Reap::suspect(std::uint64_t serial, std::uint64_t now_ns) {
  if (looks_.size() >= kLooksMax) return;
  for (const std::uint64_t delay_ns : kLooksNs) looks_.emplace(now_ns + delay_ns, serial);
}

std::uint64_t Reap::due_ns() const {
  return looks_.empty() ? UINT64_MAX : looks_.begin()->first;
}

std::uint64_t Reap::take_due(std::uint64_t now_ns) {
  if (looks_.empty() || looks_.begin()->first > now_ns) return 0;
  const std::uint64_t serial = looks_.begin()->second;
  looks_.erase(looks_.begin());
  return serial;
}

void Reap::look(Segment& segment) {
  segment.producer_gone = !segment.view->has_producer();
}

bool Reap::finish(Segment& segment) const {
  if (!segment.producer_gone && segment.state != SegmentState::lost) return false;
  if (!is_settled(segment)) return false;
  if (segment.state != SegmentState::lost) {
    // The lock once more, and then the tails: what was committed before it fell free is in them.
    look(segment);
    if (!segment.producer_gone) return false;
    if (!segment.view->load_control(&segment.control)) {
      segment.state = SegmentState::lost;
    } else if (!is_settled(segment)) {
      return false;
    }
  }
  // An ack that was truncated under us tells nobody anything; its segment goes all the same.
  [[maybe_unused]] const bool told = segment.ack->set_state(otlpshm_ack_reaped);
  const SegmentId& id = segment.view->id();
  if (segment.view->has_name(directory_)) {
    ::unlinkat(directory_, id.segment_name().c_str(), 0);
  }
  ::unlinkat(directory_, id.ack_name().c_str(), 0);
  return true;
}

}  // namespace otlpshm::ingest
