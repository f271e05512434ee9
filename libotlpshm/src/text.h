/* SPDX-License-Identifier: Apache-2.0 */
/* text.h: borrowed text of a length, cut into pieces; and rooms for text.
 *   Owns   nothing.
 *   Source RFC 9110, section 5.6: OWS is spaces and tabs. */
#ifndef OTLPSHM_SRC_TEXT_H
#define OTLPSHM_SRC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "otlpshm/context.h"

/* Of NUL-terminated text; null has none. */
static inline size_t otlpshm_cstr_bytes(const char* text) {
  return text == NULL ? 0 : strlen(text);
}

/* Without the blanks around it. */
static inline struct otlpshm_text otlpshm_text_trim(struct otlpshm_text text) {
  while (text.bytes > 0 && (text.text[0] == ' ' || text.text[0] == '\t')) {
    ++text.text;
    --text.bytes;
  }
  while (text.bytes > 0 &&
         (text.text[text.bytes - 1] == ' ' || text.text[text.bytes - 1] == '\t')) {
    --text.bytes;
  }
  return text;
}

/* What stands between *offset and the next separator, trimmed; *offset moves behind the separator,
 * and beyond the text's end after the last piece. Requires *offset <= text.bytes. */
static inline struct otlpshm_text otlpshm_text_until(struct otlpshm_text text, size_t* offset,
                                                     char separator) {
  struct otlpshm_text piece = {text.text + *offset, text.bytes - *offset};
  const char* end = piece.bytes == 0 ? NULL : memchr(piece.text, separator, piece.bytes);
  if (end != NULL) piece.bytes = (size_t)(end - piece.text);
  *offset += piece.bytes + 1;
  return otlpshm_text_trim(piece);
}

/* Empties a room, as far as there is one. */
static inline void otlpshm_text_clear(struct otlpshm_text_room* room) {
  if (room == NULL) return;
  room->bytes = 0;
  if (room->text != NULL && room->capacity > 0) room->text[0] = '\0';
}

#endif
