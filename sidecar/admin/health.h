// SPDX-License-Identifier: Apache-2.0
// health.h: the routes that orchestrators and scrapers ask: is it alive, is it ready, how is it.
//   Owns   nothing: what they say comes from the functions it is given, on the loop.
//   Never  says "not ready" without saying why.
#ifndef OTLPSHM_ADMIN_HEALTH_H
#define OTLPSHM_ADMIN_HEALTH_H

#include <functional>
#include <string>
#include <vector>

#include "admin/http.h"

namespace otlpshm::admin {

// One condition of readiness.
struct Check {
  std::string name;  // of a few words of ours: "directory", "exporter"
  bool holds = false;
  std::string detail;  // why not, and the remedy; may hold text from outside
};

struct HealthSources {
  std::function<std::vector<Check>()> readiness;
  std::function<std::string()> metrics;  // Prometheus text, version 0.0.4
};

//   /livez    200 as long as the loop turns, for nobody answers otherwise.  Also /healthz, /health.
//   /readyz   200 if every check holds, else 503 and those that do not.     Also /ready.
//             ?verbose lists every check.
//   /metrics  Prometheus text.
std::vector<Route> health_routes(const HealthSources& sources);

}  // namespace otlpshm::admin

#endif  // OTLPSHM_ADMIN_HEALTH_H
