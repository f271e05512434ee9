/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c: see encode.h.
 *   Bounds a collection is looked at up to COLLECTION_COUNT_MAX, and where keys are equal, or not
 *          UTF-8, each is compared with all; values nest at most as deep as the limits say, and as
 *          parsers of OTLP read. */
#include "encode.h"

#define COLLECTION_COUNT_MAX 1024
#define KEYS_SEEN_LOG2 12 /* of the bits that tell different keys apart without a search */
#define KEYS_SEEN_BITS (1u << KEYS_SEEN_LOG2)
#define DECIMAL_BYTES_MAX 20 /* of a uint64_t */

/* Messages in each other, of a request. Protobuf's parsers refuse more than 100. */
#define MESSAGES_MAX 98
#define MESSAGES_TO_VALUE 6 /* ResourceSpans, ScopeSpans, Span, Event, KeyValue, AnyValue */
#define MESSAGES_OF_ARRAY 2 /* ArrayValue, AnyValue */
#define MESSAGES_OF_MAP 3   /* KeyValueList, KeyValue, AnyValue */

/* ---- fields ---------------------------------------------------------------------------------- */

uint8_t* otlpshm_cursor_open(struct otlpshm_cursor* cursor, unsigned field) {
  if (!otlpshm_cursor_claim(cursor, tag_bytes(field) + 1)) return NULL;
  cursor->at = put_tag(cursor->at, field, WIRE_BYTES);
  return cursor->at++;
}

void otlpshm_cursor_close(struct otlpshm_cursor* cursor, uint8_t* mark) {
  if (cursor->full) return;
  const size_t bytes = (size_t)(cursor->at - mark) - 1;
  const size_t more = varint_bytes(bytes) - 1;
  if (more != 0) {
    if (!otlpshm_cursor_claim(cursor, more)) return;
    memmove(mark + 1 + more, mark + 1, bytes);
    cursor->at += more;
  }
  (void)put_varint(mark, bytes);
}

void otlpshm_put_bytes(struct otlpshm_cursor* cursor, unsigned field, const void* from,
                       size_t bytes) {
  if (bytes > SIZE_MAX / 2 || !otlpshm_cursor_claim(cursor, field_bytes(field, bytes))) {
    cursor->full = true;
    return;
  }
  cursor->at = put_length(cursor->at, field, bytes);
  if (bytes > 0) memcpy(cursor->at, from, bytes);
  cursor->at += bytes;
}

void otlpshm_put_text(struct otlpshm_cursor* cursor, unsigned field, const char* text,
                      size_t bytes) {
  if (text == NULL || bytes == 0) return;
  if (otlpshm_utf8_is_valid(text, bytes)) {
    otlpshm_put_bytes(cursor, field, text, bytes);
    return;
  }
  uint8_t* mark = otlpshm_cursor_open(cursor, field);
  if (mark == NULL || !otlpshm_cursor_claim(cursor, 3 * bytes)) return;
  cursor->at += otlpshm_utf8_sanitize(text, bytes, (char*)cursor->at, 3 * bytes);
  otlpshm_cursor_close(cursor, mark);
}

void otlpshm_put_count(struct otlpshm_cursor* cursor, unsigned field, uint64_t count) {
  if (!otlpshm_cursor_claim(cursor, tag_bytes(field) + varint_bytes(count))) return;
  cursor->at = put_varint(put_tag(cursor->at, field, WIRE_VARINT), count);
}

void otlpshm_put_u64(struct otlpshm_cursor* cursor, unsigned field, uint64_t word) {
  if (!otlpshm_cursor_claim(cursor, tag_bytes(field) + sizeof word)) return;
  cursor->at = put_fixed64(put_tag(cursor->at, field, WIRE_FIXED64), word);
}

void otlpshm_put_u32(struct otlpshm_cursor* cursor, unsigned field, uint32_t word) {
  if (!otlpshm_cursor_claim(cursor, tag_bytes(field) + sizeof word)) return;
  cursor->at = put_fixed32(put_tag(cursor->at, field, WIRE_FIXED32), word);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The length of a key; 0 for none. Looks at no more than one byte too many. */
static size_t key_bytes_of(const struct otlpshm_attribute* attribute) {
  if (attribute->key == NULL) return 0;
  return attribute->key_bytes != 0 ? attribute->key_bytes
                                   : strnlen(attribute->key, OTLPSHM_KEY_BYTES_MAX + 1);
}

/* Takes a character off the text as otlpshm_utf8_sanitize would write it. bytes is not 0. */
static struct otlpshm_text take_character(struct otlpshm_text* text) {
  struct otlpshm_text character = {"\xef\xbf\xbd", 3};
  size_t taken = 1;
  for (size_t bytes = 1; bytes <= 4 && bytes <= text->bytes; ++bytes) {
    if (otlpshm_utf8_valid_prefix(text->text, bytes) != bytes) continue;
    character.text = text->text;
    character.bytes = taken = bytes;
    break;
  }
  text->text += taken;
  text->bytes -= taken;
  return character;
}

static bool are_written_alike(struct otlpshm_text one, struct otlpshm_text other) {
  while (one.bytes > 0 && other.bytes > 0) {
    const struct otlpshm_text a = take_character(&one);
    const struct otlpshm_text b = take_character(&other);
    if (a.bytes != b.bytes || memcmp(a.text, b.text, a.bytes) != 0) return false;
  }
  return one.bytes == other.bytes;
}

/* Keys that are not UTF-8 may differ and yet be written alike. */
static bool have_equal_keys(const struct otlpshm_attribute* one,
                            const struct otlpshm_attribute* other) {
  const struct otlpshm_text a = {one->key, key_bytes_of(one)};
  const struct otlpshm_text b = {other->key, key_bytes_of(other)};
  if (a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.text, b.text, a.bytes) == 0)) return true;
  if (a.bytes == 0 || b.bytes == 0) return false;
  if (otlpshm_is_ascii(a.text, a.bytes) || otlpshm_is_ascii(b.text, b.bytes)) return false;
  return are_written_alike(a, b);
}

static bool is_first_with_key(const struct otlpshm_attribute* attributes, size_t index) {
  for (size_t i = 0; i < index; ++i) {
    if (have_equal_keys(&attributes[i], &attributes[index])) return false;
  }
  return true;
}

static const struct otlpshm_attribute* last_with_key(const struct otlpshm_attribute* attributes,
                                                     size_t index, size_t count) {
  for (size_t i = count; i-- > index + 1;) {
    if (have_equal_keys(&attributes[i], &attributes[index])) return &attributes[i];
  }
  return &attributes[index];
}

/* True of most lists; false when two keys may be written alike. A search for each key takes a time
 * that grows with the square of their number; this one takes two looks at most of them. */
static __attribute__((noinline)) bool surely_differ(const struct otlpshm_attribute* attributes,
                                                    size_t count) {
  if (count < 2) return true;
  uint64_t seen[KEYS_SEEN_BITS / 64] = {0};
  for (size_t i = 0; i < count; ++i) {
    const char* key = attributes[i].key;
    const size_t bytes = key_bytes_of(&attributes[i]);
    if (bytes == 0 || bytes > OTLPSHM_KEY_BYTES_MAX || !otlpshm_utf8_is_valid(key, bytes)) {
      return false;
    }
    const uint64_t hash = hash_of_key(key, bytes) >> (64 - KEYS_SEEN_LOG2);
    uint64_t* word = &seen[hash / 64];
    const uint64_t bit = UINT64_C(1) << (hash % 64);
    if ((*word & bit) != 0 && !is_first_with_key(attributes, i)) return false;
    *word |= bit;
  }
  return true;
}

/* Where the value for a key is: null when the key stands further in front already. differ: as
 * surely_differ found. */
static const struct otlpshm_attribute* value_for(const struct otlpshm_attribute* attributes,
                                                 size_t index, size_t count, bool differ) {
  if (differ) return &attributes[index];
  return is_first_with_key(attributes, index) ? last_with_key(attributes, index, count) : NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* What a value stands in. */
struct nesting {
  uint32_t values;   /* arrays and maps */
  uint32_t messages; /* of a request; with the value's own */
};

static bool put_value(struct otlpshm_cursor* cursor, unsigned field,
                      const struct otlpshm_value* value, const struct otlpshm_limits* limits,
                      struct nesting nesting);

static void put_string(struct otlpshm_cursor* cursor, const char* text, size_t bytes,
                       uint32_t characters_max) {
  if (text == NULL) bytes = 0;
  /* A character has at most four bytes: what lies further on need not be looked at. */
  const bool is_long = bytes / 4 > characters_max;
  const size_t looked_at = is_long ? ((size_t)characters_max + 1) * 4 : bytes;
  const size_t good = bytes == 0 ? 0 : otlpshm_utf8_valid_prefix(text, looked_at);
  if (good == looked_at || (is_long && looked_at - good < 4)) {
    bytes = otlpshm_utf8_prefix_of_characters(text, good, characters_max);
    otlpshm_put_bytes(cursor, ANY_STRING, text, bytes);
  } else {
    otlpshm_put_bytes(cursor, ANY_BYTES, text, bytes < characters_max ? bytes : characters_max);
  }
}

static void put_unsigned(struct otlpshm_cursor* cursor, uint64_t value) {
  if (value <= INT64_MAX) {
    otlpshm_put_count(cursor, ANY_INT, value);
    return;
  }
  char digits[DECIMAL_BYTES_MAX];
  size_t first = sizeof digits;
  for (; value != 0; value /= 10) digits[--first] = (char)('0' + value % 10);
  otlpshm_put_bytes(cursor, ANY_STRING, digits + first, sizeof digits - first);
}

/* Moves into an array or a map. False beyond the limits: then it becomes the empty value. */
static bool nest(struct nesting* nesting, const struct otlpshm_limits* limits, uint32_t messages) {
  nesting->messages += messages;
  return nesting->values++ < limits->value_depth_max && nesting->messages <= MESSAGES_MAX;
}

static bool put_array(struct otlpshm_cursor* cursor, const struct otlpshm_value* value,
                      const struct otlpshm_limits* limits, struct nesting nesting) {
  if (!nest(&nesting, limits, MESSAGES_OF_ARRAY)) return true;
  const size_t count = value->as.array.values == NULL ? 0 : value->as.array.count;
  uint8_t* mark = otlpshm_cursor_open(cursor, ANY_ARRAY);
  for (size_t i = 0; i < count && !cursor->full; ++i) {
    if (!put_value(cursor, ARRAY_VALUES, &value->as.array.values[i], limits, nesting)) {
      return false;
    }
  }
  otlpshm_cursor_close(cursor, mark);
  return true;
}

static bool put_map(struct otlpshm_cursor* cursor, const struct otlpshm_value* value,
                    const struct otlpshm_limits* limits, struct nesting nesting) {
  if (!nest(&nesting, limits, MESSAGES_OF_MAP)) return true;
  const struct otlpshm_attribute* entries = value->as.map.entries;
  const size_t count = entries == NULL ? 0 : value->as.map.count;
  if (count > COLLECTION_COUNT_MAX) return false;
  const bool differ = surely_differ(entries, count);
  uint8_t* mark = otlpshm_cursor_open(cursor, ANY_MAP);
  for (size_t i = 0; i < count && !cursor->full; ++i) {
    const size_t key_bytes = key_bytes_of(&entries[i]);
    if (key_bytes > OTLPSHM_KEY_BYTES_MAX) return false;
    const struct otlpshm_attribute* last = value_for(entries, i, count, differ);
    if (last == NULL) continue;
    uint8_t* entry = otlpshm_cursor_open(cursor, MAP_ENTRIES);
    otlpshm_put_text(cursor, KEY_VALUE_KEY, entries[i].key, key_bytes);
    if (!put_value(cursor, KEY_VALUE_VALUE, &last->value, limits, nesting)) return false;
    otlpshm_cursor_close(cursor, entry);
  }
  otlpshm_cursor_close(cursor, mark);
  return true;
}

static bool put_value(struct otlpshm_cursor* cursor, unsigned field,
                      const struct otlpshm_value* value, const struct otlpshm_limits* limits,
                      struct nesting nesting) {
  uint8_t* mark = otlpshm_cursor_open(cursor, field);
  uint64_t word;
  bool known = true;
  switch (value->type) {
    case OTLPSHM_VALUE_EMPTY:
      break;
    case OTLPSHM_VALUE_STRING:
      put_string(cursor, value->as.string.text, value->as.string.bytes,
                 limits->attribute_value_length_max);
      break;
    case OTLPSHM_VALUE_BYTES: {
      size_t count = value->as.bytes.start == NULL ? 0 : value->as.bytes.count;
      if (count > limits->attribute_value_length_max) count = limits->attribute_value_length_max;
      otlpshm_put_bytes(cursor, ANY_BYTES, value->as.bytes.start, count);
      break;
    }
    case OTLPSHM_VALUE_BOOL:
      otlpshm_put_count(cursor, ANY_BOOL, value->as.boolean != 0);
      break;
    case OTLPSHM_VALUE_INT:
      otlpshm_put_count(cursor, ANY_INT, (uint64_t)value->as.integer);
      break;
    case OTLPSHM_VALUE_UINT:
      put_unsigned(cursor, value->as.unsigned_integer);
      break;
    case OTLPSHM_VALUE_DOUBLE:
      memcpy(&word, &value->as.number, sizeof word);
      otlpshm_put_u64(cursor, ANY_DOUBLE, word);
      break;
    case OTLPSHM_VALUE_ARRAY:
      known = put_array(cursor, value, limits, nesting);
      break;
    case OTLPSHM_VALUE_MAP:
      known = put_map(cursor, value, limits, nesting);
      break;
    default:
      return false;
  }
  otlpshm_cursor_close(cursor, mark);
  return known;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static bool put_key_value(struct otlpshm_cursor* cursor, unsigned field,
                          const struct otlpshm_attribute* key, const struct otlpshm_value* value,
                          const struct otlpshm_limits* limits) {
  const size_t key_bytes = key_bytes_of(key);
  if (key_bytes == 0 || key_bytes > OTLPSHM_KEY_BYTES_MAX) return false;
  const struct otlpshm_cursor before = *cursor;
  uint8_t* mark = otlpshm_cursor_open(cursor, field);
  otlpshm_put_text(cursor, KEY_VALUE_KEY, key->key, key_bytes);
  const struct nesting nesting = {.values = 0, .messages = MESSAGES_TO_VALUE};
  if (!put_value(cursor, KEY_VALUE_VALUE, value, limits, nesting)) {
    *cursor = before;
    return false;
  }
  otlpshm_cursor_close(cursor, mark);
  return true;
}

bool otlpshm_put_attribute(struct otlpshm_cursor* cursor, unsigned field,
                           const struct otlpshm_attribute* attribute,
                           const struct otlpshm_limits* limits) {
  return put_key_value(cursor, field, attribute, &attribute->value, limits);
}

uint32_t otlpshm_put_attributes(struct otlpshm_cursor* cursor, unsigned field,
                                const struct otlpshm_attribute* attributes, size_t count,
                                uint32_t count_max, const struct otlpshm_limits* limits) {
  uint32_t kept = 0;
  uint32_t dropped = 0;
  if (attributes == NULL) count = 0;
  if (count > COLLECTION_COUNT_MAX) {
    dropped = count - COLLECTION_COUNT_MAX < UINT32_MAX ? (uint32_t)(count - COLLECTION_COUNT_MAX)
                                                        : UINT32_MAX;
    count = COLLECTION_COUNT_MAX;
  }
  const bool differ = surely_differ(attributes, count);
  for (size_t i = 0; i < count && !cursor->full; ++i) {
    const struct otlpshm_attribute* last = value_for(attributes, i, count, differ);
    if (last == NULL) continue;
    if (kept < count_max && put_key_value(cursor, field, &attributes[i], &last->value, limits)) {
      ++kept;
    } else {
      dropped += dropped < UINT32_MAX;
    }
  }
  return dropped;
}

/* ---- reading back --------------------------------------------------------------------------- */

/* Reads a varint of bytes that this library wrote. */
static size_t get_varint(const uint8_t* at, uint64_t* value) {
  size_t bytes = 0;
  *value = 0;
  do {
    *value |= (uint64_t)(at[bytes] & 0x7f) << (7 * bytes);
  } while (at[bytes++] & 0x80);
  return bytes;
}

bool otlpshm_find_field(const uint8_t* message, size_t bytes, unsigned number, size_t* offset,
                        size_t* value, size_t* end) {
  size_t at = *offset;
  while (at < bytes) {
    uint64_t tag;
    uint64_t word;
    const size_t start = at;
    at += get_varint(message + at, &tag);
    size_t payload = at;
    switch (tag & 7) {
      case WIRE_VARINT:
        at += get_varint(message + at, &word);
        break;
      case WIRE_FIXED64:
        at += 8;
        break;
      case WIRE_FIXED32:
        at += 4;
        break;
      default:
        at += get_varint(message + at, &word);
        payload = at;
        at += word;
        break;
    }
    if (tag >> 3 == number) {
      *offset = start;
      *value = payload;
      *end = at;
      return true;
    }
  }
  return false;
}
