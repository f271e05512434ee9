// SPDX-License-Identifier: Apache-2.0
// substitute.h: ${env:NAME} in the scalars of a configuration file.
//   Never  looks at its own output again: a variable's text is a value, not a template or YAML.
#ifndef OTLPSHM_CONFIG_SUBSTITUTE_H
#define OTLPSHM_CONFIG_SUBSTITUTE_H

#include <map>
#include <string>
#include <string_view>

#include "config/value.h"

namespace otlpshm::config {

// ${env:NAME} is the variable, an error if unset; ${env:NAME:-text} is `text` if it is unset or
// empty; $$ is $; any other $ stands for itself. The result has at most value_bytes_max bytes.
Parsed<std::string> substituted(std::string_view text,
                                const std::map<std::string, std::string>& environment);

}  // namespace otlpshm::config

#endif
