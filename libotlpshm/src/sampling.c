/* SPDX-License-Identifier: Apache-2.0 */
/* sampling.c: see sampling.h.
 *   Rule   a span's th is true of how the span came to be sampled, or it is not there: who follows
 *          its parent keeps the parent's, who decides alone does not.
 *   Never  obeys a published number that is no threshold, or a daemon that is gone. */
#include "sampling.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hex.h"
#include "tracestate.h"

#define THRESHOLD_DIGITS 14u
#define PRECISION_DIGITS 4u /* that OpenTelemetry recommends for th */
#define OT_BYTES_MAX 256u   /* of the value of `ot` */
#define POLICY_TRIES 3

/* ---- ratios and thresholds ------------------------------------------------------------------- */

uint64_t otlpshm_sampling_threshold_of(double ratio) {
  const double scaled = ratio * 0x1p56;
  uint64_t kept = (uint64_t)scaled;
  if (scaled - (double)kept >= 0.5) ++kept; /* adding 0.5 instead would round odd numbers up */
  return OTLPSHM_THRESHOLD_NEVER - kept;
}

uint64_t otlpshm_sampling_round(uint64_t threshold, unsigned digits) {
  unsigned leading = 0;
  while (leading < THRESHOLD_DIGITS && ((threshold >> (52 - 4 * leading)) & 15) == 15) ++leading;
  digits += leading;
  if (digits >= THRESHOLD_DIGITS) return threshold;
  const uint64_t unit = UINT64_C(1) << (4 * (THRESHOLD_DIGITS - digits));
  return (threshold + unit / 2) & ~(unit - 1);
}

/* ---- the writer's sampler -------------------------------------------------------------------- */

enum root { root_on, root_off, root_ratio };

static const struct {
  const char* name; /* in OTEL_TRACES_SAMPLER; null: not there */
  enum root root;
  uint32_t flags;
} samplers[] = {
    [OTLPSHM_SAMPLER_ALWAYS_ON] = {"always_on", root_on, 0},
    [OTLPSHM_SAMPLER_ALWAYS_OFF] = {"always_off", root_off, 0},
    [OTLPSHM_SAMPLER_TRACE_ID_RATIO] = {"traceidratio", root_ratio, 0},
    [OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON] = {"parentbased_always_on", root_on,
                                                OTLPSHM_SAMPLER_FOLLOWS},
    [OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_OFF] = {"parentbased_always_off", root_off,
                                                 OTLPSHM_SAMPLER_FOLLOWS},
    [OTLPSHM_SAMPLER_PARENT_BASED_TRACE_ID_RATIO] = {"parentbased_traceidratio", root_ratio,
                                                     OTLPSHM_SAMPLER_FOLLOWS},
    [OTLPSHM_SAMPLER_PROBABILITY] = {NULL, root_ratio, OTLPSHM_SAMPLER_CONSISTENT},
    [OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY] = {NULL, root_ratio,
                                                  OTLPSHM_SAMPLER_FOLLOWS |
                                                      OTLPSHM_SAMPLER_CONSISTENT},
};
#define SAMPLER_COUNT ((int)(sizeof samplers / sizeof samplers[0]))

/* The locale has no say: in Turkish, I is not the capital of i. */
static bool is_name(const char* text, const char* name) {
  for (;; ++text, ++name) {
    const char c = *text >= 'A' && *text <= 'Z' ? (char)(*text + ('a' - 'A')) : *text;
    if (c != *name) return false;
    if (c == '\0') return true;
  }
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* The power of ten behind an e; what is too large to matter stays so. */
static bool parse_exponent(const char* text, int* exponent) {
  const bool is_negative = *text == '-';
  if (*text == '-' || *text == '+') ++text;
  if (!is_digit(*text)) return false;
  int value = 0;
  for (; is_digit(*text); ++text) {
    if (value < 1000) value = value * 10 + (*text - '0');
  }
  *exponent += is_negative ? -value : value;
  return *text == '\0';
}

/* A decimal number from 0 to 1. Not strtod: its decimal point is the locale's. */
static bool parse_ratio(const char* text, double* ratio) {
  uint64_t digits = 0;
  int exponent = 0;
  bool has_digit = false;
  bool has_point = false;
  for (; is_digit(*text) || (*text == '.' && !has_point); ++text) {
    if (*text == '.') {
      has_point = true;
      continue;
    }
    has_digit = true;
    const bool is_kept = digits < UINT64_C(100000000000000000);
    if (is_kept) digits = digits * 10 + (uint64_t)(*text - '0');
    if (is_kept && has_point) --exponent;
    if (!is_kept && !has_point) return false; /* more digits than a ratio has */
  }
  if (!has_digit) return false;
  if (*text == 'e' || *text == 'E') {
    if (!parse_exponent(text + 1, &exponent)) return false;
  } else if (*text != '\0') {
    return false;
  }
  double value = (double)digits;
  double power = 1;
  for (int i = exponent < 0 ? -exponent : exponent; i > 0 && power < 1e300; --i) power *= 10;
  value = exponent < 0 ? value / power : value * power;
  if (!(value <= 1)) return false;
  *ratio = value;
  return true;
}

static int sampler_of_environment(double* ratio) {
  const char* text = secure_getenv("OTEL_TRACES_SAMPLER");
  *ratio = 1;
  for (int kind = 0; text != NULL && kind < SAMPLER_COUNT; ++kind) {
    if (samplers[kind].name == NULL || !is_name(text, samplers[kind].name)) continue;
    const char* argument = secure_getenv("OTEL_TRACES_SAMPLER_ARG");
    if (argument != NULL) (void)parse_ratio(argument, ratio);
    return kind;
  }
  return OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON;
}

int otlpshm_sampler_init(struct otlpshm_sampler_state* sampler,
                         const struct otlpshm_writer_options* options) {
  int kind = options->sampler;
  double ratio = options->sampler_ratio;
  if (kind == OTLPSHM_SAMPLER_DEFAULT) kind = sampler_of_environment(&ratio);
  if (kind < 0 || kind >= SAMPLER_COUNT) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  const enum root root = samplers[kind].root;
  uint32_t flags = samplers[kind].flags;
  uint64_t threshold = root == root_off ? OTLPSHM_THRESHOLD_NEVER : 0;
  if (root == root_ratio) {
    if (!(ratio >= 0 && ratio <= 1)) return OTLPSHM_ERROR_INVALID_ARGUMENT;
    threshold = otlpshm_sampling_threshold_of(ratio);
    if ((flags & OTLPSHM_SAMPLER_CONSISTENT) != 0) {
      threshold = otlpshm_sampling_round(threshold, PRECISION_DIGITS);
    }
  }
  if ((options->flags & OTLPSHM_WRITER_RECORD_ERRORS) != 0) flags |= OTLPSHM_SAMPLER_KEEPS_ERRORS;
  if ((flags & OTLPSHM_SAMPLER_KEEPS_ERRORS) != 0 || options->record_slower_than_nano != 0) {
    flags |= OTLPSHM_SAMPLER_RECORDS;
  }
  store_relaxed_u64(&sampler->threshold, threshold);
  store_relaxed_u64(&sampler->record_slower_than_nano, options->record_slower_than_nano);
  store_relaxed_u32(&sampler->flags, flags);
  return OTLPSHM_OK;
}

/* ---- the published threshold ----------------------------------------------------------------- */

static uint64_t in_force(uint64_t generation, uint32_t flags, uint64_t threshold) {
  const bool is_set = generation != 0 && (flags & OTLPSHM_POLICY_THRESHOLD) != 0;
  return is_set && threshold <= OTLPSHM_THRESHOLD_NEVER ? threshold : 0;
}

/* The seqlock is odd while the daemon writes, and for ever when it died at that: then the last good
 * copy stays, until the daemon counts as gone. */
void otlpshm_sampling_adopt(uint64_t* threshold, const struct otlpshm_policy* published) {
  if (published == NULL) store_relaxed_u64(threshold, 0);
  for (int tries = 0; published != NULL && tries < POLICY_TRIES; ++tries) {
    const uint64_t generation = load_acquire_u64(&published->generation); /* SYNC(policy) */
    if ((generation & 1) != 0) continue;
    const uint32_t flags = load_relaxed_u32(&published->flags);
    const uint64_t told = load_relaxed_u64(&published->threshold);
    acquire_fence();
    if (load_relaxed_u64(&published->generation) != generation) continue; /* SYNC(policy) */
    store_relaxed_u64(threshold, in_force(generation, flags, told));
    return;
  }
}

/* Every such root looks, but one in 16 when two of them met in one tick of the coarse clock. */
void otlpshm_sampling_look_again(struct otlpshm_attachment* attachment) {
  const uint64_t now = otlpshm_clock_coarse();
  const bool are_many = now == load_relaxed_u64(&attachment->root_look_at);
  const uint32_t mask = are_many ? 15 : 0;
  if (!are_many) store_relaxed_u64(&attachment->root_look_at, now);
  if (load_relaxed_u32(&attachment->root_look_mask) != mask) {
    store_relaxed_u32(&attachment->root_look_mask, mask);
  }
  otlpshm_attach_tick_of_span(attachment, now, false);
}

/* ---- `ot`, OpenTelemetry's member of a trace state ------------------------------------------- */

struct ot {
  struct otlpshm_text value; /* key:value;…; absent when there is none or it is malformed */
  bool has_threshold;        /* th is there, whatever it says */
  bool threshold_known;
  bool randomness_known;
  uint64_t threshold;
  uint64_t randomness;
  size_t other_bytes; /* of all but th, each with a ';' */
};

struct ot_pair {
  struct otlpshm_text text; /* key:value */
  size_t key_bytes;
};

static bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

static bool is_value_character(char c) {
  return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
}

/* The pair at *offset, which moves on to the next. False when it is malformed. */
static bool next_pair(struct otlpshm_text value, size_t* offset, struct ot_pair* pair) {
  const char* text = value.text + *offset;
  const size_t left = value.bytes - *offset;
  if (left == 0 || !is_lower(text[0])) return false;
  size_t at = 1;
  while (at < left && (is_lower(text[at]) || is_digit(text[at]))) ++at;
  if (at == left || text[at] != ':') return false;
  pair->key_bytes = at++;
  while (at < left && is_value_character(text[at])) ++at;
  pair->text.text = text;
  pair->text.bytes = at;
  *offset += at;
  if (at == left) return true;
  ++*offset;
  return text[at] == ';' && at + 1 < left;
}

static bool has_key(const struct ot_pair* pair, const char key[2]) {
  return pair->key_bytes == 2 && memcmp(pair->text.text, key, 2) == 0;
}

/* Lower case only, and 1 to 14 digits, the left-most of 14. */
static bool parse_digits(const struct ot_pair* pair, uint64_t* out) {
  const char* text = pair->text.text + pair->key_bytes + 1;
  const size_t digits = pair->text.bytes - pair->key_bytes - 1;
  if (digits < 1 || digits > THRESHOLD_DIGITS) return false;
  uint64_t value = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = otlpshm_hex_digit(text[i]);
    if (digit < 0) return false;
    value = value << 4 | (uint64_t)digit;
  }
  *out = value << (4 * (THRESHOLD_DIGITS - digits));
  return true;
}

static struct ot read_ot(struct otlpshm_text list) {
  static const struct ot none;
  struct ot ot = none;
  const struct otlpshm_text key = {.text = "ot", .bytes = 2};
  const struct otlpshm_text value = otlpshm_tracestate_find(list, key);
  bool has_randomness = false;
  for (size_t offset = 0; value.text != NULL && offset < value.bytes;) {
    struct ot_pair pair;
    if (!next_pair(value, &offset, &pair)) return none;
    if (has_key(&pair, "th")) {
      if (ot.has_threshold) return none;
      ot.has_threshold = true;
      ot.threshold_known = parse_digits(&pair, &ot.threshold);
      continue;
    }
    ot.other_bytes += pair.text.bytes + 1;
    if (has_key(&pair, "rv")) {
      if (has_randomness) return none;
      has_randomness = true;
      ot.randomness_known =
          pair.text.bytes == 3 + THRESHOLD_DIGITS && parse_digits(&pair, &ot.randomness);
    }
  }
  ot.value = value;
  return ot;
}

/* Fourteen digits, without the zeros behind them, but one digit at least: 0 is `0`. */
static unsigned threshold_digits(uint64_t threshold) {
  unsigned digits = THRESHOLD_DIGITS;
  for (; digits > 1 && (threshold & 15) == 0; threshold >>= 4) --digits;
  return digits;
}

static size_t put_threshold(char* out, uint64_t threshold) {
  const unsigned digits = threshold_digits(threshold);
  memcpy(out, "th:", 3);
  for (unsigned i = 0; i < digits; ++i) {
    out[3 + i] = "0123456789abcdef"[(threshold >> (52 - 4 * i)) & 15];
  }
  return 3 + digits;
}

static size_t put_others(char* out, size_t used, struct otlpshm_text value) {
  struct ot_pair pair;
  for (size_t offset = 0; offset < value.bytes && next_pair(value, &offset, &pair);) {
    if (has_key(&pair, "th")) continue;
    if (used > 0) out[used++] = ';';
    memcpy(out + used, pair.text.text, pair.text.bytes);
    used += pair.text.bytes;
  }
  return used;
}

size_t otlpshm_sampling_trace_state(const struct otlpshm_sampling* sampling,
                                    const char* parent_state, size_t bytes,
                                    char out[OTLPSHM_TRACESTATE_BYTES + 1]) {
  const struct otlpshm_text key = {.text = "ot", .bytes = 2};
  const struct otlpshm_text list = {.text = parent_state, .bytes = bytes};
  const bool tells = (sampling->record_flags & OTLPSHM_RECORD_THRESHOLD_KNOWN) != 0;
  if (parent_state == NULL || bytes == 0) { /* a root */
    size_t used = 0;
    if (tells) {
      memcpy(out, "ot=", 3);
      used = 3 + put_threshold(out + 3, sampling->threshold);
    }
    out[used] = '\0';
    return used;
  }
  char room[3 + THRESHOLD_DIGITS + 1 + OT_BYTES_MAX]; /* as the grammar limits the others */
  const struct ot ot = read_ot(list);
  size_t used = tells ? put_threshold(room, sampling->threshold) : 0;
  if (ot.value.bytes <= OT_BYTES_MAX) used = put_others(room, used, ot.value);
  const struct otlpshm_text value = {.text = used > 0 ? room : NULL, .bytes = used};
  return otlpshm_tracestate_rewrite(list, key, value, out);
}

/* ---- a child that does not simply follow ---------------------------------------------------- */

struct otlpshm_sampling otlpshm_sampling_of_child(const struct otlpshm_sampler_state* sampler,
                                                  const struct otlpshm_context* parent,
                                                  const uint8_t trace_id[16]) {
  const uint32_t flags = load_relaxed_u32(&sampler->flags);
  const uint64_t own = load_relaxed_u64(&sampler->threshold);
  const bool follows = (flags & OTLPSHM_SAMPLER_FOLLOWS) != 0;
  const bool is_consistent = (flags & OTLPSHM_SAMPLER_CONSISTENT) != 0;
  const bool parent_sampled = (parent->trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) != 0;
  const struct otlpshm_text list = {
      .text = parent->trace_state,
      .bytes = parent->trace_state == NULL ? 0 : parent->trace_state_bytes};
  const struct ot ot = read_ot(list);
  const uint64_t of_id = otlpshm_sampling_randomness(trace_id);
  const uint64_t randomness = ot.randomness_known ? ot.randomness : of_id;
  const bool decides_to = (is_consistent ? randomness : of_id) >= own;
  const bool sampled = follows ? parent_sampled : decides_to;

  struct otlpshm_sampling sampling = otlpshm_sampling_outcome(
      flags, sampled, (uint8_t)(parent->trace_flags & OTLPSHM_TRACE_FLAG_RANDOM));
  if (parent_sampled) sampling.record_flags |= OTLPSHM_RECORD_PARENT_SAMPLED;
  const uint64_t threshold = follows ? ot.threshold : own;
  const bool is_true = follows ? ot.threshold_known && randomness >= threshold : is_consistent;
  const bool fits = 3 + threshold_digits(threshold) + ot.other_bytes <= OT_BYTES_MAX;
  if (sampled && is_true && fits) {
    otlpshm_sampling_tell(&sampling, threshold);
    sampling.trace_state_changes = !ot.threshold_known || ot.threshold != threshold;
  } else {
    sampling.trace_state_changes = ot.has_threshold;
  }
  if (list.bytes > OTLPSHM_TRACESTATE_BYTES) sampling.trace_state_changes = true; /* it is cut */
  return sampling;
}
