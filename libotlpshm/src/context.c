/* SPDX-License-Identifier: Apache-2.0 */
/* context.c: W3C trace context, in and out of the caller's bytes.
 *   Never  allocates, and never takes half of a header: it is valid or it is nothing.
 *   Source W3C Trace Context level 2: traceparent, and how tracestate goes with it. */
#include "otlpshm/context.h"

#include <stdbool.h>
#include <string.h>

#include "hex.h"
#include "text.h"
#include "tracestate.h"

#define KNOWN_FLAGS (OTLPSHM_TRACE_FLAG_SAMPLED | OTLPSHM_TRACE_FLAG_RANDOM)

/* ---- traceparent ---------------------------------------------------------------------------- */

int otlpshm_traceparent_inject(const struct otlpshm_context* context,
                               char out[OTLPSHM_TRACEPARENT_BYTES + 1]) {
  if (out == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  out[0] = '\0';
  if (!otlpshm_has_ids(context)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  const uint8_t flags = context->trace_flags & KNOWN_FLAGS;
  memcpy(out, "00-", 3);
  otlpshm_hex_put(out + 3, context->trace_id, sizeof context->trace_id);
  out[35] = '-';
  otlpshm_hex_put(out + 36, context->span_id, sizeof context->span_id);
  out[52] = '-';
  otlpshm_hex_put(out + 53, &flags, 1);
  out[55] = '\0';
  return OTLPSHM_OK;
}

int otlpshm_traceparent_inject_batch(const struct otlpshm_context* contexts, size_t count,
                                     char (*out)[OTLPSHM_TRACEPARENT_BYTES + 1]) {
  if (count > 0 && (contexts == NULL || out == NULL)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  int status = OTLPSHM_OK;
  for (size_t i = 0; i < count; ++i) {
    if (otlpshm_traceparent_inject(&contexts[i], out[i]) != OTLPSHM_OK) {
      status = OTLPSHM_ERROR_INVALID_ARGUMENT;
    }
  }
  return status;
}

int otlpshm_traceparent_extract(const char* value, size_t bytes, struct otlpshm_context* context) {
  if (context == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  memset(context, 0, sizeof *context);
  if (value == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  const struct otlpshm_text header = otlpshm_text_trim((struct otlpshm_text){value, bytes});
  const char* text = header.text;
  if (header.bytes < OTLPSHM_TRACEPARENT_BYTES) return OTLPSHM_ERROR_INVALID_ARGUMENT;

  struct otlpshm_context read;
  memset(&read, 0, sizeof read);
  uint8_t version;
  const bool fits = otlpshm_hex_get(text, &version, 1) && text[2] == '-' &&
                    otlpshm_hex_get(text + 3, read.trace_id, sizeof read.trace_id) &&
                    text[35] == '-' &&
                    otlpshm_hex_get(text + 36, read.span_id, sizeof read.span_id) &&
                    text[52] == '-' && otlpshm_hex_get(text + 53, &read.trace_flags, 1);
  if (!fits || version == 0xff || !otlpshm_has_ids(&read)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  if (header.bytes > OTLPSHM_TRACEPARENT_BYTES &&
      (version == 0 || text[OTLPSHM_TRACEPARENT_BYTES] != '-')) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  read.trace_flags &= KNOWN_FLAGS;
  read.is_remote = 1;
  *context = read;
  return OTLPSHM_OK;
}

/* ---- both headers --------------------------------------------------------------------------- */

static void point_at(struct otlpshm_context* context, const struct otlpshm_text_room* room) {
  if (room->bytes == 0) return;
  context->trace_state = room->text;
  context->trace_state_bytes = (uint32_t)room->bytes;
}

static bool lists_are_there(const struct otlpshm_w3c_headers* headers) {
  return headers != NULL && (headers->traceparent != NULL || headers->traceparent_count == 0) &&
         (headers->tracestate != NULL || headers->tracestate_count == 0);
}

int otlpshm_w3c_extract(const struct otlpshm_w3c_headers* headers, struct otlpshm_text_room* room,
                        struct otlpshm_context* context) {
  otlpshm_text_clear(room);
  if (context == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  memset(context, 0, sizeof *context);
  if (!lists_are_there(headers) || !otlpshm_tracestate_is_room(room)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }

  const struct otlpshm_text* parent = NULL;
  for (size_t i = 0; i < headers->traceparent_count; ++i) {
    if (headers->traceparent[i].text == NULL) continue;
    if (parent != NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
    parent = &headers->traceparent[i];
  }
  if (parent == NULL) return OTLPSHM_OK;
  const int status = otlpshm_traceparent_extract(parent->text, parent->bytes, context);
  if (status != OTLPSHM_OK) return status;

  struct otlpshm_tracestate_list list;
  list.count = 0;
  for (size_t i = 0; i < headers->tracestate_count; ++i) {
    if (!otlpshm_tracestate_parse(&list, headers->tracestate[i])) return OTLPSHM_OK;
  }
  otlpshm_tracestate_write(&list, 0, room);
  point_at(context, room);
  return OTLPSHM_OK;
}

int otlpshm_tracestate_inject(const struct otlpshm_context* context,
                              struct otlpshm_text_room* room) {
  otlpshm_text_clear(room);
  if (!otlpshm_tracestate_is_room(room) || !otlpshm_has_ids(context))
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  struct otlpshm_tracestate_list list;
  list.count = 0;
  const struct otlpshm_text text = {context->trace_state, context->trace_state_bytes};
  if (otlpshm_tracestate_parse(&list, text)) otlpshm_tracestate_write(&list, 0, room);
  return OTLPSHM_OK;
}
