/* SPDX-License-Identifier: Apache-2.0 */
/* attribute.c: attributes of a span: the common ones in one run, all others through encode.c.
 *   Owns   nothing; it appends to the span's bytes.
 *   Rule   a key is in a span once: the filter of keys says "not yet" for most, and only the others
 *          are looked for.
 *   Loses  attributes beyond the limits or without room, counted in the span.
 *   Source OpenTelemetry common, Attribute Collections; opentelemetry-proto common/v1. */
#include "attach.h"
#include "span.h"
#include "text.h"
#include "writer.h"

#define AROUND_KEY 4u   /* two tags, two lengths */
#define AROUND_VALUE 4u /* likewise */
#define SHORT_VARINT_BYTES 13u
#define SHORT_DOUBLE_BYTES 11u

static void drop(struct span* span) {
  ++span->attributes_dropped;
  add_relaxed_u64(&span->attachment->attributes_dropped, 1);
}

/* Finds the attribute with the key among the bytes of the span from SPAN_VARIABLE_OFFSET to end. */
static bool find(const struct span* span, uint32_t end, const uint8_t* key, size_t key_bytes,
                 uint32_t* offset, uint32_t* bytes) {
  const uint8_t* message = span->bytes + SPAN_VARIABLE_OFFSET;
  size_t at = 0;
  size_t value;
  size_t behind;
  for (; otlpshm_find_field(message, end - SPAN_VARIABLE_OFFSET, SPAN_ATTRIBUTES, &at, &value,
                            &behind);
       at = behind) {
    size_t key_at = 0;
    size_t found;
    size_t found_end;
    if (otlpshm_find_field(message + value, behind - value, KEY_VALUE_KEY, &key_at, &found,
                           &found_end) &&
        found_end - found == key_bytes && memcmp(message + value + found, key, key_bytes) == 0) {
      *offset = SPAN_VARIABLE_OFFSET + (uint32_t)at;
      *bytes = (uint32_t)(behind - at);
      return true;
    }
  }
  return false;
}

/* The attribute's field stands at span->used and ends at `end`; its key, as written, is given.
 * Takes it into the span, in the place of one with the same key. */
static SELDOM void take(struct span* span, const uint8_t* end, const uint8_t* key, size_t key_bytes,
                        uint8_t hash) {
  const uint32_t start = span->used;
  uint32_t offset;
  uint32_t bytes;
  if (key_seen(span, hash) && find(span, start, key, key_bytes, &offset, &bytes)) {
    span->used = (uint32_t)(end - span->bytes);
    otlpshm_span_splice(span, offset, bytes, 0);
    return;
  }
  if (span->attributes_left == 0) {
    drop(span);
    return;
  }
  see_key(span, hash);
  --span->attributes_left;
  span->used = (uint32_t)(end - span->bytes);
}

/* ---- any attribute -------------------------------------------------------------------------- */

static SELDOM void set_attribute(struct span* span, const struct otlpshm_attribute* attribute) {
  const struct otlpshm_limits limits = otlpshm_writer_limits(span->writer);
  const size_t text_bytes =
      attribute->value.type == OTLPSHM_VALUE_STRING ? attribute->value.as.string.bytes : 0;
  for (;;) {
    struct otlpshm_cursor cursor = span_room(span);
    if (!otlpshm_put_attribute(&cursor, SPAN_ATTRIBUTES, attribute, &limits)) break;
    if (!cursor.full) {
      const uint8_t* field = span->bytes + span->used;
      size_t at = 0;
      size_t value = 0;
      size_t end = 0;
      (void)otlpshm_find_field(field, (size_t)(cursor.at - field), SPAN_ATTRIBUTES, &at, &value,
                               &end);
      const uint8_t* pair = field + value;
      at = 0;
      (void)otlpshm_find_field(pair, (size_t)(cursor.at - pair), KEY_VALUE_KEY, &at, &value, &end);
      take(span, cursor.at, pair + value, end - value,
           hash_key((const char*)pair + value, end - value));
      return;
    }
    if (!otlpshm_span_grow(span, text_bytes < limits.attribute_value_length_max ? text_bytes : 1)) {
      break;
    }
  }
  drop(span);
}

static SELDOM void set_string(struct span* span, const char* key, size_t key_bytes,
                              const char* value, size_t value_bytes) {
  const struct otlpshm_attribute attribute = {
      .key = key_bytes == 0 ? NULL : key,
      .key_bytes = key_bytes,
      .value = {.type = OTLPSHM_VALUE_STRING, .as.string = {.text = value, .bytes = value_bytes}},
  };
  set_attribute(span, &attribute);
}

static SELDOM void set_int(struct span* span, const char* key, size_t key_bytes, int64_t value) {
  const struct otlpshm_attribute attribute = {
      .key = key_bytes == 0 ? NULL : key,
      .key_bytes = key_bytes,
      .value = {.type = OTLPSHM_VALUE_INT, .as.integer = value},
  };
  set_attribute(span, &attribute);
}

static SELDOM void set_double(struct span* span, const char* key, size_t key_bytes, double value) {
  const struct otlpshm_attribute attribute = {
      .key = key_bytes == 0 ? NULL : key,
      .key_bytes = key_bytes,
      .value = {.type = OTLPSHM_VALUE_DOUBLE, .as.number = value},
  };
  set_attribute(span, &attribute);
}

static SELDOM void set_bool(struct span* span, const char* key, size_t key_bytes, int value) {
  const struct otlpshm_attribute attribute = {
      .key = key_bytes == 0 ? NULL : key,
      .key_bytes = key_bytes,
      .value = {.type = OTLPSHM_VALUE_BOOL, .as.boolean = value != 0},
  };
  set_attribute(span, &attribute);
}

/* ---- short ones ----------------------------------------------------------------------------- */

/* Tags and lengths that stand together are one store: put_fixed32 writes them. Multiplied, not
 * shifted: the lengths fit their bytes, and one instruction puts each where it belongs. */
static inline uint32_t head(unsigned outer, size_t outer_bytes, unsigned inner,
                            size_t inner_bytes) {
  return (outer | inner << 16) + (uint32_t)outer_bytes * 0x100u +
         (uint32_t)inner_bytes * 0x1000000u;
}

static inline bool is_short_key(const char* key, size_t bytes) {
  return key != NULL && bytes - 1 < SHORT_KEY_BYTES_MAX;
}

static inline bool is_short_text(const struct span* span, const char* text, size_t bytes) {
  return text != NULL && bytes <= span->short_value_max;
}

/* The field of a short attribute stands at span->used: takes it into the span. */
static inline void take_short(struct span* span, size_t key_bytes, size_t value_bytes,
                              uint8_t hash) {
  const uint64_t seen = span->keys_seen[hash >> 6];
  const uint64_t with_this = seen | UINT64_C(1) << (hash & 63);
  if (LIKELY(with_this != seen && span->attributes_left != 0)) {
    span->keys_seen[hash >> 6] = with_this;
    --span->attributes_left;
    span->used += (uint32_t)(AROUND_KEY + key_bytes + value_bytes);
    return;
  }
  const uint8_t* at = span->bytes + span->used + AROUND_KEY;
  take(span, at + key_bytes + value_bytes, at, key_bytes, hash);
}

static inline uint64_t put_short_key(uint8_t* at, const char* key, size_t key_bytes,
                                     size_t value_bytes) {
  (void)put_fixed32(at, head(TAG(SPAN_ATTRIBUTES, WIRE_BYTES), key_bytes + value_bytes + 2,
                             TAG(KEY_VALUE_KEY, WIRE_BYTES), key_bytes));
  return copy_short(at + AROUND_KEY, key, key_bytes);
}

static inline uint64_t put_short_text(uint8_t* at, const char* text, size_t bytes) {
  (void)put_fixed32(
      at, head(TAG(KEY_VALUE_VALUE, WIRE_BYTES), bytes + 2, TAG(ANY_STRING, WIRE_BYTES), bytes));
  return copy_short(at + AROUND_VALUE, text, bytes);
}

/* Returns the bytes of the value's field. */
static inline size_t put_short_varint(uint8_t* at, unsigned field, uint64_t word) {
  const uint8_t* end = put_varint(at + 3, word);
  at[0] = TAG(KEY_VALUE_VALUE, WIRE_BYTES);
  at[1] = (uint8_t)(end - at - 2);
  at[2] = TAG(field, WIRE_VARINT);
  return (size_t)(end - at);
}

static inline size_t put_short_double(uint8_t* at, double value) {
  (void)put_fixed32(at, head(TAG(KEY_VALUE_VALUE, WIRE_BYTES), 1 + sizeof value,
                             TAG(ANY_DOUBLE, WIRE_FIXED64), 0));
  memcpy(at + 3, &value, sizeof value);
  return 3 + sizeof value;
}

void otlpshm_span_set_string(struct otlpshm_span* public_span, const char* key, size_t key_bytes,
                             const char* value, size_t value_bytes) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (LIKELY(is_short_key(key, key_bytes) && is_short_text(span, value, value_bytes) &&
             fits(span, AROUND_KEY + key_bytes + AROUND_VALUE + value_bytes))) {
    uint8_t* at = span->bytes + span->used;
    const uint64_t any = put_short_key(at, key, key_bytes, AROUND_VALUE + value_bytes) |
                         put_short_text(at + AROUND_KEY + key_bytes, value, value_bytes);
    if (LIKELY(any == 0)) {
      take_short(span, key_bytes, AROUND_VALUE + value_bytes, hash_key(key, key_bytes));
      return;
    }
  }
  set_string(span, key, key_bytes, value, value_bytes);
}

void otlpshm_span_set_int(struct otlpshm_span* public_span, const char* key, size_t key_bytes,
                          int64_t value) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (LIKELY(is_short_key(key, key_bytes) &&
             fits(span, AROUND_KEY + key_bytes + SHORT_VARINT_BYTES))) {
    uint8_t* at = span->bytes + span->used;
    const size_t value_bytes =
        put_short_varint(at + AROUND_KEY + key_bytes, ANY_INT, (uint64_t)value);
    if (LIKELY(put_short_key(at, key, key_bytes, value_bytes) == 0)) {
      take_short(span, key_bytes, value_bytes, hash_key(key, key_bytes));
      return;
    }
  }
  set_int(span, key, key_bytes, value);
}

void otlpshm_span_set_double(struct otlpshm_span* public_span, const char* key, size_t key_bytes,
                             double value) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (LIKELY(is_short_key(key, key_bytes) &&
             fits(span, AROUND_KEY + key_bytes + SHORT_DOUBLE_BYTES))) {
    uint8_t* at = span->bytes + span->used;
    const size_t value_bytes = put_short_double(at + AROUND_KEY + key_bytes, value);
    if (LIKELY(put_short_key(at, key, key_bytes, value_bytes) == 0)) {
      take_short(span, key_bytes, value_bytes, hash_key(key, key_bytes));
      return;
    }
  }
  set_double(span, key, key_bytes, value);
}

void otlpshm_span_set_bool(struct otlpshm_span* public_span, const char* key, size_t key_bytes,
                           int value) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (LIKELY(is_short_key(key, key_bytes) &&
             fits(span, AROUND_KEY + key_bytes + SHORT_VARINT_BYTES))) {
    uint8_t* at = span->bytes + span->used;
    const size_t value_bytes = put_short_varint(at + AROUND_KEY + key_bytes, ANY_BOOL, value != 0);
    if (LIKELY(put_short_key(at, key, key_bytes, value_bytes) == 0)) {
      take_short(span, key_bytes, value_bytes, hash_key(key, key_bytes));
      return;
    }
  }
  set_bool(span, key, key_bytes, value);
}

/* ---- any type ------------------------------------------------------------------------------- */

void otlpshm_span_set_value(struct otlpshm_span* public_span, const char* key, size_t key_bytes,
                            const struct otlpshm_value* value) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  struct otlpshm_attribute attribute = {
      .key = key_bytes == 0 ? NULL : key,
      .key_bytes = key_bytes,
  };
  if (value != NULL) attribute.value = *value;
  set_attribute(span, &attribute);
}

void otlpshm_span_set_uint(struct otlpshm_span* span, const char* key, size_t key_bytes,
                           uint64_t value) {
  const struct otlpshm_value any = {.type = OTLPSHM_VALUE_UINT, .as.unsigned_integer = value};
  otlpshm_span_set_value(span, key, key_bytes, &any);
}

void otlpshm_span_set_bytes(struct otlpshm_span* span, const char* key, size_t key_bytes,
                            const void* value, size_t value_bytes) {
  const struct otlpshm_value any = {.type = OTLPSHM_VALUE_BYTES,
                                    .as.bytes = {.start = value, .count = value_bytes}};
  otlpshm_span_set_value(span, key, key_bytes, &any);
}

void otlpshm_span_set_attributes(struct otlpshm_span* public_span,
                                 const struct otlpshm_attribute* attributes,
                                 size_t attribute_count) {
  struct span* span = recording(public_span);
  if (span == NULL || attributes == NULL) return;
  for (size_t i = 0; i < attribute_count; ++i) set_attribute(span, &attributes[i]);
}

/* ---- NUL-terminated ------------------------------------------------------------------------- */

void otlpshm_span_set_string_cstr(struct otlpshm_span* span, const char* key, const char* value) {
  otlpshm_span_set_string(span, key, otlpshm_cstr_bytes(key), value, otlpshm_cstr_bytes(value));
}

void otlpshm_span_set_int_cstr(struct otlpshm_span* span, const char* key, int64_t value) {
  otlpshm_span_set_int(span, key, otlpshm_cstr_bytes(key), value);
}

void otlpshm_span_set_double_cstr(struct otlpshm_span* span, const char* key, double value) {
  otlpshm_span_set_double(span, key, otlpshm_cstr_bytes(key), value);
}

void otlpshm_span_set_bool_cstr(struct otlpshm_span* span, const char* key, int value) {
  otlpshm_span_set_bool(span, key, otlpshm_cstr_bytes(key), value);
}

void otlpshm_span_set_uint_cstr(struct otlpshm_span* span, const char* key, uint64_t value) {
  otlpshm_span_set_uint(span, key, otlpshm_cstr_bytes(key), value);
}

void otlpshm_span_set_bytes_cstr(struct otlpshm_span* span, const char* key, const void* value,
                                 size_t value_bytes) {
  otlpshm_span_set_bytes(span, key, otlpshm_cstr_bytes(key), value, value_bytes);
}

void otlpshm_span_set_value_cstr(struct otlpshm_span* span, const char* key,
                                 const struct otlpshm_value* value) {
  otlpshm_span_set_value(span, key, otlpshm_cstr_bytes(key), value);
}

/* ---- prepared keys -------------------------------------------------------------------------- */

/* What the private words of a key hold: the bytes of a KeyValue up to its value. */
struct __attribute__((may_alias)) key {
  uint8_t bytes; /* of start; 0: sets nothing */
  uint8_t hash;
  uint8_t start[78]; /* the attribute's tag and a place for its length; the key's field */
};
_Static_assert(sizeof(struct key) == sizeof(struct otlpshm_key), "the public size is the ABI");
#define PREPARED_KEY_BYTES_MAX 64u
_Static_assert(PREPARED_KEY_BYTES_MAX >= SHORT_KEY_BYTES_MAX &&
                   2 + PREPARED_KEY_BYTES_MAX + AROUND_VALUE + SHORT_VALUE_BYTES_MAX < 128,
               "every length of a short attribute is one byte");

int otlpshm_key_prepare(struct otlpshm_key* public_key, const char* text, size_t bytes) {
  if (public_key == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  memset(public_key, 0, sizeof *public_key);
  if (text == NULL || bytes == 0 || bytes > PREPARED_KEY_BYTES_MAX ||
      !otlpshm_utf8_is_valid(text, bytes)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  struct key* key = (struct key*)public_key;
  key->hash = hash_key(text, bytes);
  key->start[0] = TAG(SPAN_ATTRIBUTES, WIRE_BYTES);
  key->start[2] = TAG(KEY_VALUE_KEY, WIRE_BYTES);
  key->start[3] = (uint8_t)bytes;
  memcpy(key->start + 4, text, bytes);
  key->bytes = (uint8_t)(bytes + 4);
  return OTLPSHM_OK;
}

int otlpshm_key_prepare_cstr(struct otlpshm_key* key, const char* text) {
  return otlpshm_key_prepare(key, text, otlpshm_cstr_bytes(text));
}

/* Short keys, which are most, take two moves, and longer ones all of them; so they may need more
 * room than they take, and where there is less the plain call serves. */
static inline bool may_put_prepared(const struct span* span, const struct key* key) {
  return key->bytes != 0 && fits(span, sizeof key->start + AROUND_VALUE + SHORT_VALUE_BYTES_MAX);
}

static inline void put_prepared(uint8_t* at, const struct key* key) {
  memcpy(at, key->start, 32);
  if (!LIKELY(key->bytes <= 32)) memcpy(at + 32, key->start + 32, sizeof key->start - 32);
}

static inline void finish_prepared(struct span* span, uint8_t* at, const struct key* key,
                                   size_t value_bytes) {
  at[1] = (uint8_t)(key->bytes + value_bytes - 2);
  take_short(span, key->bytes - AROUND_KEY, value_bytes, key->hash);
}

static const char* key_text(const struct key* key) {
  return (const char*)key->start + 4;
}
static size_t key_text_bytes(const struct key* key) {
  return key->bytes == 0 ? 0 : key->bytes - 4u;
}

void otlpshm_span_set_string_prepared(struct otlpshm_span* public_span,
                                      const struct otlpshm_key* public_key, const char* value,
                                      size_t value_bytes) {
  struct span* span = recording(public_span);
  const struct key* key = (const struct key*)public_key;
  if (span == NULL || key == NULL) return;
  if (LIKELY(may_put_prepared(span, key) && is_short_text(span, value, value_bytes))) {
    uint8_t* at = span->bytes + span->used;
    put_prepared(at, key);
    if (LIKELY(put_short_text(at + key->bytes, value, value_bytes) == 0)) {
      finish_prepared(span, at, key, AROUND_VALUE + value_bytes);
      return;
    }
  }
  otlpshm_span_set_string(public_span, key_text(key), key_text_bytes(key), value, value_bytes);
}

void otlpshm_span_set_int_prepared(struct otlpshm_span* public_span,
                                   const struct otlpshm_key* public_key, int64_t value) {
  struct span* span = recording(public_span);
  const struct key* key = (const struct key*)public_key;
  if (span == NULL || key == NULL) return;
  if (LIKELY(may_put_prepared(span, key))) {
    uint8_t* at = span->bytes + span->used;
    put_prepared(at, key);
    finish_prepared(span, at, key, put_short_varint(at + key->bytes, ANY_INT, (uint64_t)value));
    return;
  }
  otlpshm_span_set_int(public_span, key_text(key), key_text_bytes(key), value);
}

void otlpshm_span_set_double_prepared(struct otlpshm_span* public_span,
                                      const struct otlpshm_key* public_key, double value) {
  struct span* span = recording(public_span);
  const struct key* key = (const struct key*)public_key;
  if (span == NULL || key == NULL) return;
  if (LIKELY(may_put_prepared(span, key))) {
    uint8_t* at = span->bytes + span->used;
    put_prepared(at, key);
    finish_prepared(span, at, key, put_short_double(at + key->bytes, value));
    return;
  }
  otlpshm_span_set_double(public_span, key_text(key), key_text_bytes(key), value);
}

void otlpshm_span_set_bool_prepared(struct otlpshm_span* public_span,
                                    const struct otlpshm_key* public_key, int value) {
  struct span* span = recording(public_span);
  const struct key* key = (const struct key*)public_key;
  if (span == NULL || key == NULL) return;
  if (LIKELY(may_put_prepared(span, key))) {
    uint8_t* at = span->bytes + span->used;
    put_prepared(at, key);
    finish_prepared(span, at, key, put_short_varint(at + key->bytes, ANY_BOOL, value != 0));
    return;
  }
  otlpshm_span_set_bool(public_span, key_text(key), key_text_bytes(key), value);
}
