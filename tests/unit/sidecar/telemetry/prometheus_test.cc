// SPDX-License-Identifier: Apache-2.0
#include "telemetry/prometheus.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "telemetry/histogram.h"

using namespace otlpshm::telemetry;

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("prometheus: a page is exactly this") {
  PrometheusText page;
  page.family("otlpshm_spans_dropped_total", MetricType::counter, "Spans dropped, by reason.");
  page.series(uint64_t{3}, {{"reason", "lane_full"}, {"side", "producer"}});
  page.series(UINT64_MAX, {{"reason", "poison"}});
  page.family("otlpshm_lane_used_ratio", MetricType::gauge, "Fill of the fullest lane.");
  page.series(0.25);
  CHECK(page.take() ==
        "# HELP otlpshm_spans_dropped_total Spans dropped, by reason.\n"
        "# TYPE otlpshm_spans_dropped_total counter\n"
        "otlpshm_spans_dropped_total{reason=\"lane_full\",side=\"producer\"} 3\n"
        "otlpshm_spans_dropped_total{reason=\"poison\"} 18446744073709551615\n"
        "# HELP otlpshm_lane_used_ratio Fill of the fullest lane.\n"
        "# TYPE otlpshm_lane_used_ratio gauge\n"
        "otlpshm_lane_used_ratio 0.25\n");
  CHECK(page.repeated() == 0);
}

TEST_CASE("prometheus: numbers that are none are spelled as the format spells them") {
  PrometheusText page;
  page.family("g", MetricType::gauge, "G.");
  page.series(std::nan(""), {{"n", "1"}});
  page.series(std::numeric_limits<double>::infinity(), {{"n", "2"}});
  page.series(-std::numeric_limits<double>::infinity(), {{"n", "3"}});
  const std::string text = page.take();
  CHECK(count(text, "} NaN\n") == 1);
  CHECK(count(text, "} +Inf\n") == 1);
  CHECK(count(text, "} -Inf\n") == 1);
}

TEST_CASE("prometheus: label values and help text are escaped") {
  PrometheusText page;
  page.family("g", MetricType::gauge, "Two\nlines \\ and \"quotes\".");
  page.series(uint64_t{1}, {{"service", "a\"} 1\nevil_total 7\\"}});
  CHECK(page.take() ==
        "# HELP g Two\\nlines \\\\ and \"quotes\".\n"
        "# TYPE g gauge\n"
        "g{service=\"a\\\"} 1\\nevil_total 7\\\\\"} 1\n");
}

TEST_CASE("prometheus: a series that is there already is left out and counted") {
  PrometheusText page;
  page.family("g", MetricType::gauge, "G.");
  page.series(uint64_t{1}, {{"service", "\xff"}});
  page.series(uint64_t{2}, {{"service", "\xfe"}});  // both are shown as U+FFFD
  CHECK(page.repeated() == 1);
  const std::string text = page.take();
  CHECK(count(text, "\ng{") == 1);
  CHECK(count(text, "} 1\n") == 1);
}

TEST_CASE("prometheus: a histogram's buckets are cumulative and end in its count") {
  Histogram histogram;
  histogram.record(16'384);             // = the first bound
  histogram.record(16'385);             // just above it
  histogram.record(1'000'000);          // 1 ms
  histogram.record(uint64_t{1} << 40);  // above the last bound
  PrometheusText page;
  page.family("otlpshm_export_duration_seconds", MetricType::histogram, "Export calls.");
  page.series(histogram, {{"endpoint", "a"}});
  const std::string text = page.take();
  CHECK(count(text, "_bucket{endpoint=\"a\",le=\"") == 24);
  CHECK(count(text, "le=\"1.6384e-05\"} 1\n") == 1);
  CHECK(count(text, "le=\"3.2768e-05\"} 2\n") == 1);
  CHECK(count(text, "le=\"0.001048576\"} 3\n") == 1);
  CHECK(count(text, "le=\"68.719476736\"} 3\n") == 1);
  CHECK(count(text, "le=\"+Inf\"} 4\n") == 1);
  CHECK(count(text, "_count{endpoint=\"a\"} 4\n") == 1);
  CHECK(count(text, "_sum{endpoint=\"a\"} 1099.51") == 1);
  CHECK(count(text, "# TYPE otlpshm_export_duration_seconds histogram\n") == 1);
}

TEST_CASE("prometheus: names that promtool would refuse are not names") {
  CHECK(is_metric_name("otlpshm_spans_total", MetricType::counter));
  CHECK(is_metric_name("otlpshm_export_seconds", MetricType::histogram));
  CHECK(is_metric_name("otlpshm_build_info", MetricType::gauge));
  CHECK_FALSE(is_metric_name("otlpshm_spans", MetricType::counter));
  CHECK_FALSE(is_metric_name("otlpshm_spans_total", MetricType::gauge));
  CHECK_FALSE(is_metric_name("otlpshm_spans_count", MetricType::gauge));
  CHECK_FALSE(is_metric_name("otlpshm_export_ms", MetricType::histogram));
  CHECK_FALSE(is_metric_name("9lives", MetricType::gauge));
  CHECK_FALSE(is_metric_name("with space", MetricType::gauge));
  CHECK_FALSE(is_metric_name("", MetricType::gauge));
}
