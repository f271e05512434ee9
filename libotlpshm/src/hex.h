/* SPDX-License-Identifier: Apache-2.0 */
/* hex.h: ids: whether they are there, and as hexadecimal text.
 *   Owns   nothing.
 *   Source W3C Trace Context and B3: digits are lower case only. */
#ifndef OTLPSHM_SRC_HEX_H
#define OTLPSHM_SRC_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "otlpshm/otlpshm.h"

static inline void otlpshm_hex_put(char* out, const uint8_t* bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < count; ++i) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
}

static inline int otlpshm_hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/* Reads 2 * count digits. False at a character that is none. */
static inline bool otlpshm_hex_get(const char* text, uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const int high = otlpshm_hex_digit(text[2 * i]);
    const int low = otlpshm_hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

static inline bool otlpshm_is_zero(const uint8_t* bytes, size_t count) {
  uint8_t any = 0;
  for (size_t i = 0; i < count; ++i) any |= bytes[i];
  return any == 0;
}

/* Null is no context. Word by word: it runs at every start. */
static inline bool otlpshm_has_ids(const struct otlpshm_context* context) {
  if (context == NULL) return false;
  uint64_t words[3];
  memcpy(words, context->trace_id, sizeof context->trace_id);
  memcpy(words + 2, context->span_id, sizeof context->span_id);
  return (words[0] | words[1]) != 0 && words[2] != 0;
}

#endif
