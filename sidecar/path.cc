// SPDX-License-Identifier: Apache-2.0
// path.cc: one record, or one outcome, at a time.
#include "path.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "io/clock.h"
#include "pipeline/sample.h"
#include "telemetry/log.h"

namespace otlpshm {

using ingest::RecordSink;
using model::Reason;
using telemetry::LogLevel;

Path::Path(const config::Config& config)
    : slabs_(std::make_shared<pipeline::Slabs>(config.memory_slab_bytes_max)),
      batcher_({static_cast<std::uint32_t>(config.batch_spans_max), config.batch_bytes_max},
               slabs_) {}

Source& Path::add(std::unique_ptr<ingest::SegmentView> view, std::unique_ptr<ingest::Ack> ack) {
  auto source = std::make_unique<Source>();
  source->serial = ++last_serial_;
  if (ack->state() == otlpshm_ack_quarantined) source->state = ingest::SegmentState::quarantined;
  for (std::uint32_t lane = 0; lane < view->lanes().size(); ++lane) {
    const model::LaneSettled& settled = ack->settled(lane);
    source->cursors.push_back({settled.release, settled.sequence, 0});
    source->ledgers.push_back(
        std::make_shared<pipeline::LaneLedger>(model::LaneId{source->serial, lane}, settled));
  }
  for (std::size_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    source->dropped_by_producer[reason] = ack->dropped_echo(reason);
  }
  source->view = std::move(view);
  source->ack = std::move(ack);
  return *sources_.emplace(source->serial, std::move(source)).first->second;
}

void Path::remove(std::uint64_t serial) {
  sources_.erase(serial);
}

Source* Path::find(std::uint64_t serial) {
  const auto found = sources_.find(serial);
  return found == sources_.end() ? nullptr : found->second.get();
}

bool Path::can_take() const {
  return !full_ || exporter_->ready();
}

bool Path::send() {
  if (batcher_.empty() || !exporter_->ready()) return false;
  std::shared_ptr<const model::Batch> batch = batcher_.close();
  sent_[batch->id] = {batch->span_count, batch->end_unix_nano_samples};
  exporter_->submit(std::move(batch));
  return true;
}

// ---- a lane's records --------------------------------------------------------------------------

void Path::begin(ingest::Segment& segment, std::uint32_t lane) {
  source_ = static_cast<Source*>(&segment);  // every segment that the drain sees is one
  lane_ = lane;
  begin_sequence_ = segment.cursors[lane].sequence;
  begin_position_ = segment.cursors[lane].position;
  full_ = false;
}

RecordSink::Taken Path::record(const ingest::LaneCursor& cursor, const model::Record& record) {
  pipeline::ValidSpan span;
  if (const auto fault = pipeline::validate(record, &span)) {
    range_.drop(*fault, 1);
    return Taken::yes;
  }
  if (!pipeline::keep(record.header)) {
    range_.drop(Reason::sampled_out, 1);
    return Taken::yes;
  }
  const model::ScopeRef& scope = scope_of(record, span);
  if (scope == nullptr) {
    range_.drop(Reason::invalid_scope, 1);
    return Taken::yes;
  }
  while (add(record, scope, span) != pipeline::Added::yes) {
    // The batch closes over the records so far; without one to close, memory has to come back.
    cut(cursor);
    if (!send()) {
      full_ = true;
      return Taken::not_now;
    }
  }
  range_.batch_id = batcher_.id();
  ++range_.kept;
  return Taken::yes;
}

// A row that is sent with one small record takes as much of a batch as many spans: that counts in
// the segment's share. A record that brings its rows along has paid for them.
pipeline::Added Path::add(const model::Record& record, const model::ScopeRef& scope,
                          const pipeline::ValidSpan& span) {
  const std::uint64_t before = batcher_.envelope_bytes();
  const pipeline::Added added = batcher_.add(scope, span.fields, span.end_unix_nano);
  if (record.header.record_kind != OTLPSHM_RECORD_SPAN_INLINE_SCOPE) {
    source_->credit_bytes -= static_cast<std::int64_t>(batcher_.envelope_bytes() - before);
  }
  return added;
}

void Path::end(const ingest::LaneCursor& cursor) {
  drained_ += cursor.sequence - begin_sequence_;
  const bool moved = cursor.position != begin_position_ || cursor.sequence != begin_sequence_;
  if (!moved) return;
  range_.end_position = cursor.position;
  range_.end_sequence = cursor.sequence;
  const pipeline::LedgerRef& ledger = source_->ledgers[lane_];
  if (settle_.add(ledger, std::exchange(range_, {}))) release(*ledger);
}

// Ends the range before the record at `cursor`, because what follows goes into another batch.
void Path::cut(const ingest::LaneCursor& cursor) {
  if (range_.kept == 0) return;
  range_.end_position = cursor.position;
  range_.end_sequence = cursor.sequence;
  const pipeline::LedgerRef& ledger = source_->ledgers[lane_];
  if (settle_.add(ledger, std::exchange(range_, {}))) release(*ledger);
}

const model::ScopeRef& Path::scope_of(const model::Record& record,
                                      const pipeline::ValidSpan& span) {
  static const model::ScopeRef none;
  if (record.header.record_kind == OTLPSHM_RECORD_SPAN_INLINE_SCOPE) {
    inline_scope_ = scopes_.intern(span.resource_row, span.scope_row);
    return inline_scope_;
  }
  const std::uint32_t index = record.header.scope_index;
  if (index < source_->scopes.size() && source_->scopes[index] != nullptr) {
    return source_->scopes[index];
  }
  model::ScopeRef scope = read_scope(index);
  if (scope == nullptr) return none;
  if (source_->scopes.size() <= index) source_->scopes.resize(index + 1);
  source_->scopes[index] = std::move(scope);
  return source_->scopes[index];
}

// A row below the count never changes, so one reading is enough, also of one that is not valid. An
// index below a count is below OTLPSHM_SCOPES_MAX. Rows that overlap would be more bytes than the
// table has.
model::ScopeRef Path::read_scope(std::uint32_t index) {
  if (index < source_->invalid_scopes.size() && source_->invalid_scopes[index]) return nullptr;
  switch (source_->view->read_scope(index, &resource_row_, &scope_row_)) {
    case ingest::RowRead::lost:
      source_->state = ingest::SegmentState::lost;
      return nullptr;
    case ingest::RowRead::absent:
      return nullptr;
    case ingest::RowRead::yes:
      break;
  }
  model::ScopeRef scope = scopes_.intern(resource_row_, scope_row_);
  if (scope != nullptr) {
    const bool knows_resource = std::any_of(
        source_->scopes.begin(), source_->scopes.end(),
        [&](const auto& known) { return known != nullptr && known->resource == scope->resource; });
    const std::size_t bytes = scope_row_.size() + (knows_resource ? 0 : resource_row_.size());
    if (source_->row_bytes + bytes <= OTLPSHM_TABLE_BYTES_MAX) {
      source_->row_bytes += bytes;
      return scope;
    }
  }
  source_->invalid_scopes.set(index);
  return nullptr;
}

// ---- outcomes ----------------------------------------------------------------------------------

void Path::on_outcome(const model::ExportOutcome& outcome) {
  using Status = model::ExportOutcome::Status;
  if (outcome.status == Status::acknowledged) {
    observe_latency(outcome);
    if (outcome.rejected_spans > 0) {
      telemetry::log(LogLevel::warning, "the backend rejected spans of a request that it took",
                     {{"rejected_spans", outcome.rejected_spans}, {"said", outcome.message}});
    } else if (!outcome.message.empty()) {
      telemetry::log(LogLevel::warning, "the backend took a request and warns",
                     {{"said", outcome.message}});
    }
  }
  if (outcome.status == Status::dropped) {
    telemetry::log(LogLevel::error, "the backend refused a request for good: its spans are dropped",
                   {{"said", outcome.message}});
  }
  sent_.erase(outcome.batch_id);
  for (const pipeline::LedgerRef& ledger : settle_.settle(outcome)) release(*ledger);
}

void Path::release(const pipeline::LaneLedger& ledger) {
  Source* const source = find(ledger.id().segment);
  assert(source != nullptr);  // Reap::finish waits for the last outcome
  if (!source->ack->release(ledger.id().lane, ledger.settled())) {
    source->state = ingest::SegmentState::lost;
  }
}

void Path::observe_latency(const model::ExportOutcome& outcome) {
  const auto found = sent_.find(outcome.batch_id);
  if (found == sent_.end() || found->second.end_unix_nano_samples.empty()) return;
  const std::vector<std::uint64_t>& samples = found->second.end_unix_nano_samples;
  const std::uint64_t now = io::realtime_ns();
  // Each sample stands for as many spans of its batch as any other.
  const std::uint64_t weight = found->second.span_count / samples.size();
  for (const std::uint64_t end : samples) {
    // A producer's clock may be ahead of ours, and end 0 is no time at all.
    if (end != 0) latency_.record(end < now ? now - end : 0, weight);
  }
}

}  // namespace otlpshm
