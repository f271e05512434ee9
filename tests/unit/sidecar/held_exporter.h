// SPDX-License-Identifier: Apache-2.0
// held_exporter.h: an exporter whose backend answers when a test says so.
//   Owns   every batch that was submitted, until it is acknowledged.
#ifndef OTLPSHM_TESTS_HELD_EXPORTER_H
#define OTLPSHM_TESTS_HELD_EXPORTER_H

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "export/exporter.h"

namespace otlpshm::tests {

class HeldExporter final : public exporting::Exporter {
 public:
  explicit HeldExporter(OnOutcome on_outcome) : on_outcome_(std::move(on_outcome)) {}

  [[nodiscard]] bool ready() const override { return held_.size() < requests_in_flight_max; }
  void submit(std::shared_ptr<const model::Batch> batch) override {
    REQUIRE(ready());
    ++submitted;
    submitted_bytes += batch->bytes;
    held_.push_back(std::move(batch));
  }
  void shutdown(std::uint32_t) override {}
  [[nodiscard]] exporting::ExporterCounts counts() const override {
    exporting::ExporterCounts counts;
    counts.in_flight = static_cast<std::uint32_t>(held_.size());
    return counts;
  }

  void acknowledge_all() {
    for (const auto& batch : std::exchange(held_, {})) {
      model::ExportOutcome outcome;
      outcome.batch_id = batch->id;
      outcome.status = model::ExportOutcome::Status::acknowledged;
      on_outcome_(outcome);
    }
  }

  std::size_t requests_in_flight_max = SIZE_MAX;
  std::size_t submitted = 0;
  std::uint64_t submitted_bytes = 0;

 private:
  const OnOutcome on_outcome_;
  std::vector<std::shared_ptr<const model::Batch>> held_;
};

}  // namespace otlpshm::tests

#endif
