/* SPDX-License-Identifier: Apache-2.0 */
/* resource.h: the rows that a writer registers: its resource and its instrumentation scope.
 *   Owns   nothing; what it returns is the caller's to free.
 *   Reads  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
 *   Source OpenTelemetry, Resource SDK and Environment Variable Specification. */
#ifndef OTLPSHM_SRC_RESOURCE_H
#define OTLPSHM_SRC_RESOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "otlpshm/otlpshm.h"

struct otlpshm_row {
  uint8_t* bytes; /* malloc; null when memory ran out */
  size_t count;
};

/* ResourceSpans fields 1 and 3. Later sources win: defaults, environment, options. */
struct otlpshm_row otlpshm_resource_row(const struct otlpshm_writer_options* options);

/* ScopeSpans fields 1 and 3. */
struct otlpshm_row otlpshm_scope_row(const struct otlpshm_writer_options* options);

#endif
