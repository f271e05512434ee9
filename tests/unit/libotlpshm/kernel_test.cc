// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <vector>

#include "in_child.h"
#include "library.h"
#include "shared_files.h"

namespace otlpshm::library {
namespace {

constexpr int kFirst = 64;

std::vector<bool> open_ones() {
  std::vector<bool> open;
  for (int fd = 0; fd < kFirst; ++fd) open.push_back(fcntl(fd, F_GETFD) != -1);
  return open;
}

}  // namespace

TEST_CASE("kernel: what opens is above the standard streams, also while some of them are closed") {
  const PrivateDirectory directory;
  write_file(directory.file("there"), "text");
  // A failed REQUIRE has nowhere to print to, but the status of the child tells.
  for (int closed = 0; closed < 8; ++closed) {
    in_child([&] {
      const int in = open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      REQUIRE(in > 2);
      for (int fd = 0; fd < 3; ++fd) {
        if ((closed >> fd & 1) != 0) REQUIRE(close(fd) == 0);
      }
      const std::vector<bool> before = open_ones();
      const long read_only = otlpshm_kernel_openat(in, "there", O_RDONLY, 0);
      const long made = otlpshm_kernel_openat(in, "made", O_RDWR | O_CREAT | O_EXCL, 0600);
      for (const long fd : {read_only, made}) {
        REQUIRE(fd > 2);
        REQUIRE(fcntl(static_cast<int>(fd), F_GETFD) == FD_CLOEXEC);
        REQUIRE(close(static_cast<int>(fd)) == 0);
      }
      REQUIRE(open_ones() == before);
      REQUIRE(unlinkat(in, "made", 0) == 0);
    });
  }
}

}  // namespace otlpshm::library
