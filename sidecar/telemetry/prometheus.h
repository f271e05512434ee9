// SPDX-License-Identifier: Apache-2.0
// prometheus.h: writes metrics in the Prometheus text exposition format, version 0.0.4.
//   Owns   the text under way.     Thread  one.
//   Never  writes a page that a scraper refuses whole: label values may come from an application,
//          so they are escaped, and a series that is there already is left out.
//   Loses  such repeated series; repeated() counts them.
#ifndef OTLPSHM_TELEMETRY_PROMETHEUS_H
#define OTLPSHM_TELEMETRY_PROMETHEUS_H

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace otlpshm::telemetry {

class Histogram;

inline constexpr std::string_view kPrometheusContentType =
    "text/plain; version=0.0.4; charset=utf-8";

// Names are ours and are asserted; values may be anything.
struct Label {
  std::string name;
  std::string value;
};
using Labels = std::vector<Label>;

enum class MetricType { counter, gauge, histogram };

// Letters, digits and underscores, not a digit first; a counter ends in _total and nothing else
// does; nothing ends in the suffixes of a histogram's own series.
bool is_metric_name(std::string_view name, MetricType type);

class PrometheusText {
 public:
  // Begins a metric: its series follow, and no other metric's between them. `name` is used once.
  void family(std::string_view name, MetricType type, std::string_view help);
  void series(uint64_t value, const Labels& labels = {});
  void series(double value, const Labels& labels = {});
  // In seconds: the metric's name ends in _seconds.
  void series(const Histogram& durations, const Labels& labels = {});

  size_t repeated() const { return repeated_; }
  std::string take() { return std::move(text_); }

 private:
  bool is_new(const std::string& labels);
  void line(std::string_view suffix, const std::string& labels, std::string_view value);

  std::string text_;
  std::string name_;
  MetricType type_ = MetricType::counter;
  std::set<std::string, std::less<>> families_;
  std::set<std::string> series_;  // of this family
  size_t repeated_ = 0;
};

}  // namespace otlpshm::telemetry

#endif  // OTLPSHM_TELEMETRY_PROMETHEUS_H
