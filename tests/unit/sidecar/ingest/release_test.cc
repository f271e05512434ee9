// SPDX-License-Identifier: Apache-2.0
#include "ingest/release.h"

#include <catch2/catch.hpp>

#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

using ingest::Ack;

ingest::SegmentId id() {
  ingest::SegmentId id;
  id.bytes.fill(7);
  return id;
}

std::unique_ptr<Ack> open(const SharedDirectory& directory, std::uint32_t lanes = 3) {
  std::string error;
  auto ack = Ack::open(directory.fd(), id(), lanes, &error);
  INFO(error);
  REQUIRE(ack != nullptr);
  return ack;
}

// As a producer sees the file.
struct Mapped {
  explicit Mapped(const SharedDirectory& directory)
      : fd(::openat(directory.fd(), id().ack_name().c_str(), O_RDWR)) {
    struct stat status = {};
    REQUIRE(::fstat(fd, &status) == 0);
    bytes = static_cast<std::size_t>(status.st_size);
    blocks = static_cast<std::uint64_t>(status.st_blocks) * 512;
    mode = status.st_mode & 07777;
    map = static_cast<std::uint8_t*>(
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  }
  ~Mapped() {
    ::munmap(map, bytes);
    ::close(fd);
  }
  otlpshm_ack_header& header() const { return *reinterpret_cast<otlpshm_ack_header*>(map); }
  otlpshm_ack_slot& slot(std::size_t lane) const {
    return reinterpret_cast<otlpshm_ack_slot*>(map + OTLPSHM_ACK_SLOTS_OFFSET)[lane];
  }
  int fd;
  std::uint8_t* map;
  std::size_t bytes;
  std::uint64_t blocks;
  mode_t mode;
};

model::LaneSettled settled(std::uint64_t release, std::uint64_t exported, std::uint64_t dropped) {
  model::LaneSettled lane;
  lane.release = release;
  lane.exported = exported;
  lane.dropped_for(model::Reason::invalid_wire) = dropped;
  lane.sequence = exported + dropped;
  return lane;
}

TEST_CASE("release: a new ack is whole, live, and of the size that producers expect") {
  SharedDirectory directory;
  const auto ack = open(directory);
  const Mapped seen(directory);
  CHECK(seen.bytes == OTLPSHM_ACK_FILE_BYTES(3));
  CHECK(seen.blocks >= seen.bytes);
  CHECK(seen.mode == 0644);
  CHECK(seen.header().file.magic == OTLPSHM_ACK_MAGIC);
  CHECK(seen.header().state == otlpshm_ack_live);
  CHECK(seen.header().lane_count == 3);
  CHECK(seen.header().adoptions == 1);
  CHECK(std::memcmp(seen.header().file.id, id().bytes.data(), 16) == 0);
  CHECK_FALSE(ack->adopted());
  CHECK_FALSE(directory.has("." + id().ack_name() + ".tmp"));
}

TEST_CASE("release: position and counts change together, by turns in the two copies") {
  SharedDirectory directory;
  const auto ack = open(directory);
  const Mapped seen(directory);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    const otlpshm_ack_copy before = seen.slot(1).copies[(i - 1) & 1];
    REQUIRE(ack->release(1, settled(800 * i, 9 * i, i)));
    REQUIRE(seen.slot(1).selector == i);
    const otlpshm_ack_copy& copy = seen.slot(1).copies[i & 1];
    CHECK(copy.release == 800 * i);
    CHECK(copy.sequence == 10 * i);
    CHECK(copy.exported == 9 * i);
    CHECK(copy.dropped[34 - 32] == i);
    // The copy that was valid until the store of the selector was not touched.
    CHECK(std::memcmp(&before, &seen.slot(1).copies[(i - 1) & 1], sizeof before) == 0);
  }
  CHECK(seen.slot(0).selector == 0);
}

TEST_CASE("release: a new daemon goes on from the ack, and counts its adoption") {
  SharedDirectory directory;
  auto first = open(directory);
  REQUIRE(first->release(0, settled(160, 2, 0)));
  REQUIRE(first->release(0, settled(240, 2, 1)));
  REQUIRE(first->echo_flush(4));
  std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS> dropped{};
  dropped[1] = 6;
  REQUIRE(first->echo_dropped(dropped));
  first.reset();
  const auto second = open(directory);
  CHECK(second->adopted());
  CHECK(second->settled(0).release == 240);
  CHECK(second->settled(0).sequence == 3);
  CHECK(second->settled(0).exported == 2);
  CHECK(second->flush_echo() == 4);
  CHECK(second->dropped_echo(1) == 6);
  CHECK(second->adoptions() == 2);
  REQUIRE(second->release(0, settled(320, 3, 1)));
  CHECK(Mapped(directory).slot(0).selector == 3);
}

TEST_CASE("release: a daemon that died between copy and selector has settled nothing") {
  SharedDirectory directory;
  auto first = open(directory);
  REQUIRE(first->release(0, settled(160, 2, 0)));
  first.reset();
  Mapped(directory).slot(0).copies[0].release = 999;  // the idle copy, half written
  CHECK(open(directory)->settled(0).release == 160);
}

TEST_CASE("release: an ack that no daemon can have written is replaced") {
  const auto replaced = [](auto change) {
    SharedDirectory directory;
    auto first = open(directory);
    REQUIRE(first->release(0, settled(160, 2, 0)));
    first.reset();
    change(Mapped(directory));
    return !open(directory)->adopted();
  };
  CHECK_FALSE(replaced([](const Mapped&) {}));
  CHECK(replaced([](const Mapped& file) { file.header().file.magic ^= 1; }));
  CHECK(replaced([](const Mapped& file) { file.header().file.major = 2; }));
  CHECK(replaced([](const Mapped& file) { file.header().file.id[0] ^= 1; }));
  CHECK(replaced([](const Mapped& file) { file.header().lane_count = 2; }));
  CHECK(replaced([](const Mapped& file) { file.slot(0).copies[1].exported = 1; }));
  CHECK(replaced([](const Mapped& file) { file.slot(0).copies[1].release = 161; }));
  CHECK(replaced([](const Mapped& file) { CHECK(::ftruncate(file.fd, 8192 + 4096) == 0); }));
  CHECK(replaced([](const Mapped& file) {
    CHECK(::fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) == 0);
  }));
}

TEST_CASE("release: what lies under an ack's name does not matter") {
  SharedDirectory directory;
  REQUIRE(::symlinkat("/etc/passwd", directory.fd(), id().ack_name().c_str()) == 0);
  CHECK_FALSE(open(directory)->adopted());
  CHECK(open(directory)->adopted());
}

TEST_CASE("release: an ack that is truncated under us is an answer") {
  SharedDirectory directory;
  const auto ack = open(directory);
  CHECK(::ftruncate(Mapped(directory).fd, 0) == 0);
  CHECK_FALSE(ack->release(0, settled(160, 2, 0)));
  CHECK_FALSE(ack->set_state(otlpshm_ack_reaped));
}

TEST_CASE("release: no ack is made where the directory does not let us") {
  std::string error;
  CHECK(Ack::open(-1, id(), 1, &error) == nullptr);
  CHECK_FALSE(error.empty());
}

}  // namespace
}  // namespace otlpshm::tests
