/* SPDX-License-Identifier: Apache-2.0 */
/* ids.c: see ids.h. */
#include "ids.h"

#include "clock.h"
#include "kernel.h"
#include "process.h"

void otlpshm_ids_seed(struct otlpshm_thread* thread) {
  if (otlpshm_kernel_random(thread->keys, sizeof thread->keys) != sizeof thread->keys) {
    /* No randomness yet (early boot): what differs between machines, processes and threads. */
    uint64_t seed = otlpshm_clock_monotonic() + otlpshm_clock_offset(otlpshm_clock_monotonic());
    seed ^= ((uint64_t)otlpshm_kernel_pid() << 32) ^ otlpshm_kernel_tid();
    for (int i = 0; i < 3; ++i)
      thread->keys[i] = otlpshm_ids_mix(seed += UINT64_C(0x9e3779b97f4a7c15));
  }
  otlpshm_ids_keep_apart(thread->keys);
  /* The counter goes on: a handler that ran in here may have counted with the very same keys. */
}
