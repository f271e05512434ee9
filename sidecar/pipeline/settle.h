// SPDX-License-Identifier: Apache-2.0
// settle.h: station 10: every record ends here, exactly once.
//   Owns   for each lane, the ranges that were drained and have not settled, in order.
//   Never  moves a release over an unsettled record: it follows the front of the lane.
//   Loses  nothing: an abandoned batch keeps its records unsettled, for the next daemon.
//   Bound  a lane has one range for each batch it is in, and one between two of them.
#ifndef OTLPSHM_PIPELINE_SETTLE_H
#define OTLPSHM_PIPELINE_SETTLE_H

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/batch.h"
#include "model/settled.h"

namespace otlpshm::pipeline {

// Consecutive records of a lane, and what is known of their end.
struct Range {
  std::uint64_t end_position = 0;
  std::uint64_t end_sequence = 0;  // of the last record in it
  std::uint64_t batch_id = 0;      // of the batch that holds the kept ones
  std::uint64_t kept = 0;
  std::vector<std::pair<model::Reason, std::uint64_t>> drops;

  void drop(model::Reason reason, std::uint64_t count);
};

// One lane's book.
class LaneLedger {
 public:
  LaneLedger(model::LaneId id, const model::LaneSettled& start);

  [[nodiscard]] model::LaneId id() const { return id_; }
  [[nodiscard]] const model::LaneSettled& settled() const { return settled_; }
  // Drained and not settled.
  [[nodiscard]] std::uint64_t unsettled() const { return end_sequence_ - settled_.sequence; }

 private:
  friend class Settle;
  struct Entry {
    Range range;
    bool over = false;  // the fate of each record in it is known
  };

  bool advance();

  model::LaneId id_;
  model::LaneSettled settled_;
  std::uint64_t end_sequence_;
  std::vector<Entry> entries_;  // from first_ on
  std::size_t first_ = 0;
  std::uint64_t first_serial_ = 0;  // of entries_[first_]; an entry keeps its serial
};

using LedgerRef = std::shared_ptr<LaneLedger>;

class Settle {
 public:
  // The lane's next range. True if the lane's settled() has changed at once.
  [[nodiscard]] bool add(const LedgerRef& lane, Range range);

  // Ends the records of a batch. Returns the lanes whose settled() has changed.
  [[nodiscard]] std::vector<LedgerRef> settle(const model::ExportOutcome& outcome);

  // Batches with kept records and no outcome yet, the open one included.
  [[nodiscard]] std::size_t batches() const { return batches_.size(); }

 private:
  struct Part {
    LedgerRef lane;
    std::uint64_t serial;
  };
  std::unordered_map<std::uint64_t, std::vector<Part>> batches_;
};

}  // namespace otlpshm::pipeline

#endif
