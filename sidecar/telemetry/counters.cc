// SPDX-License-Identifier: Apache-2.0
// counters.cc: the daemon's counters, gauges and histograms: plain words with a name and a
// sentence.
#include "telemetry/counters.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace otlpshm::telemetry {
namespace {

bool same(const Labels& a, const Labels& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Label& x, const Label& y) {
    return x.name == y.name && x.value == y.value;
  });
}

}  // namespace

Counter& Counters::counter(const std::string& name, const std::string& help, Labels labels) {
  return std::get<Counter>(add(name, help, std::move(labels), Counter{}));
}

Gauge& Counters::gauge(const std::string& name, const std::string& help, Labels labels) {
  return std::get<Gauge>(add(name, help, std::move(labels), Gauge{}));
}

Histogram& Counters::histogram(const std::string& name, const std::string& help, Labels labels) {
  return std::get<Histogram>(add(name, help, std::move(labels), Histogram{}));
}

Counters::Word& Counters::add(const std::string& name, const std::string& help, Labels labels,
                              Word word) {
  const auto type = static_cast<MetricType>(word.index());  // both in the same order
  assert(is_metric_name(name, type) && !help.empty());
  auto family = std::find_if(families_.begin(), families_.end(),
                             [&](const Family& known) { return known.name == name; });
  if (family == families_.end())
    family = families_.insert(families_.end(), Family{name, help, type, {}});
  assert(family->type == type && family->help == help);
  assert(std::none_of(family->series.begin(), family->series.end(),
                      [&](const Series& known) { return same(known.labels, labels); }));
  family->series.push_back(Series{std::move(labels), std::move(word)});
  return family->series.back().word;
}

void Counters::write(PrometheusText* page) const {
  for (const Family& family : families_) {
    page->family(family.name, family.type, family.help);
    for (const Series& series : family.series) {
      if (const auto* counter = std::get_if<Counter>(&series.word))
        page->series(counter->value(), series.labels);
      else if (const auto* gauge = std::get_if<Gauge>(&series.word))
        page->series(gauge->value(), series.labels);
      else
        page->series(std::get<Histogram>(series.word), series.labels);
    }
  }
}

}  // namespace otlpshm::telemetry
