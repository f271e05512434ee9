/* SPDX-License-Identifier: Apache-2.0 */
/* ids.h: trace and span ids: a keyed mix of one counter of the thread.
 *   Owns   nothing; the keys and the counter are the thread's.
 *   Never  repeats within a thread, enters the kernel after seeding, or gives 0.
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

static inline uint64_t otlpshm_ids_word(uint64_t count, uint64_t key) {
  const uint64_t word = otlpshm_ids_mix(count + key);
  return word == 0 ? 1 : word;
}

static inline uint64_t otlpshm_ids_of_span(struct otlpshm_thread* thread) {
  return otlpshm_ids_word(next_of_thread_u64(&thread->counter), thread->keys[0]);
}

static inline struct otlpshm_ids otlpshm_ids_of_root(struct otlpshm_thread* thread) {
  const uint64_t count = next_of_thread_u64(&thread->counter);
  const struct otlpshm_ids ids = {
      .trace = {otlpshm_ids_word(count, thread->keys[1]), otlpshm_ids_word(count, thread->keys[2])},
      .span = otlpshm_ids_word(count, thread->keys[0]),
  };
  return ids;
}

#endif
