// SPDX-License-Identifier: Apache-2.0
// main.cc: `otlpshm`, the command line: arguments → one command → an exit status.
//   Exits  0, 1 (it failed), 64 (usage), 69 (something it needs is not there), 128 + a signal;
//          every failure is one line on standard error that names the thing and the remedy.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "cli/demo.h"
#include "cli/failure.h"

namespace {

using otlpshm::cli::DemoOptions;

void add_demo(CLI::App& app, DemoOptions& options) {
  CLI::App* demo = app.add_subcommand(
      "demo", "Send real traces of four services through shared memory, and check the numbers");
  demo->add_option("--endpoint", options.endpoint,
                   "Send them to this OTLP/gRPC backend, like http://localhost:4317, instead of "
                   "printing them");
  demo->add_option("--orders", options.orders, "How many orders to send")
      ->check(CLI::Range(1u, 100000u))
      ->capture_default_str();
  demo->add_option("--rate", options.orders_per_second, "Orders a second")
      ->check(CLI::Range(0.1, 10000.0))
      ->capture_default_str();
  demo->add_flag("--json", options.json,
                 "Print the summary as one JSON object; everything else goes to standard error");
  demo->add_flag("--keep", options.keep, "Leave the shared directory in place");
  demo->add_option("--loop", options.loop, "The daemon's event loop: auto, io_uring or epoll")
      ->check(CLI::IsMember({"auto", "io_uring", "epoll"}));
  demo->add_option("--otlpshmd", options.daemon,
                   "The daemon to run; default: beside this program, or on PATH");
}

int fail(int exit_status, const std::string& why) {
  std::fprintf(stderr, "otlpshm: %s\n", why.c_str());
  return exit_status;
}

int run(int argc, char** argv) {
  CLI::App app("otlpshm: traces through shared memory", "otlpshm");
  app.set_version_flag("--version", "otlpshm " OTLPSHM_VERSION);
  app.require_subcommand(1);
  DemoOptions demo;
  add_demo(app, demo);
  try {
    app.parse(argc, argv);
    return otlpshm::cli::run_demo(demo);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const bool in_demo = app.got_subcommand("demo");
    if (!in_demo && argc > 1 && argv[1][0] != '-') {
      return fail(otlpshm::cli::kExitUsage,
                  std::string("no command \"") + argv[1] + "\"; the commands are: demo");
    }
    return fail(otlpshm::cli::kExitUsage,
                std::string(error.what()) + "; see otlpshm " + (in_demo ? "demo " : "") + "--help");
  } catch (const otlpshm::cli::Failure& failure) {
    return fail(failure.exit_status, failure.why);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "otlpshm: %s\n", error.what());
    return otlpshm::cli::kExitFailed;
  }
}
