/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c: see encode.h. */
#include "encode.h"

static size_t any_value_bytes(const struct otlpshm_key_value* pair) {
  switch (pair->any_field) {
    case ANY_BOOL:
      return 2;
    case ANY_INT:
      return 1 + varint_bytes(pair->word);
    case ANY_DOUBLE:
      return 9;
    default:
      return field_bytes(pair->any_field, pair->text_bytes);
  }
}

size_t otlpshm_key_value_bytes(const struct otlpshm_key_value* pair) {
  return field_bytes(KEY_VALUE_KEY, pair->key_bytes) +
         field_bytes(KEY_VALUE_VALUE, any_value_bytes(pair));
}

uint8_t* otlpshm_put_key_value(uint8_t* at, const struct otlpshm_key_value* pair) {
  at = put_field(at, KEY_VALUE_KEY, pair->key, pair->key_bytes);
  at = put_length(at, KEY_VALUE_VALUE, any_value_bytes(pair));
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

bool otlpshm_key_value_of(struct otlpshm_key_value* out, const struct otlpshm_attribute* attribute,
                          uint32_t value_length_max) {
  memset(out, 0, sizeof *out);
  if (attribute->key == NULL) return false;
  out->key = attribute->key;
  out->key_bytes = attribute->key_bytes != 0 ? attribute->key_bytes : strlen(attribute->key);
  if (out->key_bytes == 0 || out->key_bytes > OTLPSHM_KEY_BYTES_MAX) return false;
  if (!otlpshm_utf8_is_valid(out->key, out->key_bytes)) return false;
  switch (attribute->type) {
    case OTLPSHM_VALUE_BOOL:
      out->any_field = ANY_BOOL;
      out->word = attribute->value.boolean != 0;
      return true;
    case OTLPSHM_VALUE_INT:
      out->any_field = ANY_INT;
      out->word = (uint64_t)attribute->value.integer;
      return true;
    case OTLPSHM_VALUE_DOUBLE:
      out->any_field = ANY_DOUBLE;
      memcpy(&out->word, &attribute->value.number, sizeof out->word);
      return true;
    case OTLPSHM_VALUE_STRING: {
      out->text = attribute->value.string.text;
      out->text_bytes = attribute->value.string.bytes;
      if (out->text == NULL) {
        out->text = "";
        out->text_bytes = 0;
      }
      const bool is_text = otlpshm_utf8_is_valid(out->text, out->text_bytes);
      out->any_field = is_text ? ANY_STRING : ANY_BYTES;
      if (out->text_bytes > value_length_max) {
        out->text_bytes = is_text ? otlpshm_utf8_prefix_of_characters(out->text, out->text_bytes,
                                                                      value_length_max)
                                  : value_length_max;
      }
      return true;
    }
    default:
      return false;
  }
}

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
