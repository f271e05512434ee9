/* SPDX-License-Identifier: Apache-2.0 */
/* floor.c: see floor.h. No call but clock_gettime and memcpy. */
#define _POSIX_C_SOURCE 199309L
#include "floor.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

enum { RING_BYTES = 1 << 20, SPAN_BYTES = 280 };
static unsigned char ring[RING_BYTES];
static _Alignas(16) unsigned char span[SPAN_BYTES];

static size_t put(size_t at) {
  memcpy(ring + at, span, SPAN_BYTES);
  __asm__ volatile("" : : "r"(ring) : "memory");
  return at + 2 * SPAN_BYTES <= RING_BYTES ? at + SPAN_BYTES : 0;
}

void floor_burst(int count) {
  size_t at = 0;
  for (int i = 0; i < count; ++i) {
    clock_gettime(CLOCK_MONOTONIC, (struct timespec*)span);
    clock_gettime(CLOCK_MONOTONIC, (struct timespec*)(span + sizeof(struct timespec)));
    at = put(at);
  }
}

void floor_tsc_burst(int count) {
#if defined(__x86_64__)
  size_t at = 0;
  for (int i = 0; i < count; ++i) {
    const uint64_t times[2] = {__builtin_ia32_rdtsc(), __builtin_ia32_rdtsc()};
    memcpy(span, times, sizeof times);
    at = put(at);
  }
#endif
}
