/* SPDX-License-Identifier: Apache-2.0 */
/* tracestate.c: see tracestate.h. */
#include "tracestate.h"

#include <string.h>

#include "text.h"

#define LONG_MEMBER_BYTES 128u /* longer ones are the first to be left out */

/* ---- grammar --------------------------------------------------------------------------------- */

static bool is_key_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_key(const char* text, size_t bytes) {
  if (bytes == 0 || bytes > TRACESTATE_TEXT_MAX || !is_key_start(text[0])) return false;
  for (size_t i = 1; i < bytes; ++i) {
    const char c = text[i];
    if (!is_key_start(c) && c != '_' && c != '-' && c != '*' && c != '/' && c != '@') return false;
  }
  return true;
}

static bool is_value(const char* text, size_t bytes) {
  if (bytes == 0 || bytes > TRACESTATE_TEXT_MAX || text[bytes - 1] == ' ') return false;
  for (size_t i = 0; i < bytes; ++i) {
    const char c = text[i];
    if (c < 0x20 || c > 0x7e || c == ',' || c == '=') return false;
  }
  return true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* The index of the key's member, or count. */
static uint32_t index_of(const struct otlpshm_tracestate_list* list, const char* key,
                         size_t key_bytes) {
  uint32_t i = 0;
  for (; i < list->count; ++i) {
    const struct otlpshm_tracestate_member* member = &list->members[i];
    if (member->key_bytes == key_bytes && memcmp(member->text, key, key_bytes) == 0) break;
  }
  return i;
}

static void take_out(struct otlpshm_tracestate_list* list, uint32_t index) {
  --list->count;
  memmove(&list->members[index], &list->members[index + 1],
          (list->count - index) * sizeof list->members[0]);
}

static bool append(struct otlpshm_tracestate_list* list, struct otlpshm_text member) {
  const char* equals = memchr(member.text, '=', member.bytes);
  if (equals == NULL || list->count == TRACESTATE_MEMBERS_MAX) return false;
  const size_t key_bytes = (size_t)(equals - member.text);
  if (!is_key(member.text, key_bytes)) return false;
  if (!is_value(equals + 1, member.bytes - key_bytes - 1)) return false;
  if (index_of(list, member.text, key_bytes) < list->count) return false;
  list->members[list->count++] = (struct otlpshm_tracestate_member){
      .text = member.text, .bytes = (uint16_t)member.bytes, .key_bytes = (uint16_t)key_bytes};
  return true;
}

bool otlpshm_tracestate_parse(struct otlpshm_tracestate_list* list, struct otlpshm_text header) {
  if (header.text == NULL) return true;
  size_t offset = 0;
  while (offset <= header.bytes) {
    const struct otlpshm_text member = otlpshm_text_until(header, &offset, ',');
    if (member.bytes > 0 && !append(list, member)) return false;
  }
  return true;
}

/* The list, or an empty one when it is malformed. */
static void parse_or_clear(struct otlpshm_tracestate_list* list, struct otlpshm_text header) {
  list->count = 0;
  if (!otlpshm_tracestate_parse(list, header)) list->count = 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void leave_out(struct otlpshm_tracestate_list* list, uint32_t pinned, size_t capacity) {
  size_t bytes = 0; /* each member's, and of what stands behind it: a comma, or the NUL */
  for (uint32_t i = 0; i < list->count; ++i) bytes += list->members[i].bytes + 1u;
  for (uint32_t i = list->count; i > pinned && bytes > capacity; --i) {
    if (list->members[i - 1].bytes <= LONG_MEMBER_BYTES) continue;
    bytes -= list->members[i - 1].bytes + 1u;
    take_out(list, i - 1);
  }
  while (list->count > pinned && bytes > capacity) {
    bytes -= list->members[--list->count].bytes + 1u;
  }
}

void otlpshm_tracestate_write(struct otlpshm_tracestate_list* list, uint32_t pinned,
                              struct otlpshm_text_room* room) {
  leave_out(list, pinned, room->capacity);
  char* at = room->text;
  for (uint32_t i = 0; i < list->count; ++i) {
    if (i > 0) *at++ = ',';
    memcpy(at, list->members[i].text, list->members[i].bytes);
    at += list->members[i].bytes;
  }
  *at = '\0';
  room->bytes = (size_t)(at - room->text);
}

/* ---- members --------------------------------------------------------------------------------- */

struct otlpshm_text otlpshm_tracestate_find(struct otlpshm_text text, struct otlpshm_text key) {
  struct otlpshm_tracestate_list list;
  parse_or_clear(&list, text);
  const uint32_t index = key.text == NULL ? list.count : index_of(&list, key.text, key.bytes);
  if (index == list.count) return (struct otlpshm_text){NULL, 0};
  const struct otlpshm_tracestate_member* member = &list.members[index];
  return (struct otlpshm_text){member->text + member->key_bytes + 1,
                               member->bytes - member->key_bytes - 1u};
}

struct otlpshm_text otlpshm_tracestate_get(struct otlpshm_text list, struct otlpshm_text key) {
  return otlpshm_tracestate_find(list, key);
}

int otlpshm_tracestate_remove(struct otlpshm_text text, struct otlpshm_text key,
                              struct otlpshm_text_room* room) {
  otlpshm_text_clear(room);
  if (!otlpshm_tracestate_is_room(room) || key.text == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  struct otlpshm_tracestate_list list;
  parse_or_clear(&list, text);
  const uint32_t index = index_of(&list, key.text, key.bytes);
  if (index < list.count) take_out(&list, index);
  otlpshm_tracestate_write(&list, 0, room);
  return OTLPSHM_OK;
}

int otlpshm_tracestate_set(struct otlpshm_text text, struct otlpshm_text key,
                           struct otlpshm_text value, struct otlpshm_text_room* room) {
  otlpshm_text_clear(room);
  if (!otlpshm_tracestate_is_room(room) || key.text == NULL || value.text == NULL ||
      !is_key(key.text, key.bytes) || !is_value(value.text, value.bytes)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  char member[2 * TRACESTATE_TEXT_MAX + 1];
  memcpy(member, key.text, key.bytes);
  member[key.bytes] = '=';
  memcpy(member + key.bytes + 1, value.text, value.bytes);
  const struct otlpshm_tracestate_member added = {.text = member,
                                                  .bytes = (uint16_t)(key.bytes + 1 + value.bytes),
                                                  .key_bytes = (uint16_t)key.bytes};
  if (added.bytes >= room->capacity) return OTLPSHM_ERROR_NO_MEMORY;

  struct otlpshm_tracestate_list list;
  parse_or_clear(&list, text);
  const uint32_t index = index_of(&list, key.text, key.bytes);
  if (index < list.count) take_out(&list, index);
  if (list.count == TRACESTATE_MEMBERS_MAX) --list.count;
  memmove(&list.members[1], &list.members[0], list.count * sizeof list.members[0]);
  list.members[0] = added;
  ++list.count;
  otlpshm_tracestate_write(&list, 1, room);
  return OTLPSHM_OK;
}

size_t otlpshm_tracestate_rewrite(struct otlpshm_text list, struct otlpshm_text key,
                                  struct otlpshm_text value,
                                  char out[OTLPSHM_TRACESTATE_BYTES + 1]) {
  struct otlpshm_text_room room = {.text = out, .capacity = OTLPSHM_TRACESTATE_BYTES + 1};
  if (otlpshm_tracestate_set(list, key, value, &room) != OTLPSHM_OK) {
    (void)otlpshm_tracestate_remove(list, key, &room);
  }
  return room.bytes;
}
