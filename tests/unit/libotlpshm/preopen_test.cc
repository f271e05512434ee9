// SPDX-License-Identifier: Apache-2.0
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <thread>

#include "in_child.h"
#include "in_thread.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint32_t kAnother = 0x80000001;  // no tid of this process, and never gone

// The kernel ends the process at any system call from here on, but for its exit.
void forbid_the_kernel() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog all = {sizeof program / sizeof program[0], program};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0);
}

otlpshm_attachment* open_all(const std::string& path, std::uint64_t budget) {
  forget_environment();
  otlpshm_writer* writer = open_writer(path, budget);
  otlpshm_attachment* attachment = nullptr;
  otlpshm_attach_open_lock();
  const int status = otlpshm_attach_open(&attachment, path.c_str(), 0, true);
  otlpshm_attach_open_unlock();
  REQUIRE(status == OTLPSHM_OK);
  REQUIRE(attachment == writer->attachment);
  return attachment;
}

}  // namespace

TEST_CASE("preopen: all lanes are open and have their memory at once") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_attachment* attachment = open_all(directory.path(), 4 << 20);
    const otlpshm_segment* segment = attachment->current;
    const SegmentFile file(directory.segment());
    REQUIRE(segment->lane_count > 1);
    REQUIRE(file.lanes_open() == segment->lane_count);
    struct stat stat = {};
    REQUIRE(::stat(directory.segment().c_str(), &stat) == 0);
    REQUIRE(stat.st_blocks * 512 == stat.st_size);
    for (std::uint32_t lane = 0; lane < segment->lane_count; ++lane) {
      REQUIRE(segment->lanes[lane].populated == segment->lanes[lane].bytes);
      REQUIRE(segment->lanes[lane].lease == OTLPSHM_LEASE_FREE);
    }
  });
}

TEST_CASE(
    "preopen: spans enter the kernel no more, whether lanes fill, daemons sleep or time passes") {
  if (is_sanitized()) return;
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_attachment* attachment = open_all(directory.path(), 2 << 20);
    AckFile ack(directory.segment());
    otlpshm_attach_look(attachment, otlpshm_clock_monotonic(), true);
    REQUIRE(attachment->current->ack != nullptr);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_span(writer, "s", OTLPSHM_SPAN_SIGNAL_SAFE) == OTLPSHM_OK);
    // What memory was short for at attach is not asked for again by a span.
    attachment->current->lanes[1].populated = attachment->current->lanes[1].limit = 0;
    state.sleep(1);
    const std::uint64_t until = otlpshm_clock_monotonic() + 250'000'000;  // two looks
    forbid_the_kernel();
    while (otlpshm_clock_monotonic() < until) {
      (void)write_span(writer, "s", OTLPSHM_SPAN_SIGNAL_SAFE);
    }
    ack.set_state(3);
    (void)write_span(writer, "reaped");
    _exit(0);
  });
}

TEST_CASE("preopen: a lane that a living thread is opening is left to it, with those behind it") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer* writer = open_writer(directory.path(), 4 << 20);
    otlpshm_segment* segment = writer->attachment->current;
    segment->open_lease = kAnother;
    (void)open_all(directory.path(), 0);
    REQUIRE(segment->open_lease == kAnother);
    REQUIRE(segment->lanes_open == 1);
    REQUIRE(segment->lanes[0].populated == segment->lanes[0].bytes);
    for (std::uint32_t lane = 1; lane < segment->lane_count; ++lane) {
      REQUIRE(segment->lanes[lane].populated == 0);
      REQUIRE(segment->lanes[lane].lease == OTLPSHM_LEASE_CLOSED);
    }
    REQUIRE(commit_record(writer->attachment, 88, 'x') == OTLPSHM_OK);
  });
}

TEST_CASE("preopen: however long another thread takes to open a lane, no open one lacks memory") {
  for (const unsigned milliseconds : {2u, 75u, 130u}) {
    const PrivateDirectory directory;
    in_child([&] {
      forget_environment();
      otlpshm_writer* writer = open_writer(directory.path(), 4 << 20);
      otlpshm_segment* segment = writer->attachment->current;
      segment->open_lease = kAnother;
      std::thread opener([&] {
        usleep(milliseconds * 1000);
        store_release_u32(&segment->open_lease, 0);
      });
      (void)open_all(directory.path(), 0);
      opener.join();
      for (std::uint32_t lane = 0; lane < segment->lane_count; ++lane) {
        const bool is_open = lane < segment->lanes_open;
        REQUIRE(segment->lanes[lane].populated == (is_open ? segment->lanes[lane].bytes : 0));
        REQUIRE(segment->lanes[lane].lease ==
                (is_open ? OTLPSHM_LEASE_FREE : OTLPSHM_LEASE_CLOSED));
      }
    });
  }
}

TEST_CASE("preopen: what a thread had leased when it died is taken back first") {
  enum class Died { in_a_commit, before_it_counted_a_lane, before_it_gave_a_lane_free };
  for (const Died died :
       {Died::in_a_commit, Died::before_it_counted_a_lane, Died::before_it_gave_a_lane_free}) {
    const PrivateDirectory directory;
    in_child([&] {
      forget_environment();
      otlpshm_writer* writer = open_writer(directory.path(), 4 << 20);
      otlpshm_segment* segment = writer->attachment->current;
      in_thread([&] {
        (void)otlpshm_process_ready();
        if (died == Died::in_a_commit) {
          segment->lanes[0].lease = otlpshm_thread.tid;
          return;
        }
        segment->open_lease = otlpshm_thread.tid;
        if (died == Died::before_it_counted_a_lane) return;
        segment->control->lanes_open = segment->lanes_open = 2;
      });
      (void)open_all(directory.path(), 0);
      REQUIRE(segment->open_lease == 0);
      REQUIRE(segment->lane_count > 1);
      REQUIRE(segment->control->lanes_open == segment->lane_count);
      for (std::uint32_t lane = 0; lane < segment->lane_count; ++lane) {
        REQUIRE(segment->lanes[lane].populated == segment->lanes[lane].bytes);
        REQUIRE(segment->lanes[lane].lease == OTLPSHM_LEASE_FREE);
      }
    });
  }
}

TEST_CASE("preopen: a reaped segment is left by a call that may enter the kernel") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_attachment* attachment = open_all(directory.path(), 2 << 20);
    const std::string first = directory.segment();
    AckFile ack(first);
    otlpshm_attach_look(attachment, otlpshm_clock_monotonic(), true);
    ack.set_state(3);
    REQUIRE(unlink(first.c_str()) == 0);
    REQUIRE(commit_record(attachment, 88, 'x') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(directory.segment().empty());
    otlpshm_attach_tick(attachment, otlpshm_clock_monotonic(), false);
    REQUIRE(commit_record(attachment, 88, 'x') == OTLPSHM_OK);
    const SegmentFile next(directory.segment());
    REQUIRE(next.lanes_open() == next.lane_count());
    REQUIRE(next.dropped(otlpshm_drop_no_segment) == 1);
  });
}

}  // namespace otlpshm::library
