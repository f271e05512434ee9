// SPDX-License-Identifier: Apache-2.0
// private_directory.cc: see private_directory.h.
#include "cli/private_directory.h"

#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "cli/failure.h"
#include "cli/programs.h"

namespace otlpshm::cli {

namespace {

// A producer makes no segment when less than a quarter of the file system is free.
bool suits_producers(const std::string& directory) {
  struct statfs about {};
  return !directory.empty() && directory.front() == '/' &&
         access(directory.c_str(), W_OK | X_OK) == 0 && statfs(directory.c_str(), &about) == 0 &&
         about.f_type == TMPFS_MAGIC && about.f_bavail >= about.f_blocks / 4;
}

std::string base() {
  for (const std::string& directory : {variable("XDG_RUNTIME_DIR"), std::string("/dev/shm")}) {
    if (suits_producers(directory)) return directory;
  }
  const std::string temporary = variable("TMPDIR");
  return temporary.empty() ? "/tmp" : temporary;
}

}  // namespace

PrivateDirectory::PrivateDirectory(const std::string& prefix)
    : path_(base() + "/" + prefix + "XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) {  // mode 0700
    throw Failure{kExitUnavailable, "cannot make a directory " + path_ + ": " + error_text(errno) +
                                        "; set TMPDIR to one that is yours"};
  }
}

PrivateDirectory::~PrivateDirectory() {
  std::error_code ignored;  // there is nobody left to tell
  if (!kept_) std::filesystem::remove_all(path_, ignored);
}

}  // namespace otlpshm::cli
