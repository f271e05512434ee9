// SPDX-License-Identifier: Apache-2.0
// The choice of a loop where io_uring is refused: each case in a child under a seccomp filter.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "test_loop.h"

using namespace otlpshm::io;

namespace {

// What container runtimes do: one system call fails with an errno, the rest is allowed.
bool refuse(uint32_t system_call, uint32_t error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// The child's verdict: Catch's assertions stay with the parent.
int in_child(const std::function<bool()>& holds) {
  const pid_t child = fork();
  if (child == 0) _exit(holds() ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("make_loop: a kind that is granted leaves no error") {
  std::string error = "earlier";
  const auto loop = make_loop(LoopKind::epoll, &error);
  REQUIRE(loop != nullptr);
  CHECK(error.empty());
  CHECK(std::string(loop->name()) == "epoll");
}

TEST_CASE("make_loop: automatic is epoll where io_uring is refused, and says why") {
  CHECK(in_child([] {
          std::string error;
          if (!refuse(SYS_io_uring_setup, EPERM)) return false;
          const auto loop = make_loop(LoopKind::automatic, &error);
          return loop && std::string(loop->name()) == "epoll" && contains(error, "io_uring");
        }) == 0);
}

TEST_CASE("make_loop: io_uring asked for and refused is an error with a remedy") {
  CHECK(in_child([] {
          std::string error;
          if (!refuse(SYS_io_uring_setup, EPERM)) return false;
          return !make_loop(LoopKind::io_uring, &error) &&
                 (contains(error, "seccomp") || contains(error, "io_uring_disabled")) &&
                 contains(error, "epoll");
        }) == 0);
  CHECK(in_child([] {
          std::string error;
          if (!refuse(SYS_io_uring_setup, ENOSYS)) return false;
          return !make_loop(LoopKind::io_uring, &error) && contains(error, "5.11");
        }) == 0);
  CHECK(in_child([] {
          std::string error;
          if (!refuse(SYS_io_uring_setup, ENOMEM)) return false;
          return !make_loop(LoopKind::io_uring, &error) && contains(error, "LimitMEMLOCK");
        }) == 0);
}

TEST_CASE("make_loop: where no epoll descriptor can be made there is an error, not a crash") {
  CHECK(in_child([] {
          std::string error;
          if (!refuse(SYS_epoll_create1, EMFILE)) return false;
          return !make_loop(LoopKind::epoll, &error) && contains(error, "LimitNOFILE");
        }) == 0);
}

TEST_CASE("make_loop: epoll without epoll_pwait2 still waits and wakes") {
  CHECK(in_child([] {
          std::string error;
          if (!refuse(SYS_epoll_pwait2, ENOSYS)) return false;
          const auto loop = make_loop(LoopKind::epoll, &error);
          if (!loop) return false;
          const uint64_t start_ns = monotonic_ns();
          bool due = false;
          loop->after(15, [&] { due = true; });
          int turns = 0;  // one, unless the timeout in whole milliseconds is rounded down
          for (; !due && turns < 10; ++turns) loop->run_once(1000 * kMs);
          return due && monotonic_ns() - start_ns >= 15 * kMs;
        }) == 0);
}
