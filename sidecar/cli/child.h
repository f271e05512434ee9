// SPDX-License-Identifier: Apache-2.0
// child.h: a child process that cannot outlive us, and the lines that it prints.
//   Owns   the process and the reading ends of its standard output and error.
//   Never  leaves it behind: it dies with us (PR_SET_PDEATHSIG), or in the destructor.
//   Loses  the part of a line beyond kLineBytesMax.
#ifndef OTLPSHM_CLI_CHILD_H
#define OTLPSHM_CLI_CHILD_H

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace otlpshm::cli {

// Variables to set (or, without a value, to remove) in a child's environment.
using Environment = std::vector<std::pair<std::string, std::optional<std::string>>>;

class Child {
 public:
  static constexpr std::size_t kLineBytesMax = 65'536;
  static constexpr int kStopGraceMs = 3000;

  enum class Stream { out, err };
  using OnLine = std::function<void(Stream stream, const std::string& line)>;

  // Starts command[0], a path, in a process group of its own, so that Ctrl-C reaches only us and we
  // stop our children in order. Throws Failure if it cannot be started.
  Child(std::string name, const std::vector<std::string>& command, const Environment& environment,
        OnLine on_line);
  ~Child();  // SIGTERM, and after kStopGraceMs SIGKILL
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }

  // False once it has ended and its output has been read to the end.
  bool running();

  void terminate();  // SIGTERM; does nothing to a child that has ended

  // "exit status 1", "signal 9 (Killed)"; "" while it runs.
  std::string ending() const;
  bool ended_well() const { return wait_status_ == 0; }

 private:
  friend void pump(const std::vector<Child*>& children, int timeout_ms);

  struct Pipe {
    int fd = -1;
    std::string partial;  // of a line
  };

  void read(Stream stream, Pipe& pipe);
  void reap();

  std::string name_;
  OnLine on_line_;
  pid_t pid_ = -1;
  std::optional<int> wait_status_;
  Pipe out_;
  Pipe err_;
};

// Waits up to timeout_ms for output of any child, and gives it to its on_line. Returns early when a
// signal arrives.
void pump(const std::vector<Child*>& children, int timeout_ms);

}  // namespace otlpshm::cli

#endif
