// SPDX-License-Identifier: Apache-2.0
// counters.h: the daemon's counters, gauges and histograms: plain words with a name and a sentence.
//   Owns   the words; a stage keeps a reference to each of its own, valid as long as this is.
//   Thread the loop's only: no atomics on the path of a span. Another thread posts to the loop.
//   Never  allocates or looks a name up when counting.
#ifndef OTLPSHM_TELEMETRY_COUNTERS_H
#define OTLPSHM_TELEMETRY_COUNTERS_H

#include <cstdint>
#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/prometheus.h"

namespace otlpshm::telemetry {

class Counter {
 public:
  void add(uint64_t count = 1) { value_ += count; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

class Gauge {
 public:
  void set(uint64_t value) { value_ = value; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

class Counters {
 public:
  Counters() = default;
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  // Series of one name have the same type and sentence, and differ in their labels.
  Counter& counter(const std::string& name, const std::string& help, Labels labels = {});
  Gauge& gauge(const std::string& name, const std::string& help, Labels labels = {});
  Histogram& histogram(const std::string& name, const std::string& help, Labels labels = {});

  // Every metric, in the order in which they were made.
  void write(PrometheusText* page) const;

 private:
  using Word = std::variant<Counter, Gauge, Histogram>;
  struct Series {
    Labels labels;
    Word word;
  };
  struct Family {
    std::string name;
    std::string help;
    MetricType type;
    std::deque<Series> series;  // a deque: references stay valid
  };

  Word& add(const std::string& name, const std::string& help, Labels labels, Word word);

  std::deque<Family> families_;
};

}  // namespace otlpshm::telemetry

#endif  // OTLPSHM_TELEMETRY_COUNTERS_H
