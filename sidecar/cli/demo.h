// SPDX-License-Identifier: Apache-2.0
// demo.h: `otlpshm demo`: a daemon, four services, some orders, and the numbers that must add up.
//   Owns   a private directory and five child processes, for as long as it runs.
//   Never  leaves one of them behind, or waits for anything without a limit.
//   Counts ended from the services, exported and dropped from the daemon; it computes neither.
#ifndef OTLPSHM_CLI_DEMO_H
#define OTLPSHM_CLI_DEMO_H

#include <cstdint>
#include <string>

namespace otlpshm::cli {

struct DemoOptions {
  std::string endpoint;  // "": print the traces here
  std::string loop;      // of the daemon; "": its default
  std::string daemon;    // otlpshmd; "": beside this program, or on PATH
  std::uint32_t orders = 20;
  double orders_per_second = 10;
  bool json = false;
  bool keep = false;  // the directory
};

// Returns an exit status; throws Failure.
int run_demo(const DemoOptions& options);

}  // namespace otlpshm::cli

#endif
