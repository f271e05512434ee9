/* SPDX-License-Identifier: Apache-2.0 */
/* encode.h: OTLP wire bytes (protobuf), written once and forward, into room that has an end.
 *   Owns   nothing: a cursor says where, and up to where.
 *   Never  writes beyond the cursor's end, or a string field that is not UTF-8; every length is
 *          exact and canonical.
 *   Source opentelemetry-proto, trace/v1 and common/v1; field numbers are named below. */
#ifndef OTLPSHM_SRC_ENCODE_H
#define OTLPSHM_SRC_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "limits.h"
#include "otlpshm/otlpshm.h"

enum {
  WIRE_VARINT = 0,
  WIRE_FIXED64 = 1,
  WIRE_BYTES = 2,
  WIRE_FIXED32 = 5,
};

enum {
  SPAN_TRACE_ID = 1,
  SPAN_SPAN_ID = 2,
  SPAN_TRACE_STATE = 3,
  SPAN_PARENT_SPAN_ID = 4,
  SPAN_NAME = 5,
  SPAN_KIND = 6,
  SPAN_START = 7,
  SPAN_END = 8,
  SPAN_ATTRIBUTES = 9,
  SPAN_DROPPED_ATTRIBUTES = 10,
  SPAN_EVENTS = 11,
  SPAN_DROPPED_EVENTS = 12,
  SPAN_LINKS = 13,
  SPAN_DROPPED_LINKS = 14,
  SPAN_STATUS = 15,
  SPAN_FLAGS = 16,
  EVENT_TIME = 1,
  EVENT_NAME = 2,
  EVENT_ATTRIBUTES = 3,
  EVENT_DROPPED_ATTRIBUTES = 4,
  LINK_TRACE_ID = 1,
  LINK_SPAN_ID = 2,
  LINK_TRACE_STATE = 3,
  LINK_ATTRIBUTES = 4,
  LINK_DROPPED_ATTRIBUTES = 5,
  LINK_FLAGS = 6,
  STATUS_MESSAGE = 2,
  STATUS_CODE = 3,
  KEY_VALUE_KEY = 1,
  KEY_VALUE_VALUE = 2,
  ANY_STRING = 1,
  ANY_BOOL = 2,
  ANY_INT = 3,
  ANY_DOUBLE = 4,
  ANY_ARRAY = 5,
  ANY_MAP = 6,
  ANY_BYTES = 7,
  ARRAY_VALUES = 1,
  MAP_ENTRIES = 1,
  RESOURCE_SPANS_RESOURCE = 1,
  RESOURCE_SPANS_SCHEMA_URL = 3,
  RESOURCE_ATTRIBUTES = 1,
  SCOPE_SPANS_SCOPE = 1,
  SCOPE_SPANS_SCHEMA_URL = 3,
  SCOPE_NAME = 1,
  SCOPE_VERSION = 2,
  SCOPE_ATTRIBUTES = 3,
};

/* Of Span.flags and Link.flags; the low byte is W3C's. */
#define FLAGS_HAS_IS_REMOTE 0x100u
#define FLAGS_IS_REMOTE 0x200u

#define TAG(field, wire) ((uint8_t)((field) << 3 | (wire))) /* of a field below 16 */

/* ---- where the room is known to suffice ------------------------------------------------------ */

static inline size_t varint_bytes(uint64_t value) {
  return (size_t)(64 - __builtin_clzll(value | 1) + 6) / 7;
}

static inline uint8_t* put_varint(uint8_t* at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *at++ = (uint8_t)value;
  return at;
}

static inline size_t tag_bytes(unsigned field) {
  return field < 16 ? 1 : 2;
}

static inline uint8_t* put_tag(uint8_t* at, unsigned field, unsigned wire) {
  return put_varint(at, ((uint64_t)field << 3) | wire);
}

static inline uint8_t* put_fixed32(uint8_t* at, uint32_t value) {
  memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

static inline uint8_t* put_fixed64(uint8_t* at, uint64_t value) {
  memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

/* A length-delimited field. */
static inline size_t field_bytes(unsigned field, size_t bytes) {
  return tag_bytes(field) + varint_bytes(bytes) + bytes;
}
static inline uint8_t* put_length(uint8_t* at, unsigned field, size_t bytes) {
  return put_varint(put_tag(at, field, WIRE_BYTES), bytes);
}
static inline uint8_t* put_field(uint8_t* at, unsigned field, const void* from, size_t bytes) {
  at = put_length(at, field, bytes);
  memcpy(at, from, bytes);
  return at + bytes;
}

/* Sixteen bytes at any address. */
typedef uint64_t otlpshm_pair __attribute__((vector_size(16), aligned(1), may_alias));

static inline otlpshm_pair copy_pair(uint8_t* to, const char* from) {
  const otlpshm_pair pair = *(const otlpshm_pair*)from;
  *(otlpshm_pair*)to = pair;
  return pair;
}

#define NOT_ASCII UINT64_C(0x8080808080808080)

static inline uint64_t not_ascii_pair(otlpshm_pair pair) {
#if defined(__SSE2__)
  typedef char bytes16 __attribute__((vector_size(16)));
  return (unsigned)__builtin_ia32_pmovmskb128((bytes16)pair);
#else
  return (pair[0] | pair[1]) & NOT_ASCII;
#endif
}

/* Copies a short text; returns 0 when all of it is ASCII. Whole words are moved, the last ones
 * overlapping those before. */
static inline uint64_t copy_short(uint8_t* to, const char* from, size_t bytes) {
  if (bytes >= 16) {
    otlpshm_pair any = copy_pair(to, from) | copy_pair(to + bytes - 16, from + bytes - 16);
    if (bytes > 32) {
      any |= copy_pair(to + 16, from + 16) | copy_pair(to + bytes - 32, from + bytes - 32);
      for (size_t at = 32; at + 32 < bytes; at += 16) any |= copy_pair(to + at, from + at);
    }
    return not_ascii_pair(any);
  }
  if (bytes >= 8) {
    uint64_t ends[2];
    memcpy(&ends[0], from, 8);
    memcpy(&ends[1], from + bytes - 8, 8);
    memcpy(to, &ends[0], 8);
    memcpy(to + bytes - 8, &ends[1], 8);
    return (ends[0] | ends[1]) & NOT_ASCII;
  }
  if (bytes >= 4) {
    uint32_t ends[2];
    memcpy(&ends[0], from, 4);
    memcpy(&ends[1], from + bytes - 4, 4);
    memcpy(to, &ends[0], 4);
    memcpy(to + bytes - 4, &ends[1], 4);
    return (ends[0] | ends[1]) & (uint32_t)NOT_ASCII;
  }
  if (bytes >= 2) {
    uint16_t ends[2];
    memcpy(&ends[0], from, 2);
    memcpy(&ends[1], from + bytes - 2, 2);
    memcpy(to, &ends[0], 2);
    memcpy(to + bytes - 2, &ends[1], 2);
    return (uint16_t)(ends[0] | ends[1]) & (uint16_t)NOT_ASCII;
  }
  if (bytes == 0) return 0;
  to[0] = (uint8_t)from[0];
  return to[0] & (uint8_t)NOT_ASCII;
}

/* Cheap, and spread enough that few keys share the highest bits. bytes is not 0. */
static inline uint64_t hash_of_key(const char* key, size_t bytes) {
  uint64_t word = 0;
  if (bytes >= 8) {
    uint64_t ends[2];
    memcpy(&ends[0], key, 8);
    memcpy(&ends[1], key + bytes - 8, 8);
    word = ends[0] ^ (ends[1] << 1);
  } else if (bytes >= 4) {
    uint32_t ends[2];
    memcpy(&ends[0], key, 4);
    memcpy(&ends[1], key + bytes - 4, 4);
    word = (uint64_t)ends[0] << 32 | ends[1];
  } else {
    word = (uint64_t)(uint8_t)key[0] << 16 | (uint64_t)(uint8_t)key[bytes / 2] << 8 |
           (uint8_t)key[bytes - 1];
  }
  return (word + bytes) * UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- where it may not: a cursor ------------------------------------------------------------- */

/* Once something did not fit, `full` stays set and nothing more is written. */
struct otlpshm_cursor {
  uint8_t* at;
  uint8_t* end;
  bool full;
};

static inline bool otlpshm_cursor_claim(struct otlpshm_cursor* cursor, size_t bytes) {
  if (!cursor->full && (size_t)(cursor->end - cursor->at) >= bytes) return true;
  cursor->full = true;
  return false;
}

/* A length-delimited field whose length is known when it is closed. open returns a mark for close.
 */
uint8_t* otlpshm_cursor_open(struct otlpshm_cursor* cursor, unsigned field);
void otlpshm_cursor_close(struct otlpshm_cursor* cursor, uint8_t* mark);

/* Whole fields. text becomes UTF-8: what is not is replaced by U+FFFD; empty text is left out. */
void otlpshm_put_text(struct otlpshm_cursor* cursor, unsigned field, const char* text,
                      size_t bytes);
void otlpshm_put_bytes(struct otlpshm_cursor* cursor, unsigned field, const void* from,
                       size_t bytes);
void otlpshm_put_count(struct otlpshm_cursor* cursor, unsigned field, uint64_t count);
void otlpshm_put_u64(struct otlpshm_cursor* cursor, unsigned field, uint64_t word);
void otlpshm_put_u32(struct otlpshm_cursor* cursor, unsigned field, uint32_t word);

/* One attribute as a KeyValue. False, and the cursor as before, when it cannot be kept: no key, one
 * of more than OTLPSHM_KEY_BYTES_MAX bytes, an unknown type, a map of too many entries. */
bool otlpshm_put_attribute(struct otlpshm_cursor* cursor, unsigned field,
                           const struct otlpshm_attribute* attribute,
                           const struct otlpshm_limits* limits);

/* At most count_max attributes with different keys; of equal keys the last value. Returns how many
 * could not be kept. */
uint32_t otlpshm_put_attributes(struct otlpshm_cursor* cursor, unsigned field,
                                const struct otlpshm_attribute* attributes, size_t count,
                                uint32_t count_max, const struct otlpshm_limits* limits);

/* Finds a top-level field of a message that this library wrote: the first at or after *offset with
 * the number. True when found: [*offset, *end) is the field with its tag, [*value, *end) its
 * payload. */
bool otlpshm_find_field(const uint8_t* message, size_t bytes, unsigned number, size_t* offset,
                        size_t* value, size_t* end);

#endif
