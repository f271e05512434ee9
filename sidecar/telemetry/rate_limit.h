// SPDX-License-Identifier: Apache-2.0
// rate_limit.h: each log message once in ten seconds, and how many were kept back.
//   Owns   a table of at most 256 messages.     Thread  the caller's lock.
//   Loses  repeats; each is counted.
#ifndef OTLPSHM_TELEMETRY_RATE_LIMIT_H
#define OTLPSHM_TELEMETRY_RATE_LIMIT_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace otlpshm::telemetry {

inline constexpr uint64_t kLogRepeatNs = 10'000'000'000;

class RateLimit {
 public:
  // Nothing if `message` was admitted less than ten seconds ago; else how many were kept back
  // since. Where more messages are recent than the table holds, the rest share one entry.
  std::optional<uint64_t> admit(std::string_view message, uint64_t now_ns);

  uint64_t suppressed() const { return suppressed_; }

 private:
  struct Entry {
    uint64_t admitted_ns;
    uint64_t suppressed;
  };
  static constexpr size_t kMessagesMax = 256;

  std::map<std::string, Entry, std::less<>> entries_;
  uint64_t suppressed_ = 0;
};

}  // namespace otlpshm::telemetry

#endif  // OTLPSHM_TELEMETRY_RATE_LIMIT_H
