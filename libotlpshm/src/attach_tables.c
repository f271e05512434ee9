/* SPDX-License-Identifier: Apache-2.0 */
/* attach_tables.c: the resources and scopes that this process's writers register.
 *   Owns   the rows of the attachment, which each new segment gets, and those that spans carry.
 *   Never  changes or removes a row; under the attachment's mutex throughout.
 *   Loses  nothing: what the tables have no room for its spans carry themselves, up to 1 MiB.
 *   Layout docs/abi.md#tables.   Order  SYNC(tables). */
#include <stdlib.h>
#include <string.h>

#include "attach.h"

static void write_row(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                      uint32_t table_offset, uint32_t index,
                      const struct otlpshm_table_entry* row) {
  memcpy(segment->base + OTLPSHM_TABLE_BYTES_OFFSET + row->offset,
         attachment->table_bytes + row->offset, row->bytes);
  memcpy(segment->base + table_offset + index * sizeof *row, row, sizeof *row);
}

/* The rows that are not counted yet: the daemon may be reading the others. */
void otlpshm_attach_write_tables(struct otlpshm_attachment* attachment,
                                 struct otlpshm_segment* segment) {
  const struct otlpshm_control* control = segment->control;
  for (uint32_t i = load_relaxed_u32(&control->resource_count); i < attachment->resource_count;
       ++i) {
    write_row(attachment, segment, OTLPSHM_RESOURCE_TABLE_OFFSET, i, &attachment->resources[i]);
  }
  for (uint32_t i = load_relaxed_u32(&control->scope_count); i < attachment->scope_count; ++i) {
    write_row(attachment, segment, OTLPSHM_SCOPE_TABLE_OFFSET, i, &attachment->scopes[i]);
  }
  store_release_u32(&segment->control->resource_count,
                    attachment->resource_count);                              /* SYNC(tables) */
  store_release_u32(&segment->control->scope_count, attachment->scope_count); /* SYNC(tables) */
}

static int add_row(struct otlpshm_attachment* attachment, struct otlpshm_table_entry* rows,
                   uint32_t* row_count, uint32_t rows_max, const uint8_t* bytes, size_t count,
                   uint16_t resource_index) {
  for (uint32_t i = 0; i < *row_count; ++i) {
    if (rows[i].bytes == count && rows[i].resource_index == resource_index &&
        memcmp(attachment->table_bytes + rows[i].offset, bytes, count) == 0) {
      return (int)i;
    }
  }
  if (*row_count == rows_max || count > OTLPSHM_TABLE_BYTES_MAX - attachment->table_bytes_used) {
    return -1;
  }
  struct otlpshm_table_entry* row = &rows[*row_count];
  memset(row, 0, sizeof *row);
  row->offset = attachment->table_bytes_used;
  row->bytes = (uint32_t)count;
  row->resource_index = resource_index;
  memcpy(attachment->table_bytes + row->offset, bytes, count);
  attachment->table_bytes_used += (uint32_t)count;
  ++*row_count;
  struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  if (segment != NULL) otlpshm_attach_write_tables(attachment, segment);
  return (int)*row_count - 1;
}

int otlpshm_attach_resource(struct otlpshm_attachment* attachment, const uint8_t* bytes,
                            size_t count) {
  otlpshm_attach_lock(attachment);
  const int index = add_row(attachment, attachment->resources, &attachment->resource_count,
                            OTLPSHM_RESOURCES_MAX, bytes, count, 0);
  otlpshm_attach_unlock(attachment);
  return index;
}

int otlpshm_attach_scope(struct otlpshm_attachment* attachment, const uint8_t* bytes, size_t count,
                         uint16_t resource_index) {
  otlpshm_attach_lock(attachment);
  const int index = add_row(attachment, attachment->scopes, &attachment->scope_count,
                            OTLPSHM_SCOPES_MAX, bytes, count, resource_index);
  otlpshm_attach_unlock(attachment);
  return index;
}

const struct otlpshm_inline_rows* otlpshm_attach_inline(struct otlpshm_attachment* attachment,
                                                        const uint8_t* resource,
                                                        size_t resource_bytes, const uint8_t* scope,
                                                        size_t scope_bytes) {
  const size_t most = attachment->record_bytes_max / 2;
  if (resource_bytes > most || scope_bytes > most) return NULL;
  const uint32_t counts[2] = {(uint32_t)resource_bytes, (uint32_t)scope_bytes};
  const size_t size = sizeof counts + resource_bytes + scope_bytes;
  if (size > most) return NULL;
  struct otlpshm_inline_rows* rows = malloc(sizeof *rows + size);
  if (rows == NULL) return NULL;
  uint8_t* at = (uint8_t*)(rows + 1);
  rows->size = (uint32_t)size;
  rows->bytes = at;
  memcpy(at, &counts[0], sizeof counts[0]);
  memcpy(at + sizeof counts[0], resource, resource_bytes);
  at += sizeof counts[0] + resource_bytes;
  memcpy(at, &counts[1], sizeof counts[1]);
  memcpy(at + sizeof counts[1], scope, scope_bytes);

  otlpshm_attach_lock(attachment);
  struct otlpshm_inline_rows* equal = attachment->inline_rows;
  while (equal != NULL &&
         (equal->size != rows->size || memcmp(equal->bytes, rows->bytes, size) != 0)) {
    equal = equal->next;
  }
  const bool is_kept =
      equal == NULL && size <= OTLPSHM_INLINE_BYTES_MAX - attachment->inline_bytes_used;
  if (is_kept) {
    rows->next = attachment->inline_rows;
    attachment->inline_rows = rows;
    attachment->inline_bytes_used += rows->size;
  }
  otlpshm_attach_unlock(attachment);
  if (is_kept) return rows;
  free(rows);
  return equal;
}
