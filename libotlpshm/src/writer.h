/* SPDX-License-Identifier: Apache-2.0 */
/* writer.h: a resource, a scope, limits, and the directory they go to.
 *   Owns   64 writers in static memory, never freed: a span that outlives its writer finds another
 *          generation, not freed memory. */
#ifndef OTLPSHM_SRC_WRITER_H
#define OTLPSHM_SRC_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "attach.h"
#include "limits.h"
#include "otlpshm/otlpshm.h"
#include "sampling.h"

#define OTLPSHM_WRITERS_MAX 64

/* Atomics: a span may start while its writer is shut down and the place is opened anew. */
struct otlpshm_writer {
  uint32_t generation; /* odd while the writer is open */
  uint32_t scope_index;
  const struct otlpshm_inline_rows* rows; /* with OTLPSHM_SCOPE_INLINE */
  uint32_t disabled;                      /* OTEL_SDK_DISABLED */
  struct otlpshm_attachment* attachment;
  struct otlpshm_limits limits;
  struct otlpshm_sampler_state sampler;
};

/* The limits, each read by itself: see struct otlpshm_writer. */
static inline struct otlpshm_limits otlpshm_writer_limits(const struct otlpshm_writer* writer) {
  const struct otlpshm_limits* from = &writer->limits;
  const struct otlpshm_limits limits = {
      .attribute_count_max = load_relaxed_u32(&from->attribute_count_max),
      .attribute_value_length_max = load_relaxed_u32(&from->attribute_value_length_max),
      .event_count_max = load_relaxed_u32(&from->event_count_max),
      .link_count_max = load_relaxed_u32(&from->link_count_max),
      .event_attribute_count_max = load_relaxed_u32(&from->event_attribute_count_max),
      .link_attribute_count_max = load_relaxed_u32(&from->link_attribute_count_max),
      .value_depth_max = load_relaxed_u32(&from->value_depth_max),
  };
  return limits;
}

static inline void otlpshm_writer_set_limits(struct otlpshm_writer* writer,
                                             const struct otlpshm_limits* limits) {
  struct otlpshm_limits* to = &writer->limits;
  store_relaxed_u32(&to->attribute_count_max, limits->attribute_count_max);
  store_relaxed_u32(&to->attribute_value_length_max, limits->attribute_value_length_max);
  store_relaxed_u32(&to->event_count_max, limits->event_count_max);
  store_relaxed_u32(&to->link_count_max, limits->link_count_max);
  store_relaxed_u32(&to->event_attribute_count_max, limits->event_attribute_count_max);
  store_relaxed_u32(&to->link_attribute_count_max, limits->link_attribute_count_max);
  store_relaxed_u32(&to->value_depth_max, limits->value_depth_max);
}

#endif
