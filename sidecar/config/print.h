// SPDX-License-Identifier: Apache-2.0
// print.h: the configuration as text for people: what is in effect, and what there is.
//   Never  shows a header's value.
#ifndef OTLPSHM_CONFIG_PRINT_H
#define OTLPSHM_CONFIG_PRINT_H

#include <string>

#include "config/load.h"

namespace otlpshm::config {

// --print-config: YAML that load() reads back (but for redacted headers), with every origin as a
// comment. Requires result.ok().
std::string effective_config(const Result& result);

// --print-options-markdown: the whole of docs/configuration.md.
std::string options_markdown();

}  // namespace otlpshm::config

#endif
