// SPDX-License-Identifier: Apache-2.0
// arguments.h: the command line of otlpshmd.
#ifndef OTLPSHM_ARGUMENTS_H
#define OTLPSHM_ARGUMENTS_H

#include <optional>
#include <string>
#include <vector>

namespace otlpshm {

struct Arguments {
  std::optional<std::string> file;
  std::optional<std::string> dir;
  std::vector<std::string> sets;
  bool check_config = false;
  bool print_config = false;
  bool print_options_markdown = false;
};

// The status to exit with where there is nothing to start: what was asked for has been printed, or
// what is wrong has been said on stderr.
[[nodiscard]] std::optional<int> read_arguments(int argc, char** argv, Arguments* arguments);

}  // namespace otlpshm

#endif
