// SPDX-License-Identifier: Apache-2.0
// settled.h: how far a lane has settled, and how: what an ack's slot says (docs/abi.md#ack).
//   Never  holds anything else than sequence = exported + sum of dropped.
#ifndef OTLPSHM_MODEL_SETTLED_H
#define OTLPSHM_MODEL_SETTLED_H

#include <array>
#include <cstdint>

#include "model/outcome.h"

namespace otlpshm::model {

struct LaneSettled {
  std::uint64_t release = 0;   // position: every record below it has settled
  std::uint64_t sequence = 0;  // of the last settled record
  std::uint64_t exported = 0;
  std::uint32_t attempts = 0;
  std::array<std::uint64_t, OTLPSHM_DAEMON_REASONS> dropped{};  // by reason number - 32

  std::uint64_t& dropped_for(Reason reason) {
    return dropped[number(reason) - OTLPSHM_DAEMON_REASON_FIRST];
  }
};

// A lane of a segment that this daemon has seen. Never used again in one life of the daemon.
struct LaneId {
  std::uint64_t segment = 0;
  std::uint32_t lane = 0;
};

}  // namespace otlpshm::model

#endif
