/* SPDX-License-Identifier: Apache-2.0 */
/* context.c: W3C traceparent, in and out of the caller's bytes.
 *   Never  allocates, and never takes half of a header: it is valid or it is nothing.
 *   Source W3C Trace Context, section traceparent. */
#include <stdbool.h>
#include <string.h>

#include "otlpshm/otlpshm.h"

static bool is_zero(const uint8_t* bytes, size_t count) {
  uint8_t any = 0;
  for (size_t i = 0; i < count; ++i) any |= bytes[i];
  return any == 0;
}

static void put_hex(char* out, const uint8_t* bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < count; ++i) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
}

/* Lower case only, as the specification demands. */
static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

static bool get_hex(const char* text, uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

int otlpshm_traceparent_inject(const struct otlpshm_context* context,
                               char out[OTLPSHM_TRACEPARENT_BYTES + 1]) {
  if (out == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  out[0] = '\0';
  if (context == NULL || is_zero(context->trace_id, sizeof context->trace_id) ||
      is_zero(context->span_id, sizeof context->span_id)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  const uint8_t flags =
      context->trace_flags & (OTLPSHM_TRACE_FLAG_SAMPLED | OTLPSHM_TRACE_FLAG_RANDOM);
  memcpy(out, "00-", 3);
  put_hex(out + 3, context->trace_id, sizeof context->trace_id);
  out[35] = '-';
  put_hex(out + 36, context->span_id, sizeof context->span_id);
  out[52] = '-';
  put_hex(out + 53, &flags, 1);
  out[55] = '\0';
  return OTLPSHM_OK;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

int otlpshm_traceparent_extract(const char* value, size_t bytes, struct otlpshm_context* context) {
  if (context == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  memset(context, 0, sizeof *context);
  if (value == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  while (bytes > 0 && is_blank(value[0])) ++value, --bytes;
  while (bytes > 0 && is_blank(value[bytes - 1])) --bytes;
  if (bytes < OTLPSHM_TRACEPARENT_BYTES) return OTLPSHM_ERROR_INVALID_ARGUMENT;

  struct otlpshm_context read;
  memset(&read, 0, sizeof read);
  uint8_t version;
  const bool fits = get_hex(value, &version, 1) && value[2] == '-' &&
                    get_hex(value + 3, read.trace_id, sizeof read.trace_id) && value[35] == '-' &&
                    get_hex(value + 36, read.span_id, sizeof read.span_id) && value[52] == '-' &&
                    get_hex(value + 53, &read.trace_flags, 1);
  if (!fits || version == 0xff) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  if (bytes > OTLPSHM_TRACEPARENT_BYTES &&
      (version == 0 || value[OTLPSHM_TRACEPARENT_BYTES] != '-')) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  if (is_zero(read.trace_id, sizeof read.trace_id) || is_zero(read.span_id, sizeof read.span_id)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  read.trace_flags &= OTLPSHM_TRACE_FLAG_SAMPLED | OTLPSHM_TRACE_FLAG_RANDOM;
  read.is_remote = 1;
  *context = read;
  return OTLPSHM_OK;
}
