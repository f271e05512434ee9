// SPDX-License-Identifier: Apache-2.0
// scrape.cc: see scrape.h.
#include "cli/scrape.h"

#include <charconv>

namespace otlpshm::cli {

namespace {

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes `name="value"` and a comma that follows it off the front of `text`.
bool take_label(std::string_view& text, std::map<std::string, std::string>& labels) {
  const std::size_t equals = text.find("=\"");
  if (equals == std::string_view::npos) return false;
  const std::string name(text.substr(0, equals));
  text.remove_prefix(equals + 2);
  std::string value;
  while (!text.empty() && text.front() != '"') {
    if (text.front() == '\\' && text.size() > 1) {
      text.remove_prefix(1);
      value += text.front() == 'n' ? '\n' : text.front();
    } else {
      value += text.front();
    }
    text.remove_prefix(1);
  }
  if (text.empty()) return false;
  text.remove_prefix(1);
  if (!text.empty() && text.front() == ',') text.remove_prefix(1);
  labels[name] = value;
  return true;
}

}  // namespace

Scrape::Scrape(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    if (auto sample = parsed(line)) samples_.push_back(std::move(*sample));
  }
}

std::optional<Scrape::Sample> Scrape::parsed(std::string_view line) {
  Sample sample;
  const std::size_t name_end = line.find_first_of("{ ");
  if (name_end == std::string_view::npos || name_end == 0) return std::nullopt;
  sample.name = line.substr(0, name_end);
  line.remove_prefix(name_end);
  if (line.front() == '{') {
    line.remove_prefix(1);
    while (!line.empty() && line.front() != '}') {
      if (!take_label(line, sample.labels)) return std::nullopt;
    }
    if (line.empty()) return std::nullopt;
    line.remove_prefix(1);
  }
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  const auto value = number(line.substr(0, line.find(' ')));  // a time may follow
  if (!value) return std::nullopt;
  sample.value = *value;
  return sample;
}

std::optional<double> Scrape::sum(std::string_view name) const {
  std::optional<double> total;
  for (const Sample& sample : samples_) {
    if (sample.name == name) total = total.value_or(0) + sample.value;
  }
  return total;
}

std::map<std::string, double> Scrape::by(std::string_view name, std::string_view label) const {
  std::map<std::string, double> sums;
  for (const Sample& sample : samples_) {
    const auto found = sample.labels.find(std::string(label));
    if (sample.name == name && found != sample.labels.end()) sums[found->second] += sample.value;
  }
  return sums;
}

}  // namespace otlpshm::cli
