// SPDX-License-Identifier: Apache-2.0
// load.h: from the sources of configuration to one Config, with every value's origin.
//   Order  defaults < OTEL_EXPORTER_OTLP_* < file < OTLPSHM_* < --set: the last one wins.
//   Never  throws, stops at the first error, or shows a header's value.
//   Loses  nothing silently: an ignored value is a warning, everything else wrong is an error.
#ifndef OTLPSHM_CONFIG_LOAD_H
#define OTLPSHM_CONFIG_LOAD_H

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/options.h"

namespace otlpshm::config {

// The exit status for a configuration that has errors (EX_CONFIG of sysexits.h).
inline constexpr int exit_config = 78;

inline constexpr std::size_t errors_shown_max = 50;

using Environment = std::map<std::string, std::string>;

struct Sources {
  std::optional<std::string> file = {};  // --config
  Environment environment = {};
  std::vector<std::string> sets = {};  // "key=value", as after --set; --dir D is "dir=D"
};

struct Result {
  Config config;                          // meaningful only if ok()
  std::vector<std::string> origins = {};  // one for each row of options()
  std::vector<std::string> warnings = {};
  std::vector<std::string> errors = {};  // each a whole text of one or more lines

  bool ok() const { return errors.empty(); }
};

[[nodiscard]] Result load(const Sources& sources);

// A copy of a process environment, such as ::environ; the first of equal names counts, as in
// getenv.
Environment environment_from(const char* const* environment);

}  // namespace otlpshm::config

#endif
