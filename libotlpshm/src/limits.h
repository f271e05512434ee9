/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h: how much of a text is kept, and what is not text.
 *   Owns   nothing.
 *   Source OpenTelemetry, Attribute Limits: characters are counted, none is cut in two;
 *          proto3: every string field is UTF-8. */
#ifndef OTLPSHM_SRC_LIMITS_H
#define OTLPSHM_SRC_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct otlpshm_limits {
  uint32_t attribute_count_max;
  uint32_t attribute_value_length_max; /* characters; UINT32_MAX: no limit */
  uint32_t event_count_max;
  uint32_t link_count_max;
  uint32_t event_attribute_count_max;
  uint32_t link_attribute_count_max;
  uint32_t value_depth_max; /* 1 to OTLPSHM_VALUE_DEPTH_MAX */
};

#define OTLPSHM_NAME_BYTES_MAX 1024u
#define OTLPSHM_KEY_BYTES_MAX 1024u
#define OTLPSHM_VALUE_DEPTH_MAX 64u

/* The limits of the environment (OTEL_*_LIMIT), or their defaults. Reads the environment: not
 * signal-safe. */
struct otlpshm_limits otlpshm_limits_of_environment(void);

/* Length in bytes of the longest prefix that is valid UTF-8. */
size_t otlpshm_utf8_valid_prefix(const char* text, size_t bytes);

/* Most text is ASCII: whole words are looked at, the last one overlapping the one before. */
static inline bool otlpshm_is_ascii(const char* text, size_t bytes) {
  uint64_t any = 0;
  if (bytes >= 8) {
    uint64_t word;
    for (size_t at = 0; at + 8 < bytes; at += 8) {
      memcpy(&word, text + at, sizeof word);
      any |= word;
    }
    memcpy(&word, text + bytes - 8, sizeof word);
    any |= word;
  } else {
    for (size_t at = 0; at < bytes; ++at) any |= (unsigned char)text[at];
  }
  return (any & UINT64_C(0x8080808080808080)) == 0;
}

static inline bool otlpshm_utf8_is_valid(const char* text, size_t bytes) {
  return otlpshm_is_ascii(text, bytes) || otlpshm_utf8_valid_prefix(text, bytes) == bytes;
}

/* Length in bytes of the longest prefix that has at most `characters` characters. Requires UTF-8.
 */
size_t otlpshm_utf8_prefix_of_characters(const char* text, size_t bytes, uint32_t characters);

/* Length in bytes of the longest prefix of at most `bytes_max` bytes that cuts no character. */
size_t otlpshm_utf8_prefix_of_bytes(const char* text, size_t bytes, size_t bytes_max);

/* Copies text and puts U+FFFD in place of each byte that is not UTF-8, as far as it fits out.
 * Returns the bytes written. */
size_t otlpshm_utf8_sanitize(const char* text, size_t bytes, char* out, size_t out_bytes);

#endif
