/* SPDX-License-Identifier: Apache-2.0 */
/* current.c: the thread's current span, for programs that want one.
 *   Owns   one pointer of each thread; nothing else in the library reads it.
 *   Never  looks at the span: whether it records is asked when it is used.
 *   Source OpenTelemetry Context API. */
#include "otlpshm/context.h"

/* Volatile: a handler of the same thread may change it between any two instructions. */
static _Thread_local struct otlpshm_span* volatile current
    __attribute__((tls_model("initial-exec")));

struct otlpshm_span* otlpshm_span_make_current(struct otlpshm_span* span) {
  struct otlpshm_span* before = current;
  current = span;
  return before;
}

struct otlpshm_span* otlpshm_span_current(void) {
  return current;
}
