// SPDX-License-Identifier: Apache-2.0
// failure.h: how a command gives up: one line for the user, and the exit status.
//   Thrown anywhere under a command, caught in main.cc; what must be undone is undone by
//   destructors.
#ifndef OTLPSHM_CLI_FAILURE_H
#define OTLPSHM_CLI_FAILURE_H

#include <string>
#include <system_error>

namespace otlpshm::cli {

// Exit statuses as in sysexits.h where it has one.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 64;
inline constexpr int kExitUnavailable = 69;
inline constexpr int kExitSignal = 128;  // and the number of the signal that interrupted it

struct Failure {
  int exit_status = kExitFailed;
  std::string why;  // names the thing and the remedy, without a full stop
};

// What an errno means.
inline std::string error_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace otlpshm::cli

#endif
