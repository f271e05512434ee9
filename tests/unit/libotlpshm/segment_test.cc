// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint32_t kAnother = 0x80000001;  // no tid of this process, and never gone
constexpr std::uint64_t kUnit = 65536;

struct Plan {
  std::uint32_t count = 0;
  std::uint64_t bytes[OTLPSHM_LANES_MAX] = {};
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (std::uint32_t lane = 0; lane < count; ++lane) sum += bytes[lane];
    return sum;
  }
};

Plan plan(std::uint64_t budget, std::uint32_t cpus) {
  Plan out;
  out.count = otlpshm_segment_plan(budget, cpus, out.bytes);
  return out;
}

// A segment that nobody else knows, in a directory.
struct Alone {
  explicit Alone(const std::string& path, std::uint64_t budget, unsigned mode = 0644)
      : directory(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    const Plan wanted = plan(budget, 1);
    status = otlpshm_segment_create(&segment, directory, mode, wanted.count, wanted.bytes);
  }
  ~Alone() {
    if (status == OTLPSHM_OK) otlpshm_segment_unmap(&segment);
    close(directory);
  }
  int directory;
  otlpshm_segment segment{};
  int status;
};

bool is_locked(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  const int answer = fcntl(fd, F_OFD_GETLK, &lock);
  close(fd);
  return answer == 0 && lock.l_type == F_WRLCK;
}

// Blocks of 512 bytes that [0, bytes) takes at least.
std::uint64_t blocks_of(const std::string& path) {
  struct stat stat = {};
  REQUIRE(::stat(path.c_str(), &stat) == 0);
  return static_cast<std::uint64_t>(stat.st_blocks);
}

// Takes all the space that the directory's file system has left; returns the file that has it.
std::string fill_up(const PrivateDirectory& directory) {
  const std::string path = directory.file("filler");
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  const std::string page(4096, 'x');
  while (write(fd, page.data(), page.size()) == static_cast<ssize_t>(page.size())) {
  }
  close(fd);
  return path;
}

}  // namespace

TEST_CASE("segment: a plan keeps its rules for every budget and number of CPUs") {
  for (const std::uint32_t cpus : {1u, 2u, 3u, 8u, 15u, 16u, 17u, 128u, 8192u}) {
    const std::uint32_t most = std::min(std::max(4 * cpus, 8u), 64u);
    for (std::uint64_t units = 0; units < 200; ++units) {
      const std::uint64_t budget = units * kUnit + (units % 3) * 1000;
      const Plan out = plan(budget, cpus);
      REQUIRE(out.count >= 1);
      REQUIRE(out.count <= most);
      REQUIRE(out.total() <= std::max(budget, kUnit));
      for (std::uint32_t lane = 0; lane < out.count; ++lane) {
        REQUIRE(out.bytes[lane] >= kUnit);
        REQUIRE(out.bytes[lane] % kUnit == 0);
        REQUIRE(out.bytes[lane] <= out.bytes[0]);
      }
      if (units >= 16 + most - 1) REQUIRE(out.count == most);
      if (units >= 16) REQUIRE(out.bytes[0] >= 16 * kUnit);
      if (units >= 1 && units < 16) REQUIRE(out.bytes[0] == units * kUnit);
    }
  }
}

TEST_CASE("segment: no lane of a plan is larger than the format allows") {
  for (const std::uint64_t budget : {UINT64_MAX, std::uint64_t{1} << 40, std::uint64_t{65} << 30}) {
    const Plan out = plan(budget, 16);
    for (std::uint32_t lane = 0; lane < out.count; ++lane) {
      CHECK(out.bytes[lane] <= std::uint64_t{1} << 30);
    }
  }
}

TEST_CASE("segment: the file has its name, its size, its mode, its header and its lock") {
  const PrivateDirectory directory;
  {
    const Alone alone(directory.path(), 2 << 20, 0640);
    REQUIRE(alone.status == OTLPSHM_OK);
    const std::string path = directory.segment();
    REQUIRE(directory.names("").size() == 1);
    CHECK(path == directory.file(std::string(alone.segment.id) + ".seg"));
    struct stat stat = {};
    REQUIRE(::stat(path.c_str(), &stat) == 0);
    CHECK((stat.st_mode & 07777) == 0640);
    const SegmentFile file(path);
    CHECK(file.read(0, 8) == "OLSHMSEG");
    CHECK(file.u16(8) == 1);
    CHECK(file.u16(10) == 0);
    CHECK(file.u32(12) == 64);
    CHECK(file.u64(16) == static_cast<std::uint64_t>(stat.st_size));
    CHECK(file.u32(24) == 0);
    CHECK(file.u32(68) == static_cast<std::uint32_t>(getpid()));
    CHECK(file.lanes_open() == 1);
    REQUIRE(file.lane_count() == alone.segment.lane_count);
    std::uint64_t next = 131072;
    for (std::uint32_t lane = 0; lane < file.lane_count(); ++lane) {
      CHECK(file.area_offset(lane) == next);
      next += file.area_bytes(lane);
    }
    CHECK(next == static_cast<std::uint64_t>(stat.st_size));
    const std::uint64_t head = (131072 + file.area_bytes(0)) / 512;
    CHECK(blocks_of(path) == head);
    CHECK(is_locked(path));
  }
  CHECK_FALSE(is_locked(directory.segment()));
}

TEST_CASE("segment: all leases are closed until the segment is started") {
  const PrivateDirectory directory;
  Alone alone(directory.path(), 2 << 20);
  REQUIRE(alone.status == OTLPSHM_OK);
  for (const otlpshm_lane& lane : alone.segment.lanes) CHECK(lane.lease == OTLPSHM_LEASE_CLOSED);
  otlpshm_segment_start(&alone.segment);
  CHECK(alone.segment.lanes[0].lease == OTLPSHM_LEASE_FREE);
  CHECK(alone.segment.lanes[1].lease == OTLPSHM_LEASE_CLOSED);
}

TEST_CASE("segment: lanes open in the order of their numbers, up to the last, without memory") {
  const PrivateDirectory directory;
  Alone alone(directory.path(), (16 + 3) * kUnit);
  REQUIRE(alone.segment.lane_count == 4);
  const SegmentFile file(directory.segment());
  const std::uint64_t before = blocks_of(directory.segment());
  const std::uint64_t now = otlpshm_clock_monotonic();
  for (std::uint32_t lane = 1; lane < 4; ++lane) {
    REQUIRE(otlpshm_segment_may_open(&alone.segment, now));
    otlpshm_segment_open_lane(&alone.segment, 1);
    CHECK(file.lanes_open() == lane + 1);
    CHECK(alone.segment.lanes[lane].lease == OTLPSHM_LEASE_FREE);
  }
  CHECK_FALSE(otlpshm_segment_may_open(&alone.segment, now));
  otlpshm_segment_open_lane(&alone.segment, 1);
  CHECK(file.lanes_open() == 4);
  CHECK(blocks_of(directory.segment()) == before);
}

TEST_CASE("segment: a lane gets its memory piece by piece, and never more than its area") {
  const PrivateDirectory directory;
  Alone alone(directory.path(), (16 + 7 * 9) * kUnit);
  REQUIRE(alone.segment.lane_count == 8);
  otlpshm_lane* lane = &alone.segment.lanes[1];
  REQUIRE(lane->bytes == 9 * kUnit);
  const std::uint64_t before = blocks_of(directory.segment());
  const std::uint64_t expected[] = {4 * kUnit, 8 * kUnit, 9 * kUnit};
  for (const std::uint64_t bytes : expected) {
    REQUIRE(otlpshm_segment_populate(&alone.segment, lane, lane->populated + 1, 1));
    CHECK(lane->populated == bytes);
    CHECK(blocks_of(directory.segment()) - before == bytes / 512);
  }
}

TEST_CASE("segment: only one thread at a time opens a lane") {
  const PrivateDirectory directory;
  Alone alone(directory.path(), 2 << 20);
  alone.segment.open_lease = 7;
  otlpshm_segment_open_lane(&alone.segment, 8);
  CHECK(SegmentFile(directory.segment()).lanes_open() == 1);
}

TEST_CASE("segment: leases close when free, and not while one or a use is held") {
  const PrivateDirectory directory;
  Alone alone(directory.path(), 2 << 20);
  otlpshm_segment_start(&alone.segment);
  alone.segment.uses[3] = kAnother;
  CHECK_FALSE(otlpshm_segment_close_leases(&alone.segment));
  alone.segment.uses[3] = 0;
  alone.segment.lanes[0].lease = kAnother;
  CHECK_FALSE(otlpshm_segment_close_leases(&alone.segment));
  CHECK(alone.segment.lanes[0].lease == kAnother);
  alone.segment.lanes[0].lease = OTLPSHM_LEASE_FREE;
  CHECK(otlpshm_segment_close_leases(&alone.segment));
  CHECK(alone.segment.lanes[0].lease == OTLPSHM_LEASE_CLOSED);
}

TEST_CASE("segment: making one anew leaves a late thread's use alone") {
  const PrivateDirectory directory;
  otlpshm_segment segment{};
  segment.uses[5] = kAnother;  // noted, and not taken back yet
  const Plan wanted = plan(kUnit, 1);
  const int fd = open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(otlpshm_segment_create(&segment, fd, 0644, wanted.count, wanted.bytes) == OTLPSHM_OK);
  CHECK(segment.uses[5] == kAnother);
  otlpshm_segment_unmap(&segment);
  close(fd);
}

TEST_CASE("segment: beyond the limit of file sizes nothing is made, and no signal comes") {
  const PrivateDirectory directory;
  in_child([&] {
    const rlimit limit = {1 << 20, 1 << 20};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const Alone alone(directory.path(), 2 << 20);
    REQUIRE(alone.status == OTLPSHM_ERROR_NO_SPACE);
    REQUIRE(directory.names("").empty());
  });
}

TEST_CASE("segment: a failure leaves no file behind") {
  const PrivateDirectory directory;
  in_child([&] {
    const rlimit limit = {std::uint64_t{1} << 30, std::uint64_t{1} << 30};
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    const Alone alone(directory.path(), std::uint64_t{8} << 30);
    REQUIRE(alone.status == OTLPSHM_ERROR_NO_SPACE);
    REQUIRE(directory.names("").empty());
  });
}

namespace {

// Two lanes that a tmpfs of their own has no room to fill; the body runs in a child.
template <typename Body>
void on_a_small_tmpfs(Body body) {
  if (geteuid() != 0) return;
  const PrivateDirectory directory;
  if (mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=1700k") != 0) return;
  const int status = status_of_child([&] {
    Alone alone(directory.path(), (16 + 4) * kUnit);
    REQUIRE(alone.status == OTLPSHM_OK);
    otlpshm_segment_start(&alone.segment);
    otlpshm_segment_open_lane(&alone.segment, 1);
    body(directory, alone);
  });
  CHECK(umount2(directory.path().c_str(), MNT_DETACH) == 0);
  CHECK(status == 0);
}

}  // namespace

TEST_CASE("segment: on a full tmpfs a lane stays as it is, and grows when tried a second later") {
  on_a_small_tmpfs([](const PrivateDirectory& directory, Alone& alone) {
    const std::string filler = fill_up(directory);
    otlpshm_lane* lane = &alone.segment.lanes[1];
    const std::uint64_t before = blocks_of(directory.segment());
    const std::uint64_t now = otlpshm_clock_monotonic();
    REQUIRE_FALSE(otlpshm_segment_populate(&alone.segment, lane, 100, now));
    REQUIRE(lane->populated == 0);
    REQUIRE(blocks_of(directory.segment()) == before);
    REQUIRE_FALSE(otlpshm_segment_may_open(&alone.segment, now));
    REQUIRE(unlink(filler.c_str()) == 0);
    REQUIRE_FALSE(otlpshm_segment_populate(&alone.segment, lane, 100, now + 999'999'999));
    REQUIRE(otlpshm_segment_populate(&alone.segment, lane, 100, now + 1'000'000'000));
    REQUIRE(lane->populated == kUnit);
  });
}

TEST_CASE("segment: on a full tmpfs lane 0 goes on to its end, whatever another lane was refused") {
  on_a_small_tmpfs([](const PrivateDirectory& directory, Alone& alone) {
    (void)fill_up(directory);
    otlpshm_lane* lanes = alone.segment.lanes;
    const std::uint64_t now = otlpshm_clock_monotonic();
    REQUIRE(otlpshm_segment_populate(&alone.segment, &lanes[0], 1, now));
    REQUIRE_FALSE(otlpshm_segment_populate(&alone.segment, &lanes[1], 1, now));
    while (lanes[0].populated < lanes[0].bytes) {
      REQUIRE(otlpshm_segment_populate(&alone.segment, &lanes[0], lanes[0].populated + 1, now));
    }
    std::memset(lanes[0].area, 'x', lanes[0].bytes);
  });
}

TEST_CASE("segment: lane 0 keeps its space when the kernel does not let it grow") {
  const PrivateDirectory directory;
  Alone alone(directory.path(), 2 << 20);
  REQUIRE(alone.status == OTLPSHM_OK);
  otlpshm_segment_start(&alone.segment);
  otlpshm_lane* lane = &alone.segment.lanes[0];
  const std::uint64_t before = blocks_of(directory.segment());
  REQUIRE(mprotect(lane->area, lane->bytes, PROT_READ) == 0);
  CHECK_FALSE(otlpshm_segment_populate(&alone.segment, lane, lane->bytes, 1));
  CHECK(blocks_of(directory.segment()) == before);
  REQUIRE(mprotect(lane->area, lane->bytes, PROT_READ | PROT_WRITE) == 0);
  CHECK(otlpshm_segment_populate(&alone.segment, lane, lane->bytes, 2'000'000'000));
}

TEST_CASE("segment: one is made under a rain of signals") {
  const PrivateDirectory directory;
  in_child([&] {
    struct sigaction ignore = {};
    ignore.sa_handler = [](int) {};
    REQUIRE(sigaction(SIGVTALRM, &ignore, nullptr) == 0);
    const itimerval rain = {{0, 50}, {0, 50}};
    REQUIRE(setitimer(ITIMER_VIRTUAL, &rain, nullptr) == 0);
    for (int i = 0; i < 50; ++i) {
      const Alone alone(directory.path(), 2 << 20);
      REQUIRE(alone.status == OTLPSHM_OK);
    }
  });
}

}  // namespace otlpshm::library
