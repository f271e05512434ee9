// SPDX-License-Identifier: Apache-2.0
// reclaim_test.cc: threads that die, jump or fork in the middle of a commit, at every instruction.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>
#include <vector>

#include "in_child.h"
#include "in_thread.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

struct Scene {
  explicit Scene(const PrivateDirectory& where, std::uint64_t budget = kSmall)
      : directory(where), state(where), writer(open_writer(where.path(), budget)) {}
  otlpshm_attachment* attachment() { return writer->attachment; }
  otlpshm_segment* current() { return attachment()->current; }
  void look() { otlpshm_attach_look(attachment(), otlpshm_clock_monotonic() + kSecond, true); }

  const PrivateDirectory& directory;
  StateFile state;
  otlpshm_writer* writer;
};

int commit_from_here(otlpshm_attachment* attachment, const std::vector<std::uint8_t>& bytes) {
  return otlpshm_lane_commit(attachment, bytes.data(), static_cast<std::uint32_t>(bytes.size()),
                             nullptr, otlpshm_clock_monotonic(), false);
}

// A thread that takes a lease and ends.
void lose_lease(otlpshm_segment* segment, std::uint32_t lane) {
  bool taken = false;
  in_thread([&] {
    (void)otlpshm_process_ready();
    taken = take_u32(&segment->lanes[lane].lease, OTLPSHM_LEASE_FREE, otlpshm_thread.tid);
  });
  REQUIRE(taken);
}

#if defined(__x86_64__)
// ---- one instruction at a time: the trap flag raises SIGTRAP behind each ----

volatile long g_step = 0;
volatile long g_target = 0;
std::function<void()> g_at_target;

void on_trap(int, siginfo_t*, void*) {
  g_step = g_step + 1;
  if (g_step == g_target) g_at_target();
}

void set_trap_flag(bool on) {
  if (on) {
    __asm__ volatile(
        "lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
            : "memory", "cc");
  } else {
    __asm__ volatile(
        "lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
            : "memory", "cc");
  }
}

void watch_steps(std::function<void()> at_target) {
  struct sigaction action = {};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  REQUIRE(sigaction(SIGTRAP, &action, nullptr) == 0);
  g_at_target = std::move(at_target);
}

// Commits, with something happening behind instruction `target`; returns how many there were.
long commit_in_steps(otlpshm_attachment* attachment, const std::vector<std::uint8_t>& bytes,
                     long target) {
  g_step = 0;
  g_target = target;
  set_trap_flag(true);
  (void)commit_from_here(attachment, bytes);
  set_trap_flag(false);
  return g_step;
}
#endif

}  // namespace

#if defined(__x86_64__)
TEST_CASE("reclaim: a thread that dies at any instruction of a commit costs its own span at most") {
  if (is_sanitized()) return;
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    const SegmentFile segment(directory.segment());
    AckFile ack(directory.segment());
    scene.look();
    watch_steps([] { syscall(SYS_exit, 0); });
    const std::vector<std::uint8_t> dying(1000, 'd');
    const auto run = [&](long target) {
      long steps = -1;
      in_thread([&] {
        (void)otlpshm_process_ready();
        otlpshm_thread.lane = 0;
        steps = commit_in_steps(scene.attachment(), dying, target);
      });
      return steps;
    };
    const long steps = run(0);
    REQUIRE(steps > 50);
    long lost = 0;
    long kept = 0;
    for (long target = 1; target <= steps; ++target) {
      const std::uint64_t from = segment.tail(0);
      ack.settle(0, from, segment.sequence(0), segment.sequence(0));
      const std::uint64_t before = segment.sequence(0);
      (void)run(target);
      scene.look();
      REQUIRE(commit_record(scene.attachment(), 500, 'm') == OTLPSHM_OK);
      const auto records = segment.records(0, from, before);
      REQUIRE(records);
      REQUIRE((records->size() == 1 || records->size() == 2));
      if (records->size() == 2) REQUIRE(records->front().body == std::string(920, 'd'));
      REQUIRE(records->back().body == std::string(420, 'm'));
      REQUIRE(segment.sequence(0) == records->back().sequence);
      ++(records->size() == 2 ? kept : lost);
    }
    REQUIRE(lost > 0);
    REQUIRE(kept > 0);
  });
}

TEST_CASE("reclaim: a handler may fork at any instruction of a commit, and both sides go on") {
  if (is_sanitized()) return;
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    const SegmentFile segment(directory.segment());
    AckFile ack(directory.segment());
    scene.look();
    const std::string parents = directory.segment();
    static pid_t child = -1;
    static bool failed = false;
    watch_steps([] {
      child = fork();
      if (child <= 0) return;
      int status = 0;
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      failed = failed || status != 0;
    });
    const std::vector<std::uint8_t> bytes(1000, 'p');
    otlpshm_thread.lane = 0;
    const long steps = commit_in_steps(scene.attachment(), bytes, 0);
    REQUIRE(steps > 50);
    for (long target = 1; target <= steps && !failed; target += 5) {
      const std::uint64_t from = segment.tail(0);
      const std::uint64_t before = segment.sequence(0);
      ack.settle(0, from, before, before);
      child = -1;
      (void)commit_in_steps(scene.attachment(), bytes, target);
      if (child == 0) {
        // The frame of the parent's has gone on in here. Now a span of the child's own.
        alarm(kBodySeconds);
        const bool good = write_span(scene.writer, "child") == OTLPSHM_OK;
        const std::string own = directory.file(std::string(scene.current()->id) + ".seg");
        const bool kept = own != parents && SegmentFile(own).sequence(0) == 1;
        (void)unlink(own.c_str());
        _exit(good && kept ? 0 : 1);
      }
      const auto records = segment.records(0, from, before);
      REQUIRE(records);
      REQUIRE(records->size() == 1);
      REQUIRE(records->front().body == std::string(920, 'p'));
    }
    REQUIRE_FALSE(failed);
  });
}

TEST_CASE("reclaim: a handler may fork at any instruction of a commit that finds all lanes full") {
  if (is_sanitized()) return;
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 18 * kSmall);
    REQUIRE(scene.current()->lane_count > 1);
    while (commit_record(scene.attachment(), 1024, 'f') == OTLPSHM_OK) {
    }
    const SegmentFile segment(directory.segment());
    REQUIRE(segment.dropped(otlpshm_drop_lane_full) == 1);
    static pid_t child = -1;
    static int status = 0;
    watch_steps([] {
      status = 0;
      child = fork();
      while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
    });
    const std::vector<std::uint8_t> bytes(1000, 'p');
    const long steps = commit_in_steps(scene.attachment(), bytes, 0);
    REQUIRE(steps > 50);
    constexpr int kCountedOnce = 10;
    long children = 0;
    long counted = 0;
    for (long target = 1; target <= steps; target += 11, ++children) {
      child = -1;
      (void)commit_in_steps(scene.attachment(), bytes, target);
      if (child == 0) {
        // The frame of the parent's has gone on in here. Now a span of the child's own.
        alarm(kBodySeconds);
        const bool good = write_span(scene.writer, "child") == OTLPSHM_OK;
        const otlpshm_stats stats = stats_of(scene.writer);
        (void)unlink(directory.file(std::string(scene.current()->id) + ".seg").c_str());
        const bool once = stats.ended == 2;
        _exit(good && stats.committed == 1 && stats.ended <= 2 ? once * kCountedOnce : 1);
      }
      INFO("behind instruction " << target << " of " << steps);
      REQUIRE(WIFEXITED(status));
      REQUIRE((WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kCountedOnce));
      counted += WEXITSTATUS(status) == kCountedOnce;
    }
    REQUIRE(counted > 0);
    REQUIRE(segment.dropped_total() == 2 + static_cast<std::uint64_t>(children));
  });
}
#endif

TEST_CASE("reclaim: the lane of a dead thread is taken back when no lane took a span") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    const SegmentFile segment(directory.segment());
    REQUIRE(commit_record(scene.attachment(), 88, 'a') == OTLPSHM_OK);
    lose_lease(scene.current(), 0);
    scene.attachment()->tick_at = UINT64_MAX;
    REQUIRE(commit_record(scene.attachment(), 88, 'b') == OTLPSHM_ERROR_DROPPED);
    scene.attachment()->tick_at = 0;
    REQUIRE(commit_record(scene.attachment(), 88, 'c') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(commit_record(scene.attachment(), 88, 'd') == OTLPSHM_OK);
    REQUIRE(segment.dropped(otlpshm_drop_lanes_busy) == 2);
    const auto records = segment.records(0);
    REQUIRE(records);
    REQUIRE(records->size() == 2);
    REQUIRE(records->back().body == std::string(8, 'd'));
  });
}

TEST_CASE("reclaim: the lease of a living thread is never taken, nor one's own") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 18 * kSmall);
    (void)otlpshm_process_ready();
    otlpshm_lane* lanes = scene.current()->lanes;
    REQUIRE(take_u32(&lanes[0].lease, OTLPSHM_LEASE_FREE, otlpshm_thread.tid));
    scene.look();
    REQUIRE(lanes[0].lease == otlpshm_thread.tid);
    REQUIRE(commit_record(scene.attachment(), 88, 'x') == OTLPSHM_OK);  // in another lane
    REQUIRE(SegmentFile(directory.segment()).sequence(1) == 1);
    REQUIRE(lanes[0].lease == otlpshm_thread.tid);

    REQUIRE(stats_of(scene.writer).lanes_lost == 0);
    lanes[0].held_since -= 2 * kSecond;
    REQUIRE(stats_of(scene.writer).lanes_lost == 1);
    store_release_u32(&lanes[0].lease, OTLPSHM_LEASE_FREE);
    REQUIRE(stats_of(scene.writer).lanes_lost == 0);
  });
}

TEST_CASE("reclaim: a control page that no commit can have left keeps its lane lost") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    otlpshm_lane* lane = &scene.current()->lanes[0];
    REQUIRE(commit_record(scene.attachment(), 88, 'a') == OTLPSHM_OK);
    for (const std::uint64_t bad : {std::uint64_t{89}, std::uint64_t{96}, UINT64_MAX - 7}) {
      lose_lease(scene.current(), 0);
      lane->control->tail = bad;
      scene.look();
      REQUIRE(lane->lease != OTLPSHM_LEASE_FREE);
      lane->control->tail = 88;
      scene.look();
      REQUIRE(lane->lease == OTLPSHM_LEASE_FREE);
    }
  });
}

TEST_CASE("reclaim: leases and uses that died with threads do not use the segments up") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    for (int life = 0; life < 2 * OTLPSHM_SEGMENTS_MAX; ++life) {
      const std::string path = directory.segment();
      AckFile ack(path);
      scene.look();
      lose_lease(scene.current(), 0);
      in_thread([&] {
        (void)otlpshm_process_ready();
        REQUIRE(otlpshm_attach_use(scene.attachment(), scene.current()));
      });
      ack.set_state(3);
      REQUIRE(unlink(path.c_str()) == 0);
      REQUIRE(otlpshm_attach_again(scene.attachment(), scene.current()));
      REQUIRE(commit_record(scene.attachment(), 88, 'x') == OTLPSHM_OK);
    }
  });
}

TEST_CASE("reclaim: a thread that dies while it looks does not end the looking") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    in_thread([&] {
      (void)otlpshm_process_ready();
      scene.attachment()->tick_lease = otlpshm_thread.tid;
    });
    AckFile ack(directory.segment());
    scene.look();
    REQUIRE(scene.current()->ack != nullptr);
    REQUIRE(scene.attachment()->tick_lease == 0);
  });
}

TEST_CASE("reclaim: drops that a reaped segment did not echo are in the next one, once") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    const std::string path = directory.segment();
    AckFile ack(path);
    scene.look();
    for (int i = 0; i < 64; ++i) REQUIRE(commit_record(scene.attachment(), 1024, 'a') == 0);
    for (int i = 0; i < 3; ++i) REQUIRE(commit_record(scene.attachment(), 1024, 'b') != 0);
    ack.echo(otlpshm_drop_lane_full, 1);
    ack.set_state(3);
    REQUIRE(unlink(path.c_str()) == 0);
    REQUIRE(commit_record(scene.attachment(), 88, 'c') == OTLPSHM_OK);
    REQUIRE(SegmentFile(directory.segment()).dropped(otlpshm_drop_lane_full) == 2);
    REQUIRE(stats_of(scene.writer).dropped[otlpshm_drop_lane_full] == 3);
    REQUIRE(stats_of(scene.writer).ended == 64 + 3 + 1);
  });
}

TEST_CASE("reclaim: a span that meets a thread which attaches anew waits for it") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    bool kept = false;
    // Who holds the lock may be kept from running for longer than a span waits: so, twenty times.
    for (int i = 0; i < 20 && !kept; ++i) {
      const std::string path = directory.segment();
      AckFile ack(path);
      scene.look();
      ack.set_state(3);
      REQUIRE(unlink(path.c_str()) == 0);
      otlpshm_attach_lock(scene.attachment());
      std::atomic<bool> started{false};
      std::thread late([&] {
        (void)otlpshm_process_ready();
        started = true;
        kept = commit_record(scene.attachment(), 88, 'x') == OTLPSHM_OK;
      });
      while (!started) (void)otlpshm_kernel_sleep(10'000);
      (void)otlpshm_kernel_sleep(500'000);
      otlpshm_attach_unlock(scene.attachment());
      late.join();
      if (!kept) REQUIRE(commit_record(scene.attachment(), 88, 'y') == OTLPSHM_OK);
    }
    REQUIRE(kept);
  });
}

TEST_CASE("reclaim: a relative directory stays the same one when the program goes elsewhere") {
  const PrivateDirectory directory;
  in_child([&] {
    REQUIRE(chdir(directory.path().c_str()) == 0);
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(".");
    const std::string path = directory.segment();
    AckFile ack(path);
    REQUIRE(chdir("/") == 0);
    otlpshm_attach_look(writer->attachment, otlpshm_clock_monotonic() + kSecond, true);
    REQUIRE(writer->attachment->current->ack != nullptr);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
  });
}

}  // namespace otlpshm::library
