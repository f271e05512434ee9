// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "host.h"
#include "warp.h"

namespace otlpshm::hostile {
namespace {

void let_it_look() {
  step_monotonic(2 * kSecond);
}

void limit(__rlimit_resource resource, rlim_t most) {
  const rlimit now = {most, most};
  REQUIRE(setrlimit(resource, &now) == 0);
}

std::uint64_t allocated_bytes(const std::string& path) {
  struct stat stat = {};
  REQUIRE(::stat(path.c_str(), &stat) == 0);
  return static_cast<std::uint64_t>(stat.st_blocks) * 512;
}

}  // namespace

// ---- file sizes ----

TEST_CASE("limits: where no file may be large, no signal comes and every span counts as dropped") {
  for (const rlim_t most : {rlim_t{0}, rlim_t{4096}, rlim_t{131072}}) {
    const PrivateDirectory directory;
    in_child([&] {
      limit(RLIMIT_FSIZE, most);
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_SPACE);
      REQUIRE(write_spans(writer, 20) == 0);
      REQUIRE(stats_of(writer).dropped[kNoSegment] == 20);
      REQUIRE(directory.names("").empty());
      REQUIRE(errno_changes == 0);
    });
  }
}

TEST_CASE("limits: a limit of file sizes that comes later costs no span but those of a child") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string parents = directory.segment();
    limit(RLIMIT_FSIZE, 0);
    REQUIRE(write_spans(writer, 20'000) == 20'000);  // beyond the first piece of lane 0
    in_child([&] {
      REQUIRE(write_spans(writer, 5) == 0);
      const otlpshm_stats stats = stats_of(writer);
      REQUIRE(stats.ended == 5);
      REQUIRE(stats.dropped[kNoSegment] == 5);
    });
    REQUIRE(check_books(writer, std::vector<std::string>{parents}).committed == 20'000);
  });
}

// ---- locked memory ----

TEST_CASE("limits: under mlockall a segment takes no more memory than it uses, no span is lost") {
  const PrivateDirectory directory;
  in_child([&] {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return say_skipped("mlockall needs root");
    otlpshm_writer* writer = open_writer(directory.path(), kRoomy);
    REQUIRE(write_spans(writer, 1000) == 1000);
    REQUIRE(allocated_bytes(directory.segment()) < kRoomy / 4);
    REQUIRE(check_books(writer, directory).committed == 1000);
  });
}

TEST_CASE("limits: locked afterwards on a tmpfs without room for it, no signal comes, all counts") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs(directory.path(), "size=8m");
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 100) == 100);
    (void)mlockall(MCL_CURRENT);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { (void)write_spans(writer, 20'000); });
    for (std::thread& thread : threads) thread.join();
    REQUIRE(check_books(writer, directory).ended == 40'100);
  });
}

TEST_CASE(
    "limits: without the right to lock a segment every span counts, and nothing is left over") {
  if (geteuid() != 0) return say_skipped("another user's limits need root");
  const PrivateDirectory directory(0777);
  const int status = status_of_child([&] {
    limit(RLIMIT_MEMLOCK, 4 << 20);
    REQUIRE(setreuid(1002, 1002) == 0);
    REQUIRE(mlockall(MCL_FUTURE) == 0);
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t kept = write_spans(writer, 20);
    REQUIRE(kept == 0);
    REQUIRE(stats_of(writer).dropped[kNoSegment] == 20);
    REQUIRE(directory.names("").empty());
    REQUIRE(munlockall() == 0);
    let_it_look();
    REQUIRE(write_spans(writer, 20) == 20);
    REQUIRE(check_books(writer, directory).ended == 40);
  });
  REQUIRE(status == 0);
}

// ---- a memory cgroup ----

namespace {

bool put(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool good = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return good;
}

// A memory cgroup below the machine's root, of either version; gone with the object.
class MemoryGroup {
 public:
  explicit MemoryGroup(std::uint64_t most) {
    const std::string name = "/otlpshm-hostile-" + std::to_string(getpid());
    for (const std::string root : {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"}) {
      const bool is_v1 = access((root + "/memory.limit_in_bytes").c_str(), F_OK) == 0;
      const bool is_v2 = access((root + "/cgroup.controllers").c_str(), F_OK) == 0;
      if (is_v2) (void)put(root + "/cgroup.subtree_control", "+memory");
      if ((!is_v1 && !is_v2) || mkdir((root + name).c_str(), 0755) != 0) continue;
      path_ = root + name;
      const std::string file = is_v1 ? "/memory.limit_in_bytes" : "/memory.max";
      if (put(path_ + file, std::to_string(most))) return;
      rmdir(path_.c_str());
      path_.clear();
    }
  }
  ~MemoryGroup() {
    for (int tries = 0; is_there() && tries < 500 && rmdir(path_.c_str()) != 0; ++tries) {
      usleep(10'000);
    }
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  bool is_there() const { return !path_.empty(); }
  bool enter() const { return put(path_ + "/cgroup.procs", std::to_string(getpid())); }

 private:
  std::string path_;
};

// What the application itself needs.
void use_memory(std::uint64_t bytes) {
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  REQUIRE(base != MAP_FAILED);
}

}  // namespace

TEST_CASE("limits: a memory cgroup near its limit kills nobody: lanes stay closed, all counts") {
  constexpr std::uint64_t kMost = 96 << 20;
  const MemoryGroup group(kMost);
  if (!group.is_there()) return say_skipped("a memory cgroup cannot be made here");
  const PrivateDirectory directory;
  in_child([&] {
    REQUIRE(group.enter());
    otlpshm_writer* writer = open_writer(directory.path(), kRoomy);
    REQUIRE(write_spans(writer, 100) == 100);
    use_memory(kMost - (32 << 20));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { (void)write_spans(writer, 50'000); });
    for (std::thread& thread : threads) thread.join();
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == 200'100);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
  });
  // Read here: whoever reads needs memory too.
  const SegmentFile segment(directory.segment());
  REQUIRE(check_records(segment) + segment.dropped_total() == 200'100);
  REQUIRE(allocated_bytes(directory.segment()) < (32 << 20));
}

// ---- allocations ----

TEST_CASE("limits: whichever allocation fails, the program goes on and its books add up") {
  const std::string spans = program("hostile_spans");
  const std::string preload = program("libhostile_failing_malloc.so");
  for (int every = 1; every <= 24; ++every) {
    const PrivateDirectory directory;
    const pid_t pid = fork();
    if (pid == 0) {
      const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
      (void)dup2(null, 1);
      setenv("OTLPSHM_DIR", directory.path().c_str(), 1);
      setenv("LD_PRELOAD", preload.c_str(), 1);
      setenv("FAIL_EVERY", std::to_string(every).c_str(), 1);
      execl(spans.c_str(), spans.c_str(), "50", "shutdown", nullptr);
      _exit(127);
    }
    INFO("every allocation number " << every << " fails");
    REQUIRE(wait_for(pid) == 0);
    for (const std::string& path : segments_of(directory)) {
      REQUIRE(check_records(SegmentFile(path)) == 50);  // cut short, perhaps, but there
    }
  }
}

// ---- places that are not there ----

TEST_CASE("limits: without a /proc no span is lost") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs("/proc", "size=64k");
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 100) == 100);
    std::thread([&] { (void)write_spans(writer, 100); }).join();
    in_child([&] { REQUIRE(write_spans(writer, 10) == 10); });
    REQUIRE(stats_of(writer).committed == 200);
    REQUIRE(errno_changes == 0);
  });
}

TEST_CASE(
    "limits: in a chroot an attached writer loses no span, one that must attach anew says so") {
  if (geteuid() != 0) return say_skipped("chroot needs root");
  const PrivateDirectory directory;
  const PrivateDirectory jail;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string path = directory.segment();
    const SegmentFile segment(path);
    AckFile ack(path);
    let_it_look();
    REQUIRE(write_spans(writer, 10) == 10);
    REQUIRE(chroot(jail.path().c_str()) == 0);
    REQUIRE(chdir("/") == 0);
    for (int i = 0; i < 10; ++i) {
      REQUIRE(write_spans(writer, 100) == 100);
      let_it_look();
    }
    REQUIRE(check_records(segment) == 1010);
    ack.set_state(3);
    (void)write_spans(writer, 10);
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.committed == 1010);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
    REQUIRE(stats.dropped[kNoSegment] >= 1);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DIRECTORY);
    REQUIRE(errno_changes == 0);
  });
}

// ---- other users ----

TEST_CASE("limits: after setuid an attached writer loses no span; a new segment needs the right") {
  if (geteuid() != 0) return say_skipped("setuid needs root");
  for (const unsigned mode : {0755u, 03733u}) {
    const PrivateDirectory directory(mode);
    const int status = status_of_child([&] {
      StateFile state(directory);
      otlpshm_writer* writer = open_writer(directory.path());
      const std::string first = directory.segment();
      const SegmentFile segment(first);
      AckFile ack(first);
      let_it_look();
      std::atomic<bool> stop{false};
      std::uint64_t kept = 0;
      std::thread thread([&] {  // each thread is told of the change by a signal
        while (!stop) kept += write_spans(writer, 1);
      });
      REQUIRE(write_spans(writer, 100) == 100);
      REQUIRE(setresgid(1002, 1002, 1002) == 0);
      REQUIRE(setresuid(1002, 1002, 1002) == 0);
      REQUIRE(write_spans(writer, 100) == 100);
      let_it_look();
      REQUIRE(write_spans(writer, 100) == 100);
      stop = true;
      thread.join();
      REQUIRE(check_records(segment) == kept + 300);
      ack.set_state(3);
      const std::uint64_t later = write_spans(writer, 10);
      REQUIRE(later == (mode == 0755u ? 0u : 10u));
      const otlpshm_stats stats = stats_of(writer);
      REQUIRE(stats.ended == kept + 310);
      REQUIRE(stats.dropped[kNoSegment] == 10 - later);
      (void)otlpshm_shutdown(writer, 0);
      REQUIRE(errno_changes == 0);
    });
    INFO("mode " << std::oct << mode);
    REQUIRE(status == 0);
  }
}

TEST_CASE("limits: under umask 077 another user's daemon reads the segment, no span is lost") {
  if (geteuid() != 0) return say_skipped("another user needs root");
  const PrivateDirectory directory(0777);
  const int status = status_of_child([&] {
    umask(077);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 10) == 10);
    in_child([&] {
      REQUIRE(write_spans(writer, 10) == 10);
      REQUIRE(setreuid(1003, 1003) == 0);
      for (const std::string& path : segments_of(directory)) {
        REQUIRE(check_records(SegmentFile(path)) == 10);
      }
    });
    REQUIRE(segments_of(directory).size() == 2);
  });
  REQUIRE(status == 0);
}

}  // namespace otlpshm::hostile
