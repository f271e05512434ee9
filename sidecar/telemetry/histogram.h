// SPDX-License-Identifier: Apache-2.0
// histogram.h: durations in log-linear buckets: 16 to each power of two, so 1/16 wide at most.
//   Owns   8 KiB, whatever is recorded.     Thread  the loop's only: plain words.
//   Never  allocates, saturates or fails: any 64-bit value has a bucket.
//   Loses  the exact value; count, sum, least and greatest are exact.
#ifndef OTLPSHM_TELEMETRY_HISTOGRAM_H
#define OTLPSHM_TELEMETRY_HISTOGRAM_H

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace otlpshm::telemetry {

class Histogram {
 public:
  void record(uint64_t value_ns, uint64_t times = 1) {
    buckets_[bucket_of(value_ns)] += times;
    count_ += times;
    sum_ns_ += value_ns * times;
    if (value_ns < least_ns_) least_ns_ = value_ns;
    if (value_ns > greatest_ns_) greatest_ns_ = value_ns;
  }

  uint64_t count() const { return count_; }
  uint64_t sum_ns() const { return sum_ns_; }
  uint64_t least_ns() const { return count_ == 0 ? 0 : least_ns_; }
  uint64_t greatest_ns() const { return greatest_ns_; }

  // The value that a share `q` (0 to 1) of the recorded ones does not exceed; at most 1/16 too
  // high, never too low. 0 of an empty histogram.
  uint64_t quantile_ns(double q) const;

  // How many recorded values are at most 2^power ns: exact, for a power from 4 to 63.
  uint64_t count_up_to_power(unsigned power) const;

 private:
  // A bucket is (low, high]: a power of two is the inclusive end of one, as Prometheus' `le` is.
  // Values to 16 have a bucket each; above, the four bits below the leading one choose.
  static constexpr unsigned kLinearBits = 4;
  static constexpr size_t kLinear = size_t{1} << kLinearBits;
  static constexpr size_t kBuckets = kLinear + (64 - kLinearBits) * kLinear;

  static size_t bucket_of(uint64_t value_ns) {
    const uint64_t below = value_ns == 0 ? 0 : value_ns - 1;
    if (below < kLinear) return below;
    const auto power = static_cast<unsigned>(std::bit_width(below)) - 1;
    const uint64_t next_bits = (below >> (power - kLinearBits)) & (kLinear - 1);
    return kLinear + (power - kLinearBits) * kLinear + next_bits;
  }
  static uint64_t greatest_of(size_t bucket);

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
  uint64_t least_ns_ = UINT64_MAX;
  uint64_t greatest_ns_ = 0;
};

}  // namespace otlpshm::telemetry

#endif  // OTLPSHM_TELEMETRY_HISTOGRAM_H
