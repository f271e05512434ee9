// SPDX-License-Identifier: Apache-2.0
#include "telemetry/counters.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace otlpshm::telemetry;

TEST_CASE("counters: what was counted is what is written, in the order of making") {
  Counters counters;
  Counter& sent = counters.counter("otlpshm_sent_total", "Sent.", {{"endpoint", "a"}});
  Gauge& lanes = counters.gauge("otlpshm_lanes", "Lanes.");
  Counter& sent_b = counters.counter("otlpshm_sent_total", "Sent.", {{"endpoint", "b"}});
  Histogram& latency = counters.histogram("otlpshm_latency_seconds", "Latency.");
  sent.add();
  sent.add(4);
  sent_b.add(2);
  lanes.set(9);
  lanes.set(7);
  latency.record(1'000);
  PrometheusText page;
  counters.write(&page);
  const std::string text = page.take();
  CHECK(text.find("# HELP otlpshm_sent_total Sent.\n"
                  "# TYPE otlpshm_sent_total counter\n"
                  "otlpshm_sent_total{endpoint=\"a\"} 5\n"
                  "otlpshm_sent_total{endpoint=\"b\"} 2\n"
                  "# HELP otlpshm_lanes Lanes.\n"
                  "# TYPE otlpshm_lanes gauge\n"
                  "otlpshm_lanes 7\n"
                  "# HELP otlpshm_latency_seconds Latency.\n") == 0);
  CHECK(text.find("otlpshm_latency_seconds_count 1\n") != std::string::npos);
  CHECK(page.repeated() == 0);
}

TEST_CASE("counters: a reference stays valid while others are made") {
  Counters counters;
  std::vector<Counter*> kept;
  for (int i = 0; i < 1000; ++i)
    kept.push_back(&counters.counter("otlpshm_n_total", "N.", {{"n", std::to_string(i)}}));
  for (size_t i = 0; i < kept.size(); ++i) kept[i]->add(i);
  PrometheusText page;
  counters.write(&page);
  const std::string text = page.take();
  CHECK(text.find("otlpshm_n_total{n=\"0\"} 0\n") != std::string::npos);
  CHECK(text.find("otlpshm_n_total{n=\"999\"} 999\n") != std::string::npos);
}
