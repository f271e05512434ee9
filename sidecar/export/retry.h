// SPDX-License-Identifier: Apache-2.0
// retry.h: which answers of a backend are worth another try, and when.
//   Owns   the table of OTLP's retryable codes; the wait before each try.
//   Never  reads a clock, sleeps, or gives up: data waits in its lanes for as long as they hold.
//   Spec   OTLP, Failures and OTLP/gRPC Throttling.
#ifndef OTLPSHM_EXPORT_RETRY_H
#define OTLPSHM_EXPORT_RETRY_H

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace otlpshm::exporting {

enum class Verdict : std::uint8_t {
  acknowledged,
  retryable,
  permanent,
};

// `code` is a gRPC status code as it came from the wire: any number.
[[nodiscard]] Verdict verdict_of(int code, bool has_retry_info);

// "UNAVAILABLE"; numbers that gRPC does not define are "UNKNOWN".
[[nodiscard]] std::string_view code_name(int code);

// A backend's wish is honoured up to here, so that a wrong one cannot silence a node for a year.
inline constexpr std::uint64_t kServerDelayMsMax = 10 * 60 * 1000;

struct BackoffLimits {
  std::uint64_t initial_ms = 100;
  std::uint64_t max_ms = 5000;
};

// The waits between the tries of one batch.
class Backoff {
 public:
  using Random = std::function<double()>;  // evenly from [0, 1)

  Backoff(BackoffLimits limits, Random random);

  // The wait before the next try: evenly from the upper half of a step that doubles up to max_ms,
  // so that two clients do not align. A server's delay is never undercut from then on, and the
  // steps grow from it.
  [[nodiscard]] std::uint64_t next_ms(std::optional<std::uint64_t> server_delay_ms);

 private:
  BackoffLimits limits_;
  Random random_;
  std::uint64_t step_ms_ = 0;   // of the last wait; 0 before the first
  std::uint64_t floor_ms_ = 0;  // the server's last delay
};

}  // namespace otlpshm::exporting

#endif
