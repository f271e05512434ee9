/* SPDX-License-Identifier: Apache-2.0 */
/* baggage.c: W3C baggage, member by member, in and out of the caller's bytes.
 *   Never  allocates, and never writes a character that could end a member or a header.
 *   Loses  members that are malformed, each alone.
 *   Source W3C Baggage; RFC 9110, token; RFC 3986, percent-encoding. */
#include <stdbool.h>
#include <string.h>

#include "limits.h"
#include "otlpshm/context.h"
#include "text.h"

/* ---- grammar -------------------------------------------------------------------------------- */

static bool is_token(struct otlpshm_text text) {
  for (size_t i = 0; i < text.bytes; ++i) {
    const char c = text.text[i];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) continue;
    if (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL) return false;
  }
  return text.bytes > 0;
}

static bool is_baggage_octet(char c) {
  return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

static bool is_value(struct otlpshm_text text) {
  for (size_t i = 0; i < text.bytes; ++i) {
    if (!is_baggage_octet(text.text[i])) return false;
  }
  return true;
}

/* Cuts `key = value`. False without an equals sign; the value is then absent. */
static bool cut_pair(struct otlpshm_text pair, struct otlpshm_text* key,
                     struct otlpshm_text* value) {
  size_t offset = 0;
  *key = otlpshm_text_until(pair, &offset, '=');
  *value = (struct otlpshm_text){NULL, 0};
  if (offset > pair.bytes) return false;
  *value = otlpshm_text_trim((struct otlpshm_text){pair.text + offset, pair.bytes - offset});
  return true;
}

static bool are_properties(struct otlpshm_text text) {
  size_t offset = 0;
  while (offset <= text.bytes) {
    struct otlpshm_text key;
    struct otlpshm_text value;
    const bool has_value = cut_pair(otlpshm_text_until(text, &offset, ';'), &key, &value);
    if (!is_token(key) || (has_value && !is_value(value))) return false;
  }
  return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool read_member(struct otlpshm_text text, struct otlpshm_baggage_member* member) {
  memset(member, 0, sizeof *member);
  size_t offset = 0;
  const struct otlpshm_text pair = otlpshm_text_until(text, &offset, ';');
  if (!cut_pair(pair, &member->key, &member->value)) return false;
  if (!is_token(member->key) || !is_value(member->value)) return false;
  if (offset > text.bytes) return true;
  member->properties =
      otlpshm_text_trim((struct otlpshm_text){text.text + offset, text.bytes - offset});
  return are_properties(member->properties);
}

int otlpshm_baggage_next(struct otlpshm_text baggage, size_t* offset,
                         struct otlpshm_baggage_member* member) {
  if (member == NULL) return 0;
  if (baggage.text != NULL && offset != NULL) {
    while (*offset <= baggage.bytes) {
      if (read_member(otlpshm_text_until(baggage, offset, ','), member)) return 1;
    }
  }
  memset(member, 0, sizeof *member);
  return 0;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Reads the byte at the front of the text. Returns how many characters stand for it. */
static size_t decode_byte(struct otlpshm_text text, char* byte) {
  *byte = text.text[0];
  if (*byte != '%' || text.bytes < 3) return 1;
  const int high = hex_value(text.text[1]);
  const int low = hex_value(text.text[2]);
  if (high < 0 || low < 0) return 1;
  *byte = (char)(high << 4 | low);
  return 3;
}

#define CHARACTER_BYTES_MAX 4u

/* Reads the UTF-8 character at the front of the text, or one byte that is none. Returns how many
 * characters stand for it; *bytes is 0 for a byte that is none. */
static size_t decode_character(struct otlpshm_text text, char character[CHARACTER_BYTES_MAX],
                               size_t* bytes) {
  size_t read[CHARACTER_BYTES_MAX + 1] = {0};
  size_t count = 0;
  for (; count < CHARACTER_BYTES_MAX && read[count] < text.bytes; ++count) {
    const struct otlpshm_text rest = {text.text + read[count], text.bytes - read[count]};
    read[count + 1] = read[count] + decode_byte(rest, &character[count]);
    *bytes = count + 1;
    if (otlpshm_utf8_valid_prefix(character, count + 1) == count + 1) return read[count + 1];
  }
  *bytes = 0;
  return read[1];
}

int otlpshm_baggage_decode(struct otlpshm_text encoded, struct otlpshm_text_room* room) {
  otlpshm_text_clear(room);
  if (encoded.text == NULL || room == NULL || room->text == NULL) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  size_t written = 0;
  for (size_t offset = 0; offset < encoded.bytes;) {
    char character[CHARACTER_BYTES_MAX];
    size_t bytes;
    const struct otlpshm_text rest = {encoded.text + offset, encoded.bytes - offset};
    offset += decode_character(rest, character, &bytes);
    if (bytes == 0) memcpy(character, "\xef\xbf\xbd", bytes = 3);
    if (room->capacity - written <= bytes) {
      otlpshm_text_clear(room);
      return OTLPSHM_ERROR_NO_MEMORY;
    }
    memcpy(room->text + written, character, bytes);
    written += bytes;
  }
  if (room->capacity == 0) return OTLPSHM_ERROR_NO_MEMORY;
  room->text[written] = '\0';
  room->bytes = written;
  return OTLPSHM_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool must_encode(char c) {
  return c == '%' || !is_baggage_octet(c);
}

static size_t encoded_bytes(struct otlpshm_text value) {
  size_t bytes = value.bytes;
  for (size_t i = 0; i < value.bytes; ++i) bytes += must_encode(value.text[i]) ? 2 : 0;
  return bytes;
}

static char* put(char* at, struct otlpshm_text text) {
  if (text.bytes > 0) memcpy(at, text.text, text.bytes);
  return at + text.bytes;
}

static char* put_encoded(char* at, struct otlpshm_text value) {
  static const char digits[] = "0123456789ABCDEF";
  for (size_t i = 0; i < value.bytes; ++i) {
    const unsigned char byte = (unsigned char)value.text[i];
    if (must_encode(value.text[i])) {
      *at++ = '%';
      *at++ = digits[byte >> 4];
      *at++ = digits[byte & 15];
    } else {
      *at++ = value.text[i];
    }
  }
  return at;
}

/* Appends a well-formed member, whose value takes value_bytes when put writes it. */
static int append(struct otlpshm_text_room* room, const struct otlpshm_baggage_member* member,
                  size_t value_bytes, char* (*put_value)(char*, struct otlpshm_text)) {
  const bool has_properties = member->properties.text != NULL;
  const size_t bytes = (room->bytes > 0) + member->key.bytes + 1 + value_bytes + has_properties +
                       member->properties.bytes;
  if (room->bytes >= room->capacity || bytes >= room->capacity - room->bytes) {
    return OTLPSHM_ERROR_NO_MEMORY;
  }
  char* at = room->text + room->bytes;
  if (room->bytes > 0) *at++ = ',';
  at = put(at, member->key);
  *at++ = '=';
  at = put_value(at, member->value);
  if (has_properties) *at++ = ';';
  at = put(at, member->properties);
  *at = '\0';
  room->bytes += bytes;
  return OTLPSHM_OK;
}

static bool is_member(const struct otlpshm_baggage_member* member) {
  if (member->key.text == NULL || member->value.text == NULL || !is_token(member->key))
    return false;
  return member->properties.text == NULL || are_properties(member->properties);
}

int otlpshm_baggage_append(struct otlpshm_text_room* room, struct otlpshm_text key,
                           struct otlpshm_text value, struct otlpshm_text properties) {
  const struct otlpshm_baggage_member member = {key, value, properties};
  if (room == NULL || room->text == NULL || !is_member(&member) ||
      !otlpshm_utf8_is_valid(value.text, value.bytes)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  return append(room, &member, encoded_bytes(value), put_encoded);
}

int otlpshm_baggage_append_member(struct otlpshm_text_room* room,
                                  const struct otlpshm_baggage_member* member) {
  if (room == NULL || room->text == NULL || member == NULL || !is_member(member) ||
      !is_value(member->value)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  return append(room, member, member->value.bytes, put);
}
