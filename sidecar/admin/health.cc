// SPDX-License-Identifier: Apache-2.0
// health.cc: the routes that orchestrators and scrapers ask: is it alive, is it ready, how is it.
#include "admin/health.h"

#include <algorithm>
#include <string_view>

#include "telemetry/escape.h"
#include "telemetry/prometheus.h"

namespace otlpshm::admin {
namespace {

// "verbose", "verbose=1", alone or among others.
bool asks_verbose(std::string_view query) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view item = query.substr(0, end);
    if (item.substr(0, item.find('=')) == "verbose") return true;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return false;
}

Response readiness(const std::vector<Check>& checks, bool verbose) {
  const bool ready =
      std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.holds; });
  Response response;
  response.status = ready ? 200 : 503;
  response.body = ready ? "ready\n" : "not ready\n";
  for (const Check& check : checks) {
    if (check.holds && !verbose) continue;
    response.body += (check.holds ? "[+] " : "[-] ") + check.name;
    if (!check.detail.empty()) response.body += ": " + telemetry::printable(check.detail);
    response.body += '\n';
  }
  return response;
}

}  // namespace

std::vector<Route> health_routes(const HealthSources& sources) {
  const auto live = [](std::string_view) { return Response{200, Response{}.content_type, "ok\n"}; };
  const auto ready = [checks = sources.readiness](std::string_view query) {
    return readiness(checks(), asks_verbose(query));
  };
  const auto metrics = [page = sources.metrics](std::string_view) {
    return Response{200, std::string(telemetry::kPrometheusContentType), page()};
  };
  return {{"/livez", live},   {"/healthz", live}, {"/health", live},
          {"/readyz", ready}, {"/ready", ready},  {"/metrics", metrics}};
}

}  // namespace otlpshm::admin
