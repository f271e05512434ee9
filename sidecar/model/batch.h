// SPDX-License-Identifier: Apache-2.0
// batch.h: a closed batch: the bytes of one ExportTraceServiceRequest, and what must be told when
// it settles.
//   Owns   the memory behind parts.
//   Never  changes once it is closed; exporters share it read-only across threads.
#ifndef OTLPSHM_MODEL_BATCH_H
#define OTLPSHM_MODEL_BATCH_H

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/outcome.h"

namespace otlpshm::model {

struct Batch {
  std::uint64_t id = 0;
  std::uint32_t span_count = 0;
  std::uint64_t bytes = 0;  // sum of the parts

  // The request's bytes, in order. They point into storage.
  std::vector<std::span<const std::uint8_t>> parts;
  std::vector<std::unique_ptr<std::uint8_t[]>> storage;

  // end_time_unix_nano of some spans, evenly taken: for the span-end-to-export histogram.
  std::vector<std::uint64_t> end_unix_nano_samples;
};

// What became of a batch. Made by an exporter, exactly once per submitted batch.
struct ExportOutcome {
  enum class Status : std::uint8_t {
    acknowledged,  // rejected_spans of it were refused by a partial success
    dropped,       // for good, all spans: reason says why
    abandoned,     // not settled (shutdown): the records stay in their lanes
  };
  std::uint64_t batch_id = 0;
  Status status = Status::abandoned;
  Reason reason = Reason::export_rejected;  // with dropped
  std::uint64_t rejected_spans = 0;         // with acknowledged; never more than span_count
  std::uint64_t sends = 0;                  // requests that left for the wire, the first included
  std::string message;                      // for the log; untrusted text of the backend
};

}  // namespace otlpshm::model

#endif
