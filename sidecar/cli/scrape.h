// SPDX-License-Identifier: Apache-2.0
// scrape.h: a page of Prometheus text, read back.
//   Never  throws: a line that is not understood is not there.
//   Source Prometheus text exposition format 0.0.4.
#ifndef OTLPSHM_CLI_SCRAPE_H
#define OTLPSHM_CLI_SCRAPE_H

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace otlpshm::cli {

class Scrape {
 public:
  explicit Scrape(std::string_view text);

  // The sum over all label sets; nothing if there is no such metric.
  [[nodiscard]] std::optional<double> sum(std::string_view name) const;

  // The sums by the value of one label.
  [[nodiscard]] std::map<std::string, double> by(std::string_view name,
                                                 std::string_view label) const;

 private:
  struct Sample {
    std::string name;
    std::map<std::string, std::string> labels;
    double value = 0;
  };
  static std::optional<Sample> parsed(std::string_view line);

  std::vector<Sample> samples_;
};

}  // namespace otlpshm::cli

#endif
