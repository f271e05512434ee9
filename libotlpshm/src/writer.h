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

struct otlpshm_writer {
  uint32_t generation; /* odd while the writer is open */
  uint16_t scope_index;
  bool disabled; /* OTEL_SDK_DISABLED */
  struct otlpshm_attachment* attachment;
  struct otlpshm_limits limits;
};

#endif
