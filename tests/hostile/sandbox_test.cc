// SPDX-License-Identifier: Apache-2.0
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "host.h"

namespace otlpshm::hostile {
namespace {

// From here on any other system call of any thread of this process is its death.
template <std::size_t kCount>
bool allow_only(const int (&numbers)[kCount]) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  for (const int number : numbers) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

otlpshm_writer* open_preopened(const std::string& directory, std::uint64_t lane_bytes) {
  otlpshm_writer_options options = options_of(directory, lane_bytes);
  options.flags = OTLPSHM_WRITER_PREOPEN;
  otlpshm_writer* writer = nullptr;
  REQUIRE(otlpshm_writer_open(&writer, &options) == OTLPSHM_OK);
  return writer;
}

constexpr int kSpans = 40'000;  // more than there is room for

}  // namespace

TEST_CASE("sandbox: opened beforehand, a writer lives where each system call kills; all counts") {
  const PrivateDirectory directory;
  const int status = status_of_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_preopened(directory.path(), 4 << 20);
    const AckFile ack(directory.segment());
    // A thread's first span takes random numbers from the kernel, so it comes before.
    std::atomic<int> step{0};
    std::atomic<int> done{0};
    std::thread thread([&] {
      (void)write_span(writer);
      step = 1;
      while (step != 2) {
      }
      (void)write_spans(writer, kSpans);
      done = 1;
      for (;;) {
      }
    });
    thread.detach();
    (void)write_span(writer);
    while (step != 1) {
    }
    state.sleep(1);  // and nobody may ring
    // Where the vDSO does not serve the clock, the C library asks the kernel.
    if (!allow_only({SYS_exit_group, SYS_rt_sigreturn, SYS_clock_gettime})) _exit(2);
    step = 2;
    (void)write_spans(writer, kSpans);
    while (done == 0) {
    }
    _exit(errno_changes == 0 ? 0 : 3);
  });
  REQUIRE(status == 0);
  const SegmentFile segment(directory.segment());
  const std::uint64_t records = check_records(segment);
  REQUIRE(records > 10'000);
  REQUIRE(records + segment.dropped_total() == 2 * kSpans + 2);
  REQUIRE(segment.dropped(kLaneFull) > 0);
}

TEST_CASE("sandbox: where every system call but a few is refused, every span counts") {
  const PrivateDirectory directory;
  const int status = status_of_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), 4 << 20);
    (void)write_span(writer);
    std::vector<sock_filter> program = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (const int number : {SYS_openat, SYS_madvise, SYS_tgkill, SYS_futex, SYS_getrandom,
                             SYS_rt_sigprocmask, SYS_mmap}) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
      _exit(2);
    }
    (void)write_spans(writer, kSpans);
    otlpshm_stats stats{};
    stats.size = sizeof stats;
    (void)otlpshm_writer_stats(writer, &stats);
    const bool adds_up =
        stats.ended == kSpans + 1 && stats.ended == stats.committed + dropped_of(stats);
    _exit(adds_up && errno_changes == 0 ? 0 : 3);
  });
  REQUIRE(status == 0);
  const SegmentFile segment(directory.segment());
  REQUIRE(check_records(segment) + segment.dropped_total() == kSpans + 1);
}

}  // namespace otlpshm::hostile
