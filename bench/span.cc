// SPDX-License-Identifier: Apache-2.0
// span.cc: what does a span cost the thread that records it?
//   Measures start -> 5 attributes -> end through the shared library, both clock reads, in CPU time
//   of the thread; and, in turn with it in the same run, the floor: two clock reads and a copy of
//   280 bytes into a ring. Bursts fit the lanes; between them the daemon catches up.
#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#include "harness.h"

namespace {

constexpr int kBurst = 16384;
constexpr std::size_t kFloorRing = 1u << 20;
constexpr std::size_t kFloorBytes = 280;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double floor_burst_ns() {
  static std::vector<unsigned char> ring(kFloorRing);
  static unsigned char record[kFloorBytes];
  std::size_t at = 0;
  const double before = otlpshm::bench::thread_cpu_seconds();
  for (int i = 0; i < kBurst; ++i) {
    timespec start{};
    timespec end{};
    clock_gettime(CLOCK_MONOTONIC, &start);
    std::memcpy(record, &start, sizeof start);
    clock_gettime(CLOCK_MONOTONIC, &end);
    std::memcpy(record + sizeof start, &end, sizeof end);
    std::memcpy(&ring[at], record, kFloorBytes);
    at = at + 2 * kFloorBytes <= kFloorRing ? at + kFloorBytes : 0;
    __asm__ volatile("" : : "r"(ring.data()) : "memory");
  }
  return (otlpshm::bench::thread_cpu_seconds() - before) * 1e9 / kBurst;
}

double span_burst_ns(otlpshm_writer* writer) {
  const double before = otlpshm::bench::thread_cpu_seconds();
  for (int i = 0; i < kBurst; ++i) (void)otlpshm::bench::emit_w5(writer);
  return (otlpshm::bench::thread_cpu_seconds() - before) * 1e9 / kBurst;
}

}  // namespace

int main(int argc, char** argv) {
  const otlpshm::bench::Options options = otlpshm::bench::parse_options(argc, argv);
  otlpshm::bench::Path path;
  std::vector<double> spans;
  std::vector<double> floors;
  std::vector<double> ratios;
  const double warm = otlpshm::bench::monotonic_seconds() + options.seconds / 4;
  const double until = warm + options.seconds;
  while (otlpshm::bench::monotonic_seconds() < until) {
    path.wait_for_room(kBurst);
    const double span = span_burst_ns(path.writer());
    const double floor = floor_burst_ns();
    if (otlpshm::bench::monotonic_seconds() < warm) continue;
    spans.push_back(span);
    floors.push_back(floor);
    ratios.push_back(span / floor);
  }
  path.finish();
  return otlpshm::bench::report({{"span_w5_cpu_ns", median(spans), "ns"},
                                 {"span_floor_ns", median(floors), "ns"},
                                 {"span_w5_floor_ratio", median(ratios), "ratio"}},
                                options.json);
}
