/* SPDX-License-Identifier: Apache-2.0 */
/* floor.h: what no library can go below: two readings of a clock, and a copy into a ring. */
#ifndef OTLPSHM_BENCH_FLOOR_H
#define OTLPSHM_BENCH_FLOOR_H
#ifdef __cplusplus
extern "C" {
#endif
void floor_burst(int count);     /* by clock_gettime */
void floor_tsc_burst(int count); /* by the TSC; nothing where there is none */
#ifdef __cplusplus
}
#endif
#endif
