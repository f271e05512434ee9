/* SPDX-License-Identifier: Apache-2.0 */
/* ids.c: see ids.h. */
#include "ids.h"

#include <string.h>

#include "clock.h"
#include "kernel.h"
#include "process.h"

/* A bijection of 64 bits (the finalizer of SplitMix64), so distinct counts give distinct words. */
static uint64_t mix(uint64_t word) {
  word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
  return word ^ (word >> 31);
}

static void put(uint8_t* out, uint64_t word) {
  word = word == 0 ? 1 : word;
  memcpy(out, &word, sizeof word);
}

void otlpshm_ids_seed(struct otlpshm_thread* thread) {
  if (otlpshm_kernel_random(thread->keys, sizeof thread->keys) != sizeof thread->keys) {
    /* No randomness yet (early boot): what differs between machines, processes and threads. */
    uint64_t seed = otlpshm_clock_monotonic() + otlpshm_clock_offset(otlpshm_clock_monotonic());
    seed ^= ((uint64_t)otlpshm_kernel_pid() << 32) ^ otlpshm_kernel_tid();
    for (int i = 0; i < 3; ++i) thread->keys[i] = mix(seed += UINT64_C(0x9e3779b97f4a7c15));
  }
  /* The counter goes on: a handler that ran in here may have counted with the very same keys. */
}

void otlpshm_ids_span(struct otlpshm_thread* thread, uint8_t span_id[8]) {
  put(span_id, mix(next_of_thread_u64(&thread->counter) + thread->keys[0]));
}

void otlpshm_ids_trace_and_span(struct otlpshm_thread* thread, uint8_t trace_id[16],
                                uint8_t span_id[8]) {
  const uint64_t count = next_of_thread_u64(&thread->counter);
  put(span_id, mix(count + thread->keys[0]));
  put(trace_id, mix(count + thread->keys[1]));
  put(trace_id + 8, mix(count + thread->keys[2]));
}
