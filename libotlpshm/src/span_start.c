/* SPDX-License-Identifier: Apache-2.0 */
/* span_start.c: station 2 of a span's life: who it is, whether it is kept, its first fields.
 *   Owns   the span's words: it sets each that a later call reads.
 *   Never  blocks, logs, aborts, sets errno; allocates only when a span outgrows its inline bytes.
 *   Loses  spans for which there is no segment, counted as no_segment; attributes of templates.
 *   Source OpenTelemetry Trace API and SDK; opentelemetry-proto trace/v1. */
#include "attach.h"
#include "branches.h"
#include "clock.h"
#include "hex.h"
#include "ids.h"
#include "options.h"
#include "process.h"
#include "sampling.h"
#include "span.h"
#include "text.h"
#include "writer.h"

#define SHORT_NAME_BYTES 120u /* with a length of one byte */

/* ---- a span that is recorded ----------------------------------------------------------------- */

/* The first name: nothing stands behind it yet. */
OFTEN void put_first_name(struct span* span, const char* name, size_t bytes) {
  span->name_offset = span->used;
  if (name != NULL && bytes - 1 < SHORT_NAME_BYTES && fits(span, SHORT_NAME_BYTES + 2)) {
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
  otlpshm_span_replace_name(span, name, bytes);
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
  otlpshm_span_replace_name(span, (const char*)from->encoded + name, end - name);
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
  if (LIKELY(fits(span, (size_t)bytes + TEMPLATE_CHUNK))) {
    copy_chunks(span->bytes + span->used, from->encoded + skipped, bytes);
  } else {
    memcpy(span->bytes + span->used, from->encoded + skipped, bytes);
  }
  span->used += bytes;
  memcpy(span->keys_seen, from->keys_seen, sizeof span->keys_seen);
  span->attributes_left -=
      span->attributes_left < from->attribute_count ? span->attributes_left : from->attribute_count;
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
    otlpshm_span_put_trace_state(span, parent, (also & START_CHANGES_TRACE_STATE) != 0);
    if ((also & START_LOOKS_AGAIN) != 0) otlpshm_sampling_look_again(span->attachment);
  }
  const struct otlpshm_template* from = options->span_template;
  if (from == NULL || name != NULL) put_first_name(span, name, name_bytes);
  if (from != NULL) put_template(span, from, name == NULL);
  if (options->attribute_count != 0 || options->link_count != 0) {
    put_the_rest((struct otlpshm_span*)span, options);
  }
}

/* ---- a span that is not ---------------------------------------------------------------------- */

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

/* ---- which of them it becomes ---------------------------------------------------------------- */

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
      otlpshm_span_carry_trace_state(span, sampling.threshold, sampling.record_flags);
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

/* Of a caller that was compiled against another version: what this one knows of them. */
static SELDOM void start_by_other_options(struct otlpshm_writer* writer, struct otlpshm_span* span,
                                          const char* name, size_t name_bytes,
                                          const struct otlpshm_start_options* given) {
  struct otlpshm_start_options options;
  (void)otlpshm_options_read(&options, sizeof options, given);
  options.size = sizeof options;
  otlpshm_span_start(writer, span, name, name_bytes, &options);
}

void otlpshm_span_start(struct otlpshm_writer* writer, struct otlpshm_span* public_span,
                        const char* name, size_t name_bytes,
                        const struct otlpshm_start_options* options) {
  if (public_span == NULL) return;
  struct span* span = (struct span*)public_span;
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
