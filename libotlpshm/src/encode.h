/* SPDX-License-Identifier: Apache-2.0 */
/* encode.h: OTLP wire bytes (protobuf), written once and forward.
 *   Owns   nothing: a caller says where, after asking how much.
 *   Never  writes a length that it has not counted; lengths are exact and canonical.
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
  SPAN_STATUS = 15,
  SPAN_FLAGS = 16,
  EVENT_TIME = 1,
  EVENT_NAME = 2,
  EVENT_ATTRIBUTES = 3,
  EVENT_DROPPED_ATTRIBUTES = 4,
  STATUS_MESSAGE = 2,
  STATUS_CODE = 3,
  KEY_VALUE_KEY = 1,
  KEY_VALUE_VALUE = 2,
  ANY_STRING = 1,
  ANY_BOOL = 2,
  ANY_INT = 3,
  ANY_DOUBLE = 4,
  ANY_BYTES = 7,
  RESOURCE_SPANS_RESOURCE = 1,
  RESOURCE_SPANS_SCHEMA_URL = 3,
  RESOURCE_ATTRIBUTES = 1,
  SCOPE_SPANS_SCOPE = 1,
  SCOPE_SPANS_SCHEMA_URL = 3,
  SCOPE_NAME = 1,
  SCOPE_VERSION = 2,
  SCOPE_ATTRIBUTES = 3,
};

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

/* A key and a value ready to encode: text is checked and cut. */
struct otlpshm_key_value {
  const char* key;
  size_t key_bytes;
  unsigned any_field; /* ANY_* */
  size_t any_bytes;   /* size of the AnyValue message */
  const char* text;   /* of ANY_STRING and ANY_BYTES */
  size_t text_bytes;
  uint64_t word; /* of the others: the varint, or the double's bits */
};

/* Checks and cuts. False without a key, with a key that is not UTF-8, or an unknown type. Text that
 * is not UTF-8 becomes bytes. */
bool otlpshm_key_value_of(struct otlpshm_key_value* out, const struct otlpshm_attribute* attribute,
                          uint32_t value_length_max);

/* Size of the KeyValue message, and the message. */
static inline size_t otlpshm_key_value_bytes(const struct otlpshm_key_value* pair) {
  return field_bytes(KEY_VALUE_KEY, pair->key_bytes) +
         field_bytes(KEY_VALUE_VALUE, pair->any_bytes);
}

static inline uint8_t* otlpshm_put_key_value(uint8_t* at, const struct otlpshm_key_value* pair) {
  at = put_field(at, KEY_VALUE_KEY, pair->key, pair->key_bytes);
  at = put_length(at, KEY_VALUE_VALUE, pair->any_bytes);
  switch (pair->any_field) {
    case ANY_BOOL:
    case ANY_INT:
      return put_varint(put_tag(at, pair->any_field, WIRE_VARINT), pair->word);
    case ANY_DOUBLE:
      return put_fixed64(put_tag(at, ANY_DOUBLE, WIRE_FIXED64), pair->word);
    default:
      return put_field(at, pair->any_field, pair->text, pair->text_bytes);
  }
}

/* Finds a top-level field of a message: the first at or after *offset with the number. True when
 * found: [*offset, *end) is the field with its tag, [*value, *end) its payload. */
bool otlpshm_find_field(const uint8_t* message, size_t bytes, unsigned number, size_t* offset,
                        size_t* value, size_t* end);

#endif
