// SPDX-License-Identifier: Apache-2.0
// export_rig.h: a loop, an exporter on it, and the outcomes it gave; and batches for it.
#ifndef OTLPSHM_TEST_EXPORT_RIG_H
#define OTLPSHM_TEST_EXPORT_RIG_H

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "export/exporter.h"
#include "io/clock.h"
#include "io/loop.h"

namespace otlpshm::exporting {

using Status = model::ExportOutcome::Status;

// A batch whose parts are `texts`.
inline std::shared_ptr<model::Batch> batch_of(std::uint64_t id, std::uint32_t span_count,
                                              const std::vector<std::string>& texts) {
  auto batch = std::make_shared<model::Batch>();
  batch->id = id;
  batch->span_count = span_count;
  for (const std::string& text : texts) {
    auto bytes = std::make_unique<std::uint8_t[]>(text.size());
    std::copy(text.begin(), text.end(), bytes.get());
    batch->parts.emplace_back(bytes.get(), text.size());
    batch->storage.push_back(std::move(bytes));
    batch->bytes += text.size();
  }
  return batch;
}

inline std::shared_ptr<model::Batch> batch_of(std::uint64_t id, std::uint32_t span_count = 10) {
  return batch_of(id, span_count, {"the bytes of batch " + std::to_string(id)});
}

struct Rig {
  Rig() {
    std::string error;
    loop = io::make_loop(io::LoopKind::automatic, &error);
    REQUIRE(loop != nullptr);
  }

  Exporter::OnOutcome on_outcome() {
    return [this](model::ExportOutcome outcome) {
      CHECK_FALSE(in_call);
      outcomes.push_back(std::move(outcome));
    };
  }

  void submit(std::shared_ptr<const model::Batch> batch) {
    REQUIRE(exporter->ready());
    in_call = true;
    exporter->submit(std::move(batch));
    in_call = false;
  }

  void shutdown(std::uint32_t deadline_ms) {
    in_call = true;
    exporter->shutdown(deadline_ms);
    in_call = false;
  }

  // Turns the loop; the limit is a watchdog, not a measure.
  [[nodiscard]] bool run_until(const std::function<bool()>& reached) {
    const std::uint64_t give_up_ns = io::monotonic_ns() + 30'000'000'000;
    while (!reached() && io::monotonic_ns() < give_up_ns) loop->run_once(20'000'000);
    return reached();
  }

  [[nodiscard]] bool run_until_outcomes(std::size_t count) {
    return run_until([&] { return outcomes.size() >= count; }) && outcomes.size() == count;
  }

  void run_for_ms(std::uint64_t duration_ms) {
    const std::uint64_t end_ns = io::monotonic_ns() + duration_ms * 1'000'000;
    while (io::monotonic_ns() < end_ns) loop->run_once(5'000'000);
  }

  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<Exporter> exporter;  // gone before the loop
  std::vector<model::ExportOutcome> outcomes;
  bool in_call = false;
};

}  // namespace otlpshm::exporting

#endif
