// SPDX-License-Identifier: Apache-2.0
// state_file.cc: adopt or make, then beat. A truncated `state` loses the doorbell and not the
// daemon: scans go on once a second.
#include "ingest/state_file.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <cmath>
#include <utility>

#include "ingest/segment_view.h"
#include "ingest/sigbus_guard.h"
#include "io/clock.h"

namespace otlpshm::ingest {

namespace {

constexpr char kName[] = "state";
constexpr std::uint64_t kBeatsPerTouch = 60;

bool is_fit(const otlpshm_state& state) {
  return state.file.magic == OTLPSHM_STATE_MAGIC && state.file.major == OTLPSHM_ABI_MAJOR &&
         state.file.header_bytes == sizeof(otlpshm_file_header) &&
         state.file.file_bytes == OTLPSHM_STATE_FILE_BYTES && state.file.features_required == 0;
}

void fill(otlpshm_state* state) {
  state->file.magic = OTLPSHM_STATE_MAGIC;
  state->file.major = OTLPSHM_ABI_MAJOR;
  state->file.minor = OTLPSHM_ABI_MINOR;
  state->file.header_bytes = sizeof(otlpshm_file_header);
  state->file.file_bytes = OTLPSHM_STATE_FILE_BYTES;
  state->file.created_unix_nano = io::realtime_ns();
  // Only an identity: without entropy the file still has its time of creation.
  [[maybe_unused]] const ssize_t filled =
      ::getrandom(state->file.id, sizeof state->file.id, GRND_NONBLOCK);
}

// Odd while the fields change; it is odd already when the last daemon died in the middle.
template <typename Fields>
void rewrite(std::uint64_t& generation, const Fields& fields) {
  const std::uint64_t odd = load_relaxed(generation) | 1;
  store_relaxed(generation, odd);
  release_fence();  // SYNC(policy)
  fields();
  store_release(generation, odd + 1);  // SYNC(policy)
}

}  // namespace

std::uint64_t rejection_threshold(double ratio) {
  constexpr int kBits = 56;
  const double kept = std::ldexp(ratio, kBits);  // exact: only the exponent changes
  return (std::uint64_t{1} << kBits) - static_cast<std::uint64_t>(std::llround(kept));
}

std::unique_ptr<StateFile> StateFile::open(int directory, std::string* error) {
  std::unique_ptr<OwnFile> file =
      OwnFile::adopt(directory, kName, OTLPSHM_STATE_FILE_BYTES, [](const std::uint8_t* start) {
        return is_fit(*reinterpret_cast<const otlpshm_state*>(start));
      });
  if (file == nullptr) {
    // A new name over an old one: who mapped the old file sees it expire and looks again.
    file = OwnFile::create(
        directory, kName, OTLPSHM_STATE_FILE_BYTES,
        [](std::uint8_t* start) { fill(reinterpret_cast<otlpshm_state*>(start)); }, error);
    if (file == nullptr) return nullptr;
  }
  std::unique_ptr<StateFile> state(new StateFile(std::move(file)));
  StateFile* const bare = state.get();
  const bool there = guarded([bare] {
    otlpshm_state& words = bare->state();
    bare->heartbeat_ = load_relaxed(words.heartbeat);
    bare->sleep_epoch_ = load_relaxed(words.sleep_epoch);
    bare->clock_published_ = load_relaxed(words.clock.generation) != 0;
    store_relaxed(words.lives, load_relaxed(words.lives) + 1);
  });
  if (!there) {
    *error = "state was truncated while it was opened; start again";
    return nullptr;
  }
  // The last daemon may have been killed asleep, or while it wrote the clock.
  state->publish_awake();
  state->withdraw_clock();
  state->touch();
  state->beat();
  return state;
}

otlpshm_state& StateFile::state() const {
  return *reinterpret_cast<otlpshm_state*>(file_->bytes());
}

void StateFile::beat() {
  ++heartbeat_;
  [[maybe_unused]] const bool there =
      guarded([this] { store_relaxed(state().heartbeat, heartbeat_); });
  if (heartbeat_ % kBeatsPerTouch == 0) touch();
}

// Stores through a mapping do not move a file's modification time; producers go by it.
void StateFile::touch() const {
  ::futimens(file_->fd(), nullptr);
}

void StateFile::publish_head_ratio(double ratio) {
  const std::uint64_t threshold = rejection_threshold(ratio);
  [[maybe_unused]] const bool there = guarded([this, threshold] {
    otlpshm_policy& policy = state().policy;
    rewrite(policy.generation, [&policy, threshold] {
      store_relaxed(policy.flags, threshold == 0 ? 0u : OTLPSHM_POLICY_THRESHOLD);
      store_relaxed(policy.threshold, threshold);
    });
  });
}

void StateFile::publish_clock(const Calibration& calibration) {
  write_clock(calibration);
  clock_published_ = true;
}

void StateFile::withdraw_clock() {
  if (clock_published_) write_clock({});
  clock_published_ = false;
}

void StateFile::write_clock(const Calibration& calibration) {
  [[maybe_unused]] const bool there = guarded([this, &calibration] {
    otlpshm_clock& clock = state().clock;
    rewrite(clock.generation, [&clock, &calibration] {
      store_relaxed(clock.tsc, calibration.tsc);
      store_relaxed(clock.unix_nano, calibration.unix_nano);
      store_relaxed(clock.expiry_tsc, calibration.expiry_tsc);
      store_relaxed(clock.multiplier, calibration.multiplier);
      store_relaxed(clock.shift, calibration.shift);
    });
  });
}

const std::uint32_t* StateFile::doorbell() const {
  return &state().doorbell;
}

std::uint32_t StateFile::doorbell_value() const {
  std::uint32_t value = 0;
  [[maybe_unused]] const bool there =
      guarded([this, &value] { value = load_relaxed(state().doorbell); });
  return value;
}

void StateFile::publish_asleep() {
  publish_epoch((sleep_epoch_ + 1) | 1);
}

void StateFile::publish_awake() {
  if (asleep()) publish_epoch(sleep_epoch_ + 1);
}

void StateFile::publish_epoch(std::uint32_t epoch) {
  sleep_epoch_ = epoch;
  [[maybe_unused]] const bool there =
      guarded([this] { store_release(state().sleep_epoch, sleep_epoch_); });  // SYNC(sleep)
}

}  // namespace otlpshm::ingest
