/* SPDX-License-Identifier: Apache-2.0 */
/* b3.c: B3 headers, single and multiple, in and out of the caller's bytes.
 *   Never  allocates, and never takes half of a context: it is valid or it is nothing.
 *   Source openzipkin b3-propagation, Http Encodings; OpenTelemetry, B3 Requirements. */
#include <stdbool.h>
#include <string.h>

#include "hex.h"
#include "otlpshm/context.h"
#include "text.h"

#define TRACE_ID_DIGITS 32u
#define SHORT_TRACE_ID_DIGITS 16u
#define SPAN_ID_DIGITS 16u

/* A context in the making, and its sampling. */
struct reading {
  struct otlpshm_context context;
  int sampling; /* enum otlpshm_b3_sampling */
};

static struct reading nothing(void) {
  struct reading reading;
  memset(&reading, 0, sizeof reading);
  reading.sampling = OTLPSHM_B3_DEFERRED;
  return reading;
}

/* ---- fields --------------------------------------------------------------------------------- */

static bool read_trace_id(struct otlpshm_text text, uint8_t trace_id[16]) {
  memset(trace_id, 0, 16);
  if (text.bytes != TRACE_ID_DIGITS && text.bytes != SHORT_TRACE_ID_DIGITS) return false;
  const size_t count = text.bytes / 2;
  return otlpshm_hex_get(text.text, trace_id + 16 - count, count) && !otlpshm_is_zero(trace_id, 16);
}

static bool read_span_id(struct otlpshm_text text, uint8_t span_id[8]) {
  return text.bytes == SPAN_ID_DIGITS && otlpshm_hex_get(text.text, span_id, 8) &&
         !otlpshm_is_zero(span_id, 8);
}

static bool is(struct otlpshm_text text, const char* word) {
  return text.bytes == strlen(word) && memcmp(text.text, word, text.bytes) == 0;
}

static void decide(struct reading* reading, int sampling, bool is_sampled) {
  reading->sampling = sampling;
  reading->context.trace_flags = is_sampled ? OTLPSHM_TRACE_FLAG_SAMPLED : 0;
}

static bool read_state(struct otlpshm_text text, struct reading* reading) {
  if (is(text, "1")) {
    decide(reading, OTLPSHM_B3_BY_FLAG, true);
  } else if (is(text, "0")) {
    decide(reading, OTLPSHM_B3_BY_FLAG, false);
  } else if (is(text, "d")) {
    decide(reading, OTLPSHM_B3_DEBUG, true);
  } else {
    return false;
  }
  return true;
}

/* ---- extract -------------------------------------------------------------------------------- */

/* trace-span, trace-span-state, trace-span-state-parent, or state. */
static bool read_single(struct otlpshm_text header, struct reading* reading) {
  *reading = nothing();
  header = otlpshm_text_trim(header);
  if (header.bytes == 1) return read_state(header, reading);
  struct otlpshm_text parts[4];
  size_t count = 0;
  for (size_t offset = 0; offset <= header.bytes; ++count) {
    if (count == 4) return false;
    const size_t start = offset;
    parts[count] = otlpshm_text_until(header, &offset, '-');
    if (parts[count].bytes != offset - start - 1) return false; /* a blank inside */
  }
  uint8_t parent_span_id[8];
  if (count < 2 || !read_trace_id(parts[0], reading->context.trace_id) ||
      !read_span_id(parts[1], reading->context.span_id)) {
    return false;
  }
  if (count > 2 && !read_state(parts[2], reading)) return false;
  if (count > 3 && !read_span_id(parts[3], parent_span_id)) return false;
  reading->context.is_remote = 1;
  return true;
}

static bool read_multi(const struct otlpshm_b3_headers* headers, struct reading* reading) {
  *reading = nothing();
  if (headers->x_b3_sampled.text != NULL) {
    const struct otlpshm_text sampled = otlpshm_text_trim(headers->x_b3_sampled);
    const bool accepts = is(sampled, "1") || is(sampled, "true");
    if (!accepts && !is(sampled, "0") && !is(sampled, "false")) return false;
    decide(reading, OTLPSHM_B3_BY_FLAG, accepts);
  }
  if (headers->x_b3_flags.text != NULL && is(otlpshm_text_trim(headers->x_b3_flags), "1")) {
    decide(reading, OTLPSHM_B3_DEBUG, true);
  }
  if (headers->x_b3_trace_id.text == NULL && headers->x_b3_span_id.text == NULL) return true;
  if (headers->x_b3_trace_id.text == NULL || headers->x_b3_span_id.text == NULL) return false;
  reading->context.is_remote = 1;
  return read_trace_id(otlpshm_text_trim(headers->x_b3_trace_id), reading->context.trace_id) &&
         read_span_id(otlpshm_text_trim(headers->x_b3_span_id), reading->context.span_id);
}

int otlpshm_b3_extract(const struct otlpshm_b3_headers* headers, struct otlpshm_context* context,
                       int* sampling) {
  struct reading reading = nothing();
  if (context != NULL) *context = reading.context;
  if (sampling != NULL) *sampling = reading.sampling;
  if (headers == NULL || context == NULL || sampling == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;

  const bool has_single = headers->b3.text != NULL;
  const bool has_multi = headers->x_b3_trace_id.text != NULL || headers->x_b3_span_id.text != NULL;
  const bool is_single = has_single && read_single(headers->b3, &reading);
  if (!is_single && has_single && !has_multi) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  if (!is_single && !read_multi(headers, &reading)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  *context = reading.context;
  *sampling = reading.sampling;
  return OTLPSHM_OK;
}

/* ---- inject --------------------------------------------------------------------------------- */

static bool can_inject(const struct otlpshm_context* context, int sampling) {
  return otlpshm_has_ids(context) && sampling >= OTLPSHM_B3_BY_FLAG && sampling <= OTLPSHM_B3_DEBUG;
}

static char flag_digit(const struct otlpshm_context* context) {
  return (context->trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) != 0 ? '1' : '0';
}

int otlpshm_b3_inject(const struct otlpshm_context* context, int sampling,
                      char out[OTLPSHM_B3_BYTES + 1]) {
  if (out == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  out[0] = '\0';
  if (!can_inject(context, sampling)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  otlpshm_hex_put(out, context->trace_id, sizeof context->trace_id);
  out[32] = '-';
  otlpshm_hex_put(out + 33, context->span_id, sizeof context->span_id);
  out[49] = '\0';
  if (sampling == OTLPSHM_B3_DEFERRED) return OTLPSHM_OK;
  out[49] = '-';
  out[50] = sampling == OTLPSHM_B3_DEBUG ? 'd' : flag_digit(context);
  out[51] = '\0';
  return OTLPSHM_OK;
}

int otlpshm_b3_multi_inject(const struct otlpshm_context* context, int sampling,
                            struct otlpshm_b3_multi* out) {
  if (out == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  memset(out, 0, sizeof *out);
  if (!can_inject(context, sampling)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  otlpshm_hex_put(out->x_b3_trace_id, context->trace_id, sizeof context->trace_id);
  otlpshm_hex_put(out->x_b3_span_id, context->span_id, sizeof context->span_id);
  if (sampling == OTLPSHM_B3_DEBUG) out->x_b3_flags[0] = '1';
  if (sampling == OTLPSHM_B3_BY_FLAG) out->x_b3_sampled[0] = flag_digit(context);
  return OTLPSHM_OK;
}
