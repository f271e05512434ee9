/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: see clock.h.
 *   Never  enters the kernel where the vDSO serves the clock, but in otlpshm_clock_probe.
 *   Trusts a calibration only as long as the kernel's clock, read beside it, agrees. */
#include "clock.h"

#include <stddef.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernel.h"

#define SECOND UINT64_C(1000000000)
#define DISAGREEMENT_NANO_MAX (SECOND / 1000)
#define LIFE_NANO_MAX (10 * SECOND)
/* Longer from the first reading to the last, and somebody else ran in between. */
#define SAMPLE_NANO_MAX (SECOND / 50000)
#define SAMPLE_TRIES 3
#define SEQLOCK_TRIES 3
#define POWER_MANAGEMENT_LEAF 0x80000007u
#define INVARIANT_TSC (1u << 8) /* of its EDX */

static uint64_t offset_now;
static uint64_t renewed_at; /* monotonic; 0 = never */
static uint32_t tsc_usable; /* 1 once it was found to be */

/* ---- the kernel's clocks -------------------------------------------------------------------- */

static uint64_t read_clock(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

uint64_t otlpshm_clock_coarse(void) {
  return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t otlpshm_clock_monotonic(void) {
  return read_clock(CLOCK_MONOTONIC);
}

uint64_t otlpshm_clock_offset(uint64_t monotonic) {
  const uint64_t last = load_acquire_u64(&renewed_at);
  if (last != 0 && monotonic < last + SECOND) return load_relaxed_u64(&offset_now);
  /* The wall clock is read between two monotonic readings; any thread may do it, and two that do
   * it at once agree to within a reading. */
  const uint64_t before = read_clock(CLOCK_MONOTONIC);
  const uint64_t wall = read_clock(CLOCK_REALTIME);
  const uint64_t after = read_clock(CLOCK_MONOTONIC);
  const uint64_t offset = wall - (before + (after - before) / 2);
  store_relaxed_u64(&offset_now, offset);
  store_release_u64(&renewed_at, after);
  return offset;
}

void otlpshm_clock_read_kernel(struct otlpshm_time* now) {
  now->monotonic = read_clock(CLOCK_MONOTONIC);
  now->unix_nano = now->monotonic + otlpshm_clock_offset(now->monotonic);
  now->tsc = 0;
}

/* ---- the TSC -------------------------------------------------------------------------------- */

/* Who may not execute CPUID is not asked to. Who is forbidden the TSC later cannot read the
 * kernel's clocks in the vDSO either, where the kernel keeps time by the TSC. */
void otlpshm_clock_probe(void) {
#if defined(__x86_64__)
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (!otlpshm_kernel_allows_tsc()) return;
  if (__get_cpuid(POWER_MANAGEMENT_LEAF, &eax, &ebx, &ecx, &edx) == 0) return;
  if ((edx & INVARIANT_TSC) != 0) store_relaxed_u32(&tsc_usable, 1);
#endif
}

enum otlpshm_verdict otlpshm_calibration_judge(const struct otlpshm_clock* published, uint64_t tsc,
                                               uint64_t monotonic, uint64_t unix_nano,
                                               struct otlpshm_calibration* out) {
  struct otlpshm_calibration calibration = {.tsc = published->tsc,
                                            .unix_nano = published->unix_nano,
                                            .ticks_max = published->expiry_tsc - published->tsc,
                                            .multiplier = published->multiplier,
                                            .shift = published->shift};
  uint64_t product;
  if (published->expiry_tsc <= published->tsc || published->multiplier == 0 ||
      published->shift > 63 ||
      __builtin_mul_overflow(calibration.ticks_max, (uint64_t)calibration.multiplier, &product) ||
      product >> calibration.shift > LIFE_NANO_MAX) {
    return otlpshm_verdict_refused;
  }
  struct otlpshm_time time;
  if (!otlpshm_calibration_time(&calibration, tsc, &time)) return otlpshm_verdict_expired;
  /* Unsigned: ahead by up to the limit, or behind by as much. */
  if (time.unix_nano - unix_nano + DISAGREEMENT_NANO_MAX > 2 * DISAGREEMENT_NANO_MAX) {
    return otlpshm_verdict_refused;
  }
  /* So far `monotonic` is 0 at the anchor. */
  calibration.monotonic = monotonic - time.monotonic;
  *out = calibration;
  return otlpshm_verdict_fits;
}

static void publish_copy(struct otlpshm_calibrations* all,
                         const struct otlpshm_calibration* calibration) {
  const uint64_t next = load_relaxed_u64(&all->selector) + 1;
  struct otlpshm_calibration* idle = &all->copies[next & 1];
  /* A reader that still holds the copy before last sees the selector move before its words do. */
  release_fence();
  store_relaxed_u64(&idle->tsc, calibration->tsc);
  store_relaxed_u64(&idle->unix_nano, calibration->unix_nano);
  store_relaxed_u64(&idle->monotonic, calibration->monotonic);
  store_relaxed_u64(&idle->ticks_max, calibration->ticks_max);
  store_relaxed_u32(&idle->multiplier, calibration->multiplier);
  store_relaxed_u32(&idle->shift, calibration->shift);
  store_release_u64(&all->selector, next); /* SYNC(calibration) */
}

static void withdraw(struct otlpshm_calibrations* all) {
  static const struct otlpshm_calibration none;
  if (all->adopted == 0) return;
  all->adopted = 0;
  publish_copy(all, &none);
}

/* False when the daemon is writing, or died writing. */
static bool read_published(const struct otlpshm_clock* published, struct otlpshm_clock* out) {
  for (int tries = 0; tries < SEQLOCK_TRIES; ++tries) {
    out->generation = load_acquire_u64(&published->generation); /* SYNC(policy) */
    if ((out->generation & 1) != 0) continue;
    out->tsc = load_relaxed_u64(&published->tsc);
    out->unix_nano = load_relaxed_u64(&published->unix_nano);
    out->expiry_tsc = load_relaxed_u64(&published->expiry_tsc);
    out->multiplier = load_relaxed_u32(&published->multiplier);
    out->shift = load_relaxed_u32(&published->shift);
    acquire_fence();
    if (load_relaxed_u64(&published->generation) == out->generation) return true;
  }
  return false;
}

void otlpshm_clock_adopt(struct otlpshm_calibrations* all, const struct otlpshm_clock* published) {
  struct otlpshm_clock clock;
  if (load_relaxed_u32(&tsc_usable) == 0) return;
  if (published == NULL) {
    withdraw(all);
    return;
  }
  if (!read_published(published, &clock)) return; /* what is adopted is good until it expires */
  if (clock.generation == 0 || clock.multiplier == 0) {
    withdraw(all); /* the daemon has none to give */
    return;
  }
  if (clock.generation == all->refused) return;
  for (int tries = 0; tries < SAMPLE_TRIES; ++tries) {
    const uint64_t monotonic = read_clock(CLOCK_MONOTONIC);
    const uint64_t tsc = otlpshm_clock_tsc();
    const uint64_t wall = read_clock(CLOCK_REALTIME);
    if (read_clock(CLOCK_MONOTONIC) - monotonic > SAMPLE_NANO_MAX) continue;
    struct otlpshm_calibration calibration;
    const enum otlpshm_verdict verdict =
        otlpshm_calibration_judge(&clock, tsc, monotonic, wall, &calibration);
    if (verdict == otlpshm_verdict_refused) {
      all->refused = clock.generation;
      withdraw(all);
    } else if (verdict == otlpshm_verdict_fits && clock.generation != all->adopted) {
      all->adopted = clock.generation;
      publish_copy(all, &calibration);
    }
    return; /* what has expired need not be withdrawn: a reader sees it */
  }
}
