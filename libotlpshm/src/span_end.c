/* SPDX-License-Identifier: Apache-2.0 */
/* span_end.c: stations 3 and 4 of a span's life: its last fields, and its record's way into a lane.
 *   Owns   the span's bytes until they are committed or given up, and what says that it has ended.
 *   Never  blocks, logs, aborts, sets errno; a span that it was left in by a jump has ended.
 *   Loses  shutdown, forked, and what a lane loses; each counted.
 *   Source OpenTelemetry Trace API and SDK; opentelemetry-proto trace/v1. */
#include "attach.h"
#include "branches.h"
#include "clock.h"
#include "lane.h"
#include "process.h"
#include "sampling.h"
#include "span.h"
#include "writer.h"

void otlpshm_span_count_late(const struct span* span) {
  add_relaxed_u64(&span->attachment->late_calls, 1);
}

static inline void close_span(struct span* span) {
  span->writer = NULL;
  span->has_ended = 1;
}

/* Closed first: whoever jumps out of the rest cannot free the bytes once more. */
static void forget(struct span* span) {
  uint8_t* bytes = span->bytes;
  close_span(span);
  if (bytes != span->inline_bytes) otlpshm_span_free(bytes);
}

/* The room was kept: SPAN_TAIL_BYTES. */
static SELDOM void put_tail(struct span* span) {
  uint8_t* at = span->bytes + span->used;
  if (span->attributes_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_ATTRIBUTES, WIRE_VARINT), span->attributes_dropped);
  }
  if (span->events_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_EVENTS, WIRE_VARINT), span->events_dropped);
  }
  if (span->links_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_LINKS, WIRE_VARINT), span->links_dropped);
  }
  if (span->status_code != OTLPSHM_STATUS_UNSET && span->status_offset == 0) {
    at = put_length(at, SPAN_STATUS, 2);
    at = put_varint(put_tag(at, STATUS_CODE, WIRE_VARINT), span->status_code);
  }
  span->used = (uint32_t)(at - span->bytes);
}
_Static_assert(SPAN_TAIL_BYTES >= 3 * 6 + SPAN_STATUS_CODE_BYTES, "put_tail needs this room");

/* The span's end stands in its bytes: finishes the record's header, and returns it. */
static inline uint8_t* finish_header(struct span* span, uint64_t duration) {
  uint8_t* header = span->bytes + header_offset(span);
  const uint64_t kinds =
      OTLPSHM_RECORD_SPAN | (uint64_t)span->span_kind << 8 | (uint64_t)span->status_code << 16;
  memcpy(header + HEADER(duration_nano), &duration, sizeof duration);
  memcpy(header + HEADER(name_hash), &span->name_hash, sizeof span->name_hash);
  memcpy(header + HEADER(record_kind), &kinds, sizeof kinds);
  return header;
}
_Static_assert(HEADER(span_kind) == HEADER(record_kind) + 1 &&
                   HEADER(status_code) == HEADER(record_kind) + 2 &&
                   HEADER(record_kind) + 8 == sizeof(struct otlpshm_record_header),
               "finish_header writes these as one word");

/* The tables had no room for the writer's rows. Null when the writer was shut down, and perhaps
 * opened anew, since its generation was looked at. */
static const struct otlpshm_inline_rows* rows_of(const struct span* span,
                                                 const struct otlpshm_writer* writer) {
  const struct otlpshm_inline_rows* rows = load_acquire_pointer(&writer->rows);
  return load_relaxed_u32(&writer->generation) == span->writer_generation ? rows : NULL;
}

/* Of a span that has outgrown its inline bytes, or carries its rows. */
static SELDOM int commit_large(struct span* span, const struct otlpshm_writer* writer, uint64_t now,
                               uint64_t duration) {
  uint8_t* header = finish_header(span, duration);
  const uint32_t size = span->used - header_offset(span);
  const bool may_attach = (span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0;
  int status;
  if (span->scope_index != OTLPSHM_SCOPE_INLINE) {
    status = otlpshm_lane_commit(span->attachment, header, size, NULL, now, may_attach);
  } else {
    const struct otlpshm_inline_rows* rows = rows_of(span, writer);
    header[HEADER(record_kind)] = OTLPSHM_RECORD_SPAN_INLINE_SCOPE;
    status = rows == NULL
                 ? otlpshm_attach_drop(span->attachment, otlpshm_drop_shutdown)
                 : otlpshm_lane_commit(span->attachment, header, size, rows, now, may_attach);
  }
  if (span->bytes != span->inline_bytes) otlpshm_span_free(span->bytes);
  return status;
}

/* Not sampled: slow or failed enough to be written all the same? Else nothing is lost. */
static SELDOM bool is_kept(const struct span* span, uint64_t duration) {
  return otlpshm_sampler_keeps(&span->writer->sampler, span->status_code, duration);
}

static SELDOM int drop_at_end(struct span* span) {
  struct otlpshm_attachment* attachment = span->attachment;
  const bool is_ready = otlpshm_process_ready();
  const bool is_ours = span->nonce == otlpshm_thread.nonce;
  forget(span);
  if (!is_ready) return otlpshm_attach_drop_later(attachment, otlpshm_drop_forked);
  return otlpshm_attach_drop(attachment, is_ours ? otlpshm_drop_shutdown : otlpshm_drop_forked);
}

/* In the process, and under the opening of the writer, that started it. A thread that only ends
 * spans of others is made ready here. */
static inline bool may_commit(const struct span* span) {
  return otlpshm_process_ready() && span->nonce == otlpshm_thread.nonce &&
         load_acquire_u32(&span->writer->generation) == span->writer_generation;
}

OFTEN int end(struct span* span, uint64_t now, uint64_t duration) {
  if (!LIKELY((span->record_flags & OTLPSHM_RECORD_ONLY) == 0) && !is_kept(span, duration)) {
    forget(span);
    return OTLPSHM_OK;
  }
  if (!LIKELY(may_commit(span))) return drop_at_end(span);
  const struct otlpshm_writer* writer = span->writer;
  close_span(span); /* its bytes stay; whoever jumps out of what follows finds it ended */
  if ((span->attributes_dropped | span->events_dropped | span->links_dropped | span->status_code) !=
      0) {
    put_tail(span);
  }
  if (!LIKELY(span->bytes == span->inline_bytes && span->scope_index != OTLPSHM_SCOPE_INLINE)) {
    return commit_large(span, writer, now, duration);
  }
  const uint8_t* header = finish_header(span, duration);
  const uint32_t size = span->used - header_offset(span);
  return otlpshm_lane_commit(span->attachment, header, size, NULL, now,
                             (span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0);
}

static void put_end(struct span* span, uint64_t end_unix_nano) {
  memcpy(span->bytes + SPAN_END_OFFSET + 1, &end_unix_nano, sizeof end_unix_nano);
}

/* A start that the caller gave can only be compared with the wall clock. */
static SELDOM struct otlpshm_elapsed since_given_start(const struct span* span) {
  const struct otlpshm_time now = otlpshm_clock_now(&span->attachment->clock);
  return (struct otlpshm_elapsed){
      .nano = now.unix_nano > span->start.unix_nano ? now.unix_nano - span->start.unix_nano : 0,
      .monotonic = now.monotonic};
}

/* Apart from otlpshm_span_end: a span that does not record needs no frame. */
static __attribute__((noinline)) int end_now(struct span* span) {
  const struct otlpshm_elapsed elapsed =
      LIKELY(span->start.monotonic != 0)
          ? otlpshm_clock_since(&span->attachment->clock, &span->start)
          : since_given_start(span);
  put_end(span, span->start.unix_nano + elapsed.nano);
  return end(span, elapsed.monotonic, elapsed.nano);
}

int otlpshm_span_end(struct otlpshm_span* public_span) {
  struct span* span = recording(public_span);
  return span == NULL ? OTLPSHM_OK : end_now(span);
}

int otlpshm_span_end_at(struct otlpshm_span* public_span, uint64_t end_unix_nano) {
  struct span* span = recording(public_span);
  if (span == NULL) return OTLPSHM_OK;
  const uint64_t start = span->start.unix_nano;
  put_end(span, end_unix_nano);
  return end(span, otlpshm_clock_monotonic(), end_unix_nano > start ? end_unix_nano - start : 0);
}

void otlpshm_span_discard(struct otlpshm_span* public_span) {
  struct span* span = recording(public_span);
  if (span != NULL) forget(span);
}
