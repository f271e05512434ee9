// SPDX-License-Identifier: Apache-2.0
// outcome.h: how a record ends. One enum for the whole daemon, made from the list in layout.h.
//   Owns   the mapping reason <-> number <-> name.
//   Never  invents a reason that docs/abi.md does not list.
#ifndef OTLPSHM_MODEL_OUTCOME_H
#define OTLPSHM_MODEL_OUTCOME_H

#include <array>
#include <cstdint>
#include <string_view>

#include "otlpshm/layout.h"

namespace otlpshm::model {

enum class Reason : std::uint8_t {
#define OTLPSHM_REASON_ENUMERATOR(number, name, sentence) name = number,
  OTLPSHM_DROP_REASONS(OTLPSHM_REASON_ENUMERATOR)
#undef OTLPSHM_REASON_ENUMERATOR
};

inline constexpr std::size_t kReasonCount = OTLPSHM_PRODUCER_REASONS + OTLPSHM_DAEMON_REASONS;

struct ReasonText {
  Reason reason;
  std::string_view name;
  std::string_view sentence;
};

inline constexpr ReasonText kReasons[] = {
#define OTLPSHM_REASON_ROW(number, name, sentence) {Reason::name, #name, sentence},
    OTLPSHM_DROP_REASONS(OTLPSHM_REASON_ROW)
#undef OTLPSHM_REASON_ROW
};

constexpr std::size_t number(Reason reason) {
  return static_cast<std::size_t>(reason);
}

// The daemon counts this reason (in an ack); otherwise the producer does.
constexpr bool is_daemon_reason(Reason reason) {
  return number(reason) >= OTLPSHM_DAEMON_REASON_FIRST;
}

// Drop counts by reason number.
using DropCounts = std::array<std::uint64_t, kReasonCount>;

}  // namespace otlpshm::model

#endif
