// SPDX-License-Identifier: Apache-2.0
// doorbell.cc: the daemon's half; the producer's is libotlpshm/src/doorbell.c.
#include "ingest/doorbell.h"

namespace otlpshm::ingest {

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kPollNs = kMs;
// By then a helper thread that was on its way to the wait is in it.
constexpr std::uint64_t kUnprovenNs = 16 * kMs;
constexpr std::uint64_t kSleepNsMax = 1000 * kMs;
constexpr std::uint64_t kUnfencedSleepNsMax = 100 * kMs;

}  // namespace

Doorbell::Doorbell(io::Loop& loop, StateFile& state) : loop_(loop), state_(state) {}

Doorbell::~Doorbell() {
  wake();
  loop_.disarm_futex();
}

std::uint64_t Doorbell::rest(std::uint64_t now_ns) {
  switch (stage_) {
    case Stage::awake: {
      // One fence at a time: anybody may ring, as often as he likes.
      if (fence_ != nullptr && !fence_->given) return kPollNs;
      // A wait that did not fire the last time is still armed, and queued for long.
      if (!loop_.futex_armed()) {
        armed_proven_ = loop_.arm_futex(state_.doorbell(), state_.doorbell_value(),
                                        [this] { wake(); }) == io::Armed::proven;
      }
      state_.publish_asleep();
      published_ns_ = now_ns;
      fence_ = std::make_shared<Answer>();
      loop_.fence_all_producers([answer = fence_](bool ok) { *answer = {true, ok}; });
      stage_ = Stage::published;
      return kPollNs;
    }
    case Stage::published:
      if (!fence_->given) return kPollNs;
      if (!armed_proven_ && now_ns - published_ns_ < kUnprovenNs) return kPollNs;
      stage_ = Stage::asleep;
      break;
    case Stage::asleep:
      break;
  }
  return fence_->ok ? kSleepNsMax : kUnfencedSleepNsMax;
}

void Doorbell::wake() {
  stage_ = Stage::awake;
  state_.publish_awake();
}

}  // namespace otlpshm::ingest
