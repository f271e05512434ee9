// SPDX-License-Identifier: Apache-2.0
// retry.cc: see retry.h.
#include "export/retry.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

namespace otlpshm::exporting {
namespace {

struct CodeRow {
  std::string_view name;
  Verdict verdict;
};

// Indexed by gRPC status code.
constexpr CodeRow kCodes[] = {
    {"OK", Verdict::acknowledged},
    {"CANCELLED", Verdict::retryable},
    {"UNKNOWN", Verdict::permanent},
    {"INVALID_ARGUMENT", Verdict::permanent},
    {"DEADLINE_EXCEEDED", Verdict::retryable},
    {"NOT_FOUND", Verdict::permanent},
    {"ALREADY_EXISTS", Verdict::permanent},
    {"PERMISSION_DENIED", Verdict::permanent},
    {"RESOURCE_EXHAUSTED", Verdict::permanent},  // without RetryInfo
    {"FAILED_PRECONDITION", Verdict::permanent},
    {"ABORTED", Verdict::retryable},
    {"OUT_OF_RANGE", Verdict::retryable},
    {"UNIMPLEMENTED", Verdict::permanent},
    {"INTERNAL", Verdict::permanent},
    {"UNAVAILABLE", Verdict::retryable},
    {"DATA_LOSS", Verdict::retryable},
    {"UNAUTHENTICATED", Verdict::permanent},
};
static_assert(std::size(kCodes) == 17);

constexpr std::size_t kUnknown = 2;
constexpr std::size_t kResourceExhausted = 8;

std::size_t row_of(int code) {
  if (code < 0 || static_cast<std::size_t>(code) >= std::size(kCodes)) return kUnknown;
  return static_cast<std::size_t>(code);
}

}  // namespace

Verdict verdict_of(int code, bool has_retry_info) {
  const std::size_t row = row_of(code);
  // A server out of resources says by RetryInfo that it expects to recover; without it the request
  // itself is too much, and sending it again would fail again.
  if (row == kResourceExhausted && has_retry_info) return Verdict::retryable;
  return kCodes[row].verdict;
}

std::string_view code_name(int code) {
  return kCodes[row_of(code)].name;
}

Backoff::Backoff(BackoffLimits limits, Random random)
    : limits_{std::max<std::uint64_t>(limits.initial_ms, 1),
              std::max({limits.max_ms, limits.initial_ms, std::uint64_t{1}})},
      random_(std::move(random)) {}

std::uint64_t Backoff::next_ms(std::optional<std::uint64_t> server_delay_ms) {
  if (server_delay_ms) floor_ms_ = std::min(*server_delay_ms, kServerDelayMsMax);
  const std::uint64_t cap = std::max(limits_.max_ms, floor_ms_);
  const std::uint64_t doubled = step_ms_ == 0 ? limits_.initial_ms : step_ms_ * 2;
  step_ms_ = std::min(std::max(doubled, floor_ms_), cap);

  // When the floor is the whole step, a quarter on top keeps clients apart.
  const std::uint64_t low = std::max(step_ms_ / 2, floor_ms_);
  const std::uint64_t high = std::max(step_ms_, low + low / 4);
  const double unit = std::clamp(random_(), 0.0, 1.0);
  return low + static_cast<std::uint64_t>(unit * static_cast<double>(high - low));
}

}  // namespace otlpshm::exporting
