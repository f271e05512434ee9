/* SPDX-License-Identifier: Apache-2.0 */
/* tracestate.h: W3C tracestate lists, read where they stand and written into given bytes.
 *   Owns   nothing: a list borrows its members' text.
 *   Never  allocates; what is malformed in one place is malformed as a whole.
 *   Source W3C Trace Context level 2, section tracestate. */
#ifndef OTLPSHM_SRC_TRACESTATE_H
#define OTLPSHM_SRC_TRACESTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "otlpshm/context.h"

#define TRACESTATE_MEMBERS_MAX 32u
#define TRACESTATE_TEXT_MAX 256u /* of a key, and of a value */

struct otlpshm_tracestate_member {
  const char* text; /* key=value */
  uint16_t bytes;
  uint16_t key_bytes;
};

struct otlpshm_tracestate_list {
  uint32_t count;
  struct otlpshm_tracestate_member members[TRACESTATE_MEMBERS_MAX];
};

/* Appends a header's members to the list. False when it is malformed, has a key that is there
 * already, or too many members. */
bool otlpshm_tracestate_parse(struct otlpshm_tracestate_list* list, struct otlpshm_text header);

/* Writes the members that fit into the room, by the rule of context.h; the first `pinned` ones are
 * never left out, and fit. Requires a room that otlpshm_tracestate_is_room. */
void otlpshm_tracestate_write(struct otlpshm_tracestate_list* list, uint32_t pinned,
                              struct otlpshm_text_room* room);

static inline bool otlpshm_tracestate_is_room(const struct otlpshm_text_room* room) {
  return room != NULL && room->text != NULL && room->capacity > OTLPSHM_TRACESTATE_BYTES;
}

/* The value of the key's member, borrowed from the list; absent when there is none or the list is
 * malformed. */
struct otlpshm_text otlpshm_tracestate_find(struct otlpshm_text list, struct otlpshm_text key);

/* Writes the list with `key=value` at its front, or without the key when the value is absent or
 * empty, into out, with a NUL; the others keep their order, and are left out by the rule of
 * context.h. A malformed list counts as empty.
 * Returns the bytes written, without the NUL. Writes the list without the key when the member is
 * not one that the grammar and out allow. */
size_t otlpshm_tracestate_rewrite(struct otlpshm_text list, struct otlpshm_text key,
                                  struct otlpshm_text value,
                                  char out[OTLPSHM_TRACESTATE_BYTES + 1]);

#endif
