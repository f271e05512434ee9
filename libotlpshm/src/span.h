/* SPDX-License-Identifier: Apache-2.0 */
/* span.h: what the private words of a span hold, and what the files that fill it share.
 *   Layout of the span's bytes, so that one copy commits the record:
 *     [0, 10) room, then the record header (80), then the parent (10): with a parent the header is
 *     at 0, without one at 10 and the parent is left out; then the fields of fixed size, then the
 *     trace state, the name, and whatever is set, in the order in which it was set. */
#ifndef OTLPSHM_SRC_SPAN_H
#define OTLPSHM_SRC_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "branches.h"
#include "clock.h"
#include "encode.h"
#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"

#define SPAN_PARENT_BYTES 10u
#define SPAN_PARENT_OFFSET ((uint32_t)sizeof(struct otlpshm_record_header))
#define SPAN_TRACE_ID_OFFSET (SPAN_PARENT_OFFSET + SPAN_PARENT_BYTES)
#define SPAN_SPAN_ID_OFFSET (SPAN_TRACE_ID_OFFSET + 18)
#define SPAN_KIND_OFFSET (SPAN_SPAN_ID_OFFSET + 10)
#define SPAN_START_OFFSET (SPAN_KIND_OFFSET + 2)
#define SPAN_END_OFFSET (SPAN_START_OFFSET + 9)
#define SPAN_FLAGS_OFFSET (SPAN_END_OFFSET + 9)
#define SPAN_VARIABLE_OFFSET (SPAN_FLAGS_OFFSET + 6)

/* A text of at most so many bytes, and a key of at most so many, have lengths of one byte, up to
 * the whole KeyValue's. */
#define SHORT_KEY_BYTES_MAX 63u
#define SHORT_VALUE_BYTES_MAX 56u

/* Room that is always kept for what `end` appends: three counts of dropped things, a status code.
 */
#define SPAN_TAIL_BYTES 24u
#define SPAN_STATUS_CODE_BYTES 4u

#define SPAN_BYTES_MAX (512u << 10) /* beyond it attributes and events are dropped, and counted */
#define SPAN_KEYS_SEEN_WORDS 4u

/* Of a span that records nothing: for children and carriers. The trace state, where it is not its
 * parent's, stands where the next span in the same place writes its own, and not before: that one
 * may be its child. */
struct span_carried {
  struct otlpshm_context context;
  uint8_t apart[SPAN_VARIABLE_OFFSET - sizeof(struct otlpshm_context)];
  char trace_state[OTLPSHM_TRACESTATE_BYTES + 1];
};

struct __attribute__((may_alias)) span {
  struct otlpshm_writer* writer;         /* null: nothing is recorded */
  struct otlpshm_attachment* attachment; /* the writer's at the start: it may be reopened since */
  uint8_t* bytes;                        /* inline_bytes, or malloc */
  uint64_t nonce;                        /* of the process that started it */
  struct otlpshm_time start;             /* unix_nano alone when the caller gave it */
  uint64_t name_hash;
  uint32_t writer_generation;
  uint32_t limit; /* of used: the capacity less SPAN_TAIL_BYTES */
  uint32_t used;
  uint32_t flags; /* OTLPSHM_SPAN_* */
  uint32_t span_flags;
  uint32_t name_offset;
  uint32_t attributes_left; /* below the limit of their count */
  uint32_t
      short_value_max; /* bytes of a text that no limit can cut, at most SHORT_VALUE_BYTES_MAX */
  uint16_t record_flags;
  uint16_t scope_index;
  uint8_t has_parent;
  uint8_t span_kind;
  uint8_t status_code;
  uint8_t has_ended; /* and had recorded: what is set on it now is counted */
  /* From here to the bytes all is 0 at the start. */
  uint64_t keys_seen[SPAN_KEYS_SEEN_WORDS]; /* a bit per hash of a key: a clear one means "not set
                                               before" */
  uint32_t trace_state_offset;
  uint32_t trace_state_bytes;
  uint32_t name_field_bytes;
  uint32_t status_offset; /* 0: no Status field yet */
  uint32_t status_field_bytes;
  uint32_t attributes_dropped;
  uint32_t event_count;
  uint32_t events_dropped;
  uint32_t link_count;
  uint32_t links_dropped;
  union {
    struct span_carried carried;
    uint8_t inline_bytes[1024 - 176];
  };
};
#define SPAN_ZEROED_BYTES (offsetof(struct span, inline_bytes) - offsetof(struct span, keys_seen))
_Static_assert(sizeof(struct span) == sizeof(struct otlpshm_span), "the public size is the ABI");

/* ---- the record's header --------------------------------------------------------------------- */

#define HEADER(field) offsetof(struct otlpshm_record_header, field)

/* Without a parent the header stands where the parent would: one piece either way. */
static inline uint32_t header_offset(const struct span* span) {
  return span->has_parent ? 0 : SPAN_PARENT_BYTES;
}
static inline uint8_t* header_of(struct span* span) {
  return span->inline_bytes + header_offset(span);
}

/* ---- calls on a span ------------------------------------------------------------------------- */

/* The span when it records; else null, and a call after the end is counted. */
void otlpshm_span_count_late(const struct span* span);
static inline struct span* recording(struct otlpshm_span* public_span) {
  struct span* span = (struct span*)public_span;
  if (span == NULL) return NULL;
  if (LIKELY(span->writer != NULL)) return span;
  if (span->has_ended) otlpshm_span_count_late(span);
  return NULL;
}

/* A cursor over the span's free room; what was written counts once used is moved. */
static inline struct otlpshm_cursor span_room(const struct span* span) {
  const struct otlpshm_cursor cursor = {
      .at = span->bytes + span->used, .end = span->bytes + span->limit, .full = false};
  return cursor;
}
static inline void span_take(struct span* span, const struct otlpshm_cursor* cursor) {
  span->used = (uint32_t)(cursor->at - span->bytes);
}

/* The room that is left is enough. */
static inline bool fits(const struct span* span, size_t need) {
  return span->limit - span->used >= need;
}

/* More room than now, by need at least. False in a signal handler, at SPAN_BYTES_MAX, and without
 * memory. Moves the span's bytes. */
bool otlpshm_span_grow(struct span* span, size_t need);
static inline bool has_room(struct span* span, size_t need) {
  return fits(span, need) || otlpshm_span_grow(span, need);
}

/* Gives back what a span had grown to. Keeps errno. */
void otlpshm_span_free(uint8_t* bytes);

/* Replaces old_bytes at offset by a gap of new_bytes. The room is there. */
void otlpshm_span_splice(struct span* span, uint32_t offset, uint32_t old_bytes,
                         uint32_t new_bytes);

/* A name as it will be written: cut, and UTF-8. room is used only for text that is not. */
const char* otlpshm_span_clean_name(const char* name, size_t* bytes,
                                    char room[OTLPSHM_NAME_BYTES_MAX]);

/* Writes it in the place of the one there is, if any: cut to the room. */
SELDOM void otlpshm_span_replace_name(struct span* span, const char* name, size_t bytes);

/* The last, incomplete word of a text, filled up with zeros. */
static inline uint64_t last_word(const char* text, size_t bytes) {
  const size_t rest = bytes % 8;
  uint64_t word = 0;
  if (rest == 0) return 0;
  if (bytes >= 8) {
    memcpy(&word, text + bytes - 8, 8);
    return word >> (8 * (8 - rest));
  }
  if (rest >= 4) {
    uint32_t ends[2];
    memcpy(&ends[0], text, 4);
    memcpy(&ends[1], text + rest - 4, 4);
    return ends[0] | (uint64_t)ends[1] << (8 * (rest - 4));
  }
  return (uint64_t)(uint8_t)text[0] | (uint64_t)(uint8_t)text[rest / 2] << (8 * (rest / 2)) |
         (uint64_t)(uint8_t)text[rest - 1] << (8 * (rest - 1));
}

/* docs/abi.md#name-hash: eight bytes a step, for it runs at every start. */
static inline uint64_t hash_name(const char* name, size_t bytes) {
  const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
  uint64_t hash = bytes;
  for (size_t at = 0; at + 8 <= bytes; at += 8) {
    uint64_t word;
    memcpy(&word, name + at, 8);
    hash = (hash ^ word) * factor;
    hash ^= hash >> 32;
  }
  if (bytes % 8 != 0) {
    hash = (hash ^ last_word(name, bytes)) * factor;
    hash ^= hash >> 32;
  }
  return hash;
}

/* ---- trace state ---------------------------------------------------------------------------- */

/* Writes the field of a span that is recorded, at its start: its parent's list (null for a root) as
 * it is, or, where that changes, as the threshold in the record's header wants it. */
SELDOM void otlpshm_span_put_trace_state(struct span* span, const struct otlpshm_context* parent,
                                         bool changes);

/* The same for the context of a span that is not. */
SELDOM void otlpshm_span_carry_trace_state(struct span* span, uint64_t threshold,
                                           uint16_t record_flags);

/* ---- the filter of keys --------------------------------------------------------------------- */

static inline uint8_t hash_key(const char* key, size_t bytes) {
  return (uint8_t)(hash_of_key(key, bytes) >> 56);
}

static inline bool key_seen(const struct span* span, uint8_t hash) {
  return (span->keys_seen[hash >> 6] >> (hash & 63) & 1) != 0;
}
static inline void see_key(struct span* span, uint8_t hash) {
  span->keys_seen[hash >> 6] |= UINT64_C(1) << (hash & 63);
}

/* ---- templates ------------------------------------------------------------------------------ */

#define TEMPLATE_BYTES_MAX 512u
#define TEMPLATE_CHUNK 32u /* a start copies whole ones */

struct otlpshm_template {
  uint64_t name_hash;
  uint64_t keys_seen[SPAN_KEYS_SEEN_WORDS];
  uint32_t name_field_bytes;
  uint32_t attribute_count;
  uint32_t attributes_dropped;
  uint32_t bytes;
  uint8_t span_kind;
  /* The name's field, then the attributes', and room to copy from. */
  uint8_t encoded[TEMPLATE_BYTES_MAX + TEMPLATE_CHUNK];
};

#endif
