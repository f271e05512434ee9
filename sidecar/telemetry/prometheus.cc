// SPDX-License-Identifier: Apache-2.0
// prometheus.cc: writes metrics in the Prometheus text exposition format, version 0.0.4.
#include "telemetry/prometheus.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>

#include "telemetry/escape.h"
#include "telemetry/histogram.h"

namespace otlpshm::telemetry {
namespace {

// Bounds of a histogram's buckets: 2^14 ns (16 µs) to 2^36 ns (69 s), where our counts are exact.
constexpr unsigned kLeastPower = 14;
constexpr unsigned kGreatestPower = 36;

bool is_label_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && letter(name[0]) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || digit(c); });
}

std::string text_of(uint64_t value) {
  return std::to_string(value);
}

std::string text_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end.ptr};
}

double seconds(uint64_t ns) {
  return static_cast<double>(ns) * 1e-9;
}

// Without braces: name="value",…
std::string text_of(const Labels& labels) {
  std::string text;
  for (const Label& label : labels) {
    assert(is_label_name(label.name) && !label.name.starts_with("__") && label.name != "le");
    if (!text.empty()) text += ',';
    text += label.name + "=\"" + prometheus_label_value(label.value) + '"';
  }
  return text;
}

}  // namespace

bool is_metric_name(std::string_view name, MetricType type) {
  if (!is_label_name(name) || name.ends_with("_total") != (type == MetricType::counter))
    return false;
  for (const std::string_view suffix : {"_bucket", "_count", "_sum", "_info"})
    if (name.ends_with(suffix) && !(suffix == "_info" && type == MetricType::gauge)) return false;
  return type != MetricType::histogram || name.ends_with("_seconds");
}

void PrometheusText::family(std::string_view name, MetricType type, std::string_view help) {
  assert(is_metric_name(name, type) && !help.empty());
  [[maybe_unused]] const bool first = families_.emplace(name).second;
  assert(first);
  constexpr std::array<std::string_view, 3> types = {"counter", "gauge", "histogram"};
  name_ = name;
  type_ = type;
  series_.clear();
  text_ += "# HELP " + name_ + ' ';
  for (const char c : help) {
    if (c == '\\')
      text_ += "\\\\";
    else if (c == '\n')
      text_ += "\\n";
    else
      text_ += c;
  }
  text_ += "\n# TYPE " + name_ + ' ';
  text_ += types[static_cast<size_t>(type)];
  text_ += '\n';
}

bool PrometheusText::is_new(const std::string& labels) {
  assert(!name_.empty());
  const bool fresh = series_.insert(labels).second;
  if (!fresh) ++repeated_;
  return fresh;
}

void PrometheusText::line(std::string_view suffix, const std::string& labels,
                          std::string_view value) {
  text_ += name_;
  text_ += suffix;
  if (!labels.empty()) text_ += '{' + labels + '}';
  text_ += ' ';
  text_ += value;
  text_ += '\n';
}

void PrometheusText::series(uint64_t value, const Labels& labels) {
  assert(type_ != MetricType::histogram);
  const std::string text = text_of(labels);
  if (is_new(text)) line("", text, text_of(value));
}

void PrometheusText::series(double value, const Labels& labels) {
  assert(type_ != MetricType::histogram);
  const std::string text = text_of(labels);
  if (is_new(text)) line("", text, text_of(value));
}

void PrometheusText::series(const Histogram& durations, const Labels& labels) {
  assert(type_ == MetricType::histogram);
  const std::string text = text_of(labels);
  if (!is_new(text)) return;
  const std::string before_le = text.empty() ? "" : text + ',';
  for (unsigned power = kLeastPower; power <= kGreatestPower; ++power)
    line("_bucket", before_le + "le=\"" + text_of(seconds(uint64_t{1} << power)) + '"',
         text_of(durations.count_up_to_power(power)));
  line("_bucket", before_le + "le=\"+Inf\"", text_of(durations.count()));
  line("_sum", text, text_of(seconds(durations.sum_ns())));
  line("_count", text, text_of(durations.count()));
}

}  // namespace otlpshm::telemetry
