/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: what many spans have in common, encoded once.
 *   Owns   a template, from open to close; it refers to nothing.
 *   Never  on the span path: a start copies its bytes. */
#include <errno.h>
#include <stdlib.h>

#include "options.h"
#include "span.h"
#include "writer.h"

static void count_attributes(struct otlpshm_template* made) {
  size_t at = 0;
  size_t value;
  size_t end;
  for (; otlpshm_find_field(made->encoded, made->bytes, SPAN_ATTRIBUTES, &at, &value, &end);
       at = end) {
    const uint8_t* pair = made->encoded + value;
    size_t key_at = 0;
    size_t key = 0;
    size_t key_end = 0;
    (void)otlpshm_find_field(pair, end - value, KEY_VALUE_KEY, &key_at, &key, &key_end);
    const uint8_t hash = hash_key((const char*)pair + key, key_end - key);
    made->keys_seen[hash >> 6] |= UINT64_C(1) << (hash & 63);
    ++made->attribute_count;
  }
}

/* False when it does not fit. */
static bool fill(struct otlpshm_template* made, const struct otlpshm_template_options* options,
                 const struct otlpshm_limits* limits) {
  struct otlpshm_cursor cursor = {
      .at = made->encoded, .end = made->encoded + TEMPLATE_BYTES_MAX, .full = false};
  char room[OTLPSHM_NAME_BYTES_MAX];
  size_t name_bytes = options->name_bytes;
  if (name_bytes == 0 && options->name != NULL) name_bytes = strlen(options->name);
  const char* name = otlpshm_span_clean_name(options->name, &name_bytes, room);
  otlpshm_put_text(&cursor, SPAN_NAME, name, name_bytes);
  made->name_hash = hash_name(name, name_bytes);
  made->name_field_bytes = (uint32_t)(cursor.at - made->encoded);
  made->attributes_dropped =
      otlpshm_put_attributes(&cursor, SPAN_ATTRIBUTES, options->attributes,
                             options->attribute_count, limits->attribute_count_max, limits);
  made->bytes = (uint32_t)(cursor.at - made->encoded);
  made->span_kind = options->kind >= OTLPSHM_KIND_INTERNAL && options->kind <= OTLPSHM_KIND_CONSUMER
                        ? (uint8_t)options->kind
                        : OTLPSHM_KIND_INTERNAL;
  if (cursor.full) return false;
  count_attributes(made);
  return true;
}

int otlpshm_template_open(struct otlpshm_writer* writer, struct otlpshm_template** made,
                          const struct otlpshm_template_options* given) {
  if (made == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  *made = NULL;
  struct otlpshm_template_options read;
  const struct otlpshm_template_options* options = &read;
  if (given == NULL || !otlpshm_options_read(&read, sizeof read, given) ||
      (options->attribute_count != 0 && options->attributes == NULL)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  if (writer != NULL && (load_acquire_u32(&writer->generation) & 1) == 0) {
    return OTLPSHM_ERROR_SHUTDOWN;
  }
  const struct otlpshm_limits limits =
      writer == NULL ? otlpshm_limits_of_environment() : otlpshm_writer_limits(writer);
  const int errno_before = errno;
  struct otlpshm_template* fresh = calloc(1, sizeof *fresh);
  errno = errno_before;
  if (fresh == NULL) return OTLPSHM_ERROR_NO_MEMORY;
  if (!fill(fresh, options, &limits)) {
    otlpshm_template_close(fresh);
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  *made = fresh;
  return OTLPSHM_OK;
}

void otlpshm_template_close(struct otlpshm_template* made) {
  const int errno_before = errno;
  free(made);
  errno = errno_before;
}
