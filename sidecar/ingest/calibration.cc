// SPDX-License-Identifier: Apache-2.0
// calibration.cc: the rate is that of the whole baseline, the anchor that of its newest sample.
#include "ingest/calibration.h"

#include <cmath>

namespace otlpshm::ingest {

namespace {

constexpr std::size_t kSamplesMax = 17;
constexpr std::uint64_t kLifeNs = 5'000'000'000;
// Twice the worst error of two samples a second apart, and the least that matters.
constexpr double kSameRate = 20e-6;
// The kernel steers its clock by 500 ppm at most; the tick that an administrator sets is more rare
// than a counter that cannot be relied on.
constexpr double kSameCounter = 1000e-6;
// 5 s are less than 2^33 ns, so with this shift the product of ticks and multiplier has 64 bits.
constexpr std::uint32_t kShiftMax = 31;
constexpr double kTicksPerNsMin = 0.1;
constexpr double kTicksPerNsMax = 20;

struct Interval {
  std::uint64_t ticks;
  std::uint64_t ns;

  [[nodiscard]] double ns_per_tick() const {
    return static_cast<double>(ns) / static_cast<double>(ticks);
  }
};

// Nothing unless both clocks went forward, at a rate that a processor's counter may have.
std::optional<Interval> interval(const io::TscSample& from, const io::TscSample& to) {
  if (to.tsc <= from.tsc || to.monotonic_ns <= from.monotonic_ns) return std::nullopt;
  const Interval between = {to.tsc - from.tsc, to.monotonic_ns - from.monotonic_ns};
  const double ticks_per_ns = 1 / between.ns_per_tick();
  if (ticks_per_ns < kTicksPerNsMin || ticks_per_ns > kTicksPerNsMax) return std::nullopt;
  return between;
}

Calibration calibration(const io::TscSample& anchor, double ns_per_tick) {
  Calibration made;
  made.tsc = anchor.tsc;
  made.unix_nano = anchor.realtime_ns;
  made.expiry_tsc =
      anchor.tsc + static_cast<std::uint64_t>(static_cast<double>(kLifeNs) / ns_per_tick);
  made.shift = kShiftMax;
  while (std::ldexp(ns_per_tick, static_cast<int>(made.shift)) >= std::ldexp(1, 32) - 1) {
    --made.shift;
  }
  made.multiplier = static_cast<std::uint32_t>(
      std::llround(std::ldexp(ns_per_tick, static_cast<int>(made.shift))));
  return made;
}

}  // namespace

std::optional<Calibration> Baseline::add(const io::TscSample& sample) {
  if (samples_.empty()) {
    samples_.push_back(sample);
    return std::nullopt;
  }
  const std::optional<Interval> newest = interval(samples_.back(), sample);
  if (!newest) {
    samples_.assign(1, sample);
    return std::nullopt;
  }
  if (samples_.size() > 1) {
    const Interval before = *interval(samples_.front(), samples_.back());
    const double change = std::fabs(newest->ns_per_tick() / before.ns_per_tick() - 1);
    if (change > kSameCounter) {
      samples_.assign(1, sample);
      return std::nullopt;
    }
    // The kernel steers its clock: from here on another rate holds.
    if (change > kSameRate) samples_.erase(samples_.begin(), samples_.end() - 1);
  }
  if (samples_.size() == kSamplesMax) samples_.erase(samples_.begin());
  samples_.push_back(sample);
  return calibration(sample, interval(samples_.front(), sample)->ns_per_tick());
}

}  // namespace otlpshm::ingest
