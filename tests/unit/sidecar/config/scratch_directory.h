// SPDX-License-Identifier: Apache-2.0
// scratch_directory.h: a private working directory for a test that needs files.
//   Owns   the directory and the files it wrote; both are gone at the end of the test.
#ifndef OTLPSHM_TESTS_CONFIG_SCRATCH_DIRECTORY_H
#define OTLPSHM_TESTS_CONFIG_SCRATCH_DIRECTORY_H

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace otlpshm::config {

// Errors name a file as it was given, so tests give a relative name.
class ScratchDirectory {
 public:
  ScratchDirectory() : before_(std::filesystem::current_path()) {
    std::string name = (std::filesystem::temp_directory_path() / "otlpshm-config-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    std::filesystem::current_path(path_);
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return name;
  }

 private:
  std::filesystem::path before_;
  std::filesystem::path path_;
};

}  // namespace otlpshm::config

#endif
