// SPDX-License-Identifier: Apache-2.0
// private_directory_test.cc: whose it is, and when it goes.
#include "cli/private_directory.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

using otlpshm::cli::PrivateDirectory;
namespace fs = std::filesystem;

TEST_CASE("cli: a private directory goes with all that is in it, and follows no link") {
  std::string path;
  const PrivateDirectory outside("otlpshm-unit-");
  std::ofstream(outside.path() + "/stays") << "x";
  {
    const PrivateDirectory directory("otlpshm-unit-");
    path = directory.path();
    struct stat status {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
    fs::create_directory(path + "/below");
    std::ofstream(path + "/below/file") << "x";
    fs::create_directory_symlink(outside.path(), path + "/link");
  }
  CHECK_FALSE(fs::exists(path));
  CHECK(fs::exists(outside.path() + "/stays"));
}

TEST_CASE("cli: a private directory that is kept stays") {
  std::string path;
  {
    PrivateDirectory directory("otlpshm-unit-");
    path = directory.path();
    directory.keep();
  }
  CHECK(fs::exists(path));
  fs::remove(path);
}
