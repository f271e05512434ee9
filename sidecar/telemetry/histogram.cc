// SPDX-License-Identifier: Apache-2.0
// histogram.cc: durations in log-linear buckets: 16 to each power of two, so 1/16 wide at most.
#include "telemetry/histogram.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace otlpshm::telemetry {

uint64_t Histogram::greatest_of(size_t bucket) {
  if (bucket < kLinear) return bucket + 1;
  const auto power = static_cast<unsigned>((bucket - kLinear) / kLinear) + kLinearBits;
  const uint64_t next_bits = (bucket - kLinear) % kLinear;
  // Of the last bucket this is 2^64, which wraps to 0: less one, it is the greatest value.
  const uint64_t end = (kLinear + next_bits + 1) << (power - kLinearBits);
  return end == 0 ? UINT64_MAX : end;
}

uint64_t Histogram::quantile_ns(double q) const {
  if (count_ == 0) return 0;
  const double share = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(share), 1, count_);
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank) return std::clamp(greatest_of(bucket), least_ns_, greatest_ns_);
  }
  return greatest_ns_;
}

uint64_t Histogram::count_up_to_power(unsigned power) const {
  assert(power >= kLinearBits && power < 64);
  const size_t end = kLinear + (power - kLinearBits) * kLinear;
  uint64_t count = 0;
  for (size_t bucket = 0; bucket < end; ++bucket) count += buckets_[bucket];
  return count;
}

}  // namespace otlpshm::telemetry
