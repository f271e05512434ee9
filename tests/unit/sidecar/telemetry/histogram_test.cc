// SPDX-License-Identifier: Apache-2.0
#include "telemetry/histogram.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

using otlpshm::telemetry::Histogram;

TEST_CASE("histogram: an empty one is zero everywhere") {
  const Histogram histogram;
  CHECK(histogram.count() == 0);
  CHECK(histogram.least_ns() == 0);
  CHECK(histogram.greatest_ns() == 0);
  CHECK(histogram.quantile_ns(0.5) == 0);
  CHECK(histogram.count_up_to_power(36) == 0);
}

TEST_CASE("histogram: one value is every quantile, exactly") {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{16}, uint64_t{17}, uint64_t{123'456'789}, UINT64_MAX}) {
    Histogram histogram;
    histogram.record(value);
    for (const double q : {-1.0, 0.0, 0.5, 1.0, 7.0}) CHECK(histogram.quantile_ns(q) == value);
    CHECK(histogram.sum_ns() == value);
    CHECK(histogram.least_ns() == value);
    CHECK(histogram.greatest_ns() == value);
  }
}

TEST_CASE("histogram: quantiles are never too low and at most a sixteenth too high") {
  std::mt19937_64 random(7);
  Histogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t value = random() >> (random() % 63);
    values.push_back(value);
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
    const uint64_t exact = values[rank - 1];
    const uint64_t told = histogram.quantile_ns(q);
    CHECK(told >= exact);
    CHECK(told - exact <= exact / 16 + 1);
  }
}

TEST_CASE("histogram: counts up to a power of two are exact, the power itself included") {
  for (const unsigned power : {4u, 5u, 14u, 36u, 63u}) {
    const uint64_t bound = uint64_t{1} << power;
    Histogram histogram;
    histogram.record(0);
    histogram.record(bound - 1);
    histogram.record(bound);
    CHECK(histogram.count_up_to_power(power) == 3);
    histogram.record(bound + 1);
    histogram.record(UINT64_MAX);
    CHECK(histogram.count_up_to_power(power) == 3);
    CHECK(histogram.count() == 5);
  }
}

TEST_CASE("histogram: values around every power of two keep their order") {
  uint64_t last = 0;
  for (unsigned power = 2; power < 64; ++power)
    for (const int64_t offset : {-1, 0, 1}) {
      const uint64_t value = (uint64_t{1} << power) + static_cast<uint64_t>(offset);
      Histogram histogram;
      histogram.record(value);
      histogram.record(UINT64_MAX);
      const uint64_t told = histogram.quantile_ns(0.5);
      CHECK(told >= value);
      CHECK(told - value <= value / 16 + 1);
      CHECK(told >= last);
      last = told;
    }
}
