// SPDX-License-Identifier: Apache-2.0
#include "ingest/state_file.h"

#include <catch2/catch.hpp>

#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

using ingest::StateFile;

std::unique_ptr<StateFile> open(const SharedDirectory& directory) {
  std::string error;
  auto state = StateFile::open(directory.fd(), &error);
  INFO(error);
  REQUIRE(state != nullptr);
  return state;
}

otlpshm_state read(const SharedDirectory& directory) {
  otlpshm_state state = {};
  const int fd = ::openat(directory.fd(), "state", O_RDONLY);
  REQUIRE(::pread(fd, &state, sizeof state, 0) == sizeof state);
  ::close(fd);
  return state;
}

TEST_CASE("state: it beats, and each sleep is a new odd epoch") {
  SharedDirectory directory;
  const auto state = open(directory);
  const otlpshm_state first = read(directory);
  CHECK(first.file.magic == OTLPSHM_STATE_MAGIC);
  CHECK(first.file.file_bytes == 4096);
  CHECK(first.lives == 1);
  CHECK(first.sleep_epoch == 0);
  state->beat();
  CHECK(read(directory).heartbeat == first.heartbeat + 1);
  state->publish_asleep();
  CHECK(read(directory).sleep_epoch == 1);
  state->publish_awake();
  state->publish_awake();
  CHECK(read(directory).sleep_epoch == 2);
  state->publish_asleep();
  state->publish_asleep();
  CHECK(read(directory).sleep_epoch == 5);
  CHECK(state->doorbell_value() == 0);
}

TEST_CASE("state: a restarting daemon goes on in the same file, awake") {
  SharedDirectory directory;
  auto state = open(directory);
  state->publish_asleep();
  const otlpshm_state before = read(directory);
  state.reset();
  state = open(directory);
  const otlpshm_state after = read(directory);
  CHECK(std::memcmp(before.file.id, after.file.id, 16) == 0);
  CHECK(after.lives == 2);
  CHECK(after.heartbeat > before.heartbeat);
  CHECK(after.sleep_epoch == 2);
}

TEST_CASE("state: an unfit file is replaced, not written into") {
  SharedDirectory directory;
  { const auto state = open(directory); }
  const int old = ::openat(directory.fd(), "state", O_RDWR);
  const std::uint64_t magic = 1;
  REQUIRE(::pwrite(old, &magic, sizeof magic, 0) == sizeof magic);
  const auto state = open(directory);
  CHECK(read(directory).lives == 1);
  struct stat status = {};
  REQUIRE(::fstat(old, &status) == 0);
  CHECK(status.st_nlink == 0);
  ::close(old);
}

TEST_CASE("state: a truncated one costs the doorbell and not the daemon") {
  SharedDirectory directory;
  const auto state = open(directory);
  REQUIRE(::truncate((directory.path() + "/state").c_str(), 0) == 0);
  state->beat();
  state->publish_asleep();
  CHECK(state->asleep());
}

}  // namespace
}  // namespace otlpshm::tests
