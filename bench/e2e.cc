// SPDX-License-Identifier: Apache-2.0
// e2e.cc: how many spans per second travel the whole path, what does each cost, is one lost?
//   Measures two recording threads -> daemon -> receiver; wall time from the first span to the last
//   acknowledgement; CPU of the application and of the daemon, all threads.
#include <thread>

#include "harness.h"

int main(int argc, char** argv) {
  constexpr int kBurst = 1024;
  constexpr int kThreads = 2;
  const otlpshm::bench::Options options = otlpshm::bench::parse_options(argc, argv);
  otlpshm::bench::Path path;
  const double cpu_before = otlpshm::bench::process_cpu_seconds();
  const double started = otlpshm::bench::monotonic_seconds();
  const double until = started + options.seconds * 1.25;
  const auto record = [&path, until] {
    while (otlpshm::bench::monotonic_seconds() < until) {
      path.wait_for_room(kThreads * kBurst);
      for (int i = 0; i < kBurst; ++i) (void)otlpshm::bench::emit_w5(path.writer());
    }
  };
  std::thread other(record);
  record();
  other.join();
  path.wait_until_settled();
  const double wall = otlpshm::bench::monotonic_seconds() - started;
  const double application_cpu = otlpshm::bench::process_cpu_seconds() - cpu_before;
  path.finish();
  const double spans = static_cast<double>(path.delivered().distinct);
  const double lost = static_cast<double>(path.ended()) - spans;
  return otlpshm::bench::report(
      {{"e2e_spans_per_s", spans / wall, "spans/s"},
       {"e2e_lost", lost, "spans"},
       {"e2e_cpu_ns_per_span", (application_cpu + path.daemon_cpu_seconds()) * 1e9 / spans, "ns"},
       {"e2e_application_cpu_ns_per_span", application_cpu * 1e9 / spans, "ns"},
       {"e2e_daemon_cpu_ns_per_span", path.daemon_cpu_seconds() * 1e9 / spans, "ns"}},
      options.json);
}
