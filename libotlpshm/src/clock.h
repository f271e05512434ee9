/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h: two readings of the monotonic clock make a span; an offset makes them wall time.
 *   Owns   the process-wide offset between the clocks, renewed at most once a second.
 *   Source docs/abi.md; so that end is never before start when the wall clock steps. */
#ifndef OTLPSHM_SRC_CLOCK_H
#define OTLPSHM_SRC_CLOCK_H

#include <stdint.h>

uint64_t otlpshm_clock_monotonic(void);            /* nanoseconds */
uint64_t otlpshm_clock_coarse(void);               /* the same, some milliseconds late, and cheap */
uint64_t otlpshm_clock_offset(uint64_t monotonic); /* add it to a monotonic time */

#endif
