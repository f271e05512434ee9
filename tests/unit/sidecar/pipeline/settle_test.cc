// SPDX-License-Identifier: Apache-2.0
#include "pipeline/settle.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

namespace otlpshm::tests {
namespace {

using model::ExportOutcome;
using model::LaneSettled;
using model::Reason;
using pipeline::LaneLedger;
using pipeline::LedgerRef;
using pipeline::Range;
using pipeline::Settle;

LedgerRef lane(std::uint32_t index = 0) {
  return std::make_shared<LaneLedger>(model::LaneId{1, index}, LaneSettled{});
}

Range range(std::uint64_t position, std::uint64_t sequence, std::uint64_t batch,
            std::uint64_t kept) {
  return {position, sequence, batch, kept, {}};
}

ExportOutcome acknowledged(std::uint64_t batch, std::uint64_t rejected = 0) {
  ExportOutcome outcome;
  outcome.batch_id = batch;
  outcome.status = ExportOutcome::Status::acknowledged;
  outcome.rejected_spans = rejected;
  return outcome;
}

std::uint64_t sum(LaneSettled settled) {
  std::uint64_t total = settled.exported;
  for (const std::uint64_t count : settled.dropped) total += count;
  return total;
}

TEST_CASE("settle: an acknowledged batch releases what it holds") {
  Settle settle;
  const LedgerRef one = lane();
  CHECK_FALSE(settle.add(one, range(800, 10, 1, 10)));
  CHECK(one->unsettled() == 10);
  CHECK(one->settled().release == 0);
  CHECK(settle.settle(acknowledged(1)).size() == 1);
  CHECK(one->settled().release == 800);
  CHECK(one->settled().exported == 10);
  CHECK(one->unsettled() == 0);
  CHECK(settle.batches() == 0);
  CHECK(settle.settle(acknowledged(1)).empty());
}

TEST_CASE("settle: acknowledgements in any order never release over an unsettled record") {
  Settle settle;
  const LedgerRef one = lane();
  (void)settle.add(one, range(100, 1, 1, 1));
  (void)settle.add(one, range(200, 2, 2, 1));
  (void)settle.add(one, range(300, 3, 3, 1));
  CHECK(settle.settle(acknowledged(3)).empty());
  CHECK(settle.settle(acknowledged(2)).empty());
  CHECK(one->settled().release == 0);
  CHECK(one->unsettled() == 3);
  CHECK(settle.settle(acknowledged(1)).size() == 1);
  CHECK(one->settled().release == 300);
  CHECK(one->settled().sequence == 3);
}

TEST_CASE("settle: a range that keeps nothing settles at once, or with what lies before it") {
  Settle settle;
  const LedgerRef one = lane();
  Range dropped = range(100, 2, 0, 0);
  dropped.drop(Reason::invalid_wire, 2);
  CHECK(settle.add(one, dropped));
  CHECK(one->settled().release == 100);
  CHECK(sum(one->settled()) == 2);

  (void)settle.add(one, range(200, 3, 7, 1));
  dropped = range(300, 5, 0, 0);
  dropped.drop(Reason::invalid_utf8, 2);
  CHECK_FALSE(settle.add(one, dropped));
  CHECK(one->settled().release == 100);
  (void)settle.settle(acknowledged(7));
  CHECK(one->settled().release == 300);
  CHECK(LaneSettled(one->settled()).dropped_for(Reason::invalid_utf8) == 2);
  CHECK(sum(one->settled()) == 5);
}

TEST_CASE("settle: a batch that is refused drops its records with the exporter's reason") {
  Settle settle;
  const LedgerRef one = lane();
  (void)settle.add(one, range(100, 4, 1, 4));
  ExportOutcome outcome;
  outcome.batch_id = 1;
  outcome.status = ExportOutcome::Status::dropped;
  outcome.reason = Reason::export_too_large;
  (void)settle.settle(outcome);
  CHECK(one->settled().exported == 0);
  CHECK(LaneSettled(one->settled()).dropped_for(Reason::export_too_large) == 4);
  CHECK(one->settled().release == 100);
}

TEST_CASE("settle: rejected spans of a partial success are counted, each once") {
  Settle settle;
  const LedgerRef one = lane(0);
  const LedgerRef two = lane(1);
  (void)settle.add(one, range(100, 4, 1, 4));
  (void)settle.add(two, range(100, 4, 1, 4));
  (void)settle.settle(acknowledged(1, 5));
  LaneSettled first = one->settled();
  LaneSettled second = two->settled();
  CHECK(first.dropped_for(Reason::export_partial) + second.dropped_for(Reason::export_partial) ==
        5);
  CHECK(first.exported + second.exported == 3);
  CHECK(sum(first) == 4);
  CHECK(sum(second) == 4);
}

TEST_CASE("settle: an abandoned batch settles nothing, also for what comes behind it") {
  Settle settle;
  const LedgerRef one = lane();
  (void)settle.add(one, range(100, 1, 1, 1));
  (void)settle.add(one, range(200, 2, 2, 1));
  ExportOutcome outcome;
  outcome.batch_id = 1;
  CHECK(settle.settle(outcome).empty());
  CHECK(settle.settle(acknowledged(2)).empty());
  CHECK(one->settled().release == 0);
  CHECK(one->unsettled() == 2);
}

TEST_CASE("settle: a daemon goes on from the counts of the one before") {
  LaneSettled start;
  start.release = 4096;
  start.sequence = 12;
  start.exported = 10;
  start.dropped_for(Reason::sampled_out) = 2;
  const auto one = std::make_shared<LaneLedger>(model::LaneId{1, 0}, start);
  Settle settle;
  (void)settle.add(one, range(4196, 13, 1, 1));
  CHECK(one->unsettled() == 1);
  (void)settle.settle(acknowledged(1));
  CHECK(one->settled().exported == 11);
  CHECK(sum(one->settled()) == one->settled().sequence);
}

TEST_CASE("settle: whatever happens in whatever order, each record ends exactly once") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    Settle settle;
    std::vector<LedgerRef> lanes;
    std::vector<std::uint64_t> position(5), sequence(5);
    for (std::uint32_t i = 0; i < 5; ++i) lanes.push_back(lane(i));
    std::uint64_t batch = 1;
    std::map<std::uint64_t, std::uint64_t> kept_in;
    std::vector<std::uint64_t> open;
    for (int step = 0; step < 300; ++step) {
      const std::size_t at = random() % 5;
      const std::uint64_t kept = random() % 3;
      const std::uint64_t drops = random() % 3;
      if (kept + drops > 0) {
        Range next = range(position[at] += 8 * (kept + drops), sequence[at] += kept + drops,
                           kept > 0 ? batch : 0, kept);
        next.drop(Reason::invalid_ids, drops);
        (void)settle.add(lanes[at], next);
        kept_in[batch] += kept;
      }
      if (random() % 4 == 0 && kept_in[batch] > 0) open.push_back(batch++);
      if (random() % 4 == 0 && !open.empty()) {
        const std::size_t which = random() % open.size();
        ExportOutcome outcome = acknowledged(open[which], random() % (kept_in[open[which]] + 1));
        if (random() % 5 == 0) outcome.status = ExportOutcome::Status::dropped;
        (void)settle.settle(outcome);
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
      }
      for (std::size_t i = 0; i < 5; ++i) {
        REQUIRE(sum(lanes[i]->settled()) == lanes[i]->settled().sequence);
        REQUIRE(lanes[i]->settled().release == 8 * lanes[i]->settled().sequence);
        REQUIRE(lanes[i]->settled().sequence + lanes[i]->unsettled() == sequence[i]);
      }
    }
    open.push_back(batch);
    for (const std::uint64_t id : open) (void)settle.settle(acknowledged(id));
    for (std::size_t i = 0; i < 5; ++i) REQUIRE(lanes[i]->settled().release == position[i]);
    REQUIRE(settle.batches() == 0);
  }
}

}  // namespace
}  // namespace otlpshm::tests
