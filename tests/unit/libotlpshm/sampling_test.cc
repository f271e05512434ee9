// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <thread>

#include "clock_reads.h"
#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kMax = (std::uint64_t{1} << 56) - 1;
constexpr std::uint64_t kNever = kMax + 1;
constexpr std::uint64_t kHalf = std::uint64_t{1} << 55;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr int kDrop = otlpshm_decision_drop;
constexpr int kRecordOnly = otlpshm_decision_record_only;
constexpr int kSample = otlpshm_decision_record_and_sample;

constexpr int kSamplers[] = {OTLPSHM_SAMPLER_ALWAYS_ON,
                             OTLPSHM_SAMPLER_ALWAYS_OFF,
                             OTLPSHM_SAMPLER_TRACE_ID_RATIO,
                             OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON,
                             OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_OFF,
                             OTLPSHM_SAMPLER_PARENT_BASED_TRACE_ID_RATIO,
                             OTLPSHM_SAMPLER_PROBABILITY,
                             OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY};

bool follows(int kind) {
  return kind == OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON ||
         kind == OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_OFF ||
         kind == OTLPSHM_SAMPLER_PARENT_BASED_TRACE_ID_RATIO ||
         kind == OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY;
}
bool is_consistent(int kind) {
  return kind == OTLPSHM_SAMPLER_PROBABILITY || kind == OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY;
}
// What a sampler keeps of new traces, of which it is to keep half if it has a ratio.
std::uint64_t threshold_with_half(int kind) {
  if (kind == OTLPSHM_SAMPLER_ALWAYS_ON || kind == OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON) return 0;
  const bool is_off =
      kind == OTLPSHM_SAMPLER_ALWAYS_OFF || kind == OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_OFF;
  return is_off ? kNever : kHalf;
}

otlpshm_writer_options options_with(int kind, double ratio) {
  otlpshm_writer_options options{};
  options.size = sizeof options;
  options.sampler = kind;
  options.sampler_ratio = ratio;
  return options;
}

otlpshm_sampler_state sampler_of(const otlpshm_writer_options& options) {
  otlpshm_sampler_state sampler{};
  REQUIRE(otlpshm_sampler_init(&sampler, &options) == OTLPSHM_OK);
  return sampler;
}
otlpshm_sampler_state sampler_of(int kind, double ratio = 0.5) {
  return sampler_of(options_with(kind, ratio));
}

// A daemon's word, without a daemon: whoever looked for its files would set tick_at.
otlpshm_attachment* attachment_with(std::uint64_t published) {
  static otlpshm_attachment attachment;
  attachment.published_threshold = published;
  attachment.tick_at = UINT64_MAX;
  return &attachment;
}

struct TraceId {
  std::uint8_t bytes[16] = {1};
  explicit TraceId(std::uint64_t randomness) {
    for (int i = 0; i < 8; ++i) {
      bytes[15 - i] = static_cast<std::uint8_t>(randomness >> (8 * i));
    }
    bytes[8] = 0xff;  // not part of the randomness
  }
};

// The state must outlive the context.
otlpshm_context parent_of(unsigned flags, std::string_view state, bool is_remote = true) {
  otlpshm_context parent{};
  parent.trace_id[0] = parent.span_id[0] = 1;
  parent.trace_flags = static_cast<std::uint8_t>(flags);
  parent.is_remote = is_remote;
  parent.trace_state = state.empty() ? nullptr : state.data();
  parent.trace_state_bytes = static_cast<std::uint32_t>(state.size());
  return parent;
}

otlpshm_sampling of_root(const otlpshm_sampler_state& sampler, std::uint64_t randomness,
                         std::uint64_t published = 0) {
  const TraceId id(randomness);
  return otlpshm_sampling_decide(&sampler, attachment_with(published), nullptr, id.bytes);
}

otlpshm_sampling of_child(const otlpshm_sampler_state& sampler, const otlpshm_context& parent,
                          std::uint64_t randomness, std::uint64_t published = 0) {
  const TraceId id(randomness);
  return otlpshm_sampling_decide(&sampler, attachment_with(published), &parent, id.bytes);
}

// The threshold that the header and the trace state tell, or nothing.
std::optional<std::uint64_t> told(const otlpshm_sampling& sampling) {
  if ((sampling.record_flags & OTLPSHM_RECORD_THRESHOLD_KNOWN) == 0) {
    CHECK(sampling.threshold == 0);
    return std::nullopt;
  }
  return sampling.threshold;
}

std::string written(const otlpshm_sampling& sampling, const std::string& state) {
  char out[OTLPSHM_TRACESTATE_BYTES + 2];
  std::memset(out, '\x55', sizeof out);
  const std::size_t bytes = otlpshm_sampling_trace_state(
      &sampling, state.empty() ? nullptr : state.data(), state.size(), out);
  REQUIRE(bytes <= OTLPSHM_TRACESTATE_BYTES);
  CHECK(out[bytes] == '\0');
  CHECK(out[sizeof out - 1] == '\x55');
  return std::string(out, bytes);
}

// The trace state of a span whose parent has this one.
std::string state_after(const otlpshm_sampling& sampling, const std::string& state) {
  return sampling.trace_state_changes ? written(sampling, state) : state;
}

// The specification's way, by text.
std::string th_of(std::uint64_t threshold) {
  char text[32];
  std::snprintf(text, sizeof text, "%014llx", static_cast<unsigned long long>(threshold));
  std::string th = text;
  th.erase(th.find_last_not_of('0') + 1);
  return th.empty() ? "0" : th;
}

std::string th_of_ratio(double ratio, unsigned digits) {
  return th_of(otlpshm_sampling_round(otlpshm_sampling_threshold_of(ratio), digits));
}

// Publishes a policy as docs/abi.md says.
void publish(StateFile& state, std::uint32_t flags, std::uint64_t threshold) {
  const std::uint64_t generation = state.load64(384) | 1;
  state.store64(384, generation);
  state.store32(392, flags);
  state.store64(400, threshold);
  state.store64(384, generation + 1);
}

void look(otlpshm_attachment* attachment, std::uint64_t seconds = 1) {
  otlpshm_attach_look(attachment, otlpshm_clock_monotonic() + seconds * kSecond, false);
}

}  // namespace

// ---- thresholds ----

TEST_CASE("sampling: a ratio's threshold is exact, from none to all") {
  CHECK(otlpshm_sampling_threshold_of(1) == 0);
  CHECK(otlpshm_sampling_threshold_of(0.5) == kHalf);
  CHECK(otlpshm_sampling_threshold_of(0x1p-56) == kMax);
  CHECK(otlpshm_sampling_threshold_of(0x1p-57) == kMax);
  CHECK(otlpshm_sampling_threshold_of(0x1p-58) == kNever);
  CHECK(otlpshm_sampling_threshold_of(0) == kNever);
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const double ratio = std::ldexp(static_cast<double>(random() >> 11), -53 - i % 8);
    const long double kept = std::ldexp(static_cast<long double>(ratio), 56);
    const auto threshold = static_cast<long double>(otlpshm_sampling_threshold_of(ratio));
    REQUIRE(std::fabs(threshold + kept - std::ldexp(1.0L, 56)) <= 0.5L);
  }
}

TEST_CASE("sampling: th has the digits of the specification's table") {
  struct Row {
    double ratio;
    const char* digits[3];  // with a precision of 3, 4 and 5
  };
  const Row rows[] = {
      {1, {"0", "0", "0"}},
      {0.5, {"8", "8", "8"}},
      {1 / 3., {"aab", "aaab", "aaaab"}},
      {0.25, {"c", "c", "c"}},
      {0.2, {"ccd", "cccd", "ccccd"}},
      {0.125, {"e", "e", "e"}},
      {0.1, {"e66", "e666", "e6666"}},
      {0.0625, {"f", "f", "f"}},
      {0.01, {"fd71", "fd70a", "fd70a4"}},
      {0.001, {"ffbe7", "ffbe77", "ffbe76d"}},
      {0.0001, {"fff972", "fff9724", "fff97247"}},
      {0.00001, {"ffff584", "ffff583a", "ffff583a5"}},
      {0.000001, {"ffffef4", "ffffef39", "ffffef391"}},
      {0.999999, {"0", "0", "00001"}},
      {0x1p-56, {"ffffffffffffff", "ffffffffffffff", "ffffffffffffff"}},
  };
  for (const Row& row : rows) {
    INFO("ratio " << row.ratio);
    for (unsigned i = 0; i < 3; ++i) CHECK(th_of_ratio(row.ratio, 3 + i) == row.digits[i]);
  }
  CHECK(otlpshm_sampling_round(kNever, 4) == kNever);
}

TEST_CASE("sampling: a smaller ratio never has a lower threshold, rounded or not") {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100'000; ++i) {
    const double one = std::ldexp(static_cast<double>(random() >> 11), -53 - 4 * (i % 12));
    const double other = i % 2 == 0 ? std::ldexp(static_cast<double>(random() >> 11), -53)
                                    : std::nextafter(one, i % 4 == 1 ? 0 : 1);
    const std::uint64_t low = otlpshm_sampling_threshold_of(std::max(one, other));
    const std::uint64_t high = otlpshm_sampling_threshold_of(std::min(one, other));
    REQUIRE(low <= high);
    REQUIRE(otlpshm_sampling_round(low, 4) <= otlpshm_sampling_round(high, 4));
    REQUIRE(otlpshm_sampling_round(high, 4) <= kNever);
  }
}

TEST_CASE("sampling: th is written without losing a zero, and read back") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY, 1);
  std::mt19937_64 random(3);
  for (unsigned i = 0; i < 16 * 14 + 100'000; ++i) {
    std::uint64_t threshold = std::uint64_t{i % 16} << (4 * (i / 16 % 14));  // one digit, anywhere
    if (i >= 16 * 14) {
      threshold = (random() & kMax) >> (random() % 56);      // zeros in front
      threshold = threshold >> (i % 56) << (i % 56) & kMax;  // and behind
    }
    otlpshm_sampling sampling{};
    sampling.threshold = threshold;
    sampling.record_flags = OTLPSHM_RECORD_THRESHOLD_KNOWN;
    const std::string state = written(sampling, "");
    REQUIRE(state == "ot=th:" + th_of(threshold));
    REQUIRE(told(of_child(sampler, parent_of(1, state), kMax)) == threshold);
  }
}

TEST_CASE("sampling: th with fewer than 14 digits is the left-most of them") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON);
  struct Row {
    const char* th;
    std::uint64_t threshold;
    double adjusted_count;
  };
  for (const Row& row : {Row{"c", 0xc0000000000000, 4}, Row{"8", 0x80000000000000, 2},
                         Row{"08", 0x08000000000000, 32 / 31.}, Row{"0", 0, 1},
                         Row{"80000000000000", 0x80000000000000, 2}}) {
    const std::string state = std::string("ot=th:") + row.th;
    const auto threshold = told(of_child(sampler, parent_of(1, state), kMax));
    REQUIRE(threshold == row.threshold);
    const double adjusted = 0x1p56 / (0x1p56 - static_cast<double>(*threshold));
    CHECK(adjusted == Approx(row.adjusted_count));
  }
}

// ---- roots ----

TEST_CASE("sampling: a root is kept when its randomness is not below the threshold") {
  for (const int kind : kSamplers) {
    const std::uint64_t threshold = threshold_with_half(kind);
    const otlpshm_sampler_state sampler = sampler_of(kind);
    for (const std::uint64_t randomness :
         {std::uint64_t{0}, std::uint64_t{1}, kHalf - 1, kHalf, kHalf + 1, kMax}) {
      INFO("sampler " << kind << " randomness " << std::hex << randomness);
      const otlpshm_sampling sampling = of_root(sampler, randomness);
      const bool keeps = randomness >= threshold;
      CHECK(sampling.decision == (keeps ? kSample : kDrop));
      CHECK(sampling.trace_flags == (keeps ? 3 : 2));  // the ids are random
      const bool tells = keeps && is_consistent(kind);
      CHECK(told(sampling) == (tells ? std::optional(kHalf) : std::nullopt));
      CHECK(state_after(sampling, "") == (tells ? "ot=th:8" : ""));
      CHECK((sampling.record_flags & OTLPSHM_RECORD_PARENT_SAMPLED) == 0);
    }
  }
}

TEST_CASE("sampling: a ratio of 1 and one close to it keep all, and th is 0") {
  for (const double ratio : {1.0, 0.999999}) {
    const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, ratio);
    CHECK(state_after(of_root(sampler, 0), "") == "ot=th:0");
  }
  const otlpshm_sampler_state none = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 0);
  CHECK(of_root(none, kMax).decision == kDrop);
  const otlpshm_sampler_state least = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 0x1p-56);
  CHECK(of_root(least, kMax - 1).decision == kDrop);
  CHECK(state_after(of_root(least, kMax), "") == "ot=th:ffffffffffffff");
}

TEST_CASE("sampling: whoever keeps more keeps all that others keep") {
  std::mt19937_64 random(4);
  for (const int kind : {OTLPSHM_SAMPLER_TRACE_ID_RATIO, OTLPSHM_SAMPLER_PROBABILITY}) {
    std::vector<otlpshm_sampler_state> samplers;
    for (const double ratio : {0.0, 0x1p-56, 1e-6, 0.001, 0.01, 0.1, 0.25, 1 / 3., 0.5, 0.9, 1.0}) {
      samplers.push_back(sampler_of(kind, ratio));
    }
    for (int i = 0; i < 100'000; ++i) {
      const std::uint64_t randomness = i < 50'000 ? random() : ~(random() >> (i % 64));
      bool kept = false;
      for (const otlpshm_sampler_state& sampler : samplers) {
        const bool keeps = of_root(sampler, randomness).decision == kSample;
        REQUIRE((keeps || !kept));
        kept = keeps;
      }
      REQUIRE(kept);
    }
  }
}

TEST_CASE("sampling: what is kept, counted by th, is what there was") {
  constexpr int kTraces = 1'000'000;
  for (const double ratio : {0.5, 0.1, 0.01}) {
    const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, ratio);
    std::mt19937_64 random(5);
    double kept = 0;
    double counted = 0;
    for (int i = 0; i < kTraces; ++i) {
      const otlpshm_sampling sampling = of_root(sampler, random());
      if (sampling.decision != kSample) continue;
      kept += 1;
      counted += 0x1p56 / (0x1p56 - static_cast<double>(*told(sampling)));
    }
    INFO("ratio " << ratio);
    const double sigma = std::sqrt(kTraces * ratio * (1 - ratio));
    CHECK(std::fabs(kept - kTraces * ratio) < 3 * sigma);
    CHECK(std::fabs(counted - kTraces) < 3 * sigma / ratio);
  }
}

TEST_CASE("sampling: the ids that this library makes are random enough to sample by") {
  in_child([] {
    REQUIRE(otlpshm_process_start());
    REQUIRE(otlpshm_process_ready());
    const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_TRACE_ID_RATIO, 0.1);
    constexpr int kTraces = 100'000;
    int kept = 0;
    for (int i = 0; i < kTraces; ++i) {
      const otlpshm_ids ids = otlpshm_ids_of_root(&otlpshm_thread);
      std::uint8_t trace_id[16];
      std::memcpy(trace_id, ids.trace, sizeof trace_id);
      kept += otlpshm_sampling_decide(&sampler, attachment_with(0), nullptr, trace_id).decision ==
              kSample;
    }
    // The seed is not fixed: six sigma, once in 500 million runs.
    REQUIRE(std::abs(kept - kTraces / 10) < 6 * std::sqrt(kTraces * 0.09));
  });
}

// ---- children ----

TEST_CASE("sampling: parent-based samplers follow a parent, near or far; the others do not") {
  for (const int kind : kSamplers) {
    for (const bool is_remote : {false, true}) {
      for (const bool sampled : {false, true}) {
        for (const std::uint64_t randomness : {std::uint64_t{0}, kMax}) {
          INFO("sampler " << kind << " remote " << is_remote << " sampled " << sampled
                          << " randomness " << randomness);
          const otlpshm_context parent = parent_of(sampled, "", is_remote);
          const otlpshm_sampling sampling = of_child(sampler_of(kind), parent, randomness);
          const bool keeps = follows(kind) ? sampled : randomness >= threshold_with_half(kind);
          CHECK(sampling.decision == (keeps ? kSample : kDrop));
          CHECK((sampling.trace_flags & 1) == (keeps ? 1 : 0));
          const bool marked = (sampling.record_flags & OTLPSHM_RECORD_PARENT_SAMPLED) != 0;
          CHECK(marked == sampled);
          // Without th from a parent, a follower's probability is not known.
          const bool tells = keeps && kind == OTLPSHM_SAMPLER_PROBABILITY;
          CHECK(told(sampling) == (tells ? std::optional(kHalf) : std::nullopt));
          CHECK(state_after(sampling, "") == (tells ? "ot=th:8" : ""));
        }
      }
    }
  }
}

TEST_CASE("sampling: the random flag is the parent's, set or not") {
  for (const int kind : kSamplers) {
    for (const unsigned flags : {0u, 1u, 2u, 3u, 0xfcu, 0xffu}) {
      for (const char* state : {"", "ot=th:0", "a=b"}) {
        const otlpshm_sampling sampling = of_child(sampler_of(kind), parent_of(flags, state), kMax);
        CHECK((sampling.trace_flags & ~1u) == (flags & 2));  // other bits are not passed on
      }
    }
  }
}

TEST_CASE(
    "sampling: the sampled flag is set on what is recorded and sampled, and on nothing else") {
  for (const int kind : kSamplers) {
    for (const bool records : {false, true}) {
      otlpshm_writer_options options = options_with(kind, 0.5);
      if (records) options.flags = OTLPSHM_WRITER_RECORD_ERRORS;
      const otlpshm_sampler_state sampler = sampler_of(options);
      for (const std::uint64_t randomness : {std::uint64_t{0}, kMax}) {
        std::vector<otlpshm_sampling> all = {of_root(sampler, randomness),
                                             of_root(sampler, randomness, kMax)};
        for (const unsigned flags : {0u, 1u}) {
          for (const char* state : {"", "ot=th:c", "a=b"}) {
            all.push_back(of_child(sampler, parent_of(flags, state), randomness));
          }
        }
        for (const otlpshm_sampling& sampling : all) {
          INFO("sampler " << kind << " records " << records << " decision "
                          << int{sampling.decision});
          const bool sampled = (sampling.trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) != 0;
          const bool only = (sampling.record_flags & OTLPSHM_RECORD_ONLY) != 0;
          CHECK(sampled == (sampling.decision == kSample));
          CHECK(only == (sampling.decision == kRecordOnly));
          if (!sampled) CHECK(sampling.decision == (records ? kRecordOnly : kDrop));
          if (!sampled) CHECK_FALSE(told(sampling));
        }
      }
    }
  }
}

TEST_CASE("sampling: an unsampled span is written for its error or for its length") {
  otlpshm_writer_options options = options_with(OTLPSHM_SAMPLER_ALWAYS_OFF, 0);
  CHECK(of_root(sampler_of(options), kMax).decision == kDrop);
  options.record_slower_than_nano = 1000;
  otlpshm_sampler_state sampler = sampler_of(options);
  CHECK(of_root(sampler, kMax).decision == kRecordOnly);
  CHECK_FALSE(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_ERROR, 999));
  CHECK(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_UNSET, 1000));
  options.flags = OTLPSHM_WRITER_RECORD_ERRORS;
  sampler = sampler_of(options);
  CHECK(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_ERROR, 0));
  CHECK_FALSE(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_OK, 0));
  CHECK_FALSE(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_UNSET, 999));
  options.record_slower_than_nano = 0;
  sampler = sampler_of(options);
  CHECK(of_root(sampler, kMax).decision == kRecordOnly);
  CHECK_FALSE(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_UNSET, UINT64_MAX));
  sampler = sampler_of(OTLPSHM_SAMPLER_ALWAYS_OFF);
  CHECK_FALSE(otlpshm_sampler_keeps(&sampler, OTLPSHM_STATUS_ERROR, UINT64_MAX));
}

// ---- trace state ----

TEST_CASE("sampling: a child that follows has its parent's th if that is true, or none") {
  struct Row {
    unsigned parent_flags;
    std::uint64_t randomness;
    const char* state;
    const char* expected;
    std::optional<std::uint64_t> threshold;
  };
  const Row rows[] = {
      {1, kHalf, "ot=th:8", "ot=th:8", kHalf},
      {1, kHalf, "a=b,ot=rv:80000000000000;th:8;x:y,c=d", "a=b,ot=rv:80000000000000;th:8;x:y,c=d",
       kHalf},
      {1, 0, "ot=rv:80000000000000;th:8", "ot=rv:80000000000000;th:8", kHalf},  // rv rules
      {1, kHalf, "a=b", "a=b", {}},                                             // none: unknown
      {1, kHalf, "ot=x:y", "ot=x:y", {}},
      {1, kHalf - 1, "ot=th:8", "", {}},  // it would not have been kept
      {1, kHalf - 1, "a=b,ot=x:y;th:8,c=d", "ot=x:y,a=b,c=d", {}},
      {1, kHalf, "ot=rv:7fffffffffffff;th:8", "ot=rv:7fffffffffffff", {}},
      {1, kMax, "ot=th:C", "", {}},  // malformed
      {1, kMax, "ot=th:;x:y", "ot=x:y", {}},
      {1, kMax, "ot=th:000000000000000", "", {}},
      {1, kMax, "ot=th:8;th:8", "ot=th:8;th:8", {}},  // no `ot` at all
      {1, kMax, "ot=th:8;", "ot=th:8;", {}},
      {1, kMax, "ot=;th:8", "ot=;th:8", {}},
      {1, kMax, "ot=th:8;X:y", "ot=th:8;X:y", {}},
      {1, kMax, "ot=th:8;x", "ot=th:8;x", {}},
      {1, kMax, "ot=th:8;x:y z", "ot=th:8;x:y z", {}},
      {1,
       kMax,
       "ot=th:8;rv:80000000000000;rv:80000000000000",
       "ot=th:8;rv:80000000000000;rv:80000000000000",
       {}},
      {1, kMax, "OT=th:8", "OT=th:8", {}},  // no list
  };
  for (const int kind : kSamplers) {
    if (!follows(kind)) continue;
    for (const Row& row : rows) {
      INFO("sampler " << kind << " state " << row.state);
      const otlpshm_sampling sampling =
          of_child(sampler_of(kind), parent_of(row.parent_flags, row.state), row.randomness);
      CHECK(sampling.decision == kSample);
      CHECK(told(sampling) == row.threshold);
      CHECK(state_after(sampling, row.state) == row.expected);
    }
  }
}

TEST_CASE("sampling: a child that is not sampled has no th where th is its sampler's concern") {
  const std::string state = "a=b,ot=th:8;rv:00000000000000";
  for (const int kind : kSamplers) {
    for (const bool records : {false, true}) {
      otlpshm_writer_options options = options_with(kind, 0.5);
      if (records) options.flags = OTLPSHM_WRITER_RECORD_ERRORS;
      const otlpshm_sampling sampling = of_child(sampler_of(options), parent_of(0, state), 0);
      if (sampling.decision == kSample) continue;
      INFO("sampler " << kind << " records " << records);
      // A parent-based sampler that does not record hands the state on, untouched and unread.
      const bool hands_on = follows(kind) && !is_consistent(kind) && !records;
      CHECK(state_after(sampling, state) == (hands_on ? state : "ot=rv:00000000000000,a=b"));
      CHECK_FALSE(told(sampling));
    }
  }
}

TEST_CASE("sampling: a probability sampler tells its own th and rules by rv") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 0.5);
  struct Row {
    std::uint64_t randomness;
    const char* state;
    const char* expected;
    bool keeps;
  };
  const Row rows[] = {
      {kMax, "", "ot=th:8", true},
      {0, "", "", false},
      {kMax, "ot=th:c", "ot=th:8", true},
      {kMax, "ot=th:8,a=b", "ot=th:8,a=b", true},
      {kMax, "a=b,ot=th:8", "a=b,ot=th:8", true},  // unchanged: it stays where it is
      {kMax, "a=b,ot=x:y,c=d", "ot=th:8;x:y,a=b,c=d", true},
      {0, "ot=rv:80000000000000", "ot=th:8;rv:80000000000000", true},
      {kMax, "ot=rv:7fffffffffffff;x:y", "ot=rv:7fffffffffffff;x:y", false},
      {kMax, "ot=th:c;rv:7fffffffffffff;x:y", "ot=rv:7fffffffffffff;x:y", false},
      {kMax, "ot=rv:0000000000000", "ot=th:8;rv:0000000000000", true},      // 13 digits
      {kMax, "ot=rv:000000000000000", "ot=th:8;rv:000000000000000", true},  // 15
      {0, "ot=rv:FFFFFFFFFFFFFF", "ot=rv:FFFFFFFFFFFFFF", false},
      {kMax, "ot=p:8;r:62;th:c", "ot=th:8;p:8;r:62", true},
      {kMax, "ot=A:b", "ot=th:8", true},  // malformed: it makes way
  };
  for (const Row& row : rows) {
    for (const unsigned flags : {0u, 1u}) {
      INFO("state " << row.state << " randomness " << std::hex << row.randomness);
      const otlpshm_sampling sampling =
          of_child(sampler, parent_of(flags, row.state), row.randomness);
      CHECK(sampling.decision == (row.keeps ? kSample : kDrop));
      CHECK(told(sampling) == (row.keeps ? std::optional(kHalf) : std::nullopt));
      CHECK(state_after(sampling, row.state) == row.expected);
    }
  }
}

TEST_CASE("sampling: one rv gives many traces one decision") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 0.1);
  std::mt19937_64 random(6);
  for (const char* state : {"ot=rv:e6660000000000", "ot=rv:e665ffffffffff"}) {
    const int expected = std::string(state).back() == '0' ? kSample : kDrop;
    for (int i = 0; i < 1000; ++i) {
      REQUIRE(of_child(sampler, parent_of(1, state), random()).decision == expected);
    }
  }
}

TEST_CASE("sampling: who decides without th takes away a th that is not its own") {
  const std::string state = "a=b,ot=x:y;th:c";
  for (const int kind : {OTLPSHM_SAMPLER_ALWAYS_ON, OTLPSHM_SAMPLER_TRACE_ID_RATIO}) {
    const otlpshm_sampling sampling = of_child(sampler_of(kind), parent_of(1, state), kMax);
    CHECK(sampling.decision == kSample);
    CHECK_FALSE(told(sampling));
    CHECK(state_after(sampling, state) == "ot=x:y,a=b");
  }
  // By the trace id alone, whatever rv says.
  const std::string rv = "ot=rv:ffffffffffffff";
  const otlpshm_sampler_state ratio = sampler_of(OTLPSHM_SAMPLER_TRACE_ID_RATIO);
  CHECK(of_child(ratio, parent_of(1, rv), kHalf - 1).decision == kDrop);
  CHECK(of_child(ratio, parent_of(1, rv), kHalf).decision == kSample);
}

TEST_CASE("sampling: an `ot` member that is full stays as it is, and the threshold is not known") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 0.5);
  for (std::size_t others = 240; others <= 256; ++others) {
    const std::string pair = "x:" + std::string(others - 2, 'y');
    const std::string state = "a=b,ot=" + pair;
    const otlpshm_sampling sampling = of_child(sampler, parent_of(1, state), kMax);
    INFO("others " << others);
    const bool fits = others + 5 <= 256;
    CHECK(sampling.decision == kSample);
    CHECK(told(sampling) == (fits ? std::optional(kHalf) : std::nullopt));
    CHECK(state_after(sampling, state) == (fits ? "ot=th:8;" + pair + ",a=b" : state));
  }
  // One that only fits without the new digits loses its th rather than tell a wrong one.
  const std::string pair = "x:" + std::string(249, 'y');
  const otlpshm_sampler_state third = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 1 / 3.);
  const otlpshm_sampling sampling = of_child(third, parent_of(1, "ot=" + pair + ";th:8"), kMax);
  CHECK_FALSE(told(sampling));
  CHECK(state_after(sampling, "ot=" + pair + ";th:8") == "ot=" + pair);
}

TEST_CASE("sampling: a list that is full or too long keeps th and loses others from its end") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_PROBABILITY, 0.5);
  std::string many = "a0=b";
  for (int i = 1; i < 32; ++i) many += ",a" + std::to_string(i) + "=b";
  otlpshm_sampling sampling = of_child(sampler, parent_of(1, many), kMax);
  CHECK(state_after(sampling, many) == "ot=th:8," + many.substr(0, many.rfind(',')));

  const std::string first = "a=" + std::string(200, 'x');
  const std::string second = "b=" + std::string(100, 'x');
  const std::string third = "c=" + std::string(100, 'x');
  const std::string fourth = "d=" + std::string(97, 'x');
  const std::string state = first + "," + second + "," + third + "," + fourth;
  REQUIRE(state.size() < 512);
  sampling = of_child(sampler, parent_of(1, state), kMax);
  const std::string all = "ot=th:8," + state;
  const std::string cut = "ot=th:8," + second + "," + third + "," + fourth;
  CHECK(state_after(sampling, state) == (all.size() <= 512 ? all : cut));

  // Nothing of it is sampling's concern, but the room is: no half member is handed on.
  const std::string longer = state + ",e=" + std::string(100, 'x');
  const otlpshm_sampler_state following = sampler_of(OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON);
  sampling = of_child(following, parent_of(1, longer), kMax);
  CHECK_FALSE(told(sampling));
  CHECK(state_after(sampling, longer) == longer.substr(first.size() + 1));
}

TEST_CASE("sampling: any bytes as a trace state end in a list or in nothing") {
  std::mt19937_64 random(7);
  const std::string alphabet = "ot=th:rv;,x08fF \t.\x01\xff";
  for (int i = 0; i < 100'000; ++i) {
    std::string state;
    const std::size_t bytes = random() % 60;
    for (std::size_t at = 0; at < bytes; ++at) {
      state += random() % 4 == 0 ? (random() % 2 == 0 ? "ot=th:" : ";rv:")
                                 : std::string(1, alphabet[random() % alphabet.size()]);
    }
    const otlpshm_sampler_state sampler = sampler_of(kSamplers[i % 8]);
    const std::uint64_t randomness = random() & kMax;
    const otlpshm_sampling sampling = of_child(sampler, parent_of(1, state), randomness);
    if (!sampling.trace_state_changes) continue;
    const std::string after = written(sampling, state);
    // Read back, it says what the header says.
    const otlpshm_sampler_state reader = sampler_of(OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY);
    const otlpshm_sampling read = of_child(reader, parent_of(1, after), randomness);
    REQUIRE(told(read) == told(sampling));
    REQUIRE_FALSE(read.trace_state_changes);
  }
}

// ---- what the daemon publishes ----

TEST_CASE("sampling: a published threshold takes from new roots, and never adds") {
  constexpr std::uint64_t kQuarter = 0xc0000000000000;
  for (const int kind : kSamplers) {
    const otlpshm_sampler_state sampler = sampler_of(kind);
    const std::uint64_t own = threshold_with_half(kind);
    for (const std::uint64_t published :
         {std::uint64_t{0}, kHalf / 2, kHalf, kQuarter, kMax, kNever}) {
      for (const std::uint64_t randomness :
           {std::uint64_t{0}, kHalf / 2, kHalf, kQuarter - 1, kQuarter, kMax}) {
        INFO("sampler " << kind << std::hex << " published " << published << " randomness "
                        << randomness);
        const std::uint64_t threshold = std::max(own, published);
        const otlpshm_sampling sampling = of_root(sampler, randomness, published);
        const bool keeps = randomness >= threshold;
        CHECK(sampling.decision == (keeps ? kSample : kDrop));
        CHECK(sampling.trace_flags == (keeps ? 3 : 2));
        // Whoever reads the span must be able to count what was taken.
        const bool tells = keeps && (published > own || is_consistent(kind));
        CHECK(told(sampling) == (tells ? std::optional(threshold) : std::nullopt));
        CHECK(state_after(sampling, "") == (tells ? "ot=th:" + th_of(threshold) : ""));
      }
    }
  }
}

TEST_CASE("sampling: a published threshold leaves children to their parents and their samplers") {
  for (const int kind : kSamplers) {
    const otlpshm_sampler_state sampler = sampler_of(kind);
    for (const unsigned flags : {0u, 1u}) {
      for (const char* state : {"", "ot=th:8", "a=b"}) {
        const otlpshm_context parent = parent_of(flags, state);
        const otlpshm_sampling without = of_child(sampler, parent, kHalf);
        const otlpshm_sampling with = of_child(sampler, parent, kHalf, kMax);
        CHECK(with.decision == without.decision);
        CHECK(told(with) == told(without));
      }
    }
  }
}

TEST_CASE("sampling: a policy counts when it was written, is in force and is a threshold") {
  otlpshm_policy policy{};
  std::uint64_t adopted = 7;
  const auto adopt = [&](std::uint64_t generation, std::uint32_t flags, std::uint64_t threshold) {
    policy.generation = generation;
    policy.flags = flags;
    policy.threshold = threshold;
    otlpshm_sampling_adopt(&adopted, &policy);
    return adopted;
  };
  CHECK(adopt(2, OTLPSHM_POLICY_THRESHOLD, kHalf) == kHalf);
  CHECK(adopt(2, 0xf, kMax) == kMax);
  CHECK(adopt(4, OTLPSHM_POLICY_RATE | OTLPSHM_POLICY_LIMITS | OTLPSHM_POLICY_RULES, kHalf) == 0);
  CHECK(adopt(4, OTLPSHM_POLICY_THRESHOLD, kHalf) == kHalf);
  CHECK(adopt(6, OTLPSHM_POLICY_THRESHOLD, kNever) == kNever);
  CHECK(adopt(6, OTLPSHM_POLICY_THRESHOLD, kNever + 1) == 0);
  CHECK(adopt(8, OTLPSHM_POLICY_THRESHOLD, UINT64_MAX) == 0);
  CHECK(adopt(8, OTLPSHM_POLICY_THRESHOLD, kHalf) == kHalf);
  CHECK(adopt(0, OTLPSHM_POLICY_THRESHOLD, kHalf) == 0);
  CHECK(adopt(2, OTLPSHM_POLICY_THRESHOLD, kHalf) == kHalf);
  CHECK(adopt(3, OTLPSHM_POLICY_THRESHOLD, kMax) == kHalf);  // odd: the last good copy
  CHECK(adopt(5, 0, 0) == kHalf);
  otlpshm_sampling_adopt(&adopted, nullptr);
  CHECK(adopted == 0);
}

TEST_CASE("sampling: a policy that changes under its reader is never read half old, half new") {
  // Threshold and flag change together: a threshold that is even is never in force.
  otlpshm_policy policy{};
  std::atomic<bool> done{false};
  std::thread daemon([&] {
    for (std::uint64_t i = 1; i <= 300'000; ++i) {
      __atomic_store_n(&policy.generation, 2 * i - 1, __ATOMIC_RELAXED);
      __atomic_thread_fence(__ATOMIC_RELEASE);
      __atomic_store_n(&policy.flags, i & 1, __ATOMIC_RELAXED);
      __atomic_store_n(&policy.threshold, i, __ATOMIC_RELAXED);
      __atomic_store_n(&policy.generation, 2 * i, __ATOMIC_RELEASE);
    }
    done = true;
  });
  std::uint64_t adopted = 0;
  std::uint64_t newest = 0;
  bool is_whole = true;
  while (!done) {
    otlpshm_sampling_adopt(&adopted, &policy);
    is_whole = is_whole && (adopted == 0 || ((adopted & 1) == 1 && adopted >= newest));
    newest = std::max(newest, adopted);
  }
  daemon.join();
  CHECK(is_whole);
}

TEST_CASE("sampling: the published threshold holds from a process's first span on") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    publish(state, OTLPSHM_POLICY_THRESHOLD, kHalf);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(writer->attachment->published_threshold == kHalf);
    publish(state, OTLPSHM_POLICY_THRESHOLD, kMax);
    look(writer->attachment);
    REQUIRE(writer->attachment->published_threshold == kMax);
    publish(state, 0, kMax);
    look(writer->attachment);
    REQUIRE(writer->attachment->published_threshold == 0);
  });
}

TEST_CASE("sampling: a daemon that died while it wrote leaves its last word, until it expires") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_attachment* attachment = writer->attachment;
    publish(state, OTLPSHM_POLICY_THRESHOLD, kHalf);
    look(attachment);
    REQUIRE(attachment->published_threshold == kHalf);
    state.store64(384, state.load64(384) + 1);  // odd, for ever
    state.store64(400, kMax);
    for (std::uint64_t seconds = 2; seconds < 10; ++seconds) {
      look(attachment, seconds);
      REQUIRE(attachment->published_threshold == kHalf);
    }
    look(attachment, 12);  // the heartbeat has not moved
    REQUIRE(attachment->published_threshold == 0);
    state.beat();  // the next daemon beats before it publishes
    look(attachment, 13);
    REQUIRE(attachment->published_threshold == 0);
    publish(state, OTLPSHM_POLICY_THRESHOLD, kMax);
    look(attachment, 14);
    REQUIRE(attachment->published_threshold == kMax);
  });
}

TEST_CASE("sampling: where all is taken away and nothing committed, expiry is seen all the same") {
  const unsigned flags = GENERATE(0u, OTLPSHM_WRITER_RECORD_ERRORS);
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    publish(state, OTLPSHM_POLICY_THRESHOLD, kMax);
    otlpshm_writer_options options = options_of(directory.path());
    options.flags = flags;
    otlpshm_writer* writer = open_writer(options);
    otlpshm_attachment* attachment = writer->attachment;
    look(attachment);
    REQUIRE(attachment->published_threshold == kMax);
    attachment->heartbeat_seen_at -= 12 * kSecond;  // as if so long had passed
    attachment->tick_at = 0;
    for (int roots = 0; attachment->published_threshold != 0; ++roots) {
      REQUIRE(roots < 1000);  // one in 16 looks
      otlpshm_span span;
      otlpshm_span_start_cstr(writer, &span, "root", nullptr);
      (void)otlpshm_span_end(&span);
    }
  });
}

// ---- cost ----

TEST_CASE("sampling: a span that its own sampler does not sample reads no clock") {
  for (const int kind : kSamplers) {
    const otlpshm_sampler_state sampler = sampler_of(kind);
    otlpshm_attachment* attachment = attachment_with(kMax);
    attachment->tick_at = UINT64_MAX;
    const std::uint64_t before = clock_reads();
    for (unsigned first = 0; first < 256; ++first) {
      TraceId id(0);
      id.bytes[0] = static_cast<std::uint8_t>(first);
      if (threshold_with_half(kind) > 0) {
        CHECK(otlpshm_sampling_decide(&sampler, attachment, nullptr, id.bytes).decision == kDrop);
      }
      for (const char* state : {"", "ot=th:8"}) {
        const otlpshm_context parent = parent_of(0, state);
        (void)otlpshm_sampling_decide(&sampler, attachment, &parent, id.bytes);
      }
    }
    CHECK(clock_reads() == before);
  }
}

TEST_CASE(
    "sampling: of what the daemon takes, one in 16 reads a coarse clock, and the rare all do") {
  const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_ALWAYS_ON);
  otlpshm_attachment* attachment = attachment_with(kMax);
  TraceId id(0);
  std::uint64_t before = clock_reads();
  constexpr unsigned kMany = 100'000;
  for (unsigned i = 0; i < kMany; ++i) {
    id.bytes[0] = static_cast<std::uint8_t>(i);
    (void)otlpshm_sampling_decide(&sampler, attachment, nullptr, id.bytes);
  }
  CHECK(clock_reads() - before >= kMany / 16);
  CHECK(clock_reads() - before < kMany / 8);  // two more for each tick of the clock

  attachment->root_look_mask = 15;
  before = clock_reads();
  for (unsigned first = 0; first < 256; ++first) {
    attachment->root_look_at = 0;  // as if long ago
    id.bytes[0] = static_cast<std::uint8_t>(first);
    (void)otlpshm_sampling_decide(&sampler, attachment, nullptr, id.bytes);
  }
  CHECK(clock_reads() - before == 256);
}

// ---- options and environment ----

TEST_CASE("sampling: the environment's sampler, in any case of letters") {
  struct Row {
    const char* name;
    std::uint64_t threshold;
    bool follows;
  };
  const Row rows[] = {
      {nullptr, 0, true},
      {"", 0, true},
      {"always_on", 0, false},
      {"ALWAYS_ON", 0, false},
      {"always_off", kNever, false},
      {"traceidratio", 0xc0000000000000, false},
      {"TraceIdRatio", 0xc0000000000000, false},
      {"parentbased_always_on", 0, true},
      {"parentbased_always_off", kNever, true},
      {"parentbased_traceidratio", 0xc0000000000000, true},
      {"ParentBased_TRACEIDRATIO", 0xc0000000000000, true},
      {"always_of", 0, true},
      {"always_off ", 0, true},
      {" always_off", 0, true},
      {"jaeger_remote", 0, true},
      {"xray", 0, true},
      {"probability", 0, true},
  };
  in_child([&] {
    forget_environment();
    setenv("OTEL_TRACES_SAMPLER_ARG", "0.25", 1);
    for (const Row& row : rows) {
      unsetenv("OTEL_TRACES_SAMPLER");
      if (row.name != nullptr) setenv("OTEL_TRACES_SAMPLER", row.name, 1);
      const otlpshm_sampler_state sampler = sampler_of(OTLPSHM_SAMPLER_DEFAULT, 77);
      INFO("OTEL_TRACES_SAMPLER=" << (row.name == nullptr ? "(unset)" : row.name));
      REQUIRE(sampler.threshold == row.threshold);
      REQUIRE(((sampler.flags & OTLPSHM_SAMPLER_FOLLOWS) != 0) == row.follows);
      REQUIRE((sampler.flags & ~OTLPSHM_SAMPLER_FOLLOWS) == 0);
    }
  });
}

TEST_CASE("sampling: the environment's ratio, or 1 when it is none") {
  struct Row {
    const char* text;
    double ratio;
  };
  const Row rows[] = {
      {"0.25", 0.25},
      {"0", 0},
      {"0.0", 0},
      {"1", 1},
      {"1.0", 1},
      {".5", 0.5},
      {"00.50", 0.5},
      {"1e-3", 1e-3},
      {"1E-3", 1e-3},
      {"25e-2", 0.25},
      {"0.1", 0.1},
      {"0.01", 0.01},
      {"0.3", 0.3},
      {"1e-400", 0},
      {"0.025e+1", 0.25},
      {"0e99999999999", 0},
      {"1.", 1},
      {"", 1},
      {".", 1},
      {"-0.5", 1},
      {"-0", 1},
      {"+0.5", 1},
      {"1.5", 1},
      {"2", 1},
      {"0.5 ", 1},
      {" 0.5", 1},
      {"0,5", 1},
      {"0.5.5", 1},
      {"0x1p-1", 1},
      {"nan", 1},
      {"inf", 1},
      {"1e", 1},
      {"1e-", 1},
      {"e-3", 1},
      {"1e-3x", 1},
      {"1e400", 1},
      {"50%", 1},
      {"half", 1},
      {"0.333333333333333333333333333333333333", 1 / 3.},
      {"0.000000000000000000000000000000000001", 1e-36},
      {"000000000000000000000000000000000000.5", 0.5},
      {"100000000000000000000000000000000000000", 1},
      {"1000000000000000000000e-22", 1},
  };
  in_child([&] {
    forget_environment();
    // A locale with a decimal comma must not turn 0.25 into 0; few machines have one installed.
    for (const char* locale : {"C", "de_DE.UTF-8", "tr_TR.UTF-8"}) {
      if (setlocale(LC_ALL, locale) == nullptr) continue;
      for (const Row& row : rows) {
        setenv("OTEL_TRACES_SAMPLER", "TRACEIDRATIO", 1);
        setenv("OTEL_TRACES_SAMPLER_ARG", row.text, 1);
        errno = 77;
        INFO("OTEL_TRACES_SAMPLER_ARG=" << row.text);
        REQUIRE(sampler_of(OTLPSHM_SAMPLER_DEFAULT).threshold ==
                otlpshm_sampling_threshold_of(row.ratio));
        REQUIRE(errno == 77);
      }
      unsetenv("OTEL_TRACES_SAMPLER_ARG");
      REQUIRE(sampler_of(OTLPSHM_SAMPLER_DEFAULT).threshold == 0);
    }
    // Without a sampler the argument means nothing.
    unsetenv("OTEL_TRACES_SAMPLER");
    setenv("OTEL_TRACES_SAMPLER_ARG", "0", 1);
    REQUIRE(sampler_of(OTLPSHM_SAMPLER_DEFAULT).threshold == 0);
  });
}

TEST_CASE("sampling: options beat the environment, and bad ones are refused") {
  in_child([] {
    forget_environment();
    setenv("OTEL_TRACES_SAMPLER", "always_off", 1);
    REQUIRE(sampler_of(OTLPSHM_SAMPLER_DEFAULT).threshold == kNever);
    REQUIRE(sampler_of(OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON).threshold == 0);
    otlpshm_sampler_state sampler{};
    for (const int kind : {-1, 9, 1 << 20}) {
      const otlpshm_writer_options options = options_with(kind, 0.5);
      REQUIRE(otlpshm_sampler_init(&sampler, &options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    }
    for (const double ratio : {-0.1, 1.1, std::nan(""), std::numeric_limits<double>::infinity()}) {
      for (const int kind : kSamplers) {
        const otlpshm_writer_options options = options_with(kind, ratio);
        const bool has_ratio = threshold_with_half(kind) == kHalf;
        REQUIRE(otlpshm_sampler_init(&sampler, &options) ==
                (has_ratio ? OTLPSHM_ERROR_INVALID_ARGUMENT : OTLPSHM_OK));
      }
    }
  });
}

// ---- spans ----

TEST_CASE("sampling: a record's header tells the th of its trace state, and keeps to it") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options options = options_of(directory.path());
    options.sampler = OTLPSHM_SAMPLER_PROBABILITY;
    options.sampler_ratio = 0.25;
    otlpshm_writer* writer = open_writer(options);
    const std::string states[] = {"", "a=b", "ot=th:8,a=b", "a=b,ot=rv:ffffffffffffff"};
    for (int i = 0; i < 400; ++i) {
      otlpshm_span span{};
      otlpshm_context parent = parent_of(1, states[i % 4]);
      parent.trace_id[9] = static_cast<std::uint8_t>(i);
      otlpshm_start_options start{};
      start.size = sizeof start;
      if (i % 8 < 4) start.parent = &parent;
      otlpshm_span_start_cstr(writer, &span, "s", &start);
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    }
    const SegmentFile segment(directory.segment());
    std::size_t seen = 0;
    for (std::uint32_t lane = 0; lane < segment.lanes_open(); ++lane) {
      const auto records = segment.records(lane);
      REQUIRE(records);
      for (const Record& record : *records) {
        const auto span = parse_span(record.body);
        REQUIRE(span);
        REQUIRE(span->trace_state.substr(0, 7) == "ot=th:c");
        REQUIRE(record.threshold == 0xc0000000000000);
        REQUIRE((record.record_flags & 5) == 4);
        REQUIRE((record.span_flags & 1) == 1);
        const bool has_rv = span->trace_state.find("rv:ffffffffffffff") != std::string::npos;
        REQUIRE((has_rv || static_cast<unsigned char>(record.trace_id[9]) >= 0xc0));
        ++seen;
      }
    }
    REQUIRE(seen > 400 / 16);  // all with rv, and a quarter of the others
    REQUIRE(seen < 400 / 2);
    REQUIRE(stats_of(writer).ended == seen);  // what is not sampled is not lost
  });
}

TEST_CASE("sampling: unsampled spans are written for an error, marked, and without th") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options options = options_of(directory.path());
    options.sampler = OTLPSHM_SAMPLER_ALWAYS_OFF;
    options.flags = OTLPSHM_WRITER_RECORD_ERRORS;
    otlpshm_writer* writer = open_writer(options);
    for (const int status : {OTLPSHM_STATUS_UNSET, OTLPSHM_STATUS_ERROR, OTLPSHM_STATUS_OK}) {
      const std::string state = "a=b,ot=th:0";
      const otlpshm_context parent = parent_of(1, state);
      otlpshm_start_options start{};
      start.size = sizeof start;
      start.parent = &parent;
      otlpshm_span span{};
      otlpshm_span_start_cstr(writer, &span, "s", &start);
      REQUIRE(otlpshm_span_is_recording(&span) == 1);
      otlpshm_context context{};
      otlpshm_span_get_context(&span, &context);
      REQUIRE((context.trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) == 0);
      otlpshm_span_set_status_cstr(&span, status, nullptr);
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    }
    const SegmentFile segment(directory.segment());
    const auto records = segment.records(0);
    REQUIRE(records);
    REQUIRE(records->size() == 1);
    REQUIRE(records->at(0).status_code == OTLPSHM_STATUS_ERROR);
    REQUIRE(records->at(0).record_flags == (OTLPSHM_RECORD_ONLY | OTLPSHM_RECORD_PARENT_SAMPLED));
    REQUIRE((records->at(0).span_flags & 1) == 0);
    REQUIRE(parse_span(records->at(0).body)->trace_state == "a=b");
    REQUIRE(stats_of(writer).ended == 1);
  });
}

TEST_CASE("sampling: a span that a sampler drops gives its trace state on without th") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    for (const int sampler : {OTLPSHM_SAMPLER_ALWAYS_OFF, OTLPSHM_SAMPLER_PROBABILITY}) {
      otlpshm_writer_options options = options_of(directory.path());
      options.sampler = sampler;
      options.sampler_ratio = 0x1p-56;
      otlpshm_writer* writer = open_writer(options);
      otlpshm_span span{};
      otlpshm_context parent{};
      const auto start_child_of = [&](const std::string& state) {
        parent = parent_of(1, state);
        otlpshm_start_options start{};
        start.size = sizeof start;
        start.parent = &parent;
        otlpshm_span_start_cstr(writer, &span, "s", &start);
        REQUIRE(otlpshm_span_is_recording(&span) == 0);
        otlpshm_context context{};
        otlpshm_span_get_context(&span, &context);
        REQUIRE((context.trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) == 0);
        REQUIRE(std::memcmp(context.span_id, parent.span_id, sizeof parent.span_id) != 0);
        return context;
      };
      const auto text_of = [](const otlpshm_context& context) {
        return std::string(context.trace_state == nullptr ? "" : context.trace_state,
                           context.trace_state_bytes);
      };
      REQUIRE(text_of(start_child_of("a=b,ot=th:0;rv:00000000000000")) ==
              "ot=rv:00000000000000,a=b");
      REQUIRE(text_of(start_child_of("ot=th:0")).empty());
      // Nothing to take away: the parent's own text, not a copy.
      const std::string plain = "a=b,ot=rv:00000000000000";
      REQUIRE(start_child_of(plain).trace_state == plain.data());
      // A child of what the same span gave on; and as long as a trace state can be.
      const std::string longest = "ot=th:0;rv:00000000000000,b=" + std::string(200, 'x') +
                                  ",c=" + std::string(256, 'y') + ",d=" + std::string(21, 'z');
      const std::string given = text_of(start_child_of(longest));
      REQUIRE(given == "ot=" + longest.substr(8));
      otlpshm_context first{};
      otlpshm_span_get_context(&span, &first);
      std::string again(first.trace_state, first.trace_state_bytes);
      REQUIRE(again == given);
      // And one that is recorded in the very same place.
      options.sampler = OTLPSHM_SAMPLER_ALWAYS_ON;
      otlpshm_writer* recording = open_writer(options);
      for (const std::string& state : {longest, std::string("ot=th:0,vendor=0123456789ab")}) {
        const std::string kept = text_of(start_child_of(state));
        otlpshm_context of_itself{};
        otlpshm_span_get_context(&span, &of_itself);
        otlpshm_start_options start{};
        start.size = sizeof start;
        start.parent = &of_itself;
        otlpshm_span_start_cstr(recording, &span, "recorded", &start);
        REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
        const SegmentFile segment(directory.segment());
        REQUIRE(parse_span(segment.records(0)->back().body)->trace_state == kept);
      }
      (void)otlpshm_shutdown(writer, 0);
    }
  });
}

}  // namespace otlpshm::library
