// SPDX-License-Identifier: Apache-2.0
// private_directory.h: a directory that only we can enter, on a tmpfs where there is one.
//   Owns   the directory and everything in it.   Never  follows a link out of it.
//   Loses  it when we are killed outright: then it stays.
#ifndef OTLPSHM_CLI_PRIVATE_DIRECTORY_H
#define OTLPSHM_CLI_PRIVATE_DIRECTORY_H

#include <string>

namespace otlpshm::cli {

class PrivateDirectory {
 public:
  // Under XDG_RUNTIME_DIR or /dev/shm, if that is a tmpfs with enough room for producers, else
  // under TMPDIR or /tmp. Throws Failure.
  explicit PrivateDirectory(const std::string& prefix);
  ~PrivateDirectory();  // removes it, unless kept
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;

  const std::string& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace otlpshm::cli

#endif
