// SPDX-License-Identifier: Apache-2.0
// exporter.h: station 9 of a span's life: a batch goes out, an outcome comes back.
//   Owns   each submitted batch until its outcome is handed over.
//   Never  blocks the loop, gives two outcomes for one batch, or gives one up while it may be
//          retried; back-pressure is ready() == false: batches then stay with the caller.
//   Thread submit, ready, shutdown and every outcome: the loop's thread.
#ifndef OTLPSHM_EXPORT_EXPORTER_H
#define OTLPSHM_EXPORT_EXPORTER_H

#include <cstdint>
#include <functional>
#include <memory>

#include "model/batch.h"

namespace otlpshm::exporting {

// Read by the metrics page, on the loop's thread.
struct ExporterCounts {
  std::uint64_t requests = 0;      // requests that left for the wire, resends included
  std::uint64_t resends = 0;       // of these, sent before
  std::uint64_t resent_spans = 0;  // spans in resends
  std::uint64_t failures_retryable = 0;
  std::uint64_t failures_permanent = 0;
  std::uint64_t bytes = 0;      // of requests, uncompressed
  std::uint32_t in_flight = 0;  // batches submitted and without an outcome
};

class Exporter {
 public:
  using OnOutcome = std::function<void(model::ExportOutcome)>;

  virtual ~Exporter() = default;

  // True when another batch may be submitted now.
  [[nodiscard]] virtual bool ready() const = 0;

  // Takes a closed batch. Requires ready().
  virtual void submit(std::shared_ptr<const model::Batch> batch) = 0;

  // Stops retrying; batches without an outcome get `abandoned` by deadline_ms at the latest.
  virtual void shutdown(std::uint32_t deadline_ms) = 0;

  [[nodiscard]] virtual ExporterCounts counts() const = 0;
};

}  // namespace otlpshm::exporting

#endif
