// SPDX-License-Identifier: Apache-2.0
// main.cc: model [--executions-max N] [--weaken SITE]... [--sites] [--trace]
//             [--first-fault] [SCENARIO...]
//   Prints for each scenario a line "NAME executions exhaustive|bounded fault", tab-separated.
//   Exits  0, or 1 when a scenario has a fault, or 2 when it was called wrongly.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "checker.h"
#include "scenarios.h"

namespace model = otlpshm::model;

namespace {

int misused(const char* what) {
  std::fprintf(stderr, "model: %s\n", what);
  return 2;
}

bool is_asked(const char* name, char** first, char** last) {
  if (first == last) return true;
  for (; first != last; ++first) {
    if (std::strcmp(name, *first) == 0) return true;
  }
  return false;
}

}  // namespace

int main(int count, char** arguments) {
  std::uint64_t executions_max = UINT64_MAX;
  bool sites = false;
  bool trace = false;
  bool first_fault = false;
  int i = 1;
  for (; i < count && arguments[i][0] == '-'; ++i) {
    if (std::strcmp(arguments[i], "--sites") == 0) {
      sites = true;
    } else if (std::strcmp(arguments[i], "--first-fault") == 0) {
      first_fault = true;
    } else if (std::strcmp(arguments[i], "--trace") == 0) {
      trace = true;
    } else if (i + 1 < count && std::strcmp(arguments[i], "--executions-max") == 0) {
      executions_max = std::strtoull(arguments[++i], nullptr, 10);
    } else if (i + 1 < count && std::strcmp(arguments[i], "--weaken") == 0) {
      char* end = nullptr;
      const unsigned long code = std::strtoul(arguments[++i], &end, 16);
      if (*end == '\0') {
        model::weaken(code);
      } else {
        model::weaken(arguments[i]);
      }
    } else {
      return misused("unknown option");
    }
  }
  int status = 0;
  std::size_t scenario_count = 0;
  const model::Scenario* const* const all = model::scenarios(&scenario_count);
  for (std::size_t s = 0; s < scenario_count; ++s) {
    if (!is_asked(all[s]->name, arguments + i, arguments + count)) continue;
    const model::Searched searched = model::search(*all[s], executions_max);
    std::printf("scenario\t%s\t%llu\t%s\t%s\n", all[s]->name,
                static_cast<unsigned long long>(searched.executions),
                searched.is_exhaustive ? "exhaustive" : "bounded",
                searched.fault != nullptr ? searched.fault : "");
    std::fflush(stdout);
    if (searched.fault == nullptr) continue;
    status = 1;
    if (trace) model::print_trace();
    if (first_fault) break;
  }
  if (sites) model::print_sites();
  return status;
}
