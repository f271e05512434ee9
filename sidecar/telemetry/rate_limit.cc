// SPDX-License-Identifier: Apache-2.0
// rate_limit.cc: each log message once in ten seconds, and how many were kept back.
#include "telemetry/rate_limit.h"

namespace otlpshm::telemetry {

std::optional<uint64_t> RateLimit::admit(std::string_view message, uint64_t now_ns) {
  auto found = entries_.find(message);
  if (found == entries_.end() && entries_.size() >= kMessagesMax - 1) {
    // Those that are over and owe no count may go; the empty message stands for all that are left.
    std::erase_if(entries_, [&](const auto& entry) {
      return now_ns - entry.second.admitted_ns >= kLogRepeatNs && entry.second.suppressed == 0;
    });
    if (entries_.size() >= kMessagesMax - 1) found = entries_.find(message = "");
  }
  if (found == entries_.end()) {
    entries_.emplace(message, Entry{now_ns, 0});
    return 0;
  }
  Entry& entry = found->second;
  if (now_ns - entry.admitted_ns < kLogRepeatNs) {
    ++entry.suppressed;
    ++suppressed_;
    return {};
  }
  const uint64_t kept_back = entry.suppressed;
  entry = Entry{now_ns, 0};
  return kept_back;
}

}  // namespace otlpshm::telemetry
