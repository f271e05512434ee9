// SPDX-License-Identifier: Apache-2.0
// calibration.h: what the TSC says about the wall clock, from samples a second apart.
//   Owns   the baseline: the samples of the last sixteen seconds, as long as one rate fits them.
//   Never  reads a clock.
//   Spec   docs/abi.md#clock.
#ifndef OTLPSHM_INGEST_CALIBRATION_H
#define OTLPSHM_INGEST_CALIBRATION_H

#include <cstdint>
#include <optional>
#include <vector>

#include "io/tsc.h"

namespace otlpshm::ingest {

// unix_nano + ((tsc_now - tsc) * multiplier >> shift), until expiry_tsc.
struct Calibration {
  std::uint64_t tsc = 0;
  std::uint64_t unix_nano = 0;
  std::uint64_t expiry_tsc = 0;
  std::uint32_t multiplier = 0;
  std::uint32_t shift = 0;
};

class Baseline {
 public:
  // Takes the next sample, a second or so after the last. Nothing while it is the only one that can
  // be relied on: the first, or the first after the counter, the kernel's clock, or the machine
  // jumped.
  std::optional<Calibration> add(const io::TscSample& sample);

 private:
  std::vector<io::TscSample> samples_;  // oldest first; one rate fits all of them
};

}  // namespace otlpshm::ingest

#endif
