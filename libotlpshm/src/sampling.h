/* SPDX-License-Identifier: Apache-2.0 */
/* sampling.h: the head decision for a new span: drop it, record it only, or record and sample it.
 *   Owns   a writer's sampler, and the attachment's copy of the threshold that the daemon
 *          published.
 *   Never  throws dice: a decision follows the parent or the trace id, so all processes agree; and
 *          reads no clock for a span that the writer's own sampler does not sample.
 *   Source OpenTelemetry Trace SDK, Sampling, and TraceState: Probability Sampling;
 *          W3C Trace Context level 2, random flag; docs/abi.md#sampling. */
#ifndef OTLPSHM_SRC_SAMPLING_H
#define OTLPSHM_SRC_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attach.h"
#include "ordering.h"
#include "otlpshm/context.h"
#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"

/* A threshold (56 bits) rejects all randomness (56 bits) below it; this one rejects everything. */
#define OTLPSHM_THRESHOLD_NEVER (OTLPSHM_THRESHOLD_MASK + 1)

#define OTLPSHM_SAMPLER_FOLLOWS 0x1u    /* a child does as its parent did */
#define OTLPSHM_SAMPLER_CONSISTENT 0x2u /* honours rv, tells th */
#define OTLPSHM_SAMPLER_RECORDS 0x4u    /* what is not sampled is recorded */
#define OTLPSHM_SAMPLER_KEEPS_ERRORS 0x8u

/* Atomics: see struct otlpshm_writer. */
struct otlpshm_sampler_state {
  uint64_t threshold;               /* of its own decisions: 0 to OTLPSHM_THRESHOLD_NEVER */
  uint64_t record_slower_than_nano; /* 0: however slow, it is not kept for that */
  uint32_t flags;                   /* OTLPSHM_SAMPLER_* */
};

enum otlpshm_decision {
  otlpshm_decision_drop = 0,          /* nothing is recorded; its context goes on, not sampled */
  otlpshm_decision_record_only,       /* recorded; written only if otlpshm_sampler_keeps it */
  otlpshm_decision_record_and_sample, /* recorded and written */
};

struct otlpshm_sampling {
  uint64_t threshold;       /* of the record's header */
  uint16_t record_flags;    /* OTLPSHM_RECORD_*; with THRESHOLD_KNOWN the trace state has th */
  uint8_t trace_flags;      /* W3C */
  uint8_t decision;         /* enum otlpshm_decision */
  bool trace_state_changes; /* the span's is not its parent's: otlpshm_sampling_trace_state */
  bool looks_again;         /* not sampled by the published threshold alone, and it is time to call
                               otlpshm_sampling_look_again */
};

/* Fills a sampler from a writer's options or, where those leave it open, from the environment.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT for an unknown sampler or a ratio that is not one.
 * Reads the environment: not signal-safe. */
int otlpshm_sampler_init(struct otlpshm_sampler_state* sampler,
                         const struct otlpshm_writer_options* options);

/* Adopts the threshold that the daemon publishes, or 0 when none is in force; null: the daemon is
 * not to be believed any more. The caller holds tick_lease. Async-signal-safe. */
void otlpshm_sampling_adopt(uint64_t* threshold, const struct otlpshm_policy* published);

/* The threshold that keeps a share of all traces; ratio is 0 to 1. */
uint64_t otlpshm_sampling_threshold_of(double ratio);

/* The same with fewer hexadecimal digits for th: `digits` beyond the leading f. */
uint64_t otlpshm_sampling_round(uint64_t threshold, unsigned digits);

/* For a root that the published threshold alone takes away: where it takes all, nothing is
 * committed and nobody else looks at the daemon's files. Async-signal-safe. */
void otlpshm_sampling_look_again(struct otlpshm_attachment* attachment);

/* Any child's decision. Async-signal-safe. */
struct otlpshm_sampling otlpshm_sampling_of_child(const struct otlpshm_sampler_state* sampler,
                                                  const struct otlpshm_context* parent,
                                                  const uint8_t trace_id[16]);

/* Writes a span's trace state, with a NUL: its parent's list (null for a root) with th set in the
 * `ot` member, or taken out of it. Returns the bytes without the NUL. Async-signal-safe. */
size_t otlpshm_sampling_trace_state(const struct otlpshm_sampling* sampling,
                                    const char* parent_state, size_t bytes,
                                    char out[OTLPSHM_TRACESTATE_BYTES + 1]);

/* The right-most 56 bits of a trace id, of which this is the second word. */
static inline uint64_t otlpshm_sampling_randomness_of(uint64_t word) {
  return __builtin_bswap64(word) & OTLPSHM_THRESHOLD_MASK;
}
static inline uint64_t otlpshm_sampling_randomness(const uint8_t trace_id[16]) {
  uint64_t word;
  memcpy(&word, trace_id + 8, sizeof word);
  return otlpshm_sampling_randomness_of(word);
}

/* random: the trace's random flag, or 0. */
static inline struct otlpshm_sampling otlpshm_sampling_outcome(uint32_t sampler_flags, bool sampled,
                                                               uint8_t random) {
  struct otlpshm_sampling sampling;
  memset(&sampling, 0, sizeof sampling);
  sampling.trace_flags = random;
  if (sampled) {
    sampling.trace_flags |= OTLPSHM_TRACE_FLAG_SAMPLED;
    sampling.decision = otlpshm_decision_record_and_sample;
  } else if ((sampler_flags & OTLPSHM_SAMPLER_RECORDS) != 0) {
    sampling.record_flags = OTLPSHM_RECORD_ONLY;
    sampling.decision = otlpshm_decision_record_only;
  }
  return sampling;
}

static inline void otlpshm_sampling_tell(struct otlpshm_sampling* sampling, uint64_t threshold) {
  sampling->threshold = threshold;
  sampling->record_flags |= OTLPSHM_RECORD_THRESHOLD_KNOWN;
}

/* The published threshold takes away and never adds. trace_id: as words. Async-signal-safe. */
static inline struct otlpshm_sampling otlpshm_sampling_of_root(
    const struct otlpshm_sampler_state* sampler, const struct otlpshm_attachment* attachment,
    const uint64_t trace_id[2]) {
  const uint32_t flags = load_relaxed_u32(&sampler->flags);
  const uint64_t own = load_relaxed_u64(&sampler->threshold);
  const uint64_t published = load_relaxed_u64(&attachment->published_threshold);
  const uint64_t threshold = published > own ? published : own;
  const uint64_t randomness = otlpshm_sampling_randomness_of(trace_id[1]);
  struct otlpshm_sampling sampling =
      otlpshm_sampling_outcome(flags, randomness >= threshold, OTLPSHM_TRACE_FLAG_RANDOM);
  if (randomness >= threshold) {
    if (published > own || (flags & OTLPSHM_SAMPLER_CONSISTENT) != 0) {
      otlpshm_sampling_tell(&sampling, threshold);
      sampling.trace_state_changes = true;
    }
  } else {
    sampling.looks_again =
        randomness >= own && (trace_id[0] & load_relaxed_u32(&attachment->root_look_mask)) == 0;
  }
  return sampling;
}

/* True of a child that does as its parent did, and has its trace state. */
static inline bool otlpshm_sampling_just_follows(const struct otlpshm_sampler_state* sampler,
                                                 const struct otlpshm_context* parent) {
  const uint32_t flags = load_relaxed_u32(&sampler->flags);
  const bool sampled = (parent->trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) != 0;
  return (flags & OTLPSHM_SAMPLER_FOLLOWS) != 0 &&
         (parent->trace_state_bytes == 0 || (!sampled && flags == OTLPSHM_SAMPLER_FOLLOWS));
}

/* The decision on such a child. */
static inline struct otlpshm_sampling otlpshm_sampling_of_follower(
    const struct otlpshm_sampler_state* sampler, const struct otlpshm_context* parent) {
  const bool sampled = (parent->trace_flags & OTLPSHM_TRACE_FLAG_SAMPLED) != 0;
  struct otlpshm_sampling sampling =
      otlpshm_sampling_outcome(load_relaxed_u32(&sampler->flags), sampled,
                               (uint8_t)(parent->trace_flags & OTLPSHM_TRACE_FLAG_RANDOM));
  if (sampled) sampling.record_flags |= OTLPSHM_RECORD_PARENT_SAMPLED;
  return sampling;
}

/* Decides on a new span. parent is null for a root; trace_id is the span's own. Async-signal-safe.
 */
static inline struct otlpshm_sampling otlpshm_sampling_decide(
    const struct otlpshm_sampler_state* sampler, struct otlpshm_attachment* attachment,
    const struct otlpshm_context* parent, const uint8_t trace_id[16]) {
  if (parent == NULL) {
    uint64_t words[2];
    memcpy(words, trace_id, sizeof words);
    const struct otlpshm_sampling sampling = otlpshm_sampling_of_root(sampler, attachment, words);
    if (sampling.looks_again) otlpshm_sampling_look_again(attachment);
    return sampling;
  }
  return otlpshm_sampling_just_follows(sampler, parent)
             ? otlpshm_sampling_of_follower(sampler, parent)
             : otlpshm_sampling_of_child(sampler, parent, trace_id);
}

/* At the end of a span that is recorded only: is it written? */
static inline bool otlpshm_sampler_keeps(const struct otlpshm_sampler_state* sampler,
                                         int status_code, uint64_t duration_nano) {
  const uint64_t slow = load_relaxed_u64(&sampler->record_slower_than_nano);
  const uint32_t flags = load_relaxed_u32(&sampler->flags);
  return (slow != 0 && duration_nano >= slow) ||
         (status_code == OTLPSHM_STATUS_ERROR && (flags & OTLPSHM_SAMPLER_KEEPS_ERRORS) != 0);
}

#endif
