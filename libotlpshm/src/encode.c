/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c: see encode.h. */
#include "encode.h"

bool otlpshm_key_value_of(struct otlpshm_key_value* out, const struct otlpshm_attribute* attribute,
                          uint32_t value_length_max) {
  if (attribute->key == NULL) return false;
  out->key = attribute->key;
  out->key_bytes = attribute->key_bytes != 0 ? attribute->key_bytes : strlen(attribute->key);
  if (out->key_bytes == 0 || out->key_bytes > OTLPSHM_KEY_BYTES_MAX) return false;
  if (!otlpshm_utf8_is_valid(out->key, out->key_bytes)) return false;
  switch (attribute->type) {
    case OTLPSHM_VALUE_BOOL:
      out->any_field = ANY_BOOL;
      out->any_bytes = 2;
      out->word = attribute->value.boolean != 0;
      return true;
    case OTLPSHM_VALUE_INT:
      out->any_field = ANY_INT;
      out->word = (uint64_t)attribute->value.integer;
      out->any_bytes = 1 + varint_bytes(out->word);
      return true;
    case OTLPSHM_VALUE_DOUBLE:
      out->any_field = ANY_DOUBLE;
      out->any_bytes = 9;
      memcpy(&out->word, &attribute->value.number, sizeof out->word);
      return true;
    case OTLPSHM_VALUE_STRING: {
      const char* text = attribute->value.string.text;
      out->text = text == NULL ? "" : text;
      out->text_bytes = text == NULL ? 0 : attribute->value.string.bytes;
      const bool is_text = otlpshm_utf8_is_valid(out->text, out->text_bytes);
      out->any_field = is_text ? ANY_STRING : ANY_BYTES;
      if (out->text_bytes > value_length_max) {
        out->text_bytes = is_text ? otlpshm_utf8_prefix_of_characters(out->text, out->text_bytes,
                                                                      value_length_max)
                                  : value_length_max;
      }
      out->any_bytes = field_bytes(out->any_field, out->text_bytes);
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
