/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: see clock.h.
 *   Never  enters the kernel where the vDSO serves the clock. */
#include "clock.h"

#include <time.h>

#include "ordering.h"

#define SECOND UINT64_C(1000000000)

static uint64_t offset_now;
static uint64_t renewed_at; /* monotonic; 0 = never */

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
