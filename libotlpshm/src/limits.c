/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c: see limits.h. */
#include "limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ASCII_MASK UINT64_C(0x8080808080808080)

/* Length of the UTF-8 character at text, or 0 when there is none (RFC 3629: no surrogates, nothing
 * overlong, nothing above U+10FFFF). */
static size_t character_bytes(const unsigned char* text, size_t bytes) {
  const unsigned char first = text[0];
  if (first < 0x80) return 1;
  size_t need;
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    need = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    need = 3;
    if (first == 0xe0) second_min = 0xa0;
    if (first == 0xed) second_max = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    need = 4;
    if (first == 0xf0) second_min = 0x90;
    if (first == 0xf4) second_max = 0x8f;
  } else {
    return 0;
  }
  if (bytes < need || text[1] < second_min || text[1] > second_max) return 0;
  for (size_t i = 2; i < need; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  return need;
}

size_t otlpshm_utf8_valid_prefix(const char* text, size_t bytes) {
  const unsigned char* at = (const unsigned char*)text;
  size_t done = 0;
  while (done < bytes) {
    if (bytes - done >= 8) {
      uint64_t eight;
      memcpy(&eight, at + done, sizeof eight);
      if ((eight & ASCII_MASK) == 0) {
        done += 8;
        continue;
      }
    }
    const size_t character = character_bytes(at + done, bytes - done);
    if (character == 0) break;
    done += character;
  }
  return done;
}

size_t otlpshm_utf8_prefix_of_characters(const char* text, size_t bytes, uint32_t characters) {
  if (bytes <= characters) return bytes;
  size_t end = 0;
  for (uint32_t seen = 0; end < bytes; ++end) {
    const int starts_character = ((unsigned char)text[end] & 0xc0) != 0x80;
    if (starts_character && seen++ == characters) break;
  }
  return end;
}

size_t otlpshm_utf8_prefix_of_bytes(const char* text, size_t bytes, size_t bytes_max) {
  if (bytes <= bytes_max) return bytes;
  size_t end = bytes_max;
  for (int back = 0; back < 4 && end > 0; ++back, --end) {
    if (((unsigned char)text[end] & 0xc0) != 0x80) return end;
  }
  return end == 0 ? 0 : bytes_max; /* no character is longer: there is none to cut in two */
}

size_t otlpshm_utf8_sanitize(const char* text, size_t bytes, char* out, size_t out_bytes) {
  size_t done = 0;
  size_t written = 0;
  while (done < bytes) {
    const size_t good = otlpshm_utf8_valid_prefix(text + done, bytes - done);
    const size_t kept = otlpshm_utf8_prefix_of_bytes(text + done, good, out_bytes - written);
    memcpy(out + written, text + done, kept);
    written += kept;
    if (kept < good) break;
    done += good;
    if (done == bytes) break;
    if (out_bytes - written < 3) break;
    memcpy(out + written, "\xef\xbf\xbd", 3);
    written += 3;
    done += 1;
  }
  return written;
}

/* A limit of the environment: digits only, otherwise as if unset (OpenTelemetry, Environment
 * Variable Specification, Numeric Value). */
static uint32_t limit_of(const char* name, const char* general, uint32_t fallback) {
  const char* names[2] = {name, general};
  for (int i = 0; i < 2; ++i) {
    const char* text = names[i] == NULL ? NULL : secure_getenv(names[i]);
    if (text == NULL || text[0] < '0' || text[0] > '9') continue;
    const int before = errno;
    char* end = NULL;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    const int fits = errno == 0 && *end == '\0' && value < UINT32_MAX;
    errno = before;
    if (fits) return (uint32_t)value;
  }
  return fallback;
}

struct otlpshm_limits otlpshm_limits_of_environment(void) {
  const struct otlpshm_limits limits = {
      .attribute_count_max =
          limit_of("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT", 128),
      .attribute_value_length_max = limit_of("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                                             "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", UINT32_MAX),
      .event_count_max = limit_of("OTEL_SPAN_EVENT_COUNT_LIMIT", NULL, 128),
      .link_count_max = limit_of("OTEL_SPAN_LINK_COUNT_LIMIT", NULL, 128),
      .event_attribute_count_max = limit_of("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", NULL, 128),
      .link_attribute_count_max = limit_of("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", NULL, 128),
      .value_depth_max = OTLPSHM_VALUE_DEPTH_MAX, /* the specification names no variable */
  };
  return limits;
}
