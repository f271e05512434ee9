// SPDX-License-Identifier: Apache-2.0
// accounts.cc: see accounts.h.
#include "cli/accounts.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace otlpshm::cli {

namespace {

std::string ms_text(const std::optional<double>& value) {
  char text[32] = "-";
  if (value) std::snprintf(text, sizeof text, "%.1f ms", *value);
  return text;
}

nlohmann::ordered_json ms_json(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace

std::uint64_t Accounts::dropped_sum() const {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : dropped) sum += count;
  return sum;
}

std::string Accounts::broken_law() const {
  if (accounted() == ended) return "";
  return "the services ended " + std::to_string(ended) + " spans, otlpshmd accounts for " +
         std::to_string(accounted()) + ": exported " + std::to_string(exported) + ", dropped " +
         std::to_string(dropped_sum()) + ", in flight " + std::to_string(in_flight);
}

std::string Accounts::text() const {
  std::string lines;
  const auto row = [&lines](const char* name, std::uint64_t count, const std::string& more = "") {
    char text[64];
    std::snprintf(text, sizeof text, "  %-9s %9llu", name, static_cast<unsigned long long>(count));
    lines += text + more + "\n";
  };
  row("orders", orders,
      ", " + std::to_string(declined) + " of them declined at payment, as planned");
  row("ended", ended, " spans, as the four services counted");
  row("exported", exported);
  row("dropped", dropped_sum());
  for (const auto& [reason, count] : dropped) row("", count, " " + reason);
  row("in flight", in_flight);
  return lines + "  span end to export: p50 " + ms_text(p50_ms) + ", p99 " + ms_text(p99_ms) + "\n";
}

std::string Accounts::json() const {
  nlohmann::ordered_json object = {
      {"ended", ended},
      {"exported", exported},
      {"dropped", nlohmann::ordered_json::object()},
      {"in_flight", in_flight},
      {"p50_ms", ms_json(p50_ms)},
      {"p99_ms", ms_json(p99_ms)},
      {"orders", orders},
      {"declined", declined},
      {"loop", loop},
  };
  for (const auto& [reason, count] : dropped) object["dropped"][reason] = count;
  return object.dump() + "\n";
}

}  // namespace otlpshm::cli
