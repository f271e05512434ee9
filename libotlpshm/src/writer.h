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

#define OTLPSHM_WRITERS_MAX 64

/* Atomics: a span may start while its writer is shut down and the place is opened anew. */
struct otlpshm_writer {
  uint32_t generation; /* odd while the writer is open */
  uint32_t scope_index;
  uint32_t disabled; /* OTEL_SDK_DISABLED */
  struct otlpshm_attachment* attachment;
  struct otlpshm_limits limits;
};

/* The limits, each read by itself: see struct otlpshm_writer. */
static inline struct otlpshm_limits otlpshm_writer_limits(const struct otlpshm_writer* writer) {
  const struct otlpshm_limits limits = {
      .attribute_count_max = load_relaxed_u32(&writer->limits.attribute_count_max),
      .attribute_value_length_max = load_relaxed_u32(&writer->limits.attribute_value_length_max),
      .event_count_max = load_relaxed_u32(&writer->limits.event_count_max),
      .event_attribute_count_max = load_relaxed_u32(&writer->limits.event_attribute_count_max),
      .link_count_max = load_relaxed_u32(&writer->limits.link_count_max),
  };
  return limits;
}

#endif
