// SPDX-License-Identifier: Apache-2.0
// metrics_page.h: /metrics: the law of conservation in numbers (docs/abi.md#conservation).
//   Owns   nothing: it reads the daemon at one moment, on the loop's thread.
//   Never  computes in-flight spans as a remainder: they are counted where they are.
#ifndef OTLPSHM_METRICS_PAGE_H
#define OTLPSHM_METRICS_PAGE_H

#include <string>

#include "sidecar.h"
#include "telemetry/prometheus.h"

namespace otlpshm {

class MetricsPage {
 public:
  explicit MetricsPage(Sidecar& sidecar) : sidecar_(sidecar) {}

  [[nodiscard]] std::string text();

  // Adds what has ended of a segment.
  static void add(const Source& source, Ended* sum);

 private:
  void spans();
  void exports();
  void segments();
  void published();
  void process();
  void counter(const char* name, std::uint64_t value, const char* help);
  void gauge(const char* name, std::uint64_t value, const char* help);

  Sidecar& sidecar_;
  telemetry::PrometheusText page_;
};

}  // namespace otlpshm

#endif
