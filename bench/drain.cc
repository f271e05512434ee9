// SPDX-License-Identifier: Apache-2.0
// drain.cc: how many spans does the daemon carry per second of its own CPU?
//   Measures lane -> drain -> validate -> batch -> gRPC, no compression -> acknowledged, with the
//   default configuration; CPU is the daemon's whole life by wait4, all threads.
#include "harness.h"

int main(int argc, char** argv) {
  constexpr int kBurst = 1024;
  const otlpshm::bench::Options options = otlpshm::bench::parse_options(argc, argv);
  otlpshm::bench::Path path;
  const double until = otlpshm::bench::monotonic_seconds() + options.seconds * 1.25;
  while (otlpshm::bench::monotonic_seconds() < until) {
    path.wait_for_room(kBurst);
    for (int i = 0; i < kBurst; ++i) (void)otlpshm::bench::emit_w5(path.writer());
  }
  path.finish();
  const double spans = static_cast<double>(path.delivered().spans);
  return otlpshm::bench::report(
      {{"drain_w5_spans_per_cpu_s", spans / path.daemon_cpu_seconds(), "spans/CPU-s"},
       {"drain_w5_cpu_ns_per_span", path.daemon_cpu_seconds() * 1e9 / spans, "ns"}},
      options.json);
}
