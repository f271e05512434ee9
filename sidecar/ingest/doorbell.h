// SPDX-License-Identifier: Apache-2.0
// doorbell.h: how the daemon goes to sleep without missing a span.
//   Owns   the order: arm the wait; publish an odd epoch; make every producer see it; scan all
//          lanes once more; sleep.
//   Never  sleeps for more than a second, or for more than 100 ms where producers cannot be fenced.
//   Loses  at most that time, when a ring is lost.
//   Order  SYNC(sleep).             Layout docs/abi.md#doorbell.
#ifndef OTLPSHM_INGEST_DOORBELL_H
#define OTLPSHM_INGEST_DOORBELL_H

#include <cstdint>
#include <memory>

#include "ingest/state_file.h"
#include "io/loop.h"

namespace otlpshm::ingest {

class Doorbell {
 public:
  Doorbell(io::Loop& loop, StateFile& state);
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // Call it right after a scan of every lane that found nothing; returns how long the loop may
  // wait before the next scan. It takes several such scans to fall asleep.
  [[nodiscard]] std::uint64_t rest(std::uint64_t now_ns);
  // There is work: producers need not ring.
  void wake();

 private:
  enum class Stage {
    awake,      // rest -> published
    published,  // armed, and the epoch is odd, but a producer may not have seen it yet.
                // rest, when the fence has answered before the scan -> asleep
    asleep,     // a ring, or wake -> awake
  };

  io::Loop& loop_;
  StateFile& state_;
  Stage stage_ = Stage::awake;
  std::uint64_t published_ns_ = 0;
  bool armed_proven_ = false;
  struct Answer {
    bool given = false;
    bool ok = false;
  };
  // A fresh one for each fence: a late answer to an earlier one goes nowhere.
  std::shared_ptr<Answer> fence_;
};

}  // namespace otlpshm::ingest

#endif
