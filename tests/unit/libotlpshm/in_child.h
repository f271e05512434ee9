// SPDX-License-Identifier: Apache-2.0
// in_child.h: runs the body of a case in a process that has never used the library.
//   Never  outlives a minute: an alarm ends a body that hangs, and the case fails.
//   Rule   a body uses REQUIRE, which throws, and not CHECK, whose failure would stay in the child.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_IN_CHILD_H
#define OTLPSHM_TESTS_LIBOTLPSHM_IN_CHILD_H

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

namespace otlpshm::library {

inline constexpr unsigned kBodySeconds = 60;

// True where a sanitizer's own memory, system calls or slowness are in the way of what a case
// shows: it says so.
inline bool is_sanitized() {
#if defined(__SANITIZE_ADDRESS__)
  WARN("skipped: not what it shows with a sanitizer in the process");
  return true;
#else
  return false;
#endif
}

// The exit status of the child, or 128 + the signal that ended it.
template <typename Body>
int status_of_child(Body body) {
  std::cout.flush();
  std::cerr.flush();
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(kBodySeconds);
    int status = 1;
    try {
      body();
      status = 0;
    } catch (...) {  // REQUIRE has printed why
    }
    std::cout.flush();
    std::cerr.flush();
    _exit(status);
  }
  if (pid < 0) return -1;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

template <typename Body>
void in_child(Body body) {
  REQUIRE(status_of_child(body) == 0);
}

}  // namespace otlpshm::library

#endif
