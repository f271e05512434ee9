// SPDX-License-Identifier: Apache-2.0
// programs.h: where our other programs are, seen from this one: installed, or in a build tree.
#ifndef OTLPSHM_CLI_PROGRAMS_H
#define OTLPSHM_CLI_PROGRAMS_H

#include <string>

namespace otlpshm::cli {

// An environment variable; "" without one.
[[nodiscard]] std::string variable(const char* name);

// otlpshmd: what was asked for, else beside this program, else on PATH. Throws Failure.
[[nodiscard]] std::string daemon_program(const std::string& asked);

// One of the demo's services. Throws Failure.
[[nodiscard]] std::string service_program(const std::string& name);

}  // namespace otlpshm::cli

#endif
