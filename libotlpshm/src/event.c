/* SPDX-License-Identifier: Apache-2.0 */
/* event.c: events, exceptions and links of a span.
 *   Owns   nothing; it appends to the span's bytes.
 *   Loses  events and links beyond the limits or without room, counted in the span.
 *   Source OpenTelemetry Trace API: Add Event, Record Exception, Add Link; semantic conventions,
 *          Exceptions. */
#include "attach.h"
#include "clock.h"
#include "hex.h"
#include "span.h"
#include "text.h"
#include "writer.h"

#define EXCEPTION_ATTRIBUTES 3u

static uint64_t now_unix_nano(const struct span* span) {
  return otlpshm_clock_now(&span->attachment->clock).unix_nano;
}

static void drop_event(struct span* span) {
  ++span->events_dropped;
  add_relaxed_u64(&span->attachment->events_dropped, 1);
}

static void drop_link(struct span* span) {
  ++span->links_dropped;
  add_relaxed_u64(&span->attachment->links_dropped, 1);
}

/* What an event consists of; the exception's attributes yield to the caller's. */
struct event {
  const char* name;
  size_t name_bytes;
  uint64_t unix_nano;
  const struct otlpshm_attribute* own;
  size_t own_count;
  const struct otlpshm_attribute* attributes;
  size_t attribute_count;
};

static void put_event(struct otlpshm_cursor* cursor, const struct event* event,
                      const struct otlpshm_limits* limits, uint32_t* dropped) {
  uint8_t* mark = otlpshm_cursor_open(cursor, SPAN_EVENTS);
  otlpshm_put_u64(cursor, EVENT_TIME, event->unix_nano);
  otlpshm_put_text(cursor, EVENT_NAME, event->name, event->name_bytes);
  uint32_t count_max = limits->event_attribute_count_max;
  *dropped = 0;
  if (event->own_count != 0) {
    const uint32_t own = (uint32_t)event->own_count;
    *dropped +=
        otlpshm_put_attributes(cursor, EVENT_ATTRIBUTES, event->own, own, count_max, limits);
    count_max -= own < count_max ? own : count_max;
  }
  if (event->attribute_count != 0) {
    *dropped += otlpshm_put_attributes(cursor, EVENT_ATTRIBUTES, event->attributes,
                                       event->attribute_count, count_max, limits);
  }
  if (*dropped > 0) otlpshm_put_count(cursor, EVENT_DROPPED_ATTRIBUTES, *dropped);
  otlpshm_cursor_close(cursor, mark);
}

static void add_event(struct span* span, const struct event* event) {
  const struct otlpshm_limits limits = otlpshm_writer_limits(span->writer);
  while (span->event_count < limits.event_count_max) {
    struct otlpshm_cursor cursor = span_room(span);
    uint32_t dropped;
    put_event(&cursor, event, &limits, &dropped);
    if (!cursor.full) {
      span_take(span, &cursor);
      ++span->event_count;
      if (dropped > 0) add_relaxed_u64(&span->attachment->attributes_dropped, dropped);
      return;
    }
    if (!otlpshm_span_grow(span, 1)) break;
  }
  drop_event(span);
}

/* An event without attributes and with a short name, written in one run. */
static bool add_short_event(struct span* span, const char* name, size_t bytes, uint64_t unix_nano) {
  enum { AROUND_NAME = 2 + 9 + 2, SHORT_BYTES = 96 };
  if (name == NULL || bytes - 1 >= SHORT_BYTES || !fits(span, SHORT_BYTES + AROUND_NAME) ||
      span->event_count >= load_relaxed_u32(&span->writer->limits.event_count_max)) {
    return false;
  }
  uint8_t* at = span->bytes + span->used;
  if (copy_short(at + AROUND_NAME, name, bytes) != 0) return false;
  at[0] = TAG(SPAN_EVENTS, WIRE_BYTES);
  at[1] = (uint8_t)(AROUND_NAME - 2 + bytes);
  at[2] = TAG(EVENT_TIME, WIRE_FIXED64);
  memcpy(at + 3, &unix_nano, sizeof unix_nano);
  at[11] = TAG(EVENT_NAME, WIRE_BYTES);
  at[12] = (uint8_t)bytes;
  span->used += AROUND_NAME + (uint32_t)bytes;
  ++span->event_count;
  return true;
}

void otlpshm_span_add_event(struct otlpshm_span* public_span, const char* name, size_t name_bytes,
                            uint64_t unix_nano, const struct otlpshm_attribute* attributes,
                            size_t attribute_count) {
  struct span* span = recording(public_span);
  if (span == NULL) return;
  if (unix_nano == 0) unix_nano = now_unix_nano(span);
  if (attribute_count == 0 && add_short_event(span, name, name_bytes, unix_nano)) return;
  char room[OTLPSHM_NAME_BYTES_MAX];
  const struct event event = {
      .name = otlpshm_span_clean_name(name, &name_bytes, room),
      .name_bytes = name_bytes,
      .unix_nano = unix_nano,
      .attributes = attributes,
      .attribute_count = attribute_count,
  };
  add_event(span, &event);
}

void otlpshm_span_add_event_cstr(struct otlpshm_span* span, const char* name,
                                 const struct otlpshm_attribute* attributes,
                                 size_t attribute_count) {
  otlpshm_span_add_event(span, name, otlpshm_cstr_bytes(name), 0, attributes, attribute_count);
}

/* ---- exceptions ----------------------------------------------------------------------------- */

static bool gives(const struct otlpshm_exception* exception, const char* key) {
  const size_t bytes = strlen(key);
  for (size_t i = 0; exception->attributes != NULL && i < exception->attribute_count; ++i) {
    const struct otlpshm_attribute* attribute = &exception->attributes[i];
    if (attribute->key == NULL) continue;
    const size_t key_bytes =
        attribute->key_bytes != 0 ? attribute->key_bytes : strnlen(attribute->key, bytes + 1);
    if (key_bytes == bytes && memcmp(attribute->key, key, bytes) == 0) return true;
  }
  return false;
}

void otlpshm_span_record_exception(struct otlpshm_span* public_span,
                                   const struct otlpshm_exception* exception) {
  struct span* span = recording(public_span);
  if (span == NULL || exception == NULL) return;
  const struct {
    const char* key;
    const char* text;
    size_t bytes;
  } given[EXCEPTION_ATTRIBUTES] = {
      {"exception.type", exception->type, exception->type_bytes},
      {"exception.message", exception->message, exception->message_bytes},
      {"exception.stacktrace", exception->stacktrace, exception->stacktrace_bytes},
  };
  struct otlpshm_attribute own[EXCEPTION_ATTRIBUTES];
  size_t count = 0;
  for (size_t i = 0; i < EXCEPTION_ATTRIBUTES; ++i) {
    if (given[i].text == NULL || gives(exception, given[i].key)) continue;
    const size_t bytes = given[i].bytes != 0 ? given[i].bytes : strlen(given[i].text);
    const struct otlpshm_attribute attribute = {
        .key = given[i].key,
        .value = {.type = OTLPSHM_VALUE_STRING,
                  .as.string = {.text = given[i].text, .bytes = bytes}},
    };
    own[count++] = attribute;
  }
  const struct event event = {
      .name = "exception",
      .name_bytes = sizeof "exception" - 1,
      .unix_nano = exception->unix_nano != 0 ? exception->unix_nano : now_unix_nano(span),
      .own = own,
      .own_count = count,
      .attributes = exception->attributes,
      .attribute_count = exception->attribute_count,
  };
  add_event(span, &event);
}

/* ---- links ---------------------------------------------------------------------------------- */

/* An id of zeros is left out: some backends reject the request for it. */
static void put_link(struct otlpshm_cursor* cursor, const struct otlpshm_link* link,
                     const struct otlpshm_limits* limits, uint32_t* dropped) {
  const struct otlpshm_context* to = &link->context;
  uint8_t* mark = otlpshm_cursor_open(cursor, SPAN_LINKS);
  if (!otlpshm_is_zero(to->trace_id, sizeof to->trace_id)) {
    otlpshm_put_bytes(cursor, LINK_TRACE_ID, to->trace_id, sizeof to->trace_id);
  }
  if (!otlpshm_is_zero(to->span_id, sizeof to->span_id)) {
    otlpshm_put_bytes(cursor, LINK_SPAN_ID, to->span_id, sizeof to->span_id);
  }
  otlpshm_put_text(cursor, LINK_TRACE_STATE, to->trace_state, to->trace_state_bytes);
  *dropped =
      otlpshm_put_attributes(cursor, LINK_ATTRIBUTES, link->attributes, link->attribute_count,
                             limits->link_attribute_count_max, limits);
  if (*dropped > 0) otlpshm_put_count(cursor, LINK_DROPPED_ATTRIBUTES, *dropped);
  uint32_t flags = to->trace_flags | FLAGS_HAS_IS_REMOTE;
  if (to->is_remote) flags |= FLAGS_IS_REMOTE;
  otlpshm_put_u32(cursor, LINK_FLAGS, flags);
  otlpshm_cursor_close(cursor, mark);
}

void otlpshm_span_add_link(struct otlpshm_span* public_span, const struct otlpshm_link* link) {
  struct span* span = recording(public_span);
  if (span == NULL || link == NULL) return;
  const struct otlpshm_context* to = &link->context;
  const bool has_ids = otlpshm_has_ids(to);
  const bool says_something = (link->attributes != NULL && link->attribute_count != 0) ||
                              (to->trace_state != NULL && to->trace_state_bytes != 0);
  if (!has_ids && !says_something) return;
  const struct otlpshm_limits limits = otlpshm_writer_limits(span->writer);
  while (span->link_count < limits.link_count_max) {
    struct otlpshm_cursor cursor = span_room(span);
    uint32_t dropped;
    put_link(&cursor, link, &limits, &dropped);
    if (!cursor.full) {
      span_take(span, &cursor);
      ++span->link_count;
      if (dropped > 0) add_relaxed_u64(&span->attachment->attributes_dropped, dropped);
      return;
    }
    if (!otlpshm_span_grow(span, 1)) break;
  }
  drop_link(span);
}
