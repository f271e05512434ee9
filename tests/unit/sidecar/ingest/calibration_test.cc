// SPDX-License-Identifier: Apache-2.0
#include "ingest/calibration.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace otlpshm::tests {
namespace {

using ingest::Baseline;
using ingest::Calibration;
using io::TscSample;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kEpoch = 1'700'000'000 * kSecond;

// A counter and a kernel's clocks, whose rates and jumps a case chooses.
class Machine {
 public:
  explicit Machine(double ticks_per_ns) : ticks_per_ns_(ticks_per_ns) {}

  void steer(double ppm) { steered_ = 1 + ppm * 1e-6; }
  void set_clock(std::int64_t ns) { realtime_ += ns; }
  void jump_counter(std::int64_t ticks) { tsc_ += static_cast<std::uint64_t>(ticks); }
  void run(std::uint64_t ns) {
    tsc_ += static_cast<std::uint64_t>(static_cast<double>(ns) * ticks_per_ns_);
    const auto told = static_cast<std::uint64_t>(static_cast<double>(ns) * steered_);
    monotonic_ += told;
    realtime_ += static_cast<std::int64_t>(told);
  }
  // `noise_ns`: how much later than the counter the clocks were read.
  TscSample sample(std::uint64_t noise_ns = 0) const {
    return {tsc_, monotonic_ + noise_ns, static_cast<std::uint64_t>(realtime_) + noise_ns};
  }
  // What docs/abi.md tells a producer to compute.
  std::int64_t error_ns(const Calibration& calibration) const {
    const std::uint64_t ticks = tsc_ - calibration.tsc;
    const std::uint64_t now =
        calibration.unix_nano + ((ticks * calibration.multiplier) >> calibration.shift);
    return static_cast<std::int64_t>(now) - realtime_;
  }

 private:
  double ticks_per_ns_;
  double steered_ = 1;
  std::uint64_t tsc_ = 123'456'789'012;
  std::uint64_t monotonic_ = 77 * kSecond;
  std::int64_t realtime_ = kEpoch;
};

TEST_CASE("calibration: a second later the time is told to a nanosecond or two, at any frequency") {
  for (const double ghz : {0.1, 0.3, 1.0, 1.9, 2.5, 3.999999, 5.7, 10.0, 20.0}) {
    INFO(ghz << " GHz");
    Machine machine(ghz);
    Baseline baseline;
    CHECK_FALSE(baseline.add(machine.sample()));
    for (int i = 0; i < 40; ++i) {
      machine.run(kSecond);
      const auto calibration = baseline.add(machine.sample());
      REQUIRE(calibration);
      Machine later = machine;
      later.run(kSecond);
      CHECK(std::abs(later.error_ns(*calibration)) <= 20);
    }
  }
}

TEST_CASE("calibration: it keeps to the bounds of the page") {
  for (const double ghz : {0.1, 0.24999, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0}) {
    INFO(ghz << " GHz");
    Machine machine(ghz);
    Baseline baseline;
    (void)baseline.add(machine.sample());
    machine.run(kSecond);
    const auto calibration = baseline.add(machine.sample());
    REQUIRE(calibration);
    CHECK(calibration->shift <= 63);
    CHECK(calibration->multiplier > 0);
    REQUIRE(calibration->expiry_tsc > calibration->tsc);
    const std::uint64_t life = calibration->expiry_tsc - calibration->tsc;
    std::uint64_t product = 0;
    REQUIRE_FALSE(__builtin_mul_overflow(life, std::uint64_t{calibration->multiplier}, &product));
    CHECK((product >> calibration->shift) > 5 * kSecond - 10'000);
    CHECK((product >> calibration->shift) < 5 * kSecond + 10'000);
  }
}

TEST_CASE(
    "calibration: samples that are late by microseconds cost less than 50 ppm, soon far less") {
  Machine machine(2.45);
  Baseline baseline;
  (void)baseline.add(machine.sample());
  for (int i = 1; i < 60; ++i) {
    machine.run(kSecond);
    const std::uint64_t noise_ns = i % 3 == 0 ? 0 : 4900;
    const auto calibration = baseline.add(machine.sample(noise_ns));
    REQUIRE(calibration);
    Machine later = machine;
    later.run(kSecond);
    const auto drift_ns = later.error_ns(*calibration) - machine.error_ns(*calibration);
    CHECK(std::abs(drift_ns) <= (i < 17 ? 5000 : 400));
  }
}

TEST_CASE("calibration: when the kernel steers its clock the new rate holds after a whole second") {
  for (const std::uint64_t unnoticed_ns : {UINT64_C(0), kSecond / 2}) {
    Machine machine(2.45);
    Baseline baseline;
    for (int i = 0; i < 30; ++i) {
      machine.run(kSecond);
      (void)baseline.add(machine.sample());
    }
    for (const double ppm : {500.0, -500.0, 100.0, 30.0, 0.0}) {
      INFO(ppm << " ppm, begun " << unnoticed_ns << " ns before a sample");
      machine.run(kSecond - unnoticed_ns);
      machine.steer(ppm);
      machine.run(unnoticed_ns);
      (void)baseline.add(machine.sample());
      machine.run(kSecond);
      const auto calibration = baseline.add(machine.sample());
      REQUIRE(calibration);
      machine.run(kSecond);
      CHECK(std::abs(machine.error_ns(*calibration)) <= 50'000);
      (void)baseline.add(machine.sample());
    }
  }
}

TEST_CASE("calibration: a clock that is set moves the anchor and not the rate") {
  Machine machine(2.45);
  Baseline baseline;
  for (int i = 0; i < 5; ++i) {
    (void)baseline.add(machine.sample());
    machine.run(kSecond);
  }
  machine.set_clock(-3600 * static_cast<std::int64_t>(kSecond));
  const auto calibration = baseline.add(machine.sample());
  REQUIRE(calibration);
  machine.run(kSecond);
  CHECK(std::abs(machine.error_ns(*calibration)) <= 20);
}

TEST_CASE(
    "calibration: after a jump of the counter there is none until a second agrees with itself") {
  for (const std::int64_t ticks : {INT64_C(-100'000'000'000), INT64_C(100'000'000'000),
                                   INT64_C(10'000'000), INT64_C(-10'000'000)}) {
    INFO(ticks << " ticks");
    Machine machine(2.45);
    Baseline baseline;
    for (int i = 0; i < 5; ++i) {
      (void)baseline.add(machine.sample());
      machine.run(kSecond);
    }
    machine.jump_counter(ticks);
    CHECK_FALSE(baseline.add(machine.sample()));
    machine.run(kSecond);
    const auto calibration = baseline.add(machine.sample());
    REQUIRE(calibration);
    machine.run(kSecond);
    CHECK(std::abs(machine.error_ns(*calibration)) <= 20);
  }
}

TEST_CASE("calibration: a counter that stands, or runs at no processor's rate, gives none") {
  Baseline baseline;
  CHECK_FALSE(baseline.add({1000, kSecond, kEpoch}));
  CHECK_FALSE(baseline.add({1000, 2 * kSecond, kEpoch + kSecond}));
  CHECK_FALSE(baseline.add({2000, 2 * kSecond, kEpoch + kSecond}));
  CHECK_FALSE(baseline.add({2001, 3 * kSecond, kEpoch + 2 * kSecond}));
  CHECK_FALSE(baseline.add({UINT64_MAX, 4 * kSecond, kEpoch + 3 * kSecond}));
  CHECK_FALSE(baseline.add({0, 5 * kSecond, kEpoch + 4 * kSecond}));
}

}  // namespace
}  // namespace otlpshm::tests
