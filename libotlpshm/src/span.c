/* SPDX-License-Identifier: Apache-2.0 */
/* span.c: stations 2 and 3 of a span's life: its start, its context, name and status, and its end.
 *   Owns   the span's bytes, from start to end or discard.
 *   Never  blocks, logs, aborts, sets errno; allocates only when a span outgrows its inline bytes.
 *   Loses  what has no room, counted in the span itself.
 *   Source OpenTelemetry Trace API and SDK; opentelemetry-proto trace/v1. */
#include "span.h"

#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "branches.h"
#include "clock.h"
#include "hex.h"
#include "ids.h"
#include "lane.h"
#include "options.h"
#include "process.h"
#include "sampling.h"
#include "text.h"
#include "tracestate.h"
#include "writer.h"

#define SHORT_NAME_BYTES 120u /* with a length of one byte */

static struct span* open_span(struct otlpshm_span* span) {
  return (struct span*)span;
}

void otlpshm_span_count_late(const struct span* span) {
  add_relaxed_u64(&span->attachment->late_calls, 1);
}

/* ---- room ------------------------------------------------------------------------------------ */

/* Volatile, for compilers that believe that malloc and free never store to errno. */
static void restore_errno(int before) {
  *(volatile int*)&errno = before;
}

static void release(uint8_t* bytes) {
  const int errno_before = errno; /* free keeps it since glibc 2.33 */
  free(bytes);
  restore_errno(errno_before);
}

bool otlpshm_span_grow(struct span* span, size_t need) {
  if ((span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) != 0) return false;
  const size_t now = (size_t)span->limit + SPAN_TAIL_BYTES;
  if (need > SPAN_BYTES_MAX || now >= SPAN_BYTES_MAX) return false;
  const size_t least = (size_t)span->used + need + SPAN_TAIL_BYTES;
  size_t capacity = now * 2;
  if (capacity < least) capacity = least;
  if (capacity > SPAN_BYTES_MAX) capacity = SPAN_BYTES_MAX;
  if (capacity < least) return false;
  const int errno_before = errno;
  uint8_t* bytes = malloc(capacity);
  restore_errno(errno_before);
  if (bytes == NULL) return false;
  uint8_t* before = span->bytes;
  memcpy(bytes, before, span->used);
  span->bytes = bytes;
  span->limit = (uint32_t)(capacity - SPAN_TAIL_BYTES);
  if (before != span->inline_bytes) {
    release(before);
  } else {
    add_relaxed_u64(&span->attachment->spans_grown, 1);
  }
  return true;
}

void otlpshm_span_splice(struct span* span, uint32_t offset, uint32_t old_bytes,
                         uint32_t new_bytes) {
  const uint32_t behind = offset + old_bytes;
  memmove(span->bytes + offset + new_bytes, span->bytes + behind, span->used - behind);
  span->used = span->used - old_bytes + new_bytes;
  /* At the offset itself when an absent name gets one. */
  if (span->status_offset >= offset) span->status_offset += new_bytes - old_bytes;
}

/* ---- start ----------------------------------------------------------------------------------- */

const char* otlpshm_span_clean_name(const char* name, size_t* bytes,
                                    char room[OTLPSHM_NAME_BYTES_MAX]) {
  if (name == NULL) *bytes = 0;
  if (*bytes == 0) return "";
  /* Cut first: what lies behind need not be looked at. */
  *bytes = otlpshm_utf8_prefix_of_bytes(name, *bytes, OTLPSHM_NAME_BYTES_MAX);
  if (otlpshm_utf8_is_valid(name, *bytes)) return name;
  *bytes = otlpshm_utf8_sanitize(name, *bytes, room, OTLPSHM_NAME_BYTES_MAX);
  return room;
}

/* Writes the name's field into the gap at name_offset, which has the field's size. */
static void put_name(struct span* span, const char* name, size_t bytes) {
  span->name_hash = hash_name(name, bytes);
  if (bytes == 0) return; /* proto3: an empty string is absent */
  (void)put_field(span->bytes + span->name_offset, SPAN_NAME, name, bytes);
}

static SELDOM void replace_name(struct span* span, const char* name, size_t bytes) {
  char room[OTLPSHM_NAME_BYTES_MAX];
  name = otlpshm_span_clean_name(name, &bytes, room);
  uint32_t size = bytes == 0 ? 0 : (uint32_t)field_bytes(SPAN_NAME, bytes);
  if (size > span->name_field_bytes && !has_room(span, size - span->name_field_bytes)) {
    const size_t spare = span->limit - span->used + span->name_field_bytes;
    bytes = spare < 4 ? 0 : otlpshm_utf8_prefix_of_bytes(name, bytes, spare - 3);
    size = bytes == 0 ? 0 : (uint32_t)field_bytes(SPAN_NAME, bytes);
  }
  otlpshm_span_splice(span, span->name_offset, span->name_field_bytes, size);
  span->name_field_bytes = size;
  put_name(span, name, bytes);
}

/* The first name: nothing stands behind it yet. */
OFTEN void put_first_name(struct span* span, const char* name, size_t bytes) {
  span->name_offset = span->used;
  if (name != NULL && bytes - 1 < SHORT_NAME_BYTES &&
      span->limit - span->used >= SHORT_NAME_BYTES + 2) {
    uint8_t* at = span->bytes + span->used;
    if (copy_short(at + 2, name, bytes) == 0) {
      at[0] = TAG(SPAN_NAME, WIRE_BYTES);
      at[1] = (uint8_t)bytes;
      span->name_field_bytes = (uint32_t)bytes + 2;
      span->used += span->name_field_bytes;
      span->name_hash = hash_name(name, bytes);
      return;
    }
  }
  replace_name(span, name, bytes);
}

static void drop_attributes(struct span* span, uint32_t count) {
  if (count == 0) return;
  span->attributes_dropped += count;
  add_relaxed_u64(&span->attachment->attributes_dropped, count);
}

/* A span that cannot grow has no room for a long template beside a long trace state and name. */
static void put_name_of_template(struct span* span, const struct otlpshm_template* from) {
  size_t at = 0;
  size_t name = 0;
  size_t end = 0;
  (void)otlpshm_find_field(from->encoded, from->name_field_bytes, SPAN_NAME, &at, &name, &end);
  span->name_offset = span->used;
  replace_name(span, (const char*)from->encoded + name, end - name);
}

/* Up to a chunk more than there is: a template has as much behind its end. */
static inline void copy_chunks(uint8_t* to, const uint8_t* from, uint32_t bytes) {
  for (uint32_t at = 0; at < bytes; at += TEMPLATE_CHUNK) {
    memcpy(to + at, from + at, TEMPLATE_CHUNK);
  }
}

static void put_template(struct span* span, const struct otlpshm_template* from, bool with_name) {
  const uint32_t skipped = with_name ? 0 : from->name_field_bytes;
  const uint32_t bytes = from->bytes - skipped;
  drop_attributes(span, from->attributes_dropped);
  if (!has_room(span, bytes)) {
    drop_attributes(span, from->attribute_count);
    if (with_name) put_name_of_template(span, from);
    return;
  }
  if (with_name) {
    span->name_offset = span->used;
    span->name_field_bytes = from->name_field_bytes;
    span->name_hash = from->name_hash;
  }
  if (LIKELY(span->limit - span->used >= bytes + TEMPLATE_CHUNK)) {
    copy_chunks(span->bytes + span->used, from->encoded + skipped, bytes);
  } else {
    memcpy(span->bytes + span->used, from->encoded + skipped, bytes);
  }
  span->used += bytes;
  memcpy(span->keys_seen, from->keys_seen, sizeof span->keys_seen);
  span->attributes_left -=
      span->attributes_left < from->attribute_count ? span->attributes_left : from->attribute_count;
}

#define HEADER(field) offsetof(struct otlpshm_record_header, field)

/* Without a parent the header stands where the parent would: one piece either way. */
static inline uint32_t header_offset(const struct span* span) {
  return span->has_parent ? 0 : SPAN_PARENT_BYTES;
}
static inline uint8_t* header_of(struct span* span) {
  return span->inline_bytes + header_offset(span);
}

/* Word by word: a wide load of what was stored in narrow pieces just before would have to wait. */
static inline void put_trace_id(uint8_t* at, const uint64_t trace_id[2]) {
  memcpy(at, &trace_id[0], sizeof trace_id[0]);
  memcpy(at + sizeof trace_id[0], &trace_id[1], sizeof trace_id[1]);
}

/* In the record's header and in the span. */
static inline void put_ids(struct span* span, const struct otlpshm_ids* ids) {
  uint8_t* header = header_of(span);
  put_trace_id(header + HEADER(trace_id), ids->trace);
  memcpy(header + HEADER(span_id), &ids->span, sizeof ids->span);
  put_trace_id(span->inline_bytes + SPAN_TRACE_ID_OFFSET + 2, ids->trace);
  memcpy(span->inline_bytes + SPAN_SPAN_ID_OFFSET + 2, &ids->span, sizeof ids->span);
}

/* What stands around the ids; the end fills in its time. */
static inline void put_fixed_fields(struct span* span, const struct otlpshm_context* parent) {
  uint8_t* bytes = span->inline_bytes;
  if (parent != NULL) {
    bytes[SPAN_PARENT_OFFSET] = TAG(SPAN_PARENT_SPAN_ID, WIRE_BYTES);
    bytes[SPAN_PARENT_OFFSET + 1] = sizeof parent->span_id;
    memcpy(bytes + SPAN_PARENT_OFFSET + 2, parent->span_id, sizeof parent->span_id);
  }
  bytes[SPAN_TRACE_ID_OFFSET] = TAG(SPAN_TRACE_ID, WIRE_BYTES);
  bytes[SPAN_TRACE_ID_OFFSET + 1] = 16;
  bytes[SPAN_SPAN_ID_OFFSET] = TAG(SPAN_SPAN_ID, WIRE_BYTES);
  bytes[SPAN_SPAN_ID_OFFSET + 1] = 8;
  bytes[SPAN_KIND_OFFSET] = TAG(SPAN_KIND, WIRE_VARINT);
  bytes[SPAN_KIND_OFFSET + 1] = span->span_kind;
  bytes[SPAN_START_OFFSET] = TAG(SPAN_START, WIRE_FIXED64);
  memcpy(bytes + SPAN_START_OFFSET + 1, &span->start.unix_nano, sizeof span->start.unix_nano);
  bytes[SPAN_END_OFFSET] = TAG(SPAN_END, WIRE_FIXED64);
  uint8_t* flags = put_tag(bytes + SPAN_FLAGS_OFFSET, SPAN_FLAGS, WIRE_FIXED32);
  memcpy(flags, &span->span_flags, sizeof span->span_flags);
}

/* What the start knows of the record's header; the end adds what it knows. */
static inline void put_header(struct span* span, uint64_t threshold) {
  uint8_t* at = header_of(span);
  const uint64_t scope_and_flags =
      span->scope_index | (uint64_t)span->record_flags << 16 | (uint64_t)span->span_flags << 32;
  memcpy(at + HEADER(threshold), &threshold, sizeof threshold);
  memcpy(at + HEADER(scope_index), &scope_and_flags, sizeof scope_and_flags);
}
_Static_assert(HEADER(record_flags) == HEADER(scope_index) + 2 &&
                   HEADER(span_flags) == HEADER(scope_index) + 4,
               "put_header writes these as one word");

static void put_trace_state(struct span* span, const char* state, size_t bytes) {
  if (bytes == 0 || bytes > OTLPSHM_TRACESTATE_BYTES || state == NULL) return;
  if (!otlpshm_utf8_is_valid(state, bytes)) return;
  uint8_t* at = span->bytes + span->used;
  const size_t before = field_bytes(SPAN_TRACE_STATE, bytes) - bytes;
  memmove(at + before, state, bytes); /* it may stand right here: struct span_carried */
  (void)put_length(at, SPAN_TRACE_STATE, bytes);
  span->used += (uint32_t)(before + bytes);
  span->trace_state_bytes = (uint32_t)bytes;
  span->trace_state_offset = span->used - span->trace_state_bytes;
}

/* Cut by whole members, as W3C Trace Context wants it; a list that is malformed is left out. */
static SELDOM void put_long_trace_state(struct span* span, const char* state, size_t bytes) {
  struct otlpshm_tracestate_list list = {.count = 0};
  char text[OTLPSHM_TRACESTATE_BYTES + 1];
  struct otlpshm_text_room room = {.text = text, .capacity = sizeof text};
  const struct otlpshm_text given = {.text = state, .bytes = bytes};
  if (state == NULL || !otlpshm_tracestate_parse(&list, given)) return;
  otlpshm_tracestate_write(&list, 0, &room);
  put_trace_state(span, text, room.bytes);
}

static SELDOM void put_sampled_trace_state(struct span* span,
                                           const struct otlpshm_context* parent) {
  struct otlpshm_sampling sampling = {.record_flags = span->record_flags};
  memcpy(&sampling.threshold, header_of(span) + HEADER(threshold), sizeof sampling.threshold);
  char state[OTLPSHM_TRACESTATE_BYTES + 1];
  const size_t bytes =
      otlpshm_sampling_trace_state(&sampling, parent == NULL ? NULL : parent->trace_state,
                                   parent == NULL ? 0 : parent->trace_state_bytes, state);
  put_trace_state(span, state, bytes);
}

static SELDOM void put_carried_trace_state(struct span* span, const struct otlpshm_context* parent,
                                           bool changes) {
  if (changes) {
    put_sampled_trace_state(span, parent);
  } else if (parent == NULL) {
    return;
  } else if (parent->trace_state_bytes > OTLPSHM_TRACESTATE_BYTES) {
    put_long_trace_state(span, parent->trace_state, parent->trace_state_bytes);
  } else {
    put_trace_state(span, parent->trace_state, parent->trace_state_bytes);
  }
}

/* The ids of a child; word by word, so that they stay in registers. */
static inline struct otlpshm_ids ids_of_child(const struct otlpshm_context* parent) {
  struct otlpshm_ids ids;
  memcpy(&ids.trace[0], parent->trace_id, sizeof ids.trace[0]);
  memcpy(&ids.trace[1], parent->trace_id + sizeof ids.trace[0], sizeof ids.trace[1]);
  ids.span = otlpshm_ids_of_span(&otlpshm_thread);
  return ids;
}

/* True when the span can be kept: this process is ready and has a segment. */
static SELDOM bool can_record_at_last(struct otlpshm_attachment* attachment, uint32_t flags) {
  if (!otlpshm_process_ready()) return false;
  return load_acquire_pointer(&attachment->current) != NULL ||
         ((flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0 && otlpshm_attach_may_enter_kernel(attachment) &&
          otlpshm_attach_now(attachment, otlpshm_clock_coarse()) != NULL);
}

/* Although a directory is there. What the sampler would not have kept is not lost. */
static SELDOM void count_unrecorded(struct otlpshm_writer* writer,
                                    struct otlpshm_attachment* attachment,
                                    const struct otlpshm_context* parent) {
  if (attachment == NULL || load_relaxed_u32(&attachment->directory_there) == 0) return;
  if (otlpshm_process_ready()) { /* else there are no ids to decide by, for an instant */
    const struct otlpshm_ids ids =
        parent == NULL ? otlpshm_ids_of_root(&otlpshm_thread) : ids_of_child(parent);
    const struct otlpshm_sampling sampling =
        otlpshm_sampling_decide(&writer->sampler, attachment, parent, (const uint8_t*)ids.trace);
    if (sampling.decision != otlpshm_decision_record_and_sample) return;
  }
  (void)otlpshm_attach_drop_later(attachment, otlpshm_drop_no_segment);
}

/* A span that records nothing: its context goes on through children and carriers. */
static void start_nothing(struct span* span, const struct otlpshm_context* context) {
  span->writer = NULL;
  span->has_ended = 0;
  if (context != NULL) {
    span->carried.context = *context;
  } else {
    memset(&span->carried.context, 0, sizeof span->carried.context);
  }
}

/* Not sampled and not recorded: ids of its own all the same, so that children agree.
 * Source: OpenTelemetry Trace SDK, SDK Span creation. */
static void start_unsampled(struct span* span, const struct otlpshm_context* parent,
                            const struct otlpshm_ids* ids, uint8_t trace_flags) {
  span->writer = NULL;
  span->has_ended = 0;
  struct otlpshm_context* context = &span->carried.context;
  put_trace_id(context->trace_id, ids->trace);
  memcpy(context->span_id, &ids->span, sizeof context->span_id);
  context->trace_flags = trace_flags;
  context->is_remote = 0;
  context->reserved = 0;
  context->trace_state_bytes = parent == NULL ? 0 : parent->trace_state_bytes;
  context->trace_state = parent == NULL ? NULL : parent->trace_state;
}

/* Its children are not to believe a threshold that it was not sampled by. The parent's text may
 * stand in this very span. */
static SELDOM void carry_sampled_trace_state(struct span* span, uint64_t threshold,
                                             uint16_t record_flags) {
  const struct otlpshm_sampling sampling = {.threshold = threshold, .record_flags = record_flags};
  struct otlpshm_context* context = &span->carried.context;
  char state[OTLPSHM_TRACESTATE_BYTES + 1];
  const size_t bytes = otlpshm_sampling_trace_state(&sampling, context->trace_state,
                                                    context->trace_state_bytes, state);
  memcpy(span->carried.trace_state, state, bytes);
  context->trace_state = bytes == 0 ? NULL : span->carried.trace_state;
  context->trace_state_bytes = (uint32_t)bytes;
}

static uint8_t kind_of(const struct otlpshm_start_options* options) {
  if (options->kind >= OTLPSHM_KIND_INTERNAL && options->kind <= OTLPSHM_KIND_CONSUMER) {
    return (uint8_t)options->kind;
  }
  return options->span_template != NULL ? options->span_template->span_kind : OTLPSHM_KIND_INTERNAL;
}

static SELDOM void put_the_rest(struct otlpshm_span* span,
                                const struct otlpshm_start_options* options) {
  otlpshm_span_set_attributes(span, options->attributes, options->attribute_count);
  for (size_t i = 0; options->links != NULL && i < options->link_count; ++i) {
    otlpshm_span_add_link(span, &options->links[i]);
  }
}

/* Of a caller that was compiled against another version: what this one knows of them. */
static SELDOM void start_by_other_options(struct otlpshm_writer* writer, struct otlpshm_span* span,
                                          const char* name, size_t name_bytes,
                                          const struct otlpshm_start_options* given) {
  struct otlpshm_start_options options;
  (void)otlpshm_options_read(&options, sizeof options, given);
  options.size = sizeof options;
  otlpshm_span_start(writer, span, name, name_bytes, &options);
}

/* Besides what most starts do. */
enum start_also {
  START_CHANGES_TRACE_STATE = 1,
  START_LOOKS_AGAIN = 2,
};

/* The second half of a start, apart from the first: a span that is not sampled needs no frame.
 * What the first half left in the span: all that start_decided sets there. also: START_*. */
static __attribute__((noinline)) void record(struct span* span, const char* name, size_t name_bytes,
                                             const struct otlpshm_start_options* options,
                                             const struct otlpshm_context* parent, unsigned also) {
  span->nonce = otlpshm_thread.nonce;
  span->bytes = span->inline_bytes;
  span->limit = sizeof span->inline_bytes - SPAN_TAIL_BYTES;
  span->used = SPAN_VARIABLE_OFFSET;
  span->flags = options->flags;
  span->span_kind = kind_of(options);
  span->status_code = OTLPSHM_STATUS_UNSET;
  span->has_ended = 0;
  const struct otlpshm_limits* limits = &span->writer->limits;
  const uint32_t length_max = load_relaxed_u32(&limits->attribute_value_length_max);
  span->short_value_max = length_max < SHORT_VALUE_BYTES_MAX ? length_max : SHORT_VALUE_BYTES_MAX;
  span->attributes_left = load_relaxed_u32(&limits->attribute_count_max);
  memset((uint8_t*)span + offsetof(struct span, keys_seen), 0, SPAN_ZEROED_BYTES);
  if (LIKELY(options->start_unix_nano == 0)) {
    otlpshm_clock_read(&span->attachment->clock, &span->start);
  } else {
    span->start = (struct otlpshm_time){.unix_nano = options->start_unix_nano};
  }
  put_fixed_fields(span, parent);
  if (also != 0 || (parent != NULL && parent->trace_state_bytes != 0)) {
    put_carried_trace_state(span, parent, (also & START_CHANGES_TRACE_STATE) != 0);
    if ((also & START_LOOKS_AGAIN) != 0) otlpshm_sampling_look_again(span->attachment);
  }
  const struct otlpshm_template* from = options->span_template;
  if (from == NULL || name != NULL) put_first_name(span, name, name_bytes);
  if (from != NULL) put_template(span, from, name == NULL);
  if (options->attribute_count != 0 || options->link_count != 0) {
    put_the_rest((struct otlpshm_span*)span, options);
  }
}

/* What every start has found out. */
struct start {
  struct otlpshm_writer* writer;
  struct otlpshm_attachment* attachment;
  const struct otlpshm_context* parent; /* null: a root */
  uint32_t generation;
};

static inline struct start start_of(struct otlpshm_writer* writer,
                                    const struct otlpshm_start_options* options) {
  const uint32_t generation = writer == NULL ? 0 : load_acquire_u32(&writer->generation);
  const bool is_open = (generation & 1) != 0;
  return (struct start){.writer = writer,
                        .attachment = is_open ? load_relaxed_pointer(&writer->attachment) : NULL,
                        .parent = otlpshm_has_ids(options->parent) ? options->parent : NULL,
                        .generation = generation};
}

OFTEN void start_decided(struct start start, struct otlpshm_ids ids,
                         struct otlpshm_sampling sampling, struct span* span, const char* name,
                         size_t name_bytes, const struct otlpshm_start_options* options) {
  if (sampling.decision == otlpshm_decision_drop) {
    start_unsampled(span, start.parent, &ids, sampling.trace_flags);
    if (sampling.trace_state_changes) {
      carry_sampled_trace_state(span, sampling.threshold, sampling.record_flags);
    } else if (sampling.looks_again) {
      otlpshm_sampling_look_again(start.attachment);
    }
    return;
  }
  span->writer = start.writer;
  span->writer_generation = start.generation;
  span->attachment = start.attachment;
  span->scope_index = (uint16_t)load_relaxed_u32(&start.writer->scope_index);
  span->record_flags = sampling.record_flags;
  span->span_flags = sampling.trace_flags | FLAGS_HAS_IS_REMOTE;
  if (start.parent != NULL && start.parent->is_remote) span->span_flags |= FLAGS_IS_REMOTE;
  span->has_parent = start.parent != NULL;
  put_ids(span, &ids);
  put_header(span, sampling.threshold);
  record(span, name, name_bytes, options, start.parent,
         (sampling.trace_state_changes ? START_CHANGES_TRACE_STATE : 0u) |
             (sampling.looks_again ? START_LOOKS_AGAIN : 0u));
}

static SELDOM void start_other_child(struct start start, struct span* span, const char* name,
                                     size_t name_bytes,
                                     const struct otlpshm_start_options* options) {
  start_decided(
      start, ids_of_child(start.parent),
      otlpshm_sampling_of_child(&start.writer->sampler, start.parent, start.parent->trace_id), span,
      name, name_bytes, options);
}

/* This process is ready and has a segment. */
OFTEN void start_ready(struct start start, struct span* span, const char* name, size_t name_bytes,
                       const struct otlpshm_start_options* options) {
  const struct otlpshm_sampler_state* sampler = &start.writer->sampler;
  if (start.parent == NULL) {
    const struct otlpshm_ids ids = otlpshm_ids_of_root(&otlpshm_thread);
    start_decided(start, ids, otlpshm_sampling_of_root(sampler, start.attachment, ids.trace), span,
                  name, name_bytes, options);
  } else if (LIKELY(otlpshm_sampling_just_follows(sampler, start.parent))) {
    start_decided(start, ids_of_child(start.parent),
                  otlpshm_sampling_of_follower(sampler, start.parent), span, name, name_bytes,
                  options);
  } else {
    start_other_child(start, span, name, name_bytes, options);
  }
}

/* The first span of a thread or of a child process, or one without a segment. */
static SELDOM void start_at_last(struct otlpshm_writer* writer, struct span* span, const char* name,
                                 size_t name_bytes, const struct otlpshm_start_options* options) {
  const struct start start = start_of(writer, options);
  if (start.attachment != NULL && can_record_at_last(start.attachment, options->flags)) {
    start_ready(start, span, name, name_bytes, options);
  } else {
    count_unrecorded(writer, start.attachment, start.parent);
    start_nothing(span, start.parent);
  }
}

void otlpshm_span_start(struct otlpshm_writer* writer, struct otlpshm_span* public_span,
                        const char* name, size_t name_bytes,
                        const struct otlpshm_start_options* options) {
  if (public_span == NULL) return;
  struct span* span = open_span(public_span);
  static const struct otlpshm_start_options defaults = {.size = sizeof defaults};
  if (options == NULL) options = &defaults;
  if (options->size != sizeof *options) {
    start_by_other_options(writer, public_span, name, name_bytes, options);
    return;
  }
  const struct start start = start_of(writer, options);
  if (LIKELY(start.attachment != NULL && otlpshm_process_is_ready() &&
             load_acquire_pointer(&start.attachment->current) != NULL)) {
    start_ready(start, span, name, name_bytes, options);
  } else {
    start_at_last(writer, span, name, name_bytes, options);
  }
}

void otlpshm_span_start_cstr(struct otlpshm_writer* writer, struct otlpshm_span* span,
                             const char* name, const struct otlpshm_start_options* options) {
  otlpshm_span_start(writer, span, name, otlpshm_cstr_bytes(name), options);
}

/* ---- while it runs --------------------------------------------------------------------------- */

int otlpshm_span_is_recording(const struct otlpshm_span* span) {
  return span != NULL && ((const struct span*)span)->writer != NULL;
}

void otlpshm_span_get_context(const struct otlpshm_span* public_span,
                              struct otlpshm_context* context) {
  if (context == NULL) return;
  memset(context, 0, sizeof *context);
  if (public_span == NULL) return;
  const struct span* span = (const struct span*)public_span;
  if (span->writer == NULL) {
    if (!span->has_ended) *context = span->carried.context;
    return;
  }
  memcpy(context->trace_id, span->bytes + SPAN_TRACE_ID_OFFSET + 2, sizeof context->trace_id);
  memcpy(context->span_id, span->bytes + SPAN_SPAN_ID_OFFSET + 2, sizeof context->span_id);
  context->trace_flags = (uint8_t)span->span_flags;
  context->trace_state_bytes = span->trace_state_bytes;
  if (span->trace_state_bytes != 0) {
    context->trace_state = (const char*)span->bytes + span->trace_state_offset;
  }
}

void otlpshm_span_update_name(struct otlpshm_span* public_span, const char* name, size_t bytes) {
  struct span* span = recording(public_span);
  if (span != NULL) replace_name(span, name, bytes);
}

/* ---- status ---------------------------------------------------------------------------------- */

void otlpshm_span_set_status(struct otlpshm_span* public_span, int code, const char* description,
                             size_t bytes) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (code != OTLPSHM_STATUS_OK && code != OTLPSHM_STATUS_ERROR) return;
  if (span->status_code == OTLPSHM_STATUS_OK) return;
  if (span->status_offset != 0) {
    const uint32_t offset = span->status_offset;
    span->status_offset = 0;
    otlpshm_span_splice(span, offset, span->status_field_bytes, 0);
    span->status_field_bytes = 0;
  }
  span->status_code = (uint8_t)code;

  char room[OTLPSHM_NAME_BYTES_MAX];
  if (code != OTLPSHM_STATUS_ERROR) bytes = 0;
  description = otlpshm_span_clean_name(description, &bytes, room);
  if (bytes == 0) return; /* `end` appends the code */
  const size_t message = field_bytes(STATUS_MESSAGE, bytes) + 2;
  if (!has_room(span, field_bytes(SPAN_STATUS, message))) return;
  span->status_offset = span->used;
  uint8_t* at = put_length(span->bytes + span->used, SPAN_STATUS, message);
  at = put_field(at, STATUS_MESSAGE, description, bytes);
  at = put_varint(put_tag(at, STATUS_CODE, WIRE_VARINT), (uint64_t)code);
  span->used = (uint32_t)(at - span->bytes);
  span->status_field_bytes = span->used - span->status_offset;
}

void otlpshm_span_set_status_cstr(struct otlpshm_span* span, int code, const char* description) {
  otlpshm_span_set_status(span, code, description, otlpshm_cstr_bytes(description));
}

/* ---- end ------------------------------------------------------------------------------------- */

static inline void close_span(struct span* span) {
  span->writer = NULL;
  span->has_ended = 1;
}

/* Closed first: whoever jumps out of the rest cannot free the bytes once more. */
static void forget(struct span* span) {
  uint8_t* bytes = span->bytes;
  close_span(span);
  if (bytes != span->inline_bytes) release(bytes);
}

/* The room was kept: SPAN_TAIL_BYTES. */
static SELDOM void put_tail(struct span* span) {
  uint8_t* at = span->bytes + span->used;
  if (span->attributes_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_ATTRIBUTES, WIRE_VARINT), span->attributes_dropped);
  }
  if (span->events_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_EVENTS, WIRE_VARINT), span->events_dropped);
  }
  if (span->links_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_LINKS, WIRE_VARINT), span->links_dropped);
  }
  if (span->status_code != OTLPSHM_STATUS_UNSET && span->status_offset == 0) {
    at = put_length(at, SPAN_STATUS, 2);
    at = put_varint(put_tag(at, STATUS_CODE, WIRE_VARINT), span->status_code);
  }
  span->used = (uint32_t)(at - span->bytes);
}
_Static_assert(SPAN_TAIL_BYTES >= 3 * 6 + SPAN_STATUS_CODE_BYTES, "put_tail needs this room");

/* The span's end stands in its bytes: finishes the record's header, and returns it. */
static inline uint8_t* finish_header(struct span* span, uint64_t duration) {
  uint8_t* header = span->bytes + header_offset(span);
  const uint64_t kinds =
      OTLPSHM_RECORD_SPAN | (uint64_t)span->span_kind << 8 | (uint64_t)span->status_code << 16;
  memcpy(header + HEADER(duration_nano), &duration, sizeof duration);
  memcpy(header + HEADER(name_hash), &span->name_hash, sizeof span->name_hash);
  memcpy(header + HEADER(record_kind), &kinds, sizeof kinds);
  return header;
}
_Static_assert(HEADER(span_kind) == HEADER(record_kind) + 1 &&
                   HEADER(status_code) == HEADER(record_kind) + 2 &&
                   HEADER(record_kind) + 8 == sizeof(struct otlpshm_record_header),
               "finish_header writes these as one word");

/* The tables had no room for the writer's rows. Null when the writer was shut down, and perhaps
 * opened anew, since its generation was looked at. */
static const struct otlpshm_inline_rows* rows_of(const struct span* span,
                                                 const struct otlpshm_writer* writer) {
  const struct otlpshm_inline_rows* rows = load_acquire_pointer(&writer->rows);
  return load_relaxed_u32(&writer->generation) == span->writer_generation ? rows : NULL;
}

/* Of a span that has outgrown its inline bytes, or carries its rows. */
static SELDOM int commit_large(struct span* span, const struct otlpshm_writer* writer, uint64_t now,
                               uint64_t duration) {
  uint8_t* header = finish_header(span, duration);
  const uint32_t size = span->used - header_offset(span);
  const bool may_attach = (span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0;
  int status;
  if (span->scope_index != OTLPSHM_SCOPE_INLINE) {
    status = otlpshm_lane_commit(span->attachment, header, size, NULL, now, may_attach);
  } else {
    const struct otlpshm_inline_rows* rows = rows_of(span, writer);
    header[HEADER(record_kind)] = OTLPSHM_RECORD_SPAN_INLINE_SCOPE;
    status = rows == NULL
                 ? otlpshm_attach_drop(span->attachment, otlpshm_drop_shutdown)
                 : otlpshm_lane_commit(span->attachment, header, size, rows, now, may_attach);
  }
  if (span->bytes != span->inline_bytes) release(span->bytes);
  return status;
}

/* Not sampled: slow or failed enough to be written all the same? Else nothing is lost. */
static SELDOM bool is_kept(const struct span* span, uint64_t duration) {
  return otlpshm_sampler_keeps(&span->writer->sampler, span->status_code, duration);
}

static SELDOM int drop_at_end(struct span* span) {
  struct otlpshm_attachment* attachment = span->attachment;
  const bool is_ready = otlpshm_process_ready();
  const bool is_ours = span->nonce == otlpshm_thread.nonce;
  forget(span);
  if (!is_ready) return otlpshm_attach_drop_later(attachment, otlpshm_drop_forked);
  return otlpshm_attach_drop(attachment, is_ours ? otlpshm_drop_shutdown : otlpshm_drop_forked);
}

/* In the process, and under the opening of the writer, that started it. A thread that only ends
 * spans of others is made ready here. */
static inline bool may_commit(const struct span* span) {
  return otlpshm_process_ready() && span->nonce == otlpshm_thread.nonce &&
         load_acquire_u32(&span->writer->generation) == span->writer_generation;
}

OFTEN int end(struct span* span, uint64_t now, uint64_t duration) {
  if (!LIKELY((span->record_flags & OTLPSHM_RECORD_ONLY) == 0) && !is_kept(span, duration)) {
    forget(span);
    return OTLPSHM_OK;
  }
  if (!LIKELY(may_commit(span))) return drop_at_end(span);
  const struct otlpshm_writer* writer = span->writer;
  close_span(span); /* its bytes stay; whoever jumps out of what follows finds it ended */
  if ((span->attributes_dropped | span->events_dropped | span->links_dropped | span->status_code) !=
      0) {
    put_tail(span);
  }
  if (!LIKELY(span->bytes == span->inline_bytes && span->scope_index != OTLPSHM_SCOPE_INLINE)) {
    return commit_large(span, writer, now, duration);
  }
  const uint8_t* header = finish_header(span, duration);
  const uint32_t size = span->used - header_offset(span);
  return otlpshm_lane_commit(span->attachment, header, size, NULL, now,
                             (span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0);
}

static void put_end(struct span* span, uint64_t end_unix_nano) {
  memcpy(span->bytes + SPAN_END_OFFSET + 1, &end_unix_nano, sizeof end_unix_nano);
}

/* A start that the caller gave can only be compared with the wall clock. */
static SELDOM struct otlpshm_elapsed since_given_start(const struct span* span) {
  const struct otlpshm_time now = otlpshm_clock_now(&span->attachment->clock);
  return (struct otlpshm_elapsed){
      .nano = now.unix_nano > span->start.unix_nano ? now.unix_nano - span->start.unix_nano : 0,
      .monotonic = now.monotonic};
}

/* Apart from otlpshm_span_end: a span that does not record needs no frame. */
static __attribute__((noinline)) int end_now(struct span* span) {
  const struct otlpshm_elapsed elapsed =
      LIKELY(span->start.monotonic != 0)
          ? otlpshm_clock_since(&span->attachment->clock, &span->start)
          : since_given_start(span);
  put_end(span, span->start.unix_nano + elapsed.nano);
  return end(span, elapsed.monotonic, elapsed.nano);
}

int otlpshm_span_end(struct otlpshm_span* public_span) {
  struct span* span = recording(public_span);
  return span == NULL ? OTLPSHM_OK : end_now(span);
}

int otlpshm_span_end_at(struct otlpshm_span* public_span, uint64_t end_unix_nano) {
  struct span* span = recording(public_span);
  if (span == NULL) return OTLPSHM_OK;
  const uint64_t start = span->start.unix_nano;
  put_end(span, end_unix_nano);
  return end(span, otlpshm_clock_monotonic(), end_unix_nano > start ? end_unix_nano - start : 0);
}

void otlpshm_span_discard(struct otlpshm_span* public_span) {
  struct span* span = recording(public_span);
  if (span != NULL) forget(span);
}
