// SPDX-License-Identifier: Apache-2.0
// clock_test.cc: what is adopted here is always a little wrong, so that it is seen which clock
// told.
#include <time.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <thread>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kMicro = 1'000;
constexpr std::uint64_t kMilli = 1'000'000;
constexpr std::uint64_t kSecond = 1'000'000'000;
// What may lie between the reading of a clock and of the TSC beside it, and what the rate errs.
constexpr std::uint64_t kSlack = 100 * kMicro;

std::uint64_t read_clock(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}
std::uint64_t wall() {
  return read_clock(CLOCK_REALTIME);
}
std::uint64_t monotonic() {
  return read_clock(CLOCK_MONOTONIC);
}

void wait(std::uint64_t nanos) {
  const std::uint64_t end = monotonic() + nanos;
  while (monotonic() < end) std::this_thread::yield();
}

struct Moment {
  std::uint64_t monotonic = 0, tsc = 0, wall = 0;
};

Moment moment() {
  Moment best;
  std::uint64_t best_took = UINT64_MAX;
  for (int tries = 0; tries < 100; ++tries) {
    Moment found;
    found.monotonic = monotonic();
    found.tsc = otlpshm_clock_tsc();
    found.wall = wall();
    const std::uint64_t took = monotonic() - found.monotonic;
    if (took >= best_took) continue;
    best_took = took;
    best = found;
  }
  return best;
}

double nano_per_tick() {
  static const double rate = [] {
    const Moment first = moment();
    wait(50 * kMilli);
    const Moment second = moment();
    return static_cast<double>(second.monotonic - first.monotonic) /
           static_cast<double>(second.tsc - first.tsc);
  }();
  return rate;
}

// What a daemon publishes, `ahead` of the wall clock.
otlpshm_clock clock_ahead(std::int64_t ahead, std::uint64_t generation,
                          std::uint64_t life = 5 * kSecond, const Moment& anchor = moment()) {
  otlpshm_clock clock = {};
  clock.generation = generation;
  clock.tsc = anchor.tsc;
  clock.unix_nano = anchor.wall + static_cast<std::uint64_t>(ahead);
  clock.expiry_tsc =
      anchor.tsc + static_cast<std::uint64_t>(static_cast<double>(life) / nano_per_tick());
  clock.shift = 30;
  clock.multiplier = static_cast<std::uint32_t>(std::ldexp(nano_per_tick(), 30));
  return clock;
}

// True when `ahead` is what separates a reading from the wall clock around it.
bool tells(const otlpshm_calibrations& all, std::int64_t ahead) {
  const std::uint64_t before = wall();
  const otlpshm_time now = otlpshm_clock_now(&all);
  const std::uint64_t after = wall();
  const std::uint64_t time = now.unix_nano - static_cast<std::uint64_t>(ahead);
  return now.tsc != 0 && time + kSlack >= before && time <= after + kSlack;
}

bool is_by_kernel(const otlpshm_calibrations& all) {
  const std::uint64_t before = monotonic();
  const otlpshm_time now = otlpshm_clock_now(&all);
  return now.tsc == 0 && now.monotonic >= before && now.monotonic <= monotonic();
}

// Nothing of the TSC can be tested where it is not invariant.
bool has_tsc() {
  static const bool found = [] {
    std::ifstream file("/proc/cpuinfo");
    const std::string cpus((std::istreambuf_iterator<char>(file)), {});
    if (cpus.find(" constant_tsc") == std::string::npos ||
        cpus.find(" nonstop_tsc") == std::string::npos) {
      return false;
    }
    otlpshm_clock_probe();
    return true;
  }();
  if (!found) WARN("no invariant TSC here: not tested");
  return found;
}

// A sample that somebody interrupts is not used: the next tick takes another.
void adopt(otlpshm_calibrations* all, const otlpshm_clock& clock) {
  for (int tries = 0;
       tries < 1000 && all->adopted != clock.generation && all->refused != clock.generation;
       ++tries) {
    otlpshm_clock_adopt(all, &clock);
  }
}

// A reading whose moment is known to lie in an interval.
struct Reading {
  std::uint64_t from = monotonic();
  otlpshm_time time;
  std::uint64_t to;
  explicit Reading(const otlpshm_calibrations& all)
      : time(otlpshm_clock_now(&all)), to(monotonic()) {}
};

// True when the duration since `start` is what the monotonic clock allows, to within `slack`.
bool measures(const otlpshm_calibrations& all, const Reading& start, std::uint64_t slack) {
  const std::uint64_t from = monotonic();
  const otlpshm_elapsed elapsed = otlpshm_clock_since(&all, &start.time);
  const std::uint64_t to = monotonic();
  return elapsed.nano + slack >= from - start.to && elapsed.nano <= to - start.from + slack &&
         elapsed.monotonic + kSlack >= from && elapsed.monotonic <= to + kSlack;
}

}  // namespace

TEST_CASE("clock: monotonic time never falls, and the offset makes it wall time") {
  std::uint64_t before = otlpshm_clock_monotonic();
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t now = otlpshm_clock_monotonic();
    REQUIRE(now >= before);
    before = now;
  }
  const std::uint64_t expected = wall();
  const std::uint64_t now = otlpshm_clock_monotonic();
  const std::uint64_t told = now + otlpshm_clock_offset(now);
  CHECK(std::abs(static_cast<std::int64_t>(told - expected)) < INT64_C(1'000'000'000));
}

TEST_CASE("clock: the offset is renewed at most once a second") {
  const std::uint64_t now = otlpshm_clock_monotonic();
  const std::uint64_t first = otlpshm_clock_offset(now);
  for (int i = 0; i < 1000; ++i) REQUIRE(otlpshm_clock_offset(now) == first);
}

TEST_CASE("clock: without a calibration the kernel tells the time, and how long it took") {
  const otlpshm_calibrations none = {};
  CHECK(is_by_kernel(none));
  const Reading start(none);
  wait(kMilli);
  CHECK(measures(none, start, 0));
}

TEST_CASE("clock: a calibration that fits ties the TSC to both clocks") {
  const otlpshm_clock clock = {2, 1000, 5'000'000, 1000 + 4000, 3, 1, {}};  // 1.5 ns a tick
  otlpshm_calibration out;
  REQUIRE(otlpshm_calibration_judge(&clock, 1200, 77'000, 5'000'300, &out) == otlpshm_verdict_fits);
  otlpshm_time time;
  REQUIRE(otlpshm_calibration_time(&out, 1200, &time));
  CHECK(time.monotonic == 77'000);
  CHECK(time.unix_nano == 5'000'300);
  CHECK(time.tsc == 1200);
  REQUIRE(otlpshm_calibration_time(&out, 4999, &time));
  CHECK(time.monotonic == 77'000 - 300 + 3999 * 3 / 2);
  CHECK_FALSE(otlpshm_calibration_time(&out, 5000, &time));
  CHECK_FALSE(otlpshm_calibration_time(&out, 999, &time));
  // A monotonic clock that was younger than the anchor: the sum is right all the same.
  REQUIRE(otlpshm_calibration_judge(&clock, 1200, 5, 5'000'300, &out) == otlpshm_verdict_fits);
  REQUIRE(otlpshm_calibration_time(&out, 1202, &time));
  CHECK(time.monotonic == 8);
}

TEST_CASE("clock: a calibration beyond its bounds, or beside the wall clock, is refused") {
  const otlpshm_clock good = {2, 1000, kSecond, 1000 + kSecond, 1u << 31, 31, {}};
  const auto judge = [](const otlpshm_clock& clock, std::int64_t beside = 0,
                        std::uint64_t tsc = 1000) {
    otlpshm_calibration out;
    return otlpshm_calibration_judge(
        &clock, tsc, 0, kSecond + tsc - 1000 + static_cast<std::uint64_t>(beside), &out);
  };
  const auto with = [&good](auto change) {
    otlpshm_clock clock = good;
    change(clock);
    return clock;
  };
  CHECK(judge(good) == otlpshm_verdict_fits);
  CHECK(judge(good, -1'000'000) == otlpshm_verdict_fits);
  CHECK(judge(good, 1'000'000) == otlpshm_verdict_fits);
  CHECK(judge(good, -1'000'001) == otlpshm_verdict_refused);
  CHECK(judge(good, 1'000'001) == otlpshm_verdict_refused);
  CHECK(judge(good, INT64_MIN) == otlpshm_verdict_refused);
  CHECK(judge(good, 0, 999) == otlpshm_verdict_expired);
  CHECK(judge(good, 0, 1000 + kSecond - 1) == otlpshm_verdict_fits);
  CHECK(judge(good, 0, 1000 + kSecond) == otlpshm_verdict_expired);
  CHECK(judge(with([](auto& c) { c.multiplier = 0; })) == otlpshm_verdict_refused);
  CHECK(judge(with([](auto& c) { c.expiry_tsc = c.tsc; })) == otlpshm_verdict_refused);
  CHECK(judge(with([](auto& c) { c.expiry_tsc = 0; })) == otlpshm_verdict_refused);
  for (const std::uint32_t shift : {64u, 95u, UINT32_MAX}) {
    CHECK(judge(with([=](auto& c) { c.shift = shift; })) == otlpshm_verdict_refused);
  }
  // The product must have 64 bits, and the calibration may last 10 s.
  const auto lasting = [&](std::uint64_t ticks, std::uint32_t multiplier, std::uint32_t shift) {
    return judge(with([=](auto& c) {
      c.expiry_tsc = c.tsc + ticks;
      c.multiplier = multiplier;
      c.shift = shift;
    }));
  };
  CHECK(lasting(UINT64_C(1) << 33, 1u << 31, 31) == otlpshm_verdict_refused);
  CHECK(lasting((UINT64_C(1) << 33) - 1, 1u << 31, 31) == otlpshm_verdict_fits);
  CHECK(lasting(10 * kSecond, 1u << 30, 30) == otlpshm_verdict_fits);
  CHECK(lasting(10 * kSecond + 1, 1u << 30, 30) == otlpshm_verdict_refused);
}

TEST_CASE("clock: readings come from the calibration that was adopted last") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  adopt(&all, clock_ahead(500 * kMicro, 2));
  CHECK(tells(all, 500 * kMicro));
  const otlpshm_clock again = clock_ahead(-400 * static_cast<std::int64_t>(kMicro), 2);
  otlpshm_clock_adopt(&all, &again);  // the same generation: not looked at
  CHECK(tells(all, 500 * kMicro));
  adopt(&all, clock_ahead(-400 * static_cast<std::int64_t>(kMicro), 4));
  CHECK(tells(all, -400 * static_cast<std::int64_t>(kMicro)));
}

TEST_CASE("clock: a calibration that contradicts the wall clock is given up until the next") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  adopt(&all, clock_ahead(500 * kMicro, 2));
  adopt(&all, clock_ahead(3 * kMilli, 4));
  CHECK(all.refused == 4);
  CHECK(is_by_kernel(all));
  const otlpshm_clock repaired_unsaid = clock_ahead(0, 4);
  otlpshm_clock_adopt(&all, &repaired_unsaid);
  CHECK(is_by_kernel(all));
  adopt(&all, clock_ahead(300 * kMicro, 6));
  CHECK(tells(all, 300 * kMicro));
  // The same generation, and then the wall clock is set: as if it were behind its own anchor.
  otlpshm_clock late = clock_ahead(300 * kMicro, 6);
  late.unix_nano -= kSecond;
  for (int tries = 0; tries < 1000 && all.refused != 6; ++tries) otlpshm_clock_adopt(&all, &late);
  CHECK(is_by_kernel(all));
}

TEST_CASE("clock: what the daemon withdraws, or a state that is not believed, ends it") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  adopt(&all, clock_ahead(500 * kMicro, 2));
  otlpshm_clock_adopt(&all, nullptr);
  CHECK(is_by_kernel(all));
  adopt(&all, clock_ahead(500 * kMicro, 2));
  CHECK(tells(all, 500 * kMicro));
  otlpshm_clock withdrawn = {};
  withdrawn.generation = 4;
  otlpshm_clock_adopt(&all, &withdrawn);
  CHECK(is_by_kernel(all));
}

TEST_CASE("clock: a daemon that died writing leaves the last good copy, until that expires") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  adopt(&all, clock_ahead(500 * kMicro, 2, 300 * kMilli));
  const otlpshm_clock odd = clock_ahead(100 * kMicro, 3);
  for (int tries = 0; tries < 10; ++tries) otlpshm_clock_adopt(&all, &odd);
  CHECK(all.adopted == 2);
  const Reading start(all);
  // Whichever of the two the machine let us be in time for.
  CHECK((start.time.tsc == 0 || tells(all, 500 * kMicro) || is_by_kernel(all)));
  wait(310 * kMilli);
  CHECK(is_by_kernel(all));
  CHECK(measures(all, start, kSlack));
}

TEST_CASE("clock: a span may begin by one clock and end by another") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  const Reading by_kernel(all);
  REQUIRE(by_kernel.time.tsc == 0);
  adopt(&all, clock_ahead(900 * kMicro, 2));
  CHECK(measures(all, by_kernel, kSlack));
  const Reading by_tsc(all);
  REQUIRE(by_tsc.time.tsc != 0);
  CHECK(measures(all, by_tsc, kSlack));
  adopt(&all, clock_ahead(-900 * static_cast<std::int64_t>(kMicro), 4));
  CHECK(measures(all, by_tsc, kSlack));
  CHECK(measures(all, by_kernel, kSlack));
  otlpshm_clock_adopt(&all, nullptr);
  CHECK(measures(all, by_tsc, kSlack));
  CHECK(measures(all, by_kernel, 0));
}

TEST_CASE("clock: two readings of the TSC make a duration, whatever their anchors say") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  adopt(&all, clock_ahead(0, 2));
  Reading start(all);
  REQUIRE(start.time.tsc != 0);
  start.time.monotonic += 500 * kMicro;
  wait(kMilli);
  CHECK(measures(all, start, kSlack));
}

TEST_CASE("clock: a duration longer than a calibration lasts is measured all the same") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  adopt(&all, clock_ahead(0, 2, kSecond));
  const Reading start(all);
  wait(1100 * kMilli);
  adopt(&all, clock_ahead(0, 4, kSecond));
  CHECK(measures(all, start, kSlack));
}

TEST_CASE("clock: end is never before start") {
  otlpshm_calibrations all = {};
  const bool tsc = has_tsc();
  for (int round = 0; round < 2; ++round) {
    otlpshm_time future = otlpshm_clock_now(&all);
    future.monotonic += 1000 * kSecond;
    if (future.tsc != 0) future.tsc += UINT64_C(1) << 50;
    CHECK(otlpshm_clock_since(&all, &future).nano == 0);
    if (tsc) adopt(&all, clock_ahead(0, 2));
  }
}

TEST_CASE("clock: readers see one calibration or another, never a mixture") {
  if (!has_tsc()) return;
  otlpshm_calibrations all = {};
  const Moment early = moment();
  wait(300 * kMilli);  // a mixture of anchors is wrong by this
  adopt(&all, clock_ahead(0, 2));
  std::atomic<bool> over = false;
  std::atomic<int> wrong = 0;
  std::atomic<int> by_tsc = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!over) {
        const std::uint64_t from = monotonic();
        const otlpshm_time now = otlpshm_clock_now(&all);
        const std::uint64_t to = monotonic();
        if (now.monotonic + kSlack < from || now.monotonic > to + kSlack) ++wrong;
        if (now.tsc != 0) ++by_tsc;
      }
    });
  }
  const Moment late = moment();
  const std::uint64_t give_up = monotonic() + 4 * kSecond;  // then the anchors expire
  for (std::uint64_t generation = 4;
       (generation < 40'000 || by_tsc < 40'000) && monotonic() < give_up; generation += 2) {
    const Moment& anchor = generation % 4 == 0 ? early : late;
    const otlpshm_clock clock = clock_ahead(0, generation, 5 * kSecond, anchor);
    otlpshm_clock_adopt(&all, &clock);
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(by_tsc > 0);
}

TEST_CASE("clock: spans tell the time that `state` publishes, while it is believed") {
  if (!has_tsc()) return;
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    const otlpshm_clock clock = clock_ahead(500 * kMicro, 2);
    state.store64(512 + 8, clock.tsc);
    state.store64(512 + 16, clock.unix_nano);
    state.store64(512 + 24, clock.expiry_tsc);
    state.store32(512 + 32, clock.multiplier);
    state.store32(512 + 36, clock.shift);
    state.store64(512, clock.generation);
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_attachment* attachment = writer->attachment;
    for (int tries = 0; tries < 1000 && attachment->clock.adopted == 0; ++tries) {
      attachment->tick_at = 0;
      write_span(writer);
    }
    REQUIRE(attachment->clock.adopted == 2);
    const std::uint64_t before = wall();
    const Span span = span_of(writer, directory, [](otlpshm_span*) { wait(kMilli); });
    const std::uint64_t after = wall();
    CHECK(span.start + kSlack >= before + 500 * kMicro);
    CHECK(span.end >= span.start + kMilli - kMicro);
    CHECK(span.end <= after + 500 * kMicro + kSlack);
    attachment->expired = 1;
    attachment->tick_at = 0;
    write_span(writer);
    CHECK(is_by_kernel(attachment->clock));
    otlpshm_shutdown(writer, 0);
  });
}

}  // namespace otlpshm::library
