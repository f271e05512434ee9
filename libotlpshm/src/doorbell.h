/* SPDX-License-Identifier: Apache-2.0 */
/* doorbell.h: wakes a sleeping daemon, once per sleep and process.
 *   Reads  sleep_epoch of `state` (written by the daemon).
 *   Never  rings a daemon that is awake, or one whose heartbeat has stopped.
 *   Order  SYNC(sleep).   Source docs/abi.md#doorbell. */
#ifndef OTLPSHM_SRC_DOORBELL_H
#define OTLPSHM_SRC_DOORBELL_H

#include "attach.h"

/* Slow path: the daemon sleeps and this process has not rung in this epoch. */
void otlpshm_doorbell_ring(struct otlpshm_attachment* attachment, const struct otlpshm_state* state,
                           uint32_t epoch);

/* After a store to tail. Thread-safe, async-signal-safe. */
static inline void otlpshm_doorbell(struct otlpshm_attachment* attachment) {
  light_barrier(); /* SYNC(sleep) */
  const struct otlpshm_state* state = load_relaxed_pointer(&attachment->state);
  if (state == NULL) return;
  const uint32_t epoch = load_relaxed_u32(&state->sleep_epoch);
  if ((epoch & 1) != 0 && epoch != load_relaxed_u32(&attachment->epoch_rung)) {
    otlpshm_doorbell_ring(attachment, state, epoch);
  }
}

#endif
