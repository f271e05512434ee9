// SPDX-License-Identifier: Apache-2.0
// arguments.cc: the daemon's only includer of CLI11, which is slow to compile.
#include "arguments.h"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace otlpshm {

namespace {

constexpr int kExitUsage = 64;

void describe(CLI::App& app, Arguments& arguments) {
  app.set_version_flag("--version", "otlpshmd " OTLPSHM_VERSION);
  app.add_option("--config", arguments.file, "Read options from this YAML file");
  app.add_option("--dir", arguments.dir, "The shared directory; short for --set dir=DIR");
  app.add_option("--set", arguments.sets, "Set one option: key=value; may be repeated")
      ->allow_extra_args(false);
  app.add_flag("--check-config", arguments.check_config, "Check the configuration and exit");
  app.add_flag("--print-config", arguments.print_config,
               "Print the configuration in effect, with the origin of every value, and exit");
  app.add_flag("--print-options-markdown", arguments.print_options_markdown,
               "Print docs/configuration.md and exit");
}

}  // namespace

std::optional<int> read_arguments(int argc, char** argv, Arguments* arguments) {
  CLI::App app("otlpshmd: takes spans out of shared memory and exports them as OTLP", "otlpshmd");
  describe(app, *arguments);
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    std::fprintf(stderr, "otlpshmd: %s; see otlpshmd --help\n", wrong.what());
    return kExitUsage;
  }
}

}  // namespace otlpshm
