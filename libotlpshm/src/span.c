/* SPDX-License-Identifier: Apache-2.0 */
/* span.c: stations 2 and 3 of a span's life: its room, its name, its context and its status.
 *   Owns   the span's bytes, from start (span_start.c) to end or discard (span_end.c).
 *   Never  blocks, logs, aborts, sets errno; allocates only when a span outgrows its inline bytes.
 *   Loses  what has no room, counted in the span itself.
 *   Source OpenTelemetry Trace API and SDK; opentelemetry-proto trace/v1. */
#include "span.h"

#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "text.h"

/* ---- room ------------------------------------------------------------------------------------ */

/* Volatile, for compilers that believe that malloc and free never store to errno. */
static void restore_errno(int before) {
  *(volatile int*)&errno = before;
}

void otlpshm_span_free(uint8_t* bytes) {
  const int errno_before = errno; /* free keeps it since glibc 2.33 */
  free(bytes);
  restore_errno(errno_before);
}

bool otlpshm_span_grow(struct span* span, size_t need) {
  if ((span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) != 0) return false;
  const size_t now = (size_t)span->limit + SPAN_TAIL_BYTES;
  if (need > SPAN_BYTES_MAX || now >= SPAN_BYTES_MAX) return false;
  const size_t least = (size_t)span->used + need + SPAN_TAIL_BYTES;
  size_t capacity = now * 2;
  if (capacity < least) capacity = least;
  if (capacity > SPAN_BYTES_MAX) capacity = SPAN_BYTES_MAX;
  if (capacity < least) return false;
  const int errno_before = errno;
  uint8_t* bytes = malloc(capacity);
  restore_errno(errno_before);
  if (bytes == NULL) return false;
  uint8_t* before = span->bytes;
  memcpy(bytes, before, span->used);
  span->bytes = bytes;
  span->limit = (uint32_t)(capacity - SPAN_TAIL_BYTES);
  if (before != span->inline_bytes) {
    otlpshm_span_free(before);
  } else {
    add_relaxed_u64(&span->attachment->spans_grown, 1);
  }
  return true;
}

void otlpshm_span_splice(struct span* span, uint32_t offset, uint32_t old_bytes,
                         uint32_t new_bytes) {
  const uint32_t behind = offset + old_bytes;
  memmove(span->bytes + offset + new_bytes, span->bytes + behind, span->used - behind);
  span->used = span->used - old_bytes + new_bytes;
  /* At the offset itself when an absent name gets one. */
  if (span->status_offset >= offset) span->status_offset += new_bytes - old_bytes;
}

/* ---- name ------------------------------------------------------------------------------------ */

const char* otlpshm_span_clean_name(const char* name, size_t* bytes,
                                    char room[OTLPSHM_NAME_BYTES_MAX]) {
  if (name == NULL) *bytes = 0;
  if (*bytes == 0) return "";
  /* Cut first: what lies behind need not be looked at. */
  *bytes = otlpshm_utf8_prefix_of_bytes(name, *bytes, OTLPSHM_NAME_BYTES_MAX);
  if (otlpshm_utf8_is_valid(name, *bytes)) return name;
  *bytes = otlpshm_utf8_sanitize(name, *bytes, room, OTLPSHM_NAME_BYTES_MAX);
  return room;
}

/* Writes the name's field into the gap at name_offset, which has the field's size. */
static void put_name(struct span* span, const char* name, size_t bytes) {
  span->name_hash = hash_name(name, bytes);
  if (bytes == 0) return; /* proto3: an empty string is absent */
  (void)put_field(span->bytes + span->name_offset, SPAN_NAME, name, bytes);
}

void otlpshm_span_replace_name(struct span* span, const char* name, size_t bytes) {
  char room[OTLPSHM_NAME_BYTES_MAX];
  name = otlpshm_span_clean_name(name, &bytes, room);
  uint32_t size = bytes == 0 ? 0 : (uint32_t)field_bytes(SPAN_NAME, bytes);
  if (size > span->name_field_bytes && !has_room(span, size - span->name_field_bytes)) {
    const size_t spare = span->limit - span->used + span->name_field_bytes;
    bytes = spare < 4 ? 0 : otlpshm_utf8_prefix_of_bytes(name, bytes, spare - 3);
    size = bytes == 0 ? 0 : (uint32_t)field_bytes(SPAN_NAME, bytes);
  }
  otlpshm_span_splice(span, span->name_offset, span->name_field_bytes, size);
  span->name_field_bytes = size;
  put_name(span, name, bytes);
}

void otlpshm_span_update_name(struct otlpshm_span* public_span, const char* name, size_t bytes) {
  struct span* span = recording(public_span);
  if (span != NULL) otlpshm_span_replace_name(span, name, bytes);
}

/* ---- context --------------------------------------------------------------------------------- */

int otlpshm_span_is_recording(const struct otlpshm_span* span) {
  return span != NULL && ((const struct span*)span)->writer != NULL;
}

void otlpshm_span_get_context(const struct otlpshm_span* public_span,
                              struct otlpshm_context* context) {
  if (context == NULL) return;
  memset(context, 0, sizeof *context);
  if (public_span == NULL) return;
  const struct span* span = (const struct span*)public_span;
  if (span->writer == NULL) {
    if (!span->has_ended) *context = span->carried.context;
    return;
  }
  memcpy(context->trace_id, span->bytes + SPAN_TRACE_ID_OFFSET + 2, sizeof context->trace_id);
  memcpy(context->span_id, span->bytes + SPAN_SPAN_ID_OFFSET + 2, sizeof context->span_id);
  context->trace_flags = (uint8_t)span->span_flags;
  context->trace_state_bytes = span->trace_state_bytes;
  if (span->trace_state_bytes != 0) {
    context->trace_state = (const char*)span->bytes + span->trace_state_offset;
  }
}

/* ---- status ---------------------------------------------------------------------------------- */

void otlpshm_span_set_status(struct otlpshm_span* public_span, int code, const char* description,
                             size_t bytes) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (code != OTLPSHM_STATUS_OK && code != OTLPSHM_STATUS_ERROR) return;
  if (span->status_code == OTLPSHM_STATUS_OK) return;
  if (span->status_offset != 0) {
    const uint32_t offset = span->status_offset;
    span->status_offset = 0;
    otlpshm_span_splice(span, offset, span->status_field_bytes, 0);
    span->status_field_bytes = 0;
  }
  span->status_code = (uint8_t)code;

  char room[OTLPSHM_NAME_BYTES_MAX];
  if (code != OTLPSHM_STATUS_ERROR) bytes = 0;
  description = otlpshm_span_clean_name(description, &bytes, room);
  if (bytes == 0) return; /* `end` appends the code */
  const size_t message = field_bytes(STATUS_MESSAGE, bytes) + 2;
  if (!has_room(span, field_bytes(SPAN_STATUS, message))) return;
  span->status_offset = span->used;
  uint8_t* at = put_length(span->bytes + span->used, SPAN_STATUS, message);
  at = put_field(at, STATUS_MESSAGE, description, bytes);
  at = put_varint(put_tag(at, STATUS_CODE, WIRE_VARINT), (uint64_t)code);
  span->used = (uint32_t)(at - span->bytes);
  span->status_field_bytes = span->used - span->status_offset;
}

void otlpshm_span_set_status_cstr(struct otlpshm_span* span, int code, const char* description) {
  otlpshm_span_set_status(span, code, description, otlpshm_cstr_bytes(description));
}
