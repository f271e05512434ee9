// SPDX-License-Identifier: Apache-2.0
// settle.cc: outcomes arrive in any order; a lane settles in its own.
#include "pipeline/settle.h"

#include <algorithm>
#include <cassert>

namespace otlpshm::pipeline {

using model::ExportOutcome;
using model::Reason;

void Range::drop(Reason reason, std::uint64_t count) {
  if (count == 0) return;
  for (auto& [known, sum] : drops) {
    if (known == reason) {
      sum += count;
      return;
    }
  }
  drops.emplace_back(reason, count);
}

LaneLedger::LaneLedger(model::LaneId id, const model::LaneSettled& start)
    : id_(id), settled_(start), end_sequence_(start.sequence) {}

// Moves over the entries at the front whose records have all ended.
bool LaneLedger::advance() {
  const std::size_t before = first_;
  for (; first_ < entries_.size() && entries_[first_].over; ++first_, ++first_serial_) {
    const Range& range = entries_[first_].range;
    settled_.release = range.end_position;
    settled_.sequence = range.end_sequence;
    settled_.exported += range.kept;
    settled_.attempts = 0;
    for (const auto& [reason, count] : range.drops) settled_.dropped_for(reason) += count;
  }
  const bool moved = first_ != before;
  if (first_ == entries_.size()) {
    entries_.clear();
    first_ = 0;
  } else if (first_ > entries_.size() / 2) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  return moved;
}

bool Settle::add(const LedgerRef& lane, Range range) {
  lane->end_sequence_ = range.end_sequence;
  if (!lane->entries_.empty()) {
    LaneLedger::Entry& last = lane->entries_.back();
    // A range that keeps nothing ends with its neighbour; one of the same batch is the same range.
    if (range.kept == 0 || (!last.over && range.batch_id == last.range.batch_id)) {
      last.range.end_position = range.end_position;
      last.range.end_sequence = range.end_sequence;
      last.range.kept += range.kept;
      for (const auto& [reason, count] : range.drops) last.range.drop(reason, count);
      return false;
    }
  }
  const bool over = range.kept == 0;
  if (!over) {
    const std::uint64_t serial = lane->first_serial_ + (lane->entries_.size() - lane->first_);
    batches_[range.batch_id].push_back({lane, serial});
  }
  lane->entries_.push_back({std::move(range), over});
  return over && lane->advance();
}

std::vector<LedgerRef> Settle::settle(const ExportOutcome& outcome) {
  std::vector<LedgerRef> moved;
  const auto found = batches_.find(outcome.batch_id);
  if (found == batches_.end() || outcome.status == ExportOutcome::Status::abandoned) return moved;
  // Which spans a backend rejected is not said; the first ones are as good as any, and the sum is
  // right.
  std::uint64_t rejected =
      outcome.status == ExportOutcome::Status::acknowledged ? outcome.rejected_spans : 0;
  for (const Part& part : found->second) {
    LaneLedger& lane = *part.lane;
    LaneLedger::Entry& entry =
        lane.entries_[lane.first_ + static_cast<std::size_t>(part.serial - lane.first_serial_)];
    assert(!entry.over && entry.range.batch_id == outcome.batch_id);
    std::uint64_t dropped = std::min(rejected, entry.range.kept);
    Reason reason = Reason::export_partial;
    rejected -= dropped;
    if (outcome.status == ExportOutcome::Status::dropped) {
      dropped = entry.range.kept;
      reason = outcome.reason;
    }
    entry.range.kept -= dropped;
    entry.range.drop(reason, dropped);
    entry.over = true;
    if (lane.advance()) moved.push_back(part.lane);
  }
  batches_.erase(found);
  return moved;
}

}  // namespace otlpshm::pipeline
