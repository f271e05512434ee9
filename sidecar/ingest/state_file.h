// SPDX-License-Identifier: Apache-2.0
// state_file.h: `state`: one page that tells every producer that a daemon lives, whether it sleeps,
// which spans it wants, and what time it is.
//   Owns   the file and every word in it.
//   Never  replaces a fit file: producers have it mapped, and its identity outlives a daemon.
//   Layout docs/abi.md#state.       Order  SYNC(sleep), SYNC(policy).
#ifndef OTLPSHM_INGEST_STATE_FILE_H
#define OTLPSHM_INGEST_STATE_FILE_H

#include <cstdint>
#include <memory>
#include <string>

#include "ingest/calibration.h"
#include "ingest/own_file.h"
#include "otlpshm/layout.h"

namespace otlpshm::ingest {

// The threshold below which a root's 56 bits of randomness are not sampled, so that `ratio` of all
// roots are: 0 keeps all, 2^56 none.
std::uint64_t rejection_threshold(double ratio);

class StateFile {
 public:
  // Null, with a sentence that names the remedy, if there can be no `state` of ours.
  static std::unique_ptr<StateFile> open(int directory, std::string* error);

  // Call once a second: producers give a daemon up that has not for ten.
  void beat();

  // The part of all new roots that producers sample, 0 to 1; 1 leaves it to them.
  void publish_head_ratio(double ratio);

  // How producers may tell the time by the TSC. A file begins without.
  void publish_clock(const Calibration& calibration);
  void withdraw_clock();
  [[nodiscard]] bool clock_published() const { return clock_published_; }

  // What a producer wakes; nobody changes its value.
  [[nodiscard]] const std::uint32_t* doorbell() const;
  [[nodiscard]] std::uint32_t doorbell_value() const;

  // Odd: the daemon sleeps or is about to. Each call is a new epoch.
  void publish_asleep();
  void publish_awake();
  [[nodiscard]] bool asleep() const { return (sleep_epoch_ & 1) != 0; }

 private:
  explicit StateFile(std::unique_ptr<OwnFile> file) : file_(std::move(file)) {}
  [[nodiscard]] otlpshm_state& state() const;
  void publish_epoch(std::uint32_t epoch);
  void write_clock(const Calibration& calibration);
  void touch() const;

  std::unique_ptr<OwnFile> file_;
  std::uint64_t heartbeat_ = 0;
  std::uint32_t sleep_epoch_ = 0;
  bool clock_published_ = false;
};

}  // namespace otlpshm::ingest

#endif
