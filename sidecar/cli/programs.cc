// SPDX-License-Identifier: Apache-2.0
// programs.cc: see programs.h.
#include "cli/programs.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "cli/failure.h"

namespace otlpshm::cli {

namespace {

std::filesystem::path own_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

std::optional<std::string> first_runnable(const std::vector<std::filesystem::path>& paths) {
  for (const auto& path : paths) {
    if (access(path.c_str(), X_OK) == 0) return path.lexically_normal().string();
  }
  return std::nullopt;
}

}  // namespace

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
  return value ? value : "";
}

std::string daemon_program(const std::string& asked) {
  if (!asked.empty()) return asked;
  std::vector<std::filesystem::path> places = {
      own_directory() / "otlpshmd",         // installed
      own_directory() / ".." / "otlpshmd",  // in the build tree
  };
  for (std::string rest = variable("PATH"); !rest.empty();) {
    const std::size_t colon = rest.find(':');
    places.push_back(std::filesystem::path(rest.substr(0, colon)) / "otlpshmd");
    rest.erase(0, colon == std::string::npos ? colon : colon + 1);
  }
  if (const auto found = first_runnable(places)) return *found;
  throw Failure{kExitUnavailable,
                "otlpshmd is neither beside this program nor on PATH; name it with --otlpshmd"};
}

std::string service_program(const std::string& name) {
  const std::string program = "otlpshm-demo-" + name;
  // Relative to ourselves, so that a tree installed under DESTDIR works where it stands.
  const auto libexec = std::filesystem::path(OTLPSHM_LIBEXECDIR).lexically_relative(OTLPSHM_BINDIR);
  if (const auto found = first_runnable({
          own_directory() / libexec / "otlpshm" / program,
          own_directory() / "../../bindings/c" / program,  // in the build tree
      })) {
    return *found;
  }
  throw Failure{kExitUnavailable,
                "the demo's service " + program + " is not installed; it belongs in " +
                    (own_directory() / libexec / "otlpshm").lexically_normal().string()};
}

}  // namespace otlpshm::cli
