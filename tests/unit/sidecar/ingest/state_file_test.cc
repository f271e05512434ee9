// SPDX-License-Identifier: Apache-2.0
#include "ingest/state_file.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "ingest/segment_view.h"
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

// Writes into the file as a daemon that dies in the middle would leave it.
void overwrite(const SharedDirectory& directory, std::uint64_t offset, std::uint64_t word) {
  const int fd = ::openat(directory.fd(), "state", O_RDWR);
  REQUIRE(::pwrite(fd, &word, sizeof word, static_cast<off_t>(offset)) == sizeof word);
  ::close(fd);
}

// Every field follows from one number, so that a mixture of two is seen.
ingest::Calibration numbered(std::uint32_t number) {
  return {number, number + 1ull, number + 2ull, number + 3, number + 4};
}

bool is_whole(const otlpshm_clock& clock) {
  const std::uint64_t number = clock.tsc;
  return clock.unix_nano == number + 1 && clock.expiry_tsc == number + 2 &&
         clock.multiplier == number + 3 && clock.shift == number + 4;
}

TEST_CASE("state: a file begins without policy and clock") {
  SharedDirectory directory;
  const auto state = open(directory);
  CHECK_FALSE(state->clock_published());
  const otlpshm_state found = read(directory);
  const otlpshm_clock no_clock = {};
  const otlpshm_policy no_policy = {};
  CHECK(std::memcmp(&found.clock, &no_clock, sizeof no_clock) == 0);
  CHECK(std::memcmp(&found.policy, &no_policy, sizeof no_policy) == 0);
}

TEST_CASE("state: a published clock has an even generation, and is withdrawn to nothing") {
  SharedDirectory directory;
  const auto state = open(directory);
  state->publish_clock(numbered(1000));
  CHECK(state->clock_published());
  otlpshm_clock clock = read(directory).clock;
  CHECK(clock.generation == 2);
  CHECK(clock.tsc == 1000);
  CHECK(is_whole(clock));
  state->publish_clock(numbered(2000));
  CHECK(read(directory).clock.generation == 4);
  state->withdraw_clock();
  CHECK_FALSE(state->clock_published());
  clock = read(directory).clock;
  CHECK(clock.generation == 6);
  CHECK((clock.tsc | clock.unix_nano | clock.expiry_tsc | clock.multiplier | clock.shift) == 0);
  state->withdraw_clock();
  CHECK(read(directory).clock.generation == 6);
}

TEST_CASE("state: the next daemon withdraws the clock of the last, also one that died writing it") {
  for (const std::uint64_t generation : {4u, 5u}) {
    SharedDirectory directory;
    {
      const auto state = open(directory);
      state->publish_clock(numbered(1000));
    }
    overwrite(directory, offsetof(otlpshm_state, clock.generation), generation);
    const auto state = open(directory);
    CHECK_FALSE(state->clock_published());
    CHECK(read(directory).clock.generation == 6);
    CHECK(read(directory).clock.multiplier == 0);
  }
}

TEST_CASE("state: a ratio below 1 is a threshold in force, and 1 is none") {
  CHECK(ingest::rejection_threshold(1) == 0);
  CHECK(ingest::rejection_threshold(0.5) == UINT64_C(0x80000000000000));
  CHECK(ingest::rejection_threshold(0.25) == UINT64_C(0xc0000000000000));
  CHECK(ingest::rejection_threshold(0.1) == UINT64_C(0xe6666666666666));
  CHECK(ingest::rejection_threshold(std::ldexp(1, -56)) == UINT64_C(0xffffffffffffff));
  CHECK(ingest::rejection_threshold(0) == UINT64_C(0x100000000000000));
  SharedDirectory directory;
  const auto state = open(directory);
  state->publish_head_ratio(0.25);
  CHECK(read(directory).policy.generation == 2);
  CHECK(read(directory).policy.flags == OTLPSHM_POLICY_THRESHOLD);
  CHECK(read(directory).policy.threshold == UINT64_C(0xc0000000000000));
  state->publish_head_ratio(1);
  CHECK(read(directory).policy.generation == 4);
  CHECK(read(directory).policy.flags == 0);
  CHECK(read(directory).policy.threshold == 0);
}

TEST_CASE("state: the policy of the last daemon stands until the next one says its own") {
  SharedDirectory directory;
  open(directory)->publish_head_ratio(0.5);
  const auto state = open(directory);
  CHECK(read(directory).policy.generation == 2);
  CHECK(read(directory).policy.flags == OTLPSHM_POLICY_THRESHOLD);
  overwrite(directory, offsetof(otlpshm_state, policy.generation), 3);  // died writing
  state->publish_head_ratio(0.25);
  CHECK(read(directory).policy.generation == 4);
}

TEST_CASE("state: a reader that looks while the clock is written sees one calibration or none") {
  SharedDirectory directory;
  const auto state = open(directory);
  const int fd = ::openat(directory.fd(), "state", O_RDONLY);
  void* const base = ::mmap(nullptr, sizeof(otlpshm_state), PROT_READ, MAP_SHARED, fd, 0);
  REQUIRE(base != MAP_FAILED);
  const otlpshm_clock& shared = static_cast<const otlpshm_state*>(base)->clock;
  std::atomic<bool> over = false;
  std::uint32_t written = 0;
  std::thread writer([&] {
    while (!over) state->publish_clock(numbered(++written * 16));
  });
  // Only looks between which it was written say anything; on one processor there are few.
  std::uint64_t newest = 0;
  int whole = 0;
  int torn = 0;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (whole < 50'000 && torn == 0 && std::chrono::steady_clock::now() < give_up) {
    otlpshm_clock clock = {};
    clock.generation = ingest::load_acquire(shared.generation);
    if (clock.generation % 2 != 0) continue;
    clock.tsc = ingest::load_acquire(shared.tsc);
    clock.unix_nano = ingest::load_acquire(shared.unix_nano);
    clock.expiry_tsc = ingest::load_acquire(shared.expiry_tsc);
    clock.multiplier = ingest::load_acquire(shared.multiplier);
    clock.shift = ingest::load_acquire(shared.shift);
    if (ingest::load_acquire(shared.generation) != clock.generation) continue;
    if (clock.generation == newest) continue;
    newest = clock.generation;
    is_whole(clock) ? ++whole : ++torn;
  }
  over = true;
  writer.join();
  CHECK(torn == 0);
  CHECK(is_whole(shared));
  CHECK(shared.generation == 2 * std::uint64_t{written});
  CHECK(whole > 0);
  ::munmap(base, sizeof(otlpshm_state));
  ::close(fd);
}

TEST_CASE("state: a truncated one costs the doorbell and not the daemon") {
  SharedDirectory directory;
  const auto state = open(directory);
  REQUIRE(::truncate((directory.path() + "/state").c_str(), 0) == 0);
  state->beat();
  state->publish_asleep();
  state->publish_head_ratio(0.5);
  state->publish_clock(numbered(1));
  state->withdraw_clock();
  CHECK(state->asleep());
}

}  // namespace
}  // namespace otlpshm::tests
