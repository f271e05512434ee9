/* SPDX-License-Identifier: Apache-2.0 */
/* span.h: what the private words of a span hold.
 *   Layout of the span's bytes, so that one copy commits the record:
 *     [0, 10) room, then the record header (80), then the parent (10): with a parent the header is
 *     at 0, without one at 10 and the parent is left out; then the fields of fixed size, then the
 *     trace state, the name, and whatever is set, in the order in which it was set. */
#ifndef OTLPSHM_SRC_SPAN_H
#define OTLPSHM_SRC_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"

#define SPAN_PARENT_BYTES 10u
#define SPAN_PARENT_OFFSET ((uint32_t)sizeof(struct otlpshm_record_header))
#define SPAN_TRACE_ID_OFFSET (SPAN_PARENT_OFFSET + SPAN_PARENT_BYTES)
#define SPAN_SPAN_ID_OFFSET (SPAN_TRACE_ID_OFFSET + 18)
#define SPAN_KIND_OFFSET (SPAN_SPAN_ID_OFFSET + 10)
#define SPAN_START_OFFSET (SPAN_KIND_OFFSET + 2)
#define SPAN_END_OFFSET (SPAN_START_OFFSET + 9)
#define SPAN_FLAGS_OFFSET (SPAN_END_OFFSET + 9)
#define SPAN_VARIABLE_OFFSET (SPAN_FLAGS_OFFSET + 6)

/* Room that is always kept for what `end` appends: two counts of dropped things, a status code. */
#define SPAN_TAIL_BYTES 16u
#define SPAN_STATUS_CODE_BYTES 4u

#define SPAN_BYTES_MAX (512u << 10) /* beyond it attributes and events are dropped, and counted */

struct __attribute__((may_alias)) span {
  struct otlpshm_writer* writer;         /* null: a no-op */
  struct otlpshm_attachment* attachment; /* the writer's at the start: it may be reopened since */
  uint8_t* bytes;                        /* inline_bytes, or malloc */
  uint64_t nonce;                        /* of the process that started it */
  uint64_t start_monotonic;
  uint64_t start_unix_nano;
  uint64_t name_hash;
  uint64_t keys_seen; /* one bit per hash of a key: a clear bit means "not set before" */
  uint32_t writer_generation;
  uint32_t capacity;
  uint32_t used;
  uint32_t flags; /* OTLPSHM_SPAN_* */
  uint32_t trace_state_offset;
  uint32_t trace_state_bytes;
  uint32_t name_offset;
  uint32_t name_field_bytes;
  uint32_t status_offset; /* 0: no Status field yet */
  uint32_t status_field_bytes;
  uint32_t attribute_count;
  uint32_t attributes_dropped;
  uint32_t event_count;
  uint32_t events_dropped;
  uint32_t span_flags;
  struct otlpshm_limits limits; /* the writer's at the start */
  uint16_t record_flags;
  uint16_t scope_index;
  uint8_t has_parent;
  uint8_t span_kind;
  uint8_t status_code;
  uint8_t reserved;
  union {
    struct otlpshm_context context; /* of a no-op: its parent's, for carriers */
    uint8_t inline_bytes[1024 - 152];
  };
};
_Static_assert(sizeof(struct span) == sizeof(struct otlpshm_span), "the public size is the ABI");

#endif
