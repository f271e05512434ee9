/* SPDX-License-Identifier: Apache-2.0 */
/* ids.h: trace and span ids: a keyed mix of one counter of the thread.
 *   Owns   nothing; the keys and the counter are the thread's.
 *   Never  repeats within a thread, enters the kernel after seeding, or gives an id of zeros.
 *   Source W3C Trace Context, random trace-id; safe in a signal handler. */
#ifndef OTLPSHM_SRC_IDS_H
#define OTLPSHM_SRC_IDS_H

#include <stdint.h>

#include "ordering.h"
#include "process.h"

/* As words that hold the bytes of the ids. */
struct otlpshm_ids {
  uint64_t trace[2];
  uint64_t span;
};

void otlpshm_ids_seed(struct otlpshm_thread* thread);

/* A bijection of 64 bits (the finalizer of SplitMix64), so distinct counts give distinct words. */
static inline uint64_t otlpshm_ids_mix(uint64_t word) {
  word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
  return word ^ (word >> 31);
}

static inline uint64_t otlpshm_ids_of_span(struct otlpshm_thread* thread) {
  const uint64_t word = otlpshm_ids_mix(next_of_thread_u64(&thread->counter) + thread->keys[0]);
  return word == 0 ? 1 : word;
}

/* The last two keys must differ: see otlpshm_ids_of_trace. */
static inline void otlpshm_ids_keep_apart(uint64_t keys[3]) {
  if (keys[1] == keys[2]) ++keys[2];
}

/* The trace id of a root whose span id this is. A span id is mixed well enough that two bijections
 * of it do; they are 0 for different ones, as the last two keys differ. */
static inline void otlpshm_ids_of_trace(const struct otlpshm_thread* thread, uint64_t span,
                                        uint64_t trace[2]) {
  trace[0] = (span ^ thread->keys[1]) * UINT64_C(0x9e3779b97f4a7c15);
  trace[1] = (span ^ thread->keys[2]) * UINT64_C(0xd6e8feb86659fd93);
}

static inline struct otlpshm_ids otlpshm_ids_of_root(struct otlpshm_thread* thread) {
  struct otlpshm_ids ids;
  ids.span = otlpshm_ids_of_span(thread);
  otlpshm_ids_of_trace(thread, ids.span, ids.trace);
  return ids;
}

#endif
