// SPDX-License-Identifier: Apache-2.0
// retry_test.cc: the table of OTLP's codes, and the waits.
#include "export/retry.h"

#include <catch2/catch.hpp>
#include <vector>

using otlpshm::exporting::Backoff;
using otlpshm::exporting::BackoffLimits;
using otlpshm::exporting::code_name;
using otlpshm::exporting::kServerDelayMsMax;
using otlpshm::exporting::Verdict;
using otlpshm::exporting::verdict_of;

namespace {

struct Row {
  int code;
  const char* name;
  Verdict bare;
  Verdict with_retry_info;
};

// Written from OTLP's text, not from retry.cc.
const Row kRows[] = {
    {0, "OK", Verdict::acknowledged, Verdict::acknowledged},
    {1, "CANCELLED", Verdict::retryable, Verdict::retryable},
    {2, "UNKNOWN", Verdict::permanent, Verdict::permanent},
    {3, "INVALID_ARGUMENT", Verdict::permanent, Verdict::permanent},
    {4, "DEADLINE_EXCEEDED", Verdict::retryable, Verdict::retryable},
    {5, "NOT_FOUND", Verdict::permanent, Verdict::permanent},
    {6, "ALREADY_EXISTS", Verdict::permanent, Verdict::permanent},
    {7, "PERMISSION_DENIED", Verdict::permanent, Verdict::permanent},
    {8, "RESOURCE_EXHAUSTED", Verdict::permanent, Verdict::retryable},
    {9, "FAILED_PRECONDITION", Verdict::permanent, Verdict::permanent},
    {10, "ABORTED", Verdict::retryable, Verdict::retryable},
    {11, "OUT_OF_RANGE", Verdict::retryable, Verdict::retryable},
    {12, "UNIMPLEMENTED", Verdict::permanent, Verdict::permanent},
    {13, "INTERNAL", Verdict::permanent, Verdict::permanent},
    {14, "UNAVAILABLE", Verdict::retryable, Verdict::retryable},
    {15, "DATA_LOSS", Verdict::retryable, Verdict::retryable},
    {16, "UNAUTHENTICATED", Verdict::permanent, Verdict::permanent},
};

Backoff backoff(double random, BackoffLimits limits = {}) {
  return Backoff(limits, [random] { return random; });
}

std::vector<std::uint64_t> waits(Backoff backoff, int count) {
  std::vector<std::uint64_t> all;
  for (int i = 0; i < count; ++i) all.push_back(backoff.next_ms(std::nullopt));
  return all;
}

using Waits = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("retry: each of the 17 codes is judged as OTLP says") {
  for (const Row& row : kRows) {
    CAPTURE(row.code);
    CHECK(verdict_of(row.code, false) == row.bare);
    CHECK(verdict_of(row.code, true) == row.with_retry_info);
    CHECK(code_name(row.code) == row.name);
  }
}

TEST_CASE("retry: a number that gRPC does not define is permanent, like UNKNOWN") {
  for (const int code : {-1, 17, 1'000'000, -2'147'483'647 - 1}) {
    CHECK(verdict_of(code, false) == Verdict::permanent);
    CHECK(verdict_of(code, true) == Verdict::permanent);
    CHECK(code_name(code) == "UNKNOWN");
  }
}

TEST_CASE("retry: waits double from 100 ms to 5 s and stay there") {
  CHECK(waits(backoff(1.0), 9) == Waits{100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000});
}

TEST_CASE("retry: jitter takes at most half of a wait away") {
  CHECK(waits(backoff(0.0), 8) == Waits{50, 100, 200, 400, 800, 1600, 2500, 2500});
  CHECK(waits(backoff(0.5), 3) == Waits{75, 150, 300});
}

TEST_CASE("retry: a server's delay is waited for, and the waits grow from it") {
  for (const double random : {0.0, 0.3, 1.0}) {
    CAPTURE(random);
    Backoff waiting = backoff(random);
    const std::uint64_t first = waiting.next_ms(2000);
    CHECK(first >= 2000);
    CHECK(first <= 2500);
    const std::uint64_t second = waiting.next_ms(std::nullopt);
    CHECK(second >= 2000);
    CHECK(second <= 4000);
    const std::uint64_t third = waiting.next_ms(std::nullopt);
    CHECK(third >= 2500);
    CHECK(third <= 5000);
  }
}

TEST_CASE("retry: a server's delay above the cap is the cap, and never undercut") {
  Backoff low = backoff(0.0);
  Backoff high = backoff(1.0);
  for (int i = 0; i < 4; ++i) {
    CHECK(low.next_ms(i == 0 ? std::optional<std::uint64_t>(20'000) : std::nullopt) == 20'000);
    CHECK(high.next_ms(i == 0 ? std::optional<std::uint64_t>(20'000) : std::nullopt) == 25'000);
  }
}

TEST_CASE("retry: two clients told the same delay do not align") {
  CHECK(backoff(0.1).next_ms(3000) != backoff(0.9).next_ms(3000));
}

TEST_CASE("retry: a delay of zero changes nothing") {
  Backoff waiting = backoff(1.0);
  CHECK(waiting.next_ms(0) == 100);
  CHECK(waiting.next_ms(0) == 200);
}

TEST_CASE("retry: a server cannot silence us for longer than the written bound") {
  CHECK(backoff(0.0).next_ms(UINT64_MAX) == kServerDelayMsMax);
}

TEST_CASE("retry: limits of zero, and a random source out of range, still give a wait") {
  CHECK(waits(backoff(1.0, {0, 0}), 2) == Waits{1, 1});
  CHECK(waits(backoff(7.0), 1) == Waits{100});
  CHECK(waits(backoff(-7.0), 1) == Waits{50});
}
