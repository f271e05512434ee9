// SPDX-License-Identifier: Apache-2.0
// path.h: a record's way through stations 6 to 11: validate, sample, batch, export, settle,
// release.
//   Owns   the open batch, the books, and what is known of each producer (Source).
//   Never  drains or looks at the directory: that is sidecar.cc's.
//   Loses  nothing itself: each station says why it ends a record.
#ifndef OTLPSHM_PATH_H
#define OTLPSHM_PATH_H

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "config/options.h"
#include "export/exporter.h"
#include "ingest/drain.h"
#include "pipeline/batch.h"
#include "pipeline/scopes.h"
#include "pipeline/settle.h"
#include "pipeline/validate.h"
#include "telemetry/histogram.h"

namespace otlpshm {

// A producer's segment, and what the stations behind the drain keep for it.
struct Source : ingest::Segment {
  std::vector<pipeline::LedgerRef> ledgers;  // one for each lane
  std::vector<model::ScopeRef> scopes;       // by row; null: not read yet, or not valid
  std::bitset<OTLPSHM_SCOPES_MAX> invalid_scopes;
  std::size_t row_bytes = 0;  // of the rows behind `scopes`, at most OTLPSHM_TABLE_BYTES_MAX
  std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS> dropped_by_producer{};
};

class Path final : public ingest::RecordSink {
 public:
  explicit Path(const config::Config& config);

  // Batches go there from now on. The exporter's outcomes must come to on_outcome.
  void connect(exporting::Exporter* exporter) { exporter_ = exporter; }
  void on_outcome(const model::ExportOutcome& outcome);

  Source& add(std::unique_ptr<ingest::SegmentView> view, std::unique_ptr<ingest::Ack> ack);
  // Its records have all settled.
  void remove(std::uint64_t serial);
  [[nodiscard]] Source* find(std::uint64_t serial);

  // False: a turn of the drain would move nothing, because no batch can leave.
  [[nodiscard]] bool can_take() const;
  [[nodiscard]] bool batch_open() const { return !batcher_.empty(); }
  // Hands the open batch to the exporter if both are there.
  bool send();
  void trim() { slabs_->trim(); }

  // The stations, for the drain.
  void begin(ingest::Segment& segment, std::uint32_t lane) override;
  Taken record(const ingest::LaneCursor& cursor, const model::Record& record) override;
  void drop(model::Reason reason, std::uint64_t count) override { range_.drop(reason, count); }
  void end(const ingest::LaneCursor& cursor) override;

  [[nodiscard]] std::uint64_t drained() const { return drained_; }
  [[nodiscard]] std::uint64_t slab_bytes() const { return slabs_->bytes_out(); }
  [[nodiscard]] const telemetry::Histogram& latency() const { return latency_; }

 private:
  // Null if the record names none that is valid. A reference: to copy it would cost an atomic.
  model::ScopeRef read_scope(std::uint32_t index);
  const model::ScopeRef& scope_of(const model::Record& record, const pipeline::ValidSpan& span);
  pipeline::Added add(const model::Record& record, const model::ScopeRef& scope,
                      const pipeline::ValidSpan& span);
  void cut(const ingest::LaneCursor& cursor);
  void release(const pipeline::LaneLedger& ledger);
  void observe_latency(const model::ExportOutcome& outcome);

  // Of a batch that left: what its outcome is measured by.
  struct Sent {
    std::uint32_t span_count;
    std::vector<std::uint64_t> end_unix_nano_samples;
  };

  std::shared_ptr<pipeline::Slabs> slabs_;
  pipeline::Batcher batcher_;
  pipeline::Scopes scopes_;
  pipeline::Settle settle_;
  exporting::Exporter* exporter_ = nullptr;
  std::unordered_map<std::uint64_t, Sent> sent_;  // by batch

  std::unordered_map<std::uint64_t, std::unique_ptr<Source>> sources_;  // by serial
  std::uint64_t last_serial_ = 0;

  // The visit under way.
  Source* source_ = nullptr;
  std::uint32_t lane_ = 0;
  std::uint64_t begin_sequence_ = 0;
  std::uint64_t begin_position_ = 0;
  pipeline::Range range_;
  bool full_ = false;  // the last record was not taken

  std::uint64_t drained_ = 0;
  telemetry::Histogram latency_;
  model::ScopeRef inline_scope_;  // of the record at hand
  std::vector<std::uint8_t> resource_row_;
  std::vector<std::uint8_t> scope_row_;
};

}  // namespace otlpshm

#endif
