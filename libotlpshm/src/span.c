/* SPDX-License-Identifier: Apache-2.0 */
/* span.c: stations 2 and 3 of a span's life: the API calls that fill a span, and its end.
 *   Owns   the span's bytes, from start to end or discard.
 *   Never  blocks, logs, aborts, sets errno; allocates only when a span outgrows its inline bytes.
 *   Loses  attributes and events beyond the limits or without room, counted in the span itself.
 *   Source OpenTelemetry Trace API and SDK; opentelemetry-proto trace/v1. */
#include "span.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "clock.h"
#include "encode.h"
#include "ids.h"
#include "lane.h"
#include "process.h"
#include "sampling.h"
#include "writer.h"

#define SPAN_FLAGS_HAS_IS_REMOTE 0x100u
#define SPAN_FLAGS_IS_REMOTE 0x200u
#define TRACE_STATE_BYTES_MAX 512u

static struct span* open_span(struct otlpshm_span* span) {
  return (struct span*)span;
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

static bool grow(struct span* span, size_t need) {
  if ((span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) != 0) return false;
  const size_t least = (size_t)span->used + need + SPAN_TAIL_BYTES;
  if (least > SPAN_BYTES_MAX) return false;
  size_t capacity = (size_t)span->capacity * 2;
  if (capacity < least) capacity = least;
  if (capacity > SPAN_BYTES_MAX) capacity = SPAN_BYTES_MAX;
  const int errno_before = errno;
  uint8_t* bytes = malloc(capacity);
  restore_errno(errno_before);
  if (bytes == NULL) return false;
  memcpy(bytes, span->bytes, span->used);
  if (span->bytes != span->inline_bytes) release(span->bytes);
  span->bytes = bytes;
  span->capacity = (uint32_t)capacity;
  return true;
}

static inline bool has_room(struct span* span, size_t need) {
  return (size_t)span->used + need + SPAN_TAIL_BYTES <= span->capacity || grow(span, need);
}

/* Replaces old_bytes at offset by a gap of new_bytes. The room is there. */
static void splice(struct span* span, uint32_t offset, uint32_t old_bytes, uint32_t new_bytes) {
  const uint32_t behind = offset + old_bytes;
  memmove(span->bytes + offset + new_bytes, span->bytes + behind, span->used - behind);
  span->used = span->used - old_bytes + new_bytes;
  if (span->status_offset > offset) span->status_offset += new_bytes - old_bytes;
}

/* ---- start ----------------------------------------------------------------------------------- */

static bool is_context(const struct otlpshm_context* context) {
  if (context == NULL) return false;
  uint64_t words[3];
  memcpy(words, context->trace_id, sizeof context->trace_id);
  memcpy(words + 2, context->span_id, sizeof context->span_id);
  return (words[0] | words[1]) != 0 && words[2] != 0;
}

/* FNV-1a 64. */
static uint64_t hash_name(const char* name, size_t bytes) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < bytes; ++i) {
    hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
  }
  return hash;
}

/* A name as it will be written: cut, and UTF-8. room is used only for text that is not. */
static const char* clean_name(const char* name, size_t* bytes, char room[OTLPSHM_NAME_BYTES_MAX]) {
  if (name == NULL) *bytes = 0;
  if (*bytes == 0) return "";
  if (!otlpshm_utf8_is_valid(name, *bytes)) {
    *bytes = otlpshm_utf8_sanitize(name, *bytes, room, OTLPSHM_NAME_BYTES_MAX);
    return room;
  }
  *bytes = otlpshm_utf8_prefix_of_bytes(name, *bytes, OTLPSHM_NAME_BYTES_MAX);
  return name;
}

/* Writes the name's field into the gap at name_offset, which has the field's size. */
static void put_name(struct span* span, const char* name, size_t bytes) {
  span->name_hash = hash_name(name, bytes);
  if (bytes == 0) return; /* proto3: an empty string is absent */
  (void)put_field(span->bytes + span->name_offset, SPAN_NAME, name, bytes);
}

static void put_fixed_fields(struct span* span, const struct otlpshm_context* parent) {
  uint8_t* bytes = span->bytes;
  if (parent != NULL) {
    bytes[SPAN_PARENT_OFFSET] = SPAN_PARENT_SPAN_ID << 3 | WIRE_BYTES;
    bytes[SPAN_PARENT_OFFSET + 1] = sizeof parent->span_id;
    memcpy(bytes + SPAN_PARENT_OFFSET + 2, parent->span_id, sizeof parent->span_id);
  }
  uint8_t* trace_id = bytes + SPAN_TRACE_ID_OFFSET;
  uint8_t* span_id = bytes + SPAN_SPAN_ID_OFFSET;
  trace_id[0] = SPAN_TRACE_ID << 3 | WIRE_BYTES;
  trace_id[1] = 16;
  span_id[0] = SPAN_SPAN_ID << 3 | WIRE_BYTES;
  span_id[1] = 8;
  if (parent != NULL) {
    memcpy(trace_id + 2, parent->trace_id, sizeof parent->trace_id);
    otlpshm_ids_span(&otlpshm_thread, span_id + 2);
  } else {
    otlpshm_ids_trace_and_span(&otlpshm_thread, trace_id + 2, span_id + 2);
  }
  bytes[SPAN_KIND_OFFSET] = SPAN_KIND << 3 | WIRE_VARINT;
  bytes[SPAN_KIND_OFFSET + 1] = span->span_kind;
  bytes[SPAN_START_OFFSET] = SPAN_START << 3 | WIRE_FIXED64;
  memcpy(bytes + SPAN_START_OFFSET + 1, &span->start_unix_nano, sizeof span->start_unix_nano);
  bytes[SPAN_END_OFFSET] = SPAN_END << 3 | WIRE_FIXED64;
  uint8_t* flags = put_tag(bytes + SPAN_FLAGS_OFFSET, SPAN_FLAGS, WIRE_FIXED32);
  memcpy(flags, &span->span_flags, sizeof span->span_flags);
}

static void put_trace_state(struct span* span, const struct otlpshm_context* parent) {
  const size_t bytes = parent == NULL ? 0 : parent->trace_state_bytes;
  if (bytes == 0 || bytes > TRACE_STATE_BYTES_MAX || parent->trace_state == NULL) return;
  if (!otlpshm_utf8_is_valid(parent->trace_state, bytes)) return;
  if (!has_room(span, field_bytes(SPAN_TRACE_STATE, bytes))) return;
  uint8_t* end = put_field(span->bytes + span->used, SPAN_TRACE_STATE, parent->trace_state, bytes);
  span->used = (uint32_t)(end - span->bytes);
  span->trace_state_bytes = (uint32_t)bytes;
  span->trace_state_offset = span->used - span->trace_state_bytes;
}

/* True when the span will be kept: this process is ready and has a segment. A span that will not be
 * kept although a directory is there counts as dropped. */
static bool can_record(struct otlpshm_attachment* attachment, uint32_t flags) {
  if (attachment == NULL) return false;
  if (otlpshm_process_ready()) {
    if (load_acquire_pointer(&attachment->current) != NULL) return true;
    if ((flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0 && otlpshm_attach_may_enter_kernel(attachment) &&
        otlpshm_attach_now(attachment, otlpshm_clock_coarse()) != NULL) {
      return true;
    }
  }
  if (load_relaxed_u32(&attachment->directory_there) != 0) {
    (void)otlpshm_attach_drop_later(attachment, otlpshm_drop_no_segment);
  }
  return false;
}

void otlpshm_span_start(struct otlpshm_writer* writer, struct otlpshm_span* public_span,
                        const char* name, size_t name_bytes,
                        const struct otlpshm_start_options* options) {
  if (public_span == NULL) return;
  struct span* span = open_span(public_span);
  static const struct otlpshm_start_options defaults = {.size = sizeof defaults};
  if (options == NULL || options->size != sizeof *options) options = &defaults;
  const struct otlpshm_context* parent = is_context(options->parent) ? options->parent : NULL;

  span->writer = NULL;
  const uint32_t generation = writer == NULL ? 0 : load_acquire_u32(&writer->generation);
  struct otlpshm_attachment* attachment =
      writer == NULL ? NULL : load_relaxed_pointer(&writer->attachment);
  if ((generation & 1) == 0 || !can_record(attachment, options->flags)) {
    memset(&span->context, 0, sizeof span->context);
    if (parent != NULL) span->context = *parent;
    return;
  }

  const struct otlpshm_sampling sampling = otlpshm_sampling_decide(parent);
  memset(span, 0, offsetof(struct span, inline_bytes));
  span->writer = writer;
  span->attachment = attachment;
  span->scope_index = (uint16_t)load_relaxed_u32(&writer->scope_index);
  span->limits = otlpshm_writer_limits(writer);
  span->writer_generation = generation;
  span->nonce = otlpshm_thread.nonce;
  span->bytes = span->inline_bytes;
  span->capacity = sizeof span->inline_bytes;
  span->used = SPAN_VARIABLE_OFFSET;
  span->flags = options->flags;
  span->has_parent = parent != NULL;
  span->span_kind = options->kind >= OTLPSHM_KIND_INTERNAL && options->kind <= OTLPSHM_KIND_CONSUMER
                        ? (uint8_t)options->kind
                        : OTLPSHM_KIND_INTERNAL;
  span->record_flags = sampling.record_flags;
  span->span_flags = sampling.trace_flags | SPAN_FLAGS_HAS_IS_REMOTE;
  if (parent != NULL && parent->is_remote) span->span_flags |= SPAN_FLAGS_IS_REMOTE;
  span->start_monotonic = otlpshm_clock_monotonic();
  span->start_unix_nano = options->start_unix_nano != 0
                              ? options->start_unix_nano
                              : span->start_monotonic + otlpshm_clock_offset(span->start_monotonic);
  put_fixed_fields(span, parent);
  put_trace_state(span, parent);
  span->name_offset = span->used;
  otlpshm_span_update_name(public_span, name, name_bytes);
}

void otlpshm_span_start_cstr(struct otlpshm_writer* writer, struct otlpshm_span* span,
                             const char* name, const struct otlpshm_start_options* options) {
  otlpshm_span_start(writer, span, name, name == NULL ? 0 : strlen(name), options);
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
    *context = span->context;
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
  if (!otlpshm_span_is_recording(public_span)) return;
  struct span* span = open_span(public_span);
  char room[OTLPSHM_NAME_BYTES_MAX];
  name = clean_name(name, &bytes, room);
  uint32_t size = bytes == 0 ? 0 : (uint32_t)field_bytes(SPAN_NAME, bytes);
  if (size > span->name_field_bytes && !has_room(span, size - span->name_field_bytes)) {
    const size_t spare = span->capacity - span->used - SPAN_TAIL_BYTES + span->name_field_bytes;
    bytes = spare < 4 ? 0 : otlpshm_utf8_prefix_of_bytes(name, bytes, spare - 3);
    size = bytes == 0 ? 0 : (uint32_t)field_bytes(SPAN_NAME, bytes);
  }
  splice(span, span->name_offset, span->name_field_bytes, size);
  span->name_field_bytes = size;
  put_name(span, name, bytes);
}

/* A bit for a key: cheap, and clear for most keys that were not set before. */
static uint64_t key_bit(const struct otlpshm_key_value* pair) {
  uint64_t word = pair->key_bytes;
  if (pair->key_bytes >= 8) {
    uint64_t ends[2];
    memcpy(&ends[0], pair->key, 8);
    memcpy(&ends[1], pair->key + pair->key_bytes - 8, 8);
    word += ends[0] ^ (ends[1] << 1);
  } else {
    memcpy(&word, pair->key, pair->key_bytes);
    word += pair->key_bytes;
  }
  return UINT64_C(1) << ((word * UINT64_C(0x9e3779b97f4a7c15)) >> 58);
}

/* Removes the attribute with the key, if it is there. */
static void remove_attribute(struct span* span, const struct otlpshm_key_value* pair) {
  const uint8_t* message = span->bytes + SPAN_VARIABLE_OFFSET;
  const size_t bytes = span->used - SPAN_VARIABLE_OFFSET;
  size_t offset = 0;
  size_t value;
  size_t end;
  for (; otlpshm_find_field(message, bytes, SPAN_ATTRIBUTES, &offset, &value, &end); offset = end) {
    size_t key_offset = 0;
    size_t key;
    size_t key_end;
    if (!otlpshm_find_field(message + value, end - value, KEY_VALUE_KEY, &key_offset, &key,
                            &key_end)) {
      continue;
    }
    if (key_end - key == pair->key_bytes &&
        memcmp(message + value + key, pair->key, pair->key_bytes) == 0) {
      splice(span, SPAN_VARIABLE_OFFSET + (uint32_t)offset, (uint32_t)(end - offset), 0);
      --span->attribute_count;
      return;
    }
  }
}

static void drop_attribute(struct span* span) {
  ++span->attributes_dropped;
  add_relaxed_u64(&span->attachment->attributes_dropped, 1);
}

static void set_attribute(struct otlpshm_span* public_span,
                          const struct otlpshm_attribute* attribute) {
  if (!otlpshm_span_is_recording(public_span)) return;
  struct span* span = open_span(public_span);
  const struct otlpshm_limits* limits = &span->limits;
  struct otlpshm_key_value pair;
  if (!otlpshm_key_value_of(&pair, attribute, limits->attribute_value_length_max)) {
    drop_attribute(span);
    return;
  }
  const size_t message_bytes = otlpshm_key_value_bytes(&pair);
  const size_t bytes = field_bytes(SPAN_ATTRIBUTES, message_bytes);
  if (bytes > SPAN_BYTES_MAX || !has_room(span, bytes)) {
    drop_attribute(span);
    return;
  }
  const uint64_t bit = key_bit(&pair);
  if ((span->keys_seen & bit) != 0) remove_attribute(span, &pair);
  if (span->attribute_count >= limits->attribute_count_max) {
    drop_attribute(span);
    return;
  }
  span->keys_seen |= bit;
  ++span->attribute_count;
  uint8_t* at = put_length(span->bytes + span->used, SPAN_ATTRIBUTES, message_bytes);
  span->used = (uint32_t)(otlpshm_put_key_value(at, &pair) - span->bytes);
}

void otlpshm_span_set_string(struct otlpshm_span* span, const char* key, size_t key_bytes,
                             const char* value, size_t value_bytes) {
  const struct otlpshm_attribute attribute = {
      .key = key_bytes == 0 ? NULL : key,
      .key_bytes = key_bytes,
      .type = OTLPSHM_VALUE_STRING,
      .value.string = {.text = value, .bytes = value_bytes},
  };
  set_attribute(span, &attribute);
}

void otlpshm_span_set_int(struct otlpshm_span* span, const char* key, size_t key_bytes,
                          int64_t value) {
  const struct otlpshm_attribute attribute = {.key = key_bytes == 0 ? NULL : key,
                                              .key_bytes = key_bytes,
                                              .type = OTLPSHM_VALUE_INT,
                                              .value.integer = value};
  set_attribute(span, &attribute);
}

void otlpshm_span_set_double(struct otlpshm_span* span, const char* key, size_t key_bytes,
                             double value) {
  const struct otlpshm_attribute attribute = {.key = key_bytes == 0 ? NULL : key,
                                              .key_bytes = key_bytes,
                                              .type = OTLPSHM_VALUE_DOUBLE,
                                              .value.number = value};
  set_attribute(span, &attribute);
}

void otlpshm_span_set_bool(struct otlpshm_span* span, const char* key, size_t key_bytes,
                           int value) {
  const struct otlpshm_attribute attribute = {.key = key_bytes == 0 ? NULL : key,
                                              .key_bytes = key_bytes,
                                              .type = OTLPSHM_VALUE_BOOL,
                                              .value.boolean = value};
  set_attribute(span, &attribute);
}

static size_t bytes_of(const char* text) {
  return text == NULL ? 0 : strlen(text);
}

void otlpshm_span_set_string_cstr(struct otlpshm_span* span, const char* key, const char* value) {
  otlpshm_span_set_string(span, key, bytes_of(key), value, bytes_of(value));
}

void otlpshm_span_set_int_cstr(struct otlpshm_span* span, const char* key, int64_t value) {
  otlpshm_span_set_int(span, key, bytes_of(key), value);
}

void otlpshm_span_set_double_cstr(struct otlpshm_span* span, const char* key, double value) {
  otlpshm_span_set_double(span, key, bytes_of(key), value);
}

void otlpshm_span_set_bool_cstr(struct otlpshm_span* span, const char* key, int value) {
  otlpshm_span_set_bool(span, key, bytes_of(key), value);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Size of the event's attributes; those that cannot be kept are counted. */
static size_t event_attributes_bytes(const struct span* span,
                                     const struct otlpshm_attribute* attributes, size_t count,
                                     uint32_t* dropped) {
  const struct otlpshm_limits* limits = &span->limits;
  size_t bytes = 0;
  uint32_t kept = 0;
  *dropped = 0;
  for (size_t i = 0; i < count; ++i) {
    struct otlpshm_key_value pair;
    if (kept < limits->event_attribute_count_max &&
        otlpshm_key_value_of(&pair, &attributes[i], limits->attribute_value_length_max)) {
      bytes += field_bytes(EVENT_ATTRIBUTES, otlpshm_key_value_bytes(&pair));
      ++kept;
    } else {
      ++*dropped;
    }
  }
  return bytes;
}

static uint8_t* put_event_attributes(uint8_t* at, const struct span* span,
                                     const struct otlpshm_attribute* attributes, size_t count) {
  const struct otlpshm_limits* limits = &span->limits;
  uint32_t kept = 0;
  for (size_t i = 0; i < count && kept < limits->event_attribute_count_max; ++i) {
    struct otlpshm_key_value pair;
    if (!otlpshm_key_value_of(&pair, &attributes[i], limits->attribute_value_length_max)) continue;
    at = put_length(at, EVENT_ATTRIBUTES, otlpshm_key_value_bytes(&pair));
    at = otlpshm_put_key_value(at, &pair);
    ++kept;
  }
  return at;
}

static uint64_t now_unix_nano(void) {
  const uint64_t now = otlpshm_clock_monotonic();
  return now + otlpshm_clock_offset(now);
}

void otlpshm_span_add_event(struct otlpshm_span* public_span, const char* name, size_t name_bytes,
                            uint64_t unix_nano, const struct otlpshm_attribute* attributes,
                            size_t attribute_count) {
  if (!otlpshm_span_is_recording(public_span)) return;
  struct span* span = open_span(public_span);
  if (attributes == NULL) attribute_count = 0;
  if (unix_nano == 0) unix_nano = now_unix_nano();
  char room[OTLPSHM_NAME_BYTES_MAX];
  name = clean_name(name, &name_bytes, room);
  uint32_t dropped;
  size_t bytes = 9 + event_attributes_bytes(span, attributes, attribute_count, &dropped);
  if (name_bytes > 0) bytes += field_bytes(EVENT_NAME, name_bytes);
  if (dropped > 0) bytes += 1 + varint_bytes(dropped);
  if (span->event_count >= span->limits.event_count_max || bytes > SPAN_BYTES_MAX ||
      !has_room(span, field_bytes(SPAN_EVENTS, bytes))) {
    ++span->events_dropped;
    return;
  }
  uint8_t* at = put_length(span->bytes + span->used, SPAN_EVENTS, bytes);
  at = put_fixed64(put_tag(at, EVENT_TIME, WIRE_FIXED64), unix_nano);
  if (name_bytes > 0) at = put_field(at, EVENT_NAME, name, name_bytes);
  at = put_event_attributes(at, span, attributes, attribute_count);
  if (dropped > 0) at = put_varint(put_tag(at, EVENT_DROPPED_ATTRIBUTES, WIRE_VARINT), dropped);
  span->used = (uint32_t)(at - span->bytes);
  ++span->event_count;
}

void otlpshm_span_add_event_cstr(struct otlpshm_span* span, const char* name,
                                 const struct otlpshm_attribute* attributes,
                                 size_t attribute_count) {
  otlpshm_span_add_event(span, name, bytes_of(name), 0, attributes, attribute_count);
}

/* ---- status ---------------------------------------------------------------------------------- */

void otlpshm_span_set_status(struct otlpshm_span* public_span, int code, const char* description,
                             size_t bytes) {
  if (!otlpshm_span_is_recording(public_span)) return;
  struct span* span = open_span(public_span);
  if (code != OTLPSHM_STATUS_OK && code != OTLPSHM_STATUS_ERROR) return;
  if (span->status_code == OTLPSHM_STATUS_OK) return;
  if (span->status_offset != 0) {
    const uint32_t offset = span->status_offset;
    span->status_offset = 0;
    splice(span, offset, span->status_field_bytes, 0);
    span->status_field_bytes = 0;
  }
  span->status_code = (uint8_t)code;

  char room[OTLPSHM_NAME_BYTES_MAX];
  if (code != OTLPSHM_STATUS_ERROR) bytes = 0;
  description = clean_name(description, &bytes, room);
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
  otlpshm_span_set_status(span, code, description, bytes_of(description));
}

/* ---- end ------------------------------------------------------------------------------------- */

static void forget(struct span* span) {
  if (span->bytes != span->inline_bytes) release(span->bytes);
  span->writer = NULL;
  memset(&span->context, 0, sizeof span->context);
}

/* The room was kept: SPAN_TAIL_BYTES. */
static void put_tail(struct span* span) {
  uint8_t* at = span->bytes + span->used;
  if (span->attributes_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_ATTRIBUTES, WIRE_VARINT), span->attributes_dropped);
  }
  if (span->events_dropped > 0) {
    at = put_varint(put_tag(at, SPAN_DROPPED_EVENTS, WIRE_VARINT), span->events_dropped);
  }
  if (span->status_code != OTLPSHM_STATUS_UNSET && span->status_offset == 0) {
    at = put_length(at, SPAN_STATUS, 2);
    at = put_varint(put_tag(at, STATUS_CODE, WIRE_VARINT), span->status_code);
  }
  span->used = (uint32_t)(at - span->bytes);
}
_Static_assert(SPAN_TAIL_BYTES >= 2 * 6 + SPAN_STATUS_CODE_BYTES, "put_tail needs this room");

static void put_header(const struct span* span, uint8_t* at, uint64_t duration_nano) {
  struct otlpshm_record_header header;
  memset(&header, 0, sizeof header);
  memcpy(header.trace_id, span->bytes + SPAN_TRACE_ID_OFFSET + 2, sizeof header.trace_id);
  memcpy(header.span_id, span->bytes + SPAN_SPAN_ID_OFFSET + 2, sizeof header.span_id);
  header.duration_nano = duration_nano;
  header.name_hash = span->name_hash;
  header.scope_index = span->scope_index;
  header.record_flags = span->record_flags;
  header.span_flags = span->span_flags;
  header.record_kind = OTLPSHM_RECORD_SPAN;
  header.span_kind = span->span_kind;
  header.status_code = span->status_code;
  memcpy(at, &header, sizeof header);
}

static int commit(struct span* span, uint64_t now, uint64_t end_unix_nano) {
  const uint64_t duration =
      end_unix_nano > span->start_unix_nano ? end_unix_nano - span->start_unix_nano : 0;
  memcpy(span->bytes + SPAN_END_OFFSET + 1, &end_unix_nano, sizeof end_unix_nano);
  put_tail(span);
  /* Without a parent the header stands where the parent would: one piece either way. */
  const uint32_t first = span->has_parent ? 0 : SPAN_PARENT_BYTES;
  put_header(span, span->bytes + first, duration);
  const struct otlpshm_record record = {.bytes = span->bytes + first, .size = span->used - first};
  return otlpshm_lane_commit(span->attachment, &record, now,
                             (span->flags & OTLPSHM_SPAN_SIGNAL_SAFE) == 0);
}

static int end(struct otlpshm_span* public_span, uint64_t now, uint64_t end_unix_nano) {
  struct span* span = open_span(public_span);
  struct otlpshm_attachment* attachment = span->attachment;
  int status;
  if (!otlpshm_process_ready()) {
    status = otlpshm_attach_drop_later(attachment, otlpshm_drop_forked);
  } else if (span->nonce != otlpshm_thread.nonce) {
    status = otlpshm_attach_drop(attachment, otlpshm_drop_forked);
  } else if (load_acquire_u32(&span->writer->generation) != span->writer_generation) {
    status = otlpshm_attach_drop(attachment, otlpshm_drop_shutdown);
  } else {
    status = commit(span, now, end_unix_nano);
  }
  forget(span);
  return status;
}

int otlpshm_span_end(struct otlpshm_span* public_span) {
  if (!otlpshm_span_is_recording(public_span)) return OTLPSHM_OK;
  const struct span* span = open_span(public_span);
  const uint64_t now = otlpshm_clock_monotonic();
  return end(public_span, now, span->start_unix_nano + (now - span->start_monotonic));
}

int otlpshm_span_end_at(struct otlpshm_span* span, uint64_t end_unix_nano) {
  if (!otlpshm_span_is_recording(span)) return OTLPSHM_OK;
  return end(span, otlpshm_clock_monotonic(), end_unix_nano);
}

void otlpshm_span_discard(struct otlpshm_span* span) {
  if (otlpshm_span_is_recording(span)) forget(open_span(span));
}
