/* SPDX-License-Identifier: Apache-2.0 */
/* span_tracestate.c: station 2 of a span's life: the trace state of its record and its children.
 *   Never  allocates; runs only where a parent has a trace state, or the sampler changes it.
 *   Loses  a list that is malformed or not UTF-8; of one that is too long, whole members.
 *   Source W3C Trace Context level 2; OpenTelemetry, TraceState: Probability Sampling. */
#include "sampling.h"
#include "span.h"
#include "text.h"
#include "tracestate.h"

static void put_trace_state(struct span* span, const char* state, size_t bytes) {
  if (bytes == 0 || bytes > OTLPSHM_TRACESTATE_BYTES || state == NULL) return;
  if (!otlpshm_utf8_is_valid(state, bytes)) return;
  uint8_t* at = span->bytes + span->used;
  const size_t before = field_bytes(SPAN_TRACE_STATE, bytes) - bytes;
  memmove(at + before, state, bytes); /* it may stand right here: struct span_carried */
  (void)put_length(at, SPAN_TRACE_STATE, bytes);
  span->used += (uint32_t)(before + bytes);
  span->trace_state_bytes = (uint32_t)bytes;
  span->trace_state_offset = span->used - span->trace_state_bytes;
}

/* Cut by whole members, as W3C Trace Context wants it; a list that is malformed is left out. */
static SELDOM void put_long_trace_state(struct span* span, const char* state, size_t bytes) {
  struct otlpshm_tracestate_list list = {.count = 0};
  char text[OTLPSHM_TRACESTATE_BYTES + 1];
  struct otlpshm_text_room room = {.text = text, .capacity = sizeof text};
  const struct otlpshm_text given = {.text = state, .bytes = bytes};
  if (state == NULL || !otlpshm_tracestate_parse(&list, given)) return;
  otlpshm_tracestate_write(&list, 0, &room);
  put_trace_state(span, text, room.bytes);
}

static SELDOM void put_sampled_trace_state(struct span* span,
                                           const struct otlpshm_context* parent) {
  struct otlpshm_sampling sampling = {.record_flags = span->record_flags};
  memcpy(&sampling.threshold, header_of(span) + HEADER(threshold), sizeof sampling.threshold);
  char state[OTLPSHM_TRACESTATE_BYTES + 1];
  const size_t bytes =
      otlpshm_sampling_trace_state(&sampling, parent == NULL ? NULL : parent->trace_state,
                                   parent == NULL ? 0 : parent->trace_state_bytes, state);
  put_trace_state(span, state, bytes);
}

void otlpshm_span_put_trace_state(struct span* span, const struct otlpshm_context* parent,
                                  bool changes) {
  if (changes) {
    put_sampled_trace_state(span, parent);
  } else if (parent == NULL) {
    return;
  } else if (parent->trace_state_bytes > OTLPSHM_TRACESTATE_BYTES) {
    put_long_trace_state(span, parent->trace_state, parent->trace_state_bytes);
  } else {
    put_trace_state(span, parent->trace_state, parent->trace_state_bytes);
  }
}

/* Its children are not to believe a threshold that it was not sampled by. The parent's text may
 * stand in this very span. */
void otlpshm_span_carry_trace_state(struct span* span, uint64_t threshold, uint16_t record_flags) {
  const struct otlpshm_sampling sampling = {.threshold = threshold, .record_flags = record_flags};
  struct otlpshm_context* context = &span->carried.context;
  char state[OTLPSHM_TRACESTATE_BYTES + 1];
  const size_t bytes = otlpshm_sampling_trace_state(&sampling, context->trace_state,
                                                    context->trace_state_bytes, state);
  memcpy(span->carried.trace_state, state, bytes);
  context->trace_state = bytes == 0 ? NULL : span->carried.trace_state;
  context->trace_state_bytes = (uint32_t)bytes;
}
