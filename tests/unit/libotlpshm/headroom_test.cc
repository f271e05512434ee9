// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <vector>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// The files of the kernel, in a directory of the test.
struct Groups {
  explicit Groups(const std::string& membership) {
    write("membership", membership);
    std::filesystem::create_directory(directory.file("v2"));
    std::filesystem::create_directory(directory.file("v1"));
  }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(directory.file(name)).parent_path());
    std::ofstream(directory.file(name)) << text;
  }
  otlpshm_headroom read(std::uint64_t wanted = 0) const {
    const std::string membership = directory.file("membership");
    const std::string v2 = directory.file("v2");
    const std::string v1 = directory.file("v1");
    const otlpshm_memory_files files = {membership.c_str(), v2.c_str(), v1.c_str()};
    return otlpshm_headroom_read(&files, wanted);
  }
  PrivateDirectory directory;
};

// A memory cgroup of the kernel's below this process's own; empty where it cannot be made.
class KernelsGroup {
 public:
  explicit KernelsGroup(std::uint64_t limit) {
    std::ifstream membership("/proc/self/cgroup");
    for (std::string line; std::getline(membership, line);) {
      const auto colon = line.rfind(':');
      const bool v2 = line.rfind("0::", 0) == 0;
      if (!v2 && line.find(":memory:") == std::string::npos) continue;
      const std::string path = std::string(v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory") +
                               line.substr(colon + 1) + "/otlpshm-test-" + std::to_string(getpid());
      if (mkdir(path.c_str(), 0755) != 0) continue;
      std::ofstream file(path + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
      file << limit << std::flush;
      if (file.good()) {
        path_ = path;
        return;
      }
      rmdir(path.c_str());
    }
  }
  ~KernelsGroup() {
    if (!path_.empty()) rmdir(path_.c_str());
  }
  bool enter() const {
    std::ofstream file(path_ + "/cgroup.procs");
    file << getpid() << std::flush;
    return file.good();
  }
  bool exists() const { return !path_.empty(); }

 private:
  std::string path_;
};

otlpshm_headroom kernels_headroom() {
  const otlpshm_memory_files files = {"/proc/self/cgroup", "/sys/fs/cgroup",
                                      "/sys/fs/cgroup/memory"};
  return otlpshm_headroom_read(&files, UINT64_MAX);
}

}  // namespace

TEST_CASE("headroom: the least of a cgroup of version 2 and its ancestors counts") {
  Groups groups("0::/pod/box\n");
  groups.write("v2/pod/box/memory.max", "max\n");
  groups.write("v2/pod/box/memory.current", "5000\n");
  CHECK(groups.read().limit == UINT64_MAX);
  CHECK(groups.read().left == UINT64_MAX);
  groups.write("v2/pod/memory.max", "100000\n");
  groups.write("v2/pod/memory.current", "60000\n");
  CHECK(groups.read().limit == 100000);
  CHECK(groups.read().left == 40000);
  groups.write("v2/pod/box/memory.max", "10000\n");
  CHECK(groups.read().limit == 10000);
  CHECK(groups.read().left == 5000);
}

TEST_CASE("headroom: version 1 is read too, and its huge number means no limit") {
  Groups groups("7:pids:/x\n4:memory:/box\n1:cpu:/\n0::/\n");
  groups.write("v1/box/memory.limit_in_bytes", "9223372036854771712\n");
  groups.write("v1/box/memory.usage_in_bytes", "1\n");
  CHECK(groups.read().left == UINT64_MAX);
  groups.write("v1/box/memory.limit_in_bytes", "4096\n");
  CHECK(groups.read().left == 4095);
  groups.write("v1/box/memory.usage_in_bytes", "5000\n");
  CHECK(groups.read().left == 0);
}

TEST_CASE("headroom: a container sees its own cgroup as the root, whatever its path says") {
  Groups groups("4:memory:/docker/0123456789abcdef\n");
  groups.write("v1/memory.limit_in_bytes", "8192\n");
  groups.write("v1/memory.usage_in_bytes", "4096\n");
  CHECK(groups.read().left == 4096);
}

TEST_CASE("headroom: page cache that is easily given up is left too, looked at when it matters") {
  Groups groups("0::/\n");
  groups.write("v2/memory.max", "10000\n");
  groups.write("v2/memory.current", "9000\n");
  groups.write("v2/memory.stat",
               "anon 1\nworkingset_inactive_file 9\ninactive_file 3000\nslab 5\n");
  CHECK(groups.read(1000).left == 1000);
  CHECK(groups.read(1001).left == 4000);
  groups.write("v2/memory.stat", "inactive_file 10001\n");
  CHECK(groups.read(1001).left == 1000);  // more than is in use is not believed
}

TEST_CASE("headroom: what cannot be read or makes no sense does not limit") {
  for (const char* text : {"", "\n", "::", "nonsense", "0:", "0::", ":::::::\n"}) {
    const Groups groups(text);
    INFO(text);
    CHECK(groups.read().left == UINT64_MAX);
  }
  Groups groups("0::/" + std::string(5000, 'x') + "\n0::/box\n");
  groups.write("v2/box/memory.max", "99999999999999999999999999\n");
  groups.write("v2/box/memory.current", "\n");
  CHECK(groups.read().left == UINT64_MAX);
  groups.write("v2/box/memory.max", "7\n");
  CHECK(groups.read().left == UINT64_MAX);
  CHECK(groups.read().limit == 7);
}

TEST_CASE(
    "headroom: near the limit of a real cgroup lanes stay as they are, and nobody is killed") {
  if (is_sanitized()) return;
  const KernelsGroup group(64 * kMiB);
  if (!group.exists()) {
    WARN("skipped: no memory cgroup can be made here; run it as root where one can");
    return;
  }
  const PrivateDirectory directory;
  const PrivateDirectory other;
  const int status = status_of_child([&] {
    REQUIRE(group.enter());
    REQUIRE(otlpshm_headroom_limit() == 64 * kMiB);
    otlpshm_writer* plain = open_writer(other.path());
    std::uint64_t planned = 0;
    for (std::uint32_t i = 0; i < plain->attachment->lane_count; ++i) {
      planned += plain->attachment->lane_bytes[i];
    }
    REQUIRE(planned <= 4 * kMiB);  // a sixteenth, though the default is 16 MiB

    otlpshm_writer* writer = open_writer(directory.path(), 32 * kMiB);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    std::vector<void*> pages;
    while (kernels_headroom().left >= kMiB) {  // four times what a lane would take
      void* page = mmap(nullptr, kMiB / 4, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      REQUIRE(page != MAP_FAILED);
      pages.push_back(page);
    }
    std::uint64_t committed = 0;
    while (commit_record(writer->attachment, 1024, 'x') == OTLPSHM_OK) ++committed;
    for (void* page : pages) munmap(page, kMiB / 4);  // reading the segment takes memory too
    const SegmentFile segment(directory.segment());
    REQUIRE(segment.dropped(otlpshm_drop_lane_full) == 1);
    REQUIRE(committed * 1024 <= segment.area_bytes(0));  // lane 0 had its memory before
    for (otlpshm_segment& one : writer->attachment->segments) one.grow_again_at = 0;
    REQUIRE(commit_record(writer->attachment, 1024, 'x') == OTLPSHM_OK);
  });
  CHECK(status == 0);
}

}  // namespace otlpshm::library
