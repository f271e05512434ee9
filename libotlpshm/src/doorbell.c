/* SPDX-License-Identifier: Apache-2.0 */
/* doorbell.c: see doorbell.h. */
#include "doorbell.h"

#include "kernel.h"

void otlpshm_doorbell_ring(struct otlpshm_attachment* attachment, const struct otlpshm_state* state,
                           uint32_t epoch) {
  if (load_relaxed_u32(&attachment->expired) != 0) return; /* it may live on in this very epoch */
  const uint32_t rung = load_relaxed_u32(&attachment->epoch_rung);
  if (rung == epoch || !take_u32(&attachment->epoch_rung, rung, epoch)) return;
  (void)otlpshm_kernel_futex_wake(&state->doorbell, 1);
}
