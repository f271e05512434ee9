/* SPDX-License-Identifier: Apache-2.0 */
/* sampling.h: the head decision for a new span.
 *   Owns   nothing.
 *   Now    always_on: every span is recorded and sampled; the parent's flag is carried along.
 *   Source OpenTelemetry Trace SDK, Sampling; W3C Trace Context level 2, random flag. */
#ifndef OTLPSHM_SRC_SAMPLING_H
#define OTLPSHM_SRC_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"

struct otlpshm_sampling {
  uint8_t trace_flags;   /* W3C */
  uint16_t record_flags; /* OTLPSHM_RECORD_* */
};

/* parent is null for a root. */
static inline struct otlpshm_sampling otlpshm_sampling_decide(
    const struct otlpshm_context* parent) {
  struct otlpshm_sampling sampling = {.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED};
  if (parent == NULL) {
    sampling.trace_flags |= OTLPSHM_TRACE_FLAG_RANDOM;
    return sampling;
  }
  sampling.trace_flags |= (uint8_t)(parent->trace_flags & OTLPSHM_TRACE_FLAG_RANDOM);
  if (parent->trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) {
    sampling.record_flags |= OTLPSHM_RECORD_PARENT_SAMPLED;
  }
  return sampling;
}

#endif
