/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h: two readings of a clock make a span: when it started, and how long it took.
 *   Owns   the process-wide offset between the kernel's clocks, renewed at most once a second; and
 *          of each attachment the calibration of the TSC that it adopted from `state`.
 *   Rule   two readings of the TSC make a duration, whatever was adopted between them; any other
 *          two meet in CLOCK_MONOTONIC. end is never before start.
 *   Source docs/abi.md#clock.      Order  SYNC(calibration), SYNC(policy). */
#ifndef OTLPSHM_SRC_CLOCK_H
#define OTLPSHM_SRC_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "ordering.h"
#include "otlpshm/layout.h"

/* ---- the kernel's clocks -------------------------------------------------------------------- */

uint64_t otlpshm_clock_monotonic(void);            /* nanoseconds */
uint64_t otlpshm_clock_coarse(void);               /* the same, some milliseconds late, and cheap */
uint64_t otlpshm_clock_offset(uint64_t monotonic); /* add it to a monotonic time */

/* ---- a calibration of the TSC --------------------------------------------------------------- */

struct otlpshm_calibration {
  uint64_t tsc;       /* the anchor, at which the next two were so */
  uint64_t unix_nano; /* as the daemon says: all processes of a machine agree */
  uint64_t monotonic; /* as this process sees it: time namespaces differ */
  uint64_t ticks_max; /* good for readings in [tsc, tsc + ticks_max); 0: for none */
  uint32_t multiplier;
  uint32_t shift;
};

/* The valid copy is copies[selector & 1]. Written by who holds tick_lease; a reader may be
 * anywhere, also in a signal handler over the writer, and never waits. All zero: none is adopted.
 */
struct otlpshm_calibrations {
  uint64_t selector;
  struct otlpshm_calibration copies[2];
  /* Under tick_lease: generations of `state`. */
  uint64_t adopted; /* 0: none is */
  uint64_t refused; /* 0: none was */
};

/* Finds out, once, whether this process may read the TSC and whether it ticks at one rate. Call it
 * at set-up: it enters the kernel. */
void otlpshm_clock_probe(void);

/* Adopts what the daemon publishes; null: it is not to be believed any more. The caller holds
 * tick_lease. Async-signal-safe. */
void otlpshm_clock_adopt(struct otlpshm_calibrations* all, const struct otlpshm_clock* published);

enum otlpshm_verdict {
  otlpshm_verdict_fits,
  otlpshm_verdict_expired, /* or not begun */
  otlpshm_verdict_refused, /* it contradicts itself, or the kernel's clock by more than 1 ms */
};

/* Judges a published calibration by readings of all three clocks at one moment; fills *out when it
 * fits. */
enum otlpshm_verdict otlpshm_calibration_judge(const struct otlpshm_clock* published, uint64_t tsc,
                                               uint64_t monotonic, uint64_t unix_nano,
                                               struct otlpshm_calibration* out);

/* ---- a reading ------------------------------------------------------------------------------ */

struct otlpshm_time {
  uint64_t unix_nano;
  uint64_t monotonic; /* CLOCK_MONOTONIC; by the TSC, to within the error of the calibration */
  uint64_t tsc;       /* 0: the kernel's clocks were read */
};

/* Plain rdtsc: it may run some tens of nanoseconds early or late among its neighbours, which is
 * less than what rdtscp or a fence costs, and no error adds up. */
static inline uint64_t otlpshm_clock_tsc(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return 0; /* never asked: no calibration is adopted */
#endif
}

/* False when there is none, or when it changed under the reader. */
static inline bool otlpshm_calibration_load(const struct otlpshm_calibrations* all,
                                            struct otlpshm_calibration* out) {
  const uint64_t selector = load_acquire_u64(&all->selector); /* SYNC(calibration) */
  const struct otlpshm_calibration* copy = &all->copies[selector & 1];
  out->tsc = load_relaxed_u64(&copy->tsc);
  out->unix_nano = load_relaxed_u64(&copy->unix_nano);
  out->monotonic = load_relaxed_u64(&copy->monotonic);
  out->ticks_max = load_relaxed_u64(&copy->ticks_max);
  out->multiplier = load_relaxed_u32(&copy->multiplier);
  out->shift = load_relaxed_u32(&copy->shift);
  acquire_fence();
  return out->ticks_max != 0 && load_relaxed_u64(&all->selector) == selector;
}

/* ticks below ticks_max: the product does not overflow. */
static inline uint64_t otlpshm_calibration_nano(const struct otlpshm_calibration* calibration,
                                                uint64_t ticks) {
  return (ticks * calibration->multiplier) >> calibration->shift;
}

/* False when the calibration does not hold for this reading. */
static inline bool otlpshm_calibration_time(const struct otlpshm_calibration* calibration,
                                            uint64_t tsc, struct otlpshm_time* out) {
  const uint64_t ticks = tsc - calibration->tsc;
  if (ticks >= calibration->ticks_max) return false; /* expired, or before the anchor */
  const uint64_t nano = otlpshm_calibration_nano(calibration, ticks);
  out->unix_nano = calibration->unix_nano + nano;
  out->monotonic = calibration->monotonic + nano;
  out->tsc = tsc;
  return true;
}

/* By the kernel's clocks. Async-signal-safe. */
void otlpshm_clock_read_kernel(struct otlpshm_time* now);

/* The time. Async-signal-safe. */
static inline void otlpshm_clock_read(const struct otlpshm_calibrations* all,
                                      struct otlpshm_time* now) {
  struct otlpshm_calibration calibration;
  if (!otlpshm_calibration_load(all, &calibration) ||
      !otlpshm_calibration_time(&calibration, otlpshm_clock_tsc(), now)) {
    otlpshm_clock_read_kernel(now);
  }
}
static inline struct otlpshm_time otlpshm_clock_now(const struct otlpshm_calibrations* all) {
  struct otlpshm_time now;
  otlpshm_clock_read(all, &now);
  return now;
}

struct otlpshm_elapsed {
  uint64_t nano;
  uint64_t monotonic; /* the time now, good enough to compare with deadlines */
};

/* Time since an earlier reading, never below 0. all: the one that the earlier reading was made
 * with. Async-signal-safe. */
static inline struct otlpshm_elapsed otlpshm_clock_since(const struct otlpshm_calibrations* all,
                                                         const struct otlpshm_time* start) {
  struct otlpshm_calibration calibration;
  struct otlpshm_time now;
  struct otlpshm_elapsed elapsed;
  if (otlpshm_calibration_load(all, &calibration) &&
      otlpshm_calibration_time(&calibration, otlpshm_clock_tsc(), &now)) {
    elapsed.monotonic = now.monotonic;
    /* The rate of today's calibration is good for yesterday's ticks too; a time too long for the
     * product is one in which the anchors' error is nothing. */
    const uint64_t ticks = now.tsc - start->tsc;
    if (start->tsc != 0 && ticks < calibration.ticks_max) {
      elapsed.nano = otlpshm_calibration_nano(&calibration, ticks);
      return elapsed;
    }
  } else {
    elapsed.monotonic = otlpshm_clock_monotonic();
  }
  elapsed.nano = elapsed.monotonic > start->monotonic ? elapsed.monotonic - start->monotonic : 0;
  return elapsed;
}

#endif
