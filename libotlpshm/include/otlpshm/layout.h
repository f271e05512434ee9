/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h: every byte that a producer and the daemon share; the executable half of docs/abi.md.
 *   Files   <id>.seg  written by one producer, read by the daemon.
 *           <id>.ack  written by the daemon, read by that producer.
 *           state     written by the daemon, read by every producer.
 *   Rules   little-endian, fixed widths, offsets instead of pointers; zero-filled is valid and
 *           means "nothing yet"; words of different writers never share a 128-byte pair of lines.
 *   Access  atomically through ordering.h (C) or segment_view (C++); never through these types. */
#ifndef OTLPSHM_LAYOUT_H
#define OTLPSHM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the shared-memory format is little-endian; this machine is not"
#endif

#ifdef __cplusplus
#define OTLPSHM_LAYOUT_ASSERT(condition) static_assert(condition, #condition)
#else
#define OTLPSHM_LAYOUT_ASSERT(condition) _Static_assert(condition, #condition)
#endif
#define OTLPSHM_LAYOUT_FIELD(type, field, at) \
  OTLPSHM_LAYOUT_ASSERT(offsetof(struct type, field) == (at))

/* ---- versions, magics, bounds ------------------------------------------------------------- */

#define OTLPSHM_ABI_MAJOR 1u
#define OTLPSHM_ABI_MINOR 0u

#define OTLPSHM_SEGMENT_MAGIC UINT64_C(0x4745534d48534c4f) /* "OLSHMSEG" */
#define OTLPSHM_ACK_MAGIC UINT64_C(0x4b43414d48534c4f)     /* "OLSHMACK" */
#define OTLPSHM_STATE_MAGIC UINT64_C(0x4154534d48534c4f)   /* "OLSHMSTA" */

#define OTLPSHM_LANES_MAX 64u
#define OTLPSHM_RESOURCES_MAX 64u
#define OTLPSHM_SCOPES_MAX 256u
#define OTLPSHM_TABLE_BYTES_MAX 65536u
#define OTLPSHM_LANE_ALIGNMENT 65536u
#define OTLPSHM_LANE_BYTES_MAX (UINT64_C(1) << 30)
#define OTLPSHM_RECORD_ALIGNMENT 8u
#define OTLPSHM_RECORD_BYTES_MAX (4u << 20)

/* ---- drop reasons ------------------------------------------------------------------------- */
/* The one list. 1-31 are counted by the producer in its control page, 32-63 by the daemon in the
 * ack slots at index reason - 32. A number is never reused. X(number, name, sentence) */
#define OTLPSHM_DROP_REASONS(X)                                                             \
  X(1, lane_full, "no lane had room: the daemon is absent, slow, or holds unsettled spans") \
  X(2, lanes_busy, "every lane was leased by another thread at that instant")               \
  X(3, record_too_large, "the span does not fit half of the largest lane")                  \
  X(4, forked, "the span was started before fork and ended in the child")                   \
  X(5, no_segment, "the directory is there but no segment could be used")                   \
  X(6, shutdown, "the span ended after its writer was shut down")                           \
  X(32, sampled_out, "a sampling decision of the daemon")                                   \
  X(33, invalid_header, "the record header contradicts itself, its place or its body")      \
  X(34, invalid_wire, "the body is not a well-formed OTLP Span message")                    \
  X(35, invalid_utf8, "a string of the body is not UTF-8")                                  \
  X(36, invalid_ids, "the trace id or span id is missing, zero, or of the wrong length")    \
  X(37, invalid_scope, "the record names a scope that the segment does not hold")           \
  X(38, skipped, "sequences that a lane claims and whose records could not be read")        \
  X(39, poison, "the record ended three lives of the daemon")                               \
  X(40, quarantined, "the segment's cursors contradicted each other")                       \
  X(41, quota, "the producer's user is over its quota")                                     \
  X(42, export_rejected, "the backend refused the request for good")                        \
  X(43, export_partial, "the backend rejected the span in a partial success")               \
  X(44, export_too_large, "one span exceeds the request limit")                             \
  X(45, export_expired, "the retry limit was reached")                                      \
  X(46, spool_full, "the disk spool was full")                                              \
  X(47, spool_corrupt, "the disk spool could not be read back")                             \
  X(48, spool_io, "the disk failed")                                                        \
  X(49, memory_limit, "the daemon was at its memory limit")                                 \
  X(50, tail_evicted, "the tail sampler's table was full")                                  \
  X(51, redacted, "a rule removed the span")                                                \
  X(52, segment_lost, "the segment was truncated or replaced under the daemon")

enum otlpshm_drop_reason {
#define OTLPSHM_DROP_ENUMERATOR(number, name, sentence) otlpshm_drop_##name = number,
  OTLPSHM_DROP_REASONS(OTLPSHM_DROP_ENUMERATOR)
#undef OTLPSHM_DROP_ENUMERATOR
};

#define OTLPSHM_PRODUCER_REASONS 32u
#define OTLPSHM_DAEMON_REASONS 32u
#define OTLPSHM_DAEMON_REASON_FIRST 32u

/* ---- the first 64 bytes of every file ----------------------------------------------------- */

struct otlpshm_file_header {
  /*  0 */ uint64_t magic; /* written last, by rename: a file is never seen half made */
  /*  8 */ uint16_t major;
  /* 10 */ uint16_t minor;
  /* 12 */ uint32_t header_bytes;      /* of this struct: 64 */
  /* 16 */ uint64_t file_bytes;        /* equals the file's size */
  /* 24 */ uint32_t features_required; /* an unknown bit: leave the file untouched */
  /* 28 */ uint32_t features_optional; /* an unknown bit: ignore it */
  /* 32 */ uint8_t id[16];             /* random; the name of a segment and of its ack in hex */
  /* 48 */ uint64_t created_unix_nano;
  /* 56 */ uint64_t reserved;
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_file_header) == 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, magic, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, major, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, minor, 10);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, header_bytes, 12);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, file_bytes, 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, features_required, 24);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, features_optional, 28);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, id, 32);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, created_unix_nano, 48);
OTLPSHM_LAYOUT_FIELD(otlpshm_file_header, reserved, 56);

/* ---- <id>.seg: owner and only writer is the producer -------------------------------------- */

#define OTLPSHM_SEGMENT_HEADER_OFFSET 0u
#define OTLPSHM_CONTROL_OFFSET 4096u
#define OTLPSHM_LANE_CONTROLS_OFFSET 8192u
#define OTLPSHM_RESOURCE_TABLE_OFFSET 16384u
#define OTLPSHM_SCOPE_TABLE_OFFSET 20480u
#define OTLPSHM_TABLE_BYTES_OFFSET 24576u
#define OTLPSHM_LANE_AREAS_OFFSET 131072u
/* What the daemon maps: the control page and the lane controls behind it. */
#define OTLPSHM_CONTROL_MAP_BYTES 12288u

struct otlpshm_lane_entry {
  /*  0 */ uint64_t area_offset; /* in the file; a multiple of 64 KiB */
  /*  8 */ uint64_t area_bytes;  /* "lane_bytes"; a multiple of 64 KiB, not 0 */
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_lane_entry) == 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_lane_entry, area_offset, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_lane_entry, area_bytes, 8);

/* Immutable once the file has its name. */
struct otlpshm_segment_header {
  /*    0 */ struct otlpshm_file_header file;
  /*   64 */ uint32_t lane_count;   /* entries of lanes[] in use: 1..64 */
  /*   68 */ uint32_t producer_pid; /* for people; in the producer's pid namespace */
  /*   72 */ uint8_t reserved_72[56];
  /*  128 */ char library[64]; /* for people: name and version, zero-padded UTF-8 */
  /*  192 */ uint8_t reserved_192[832];
  /* 1024 */ struct otlpshm_lane_entry lanes[OTLPSHM_LANES_MAX];
  /* 2048 */ uint8_t reserved_2048[2048];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_segment_header) == 4096);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, file, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, lane_count, 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, producer_pid, 68);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, reserved_72, 72);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, library, 128);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, reserved_192, 192);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, lanes, 1024);
OTLPSHM_LAYOUT_FIELD(otlpshm_segment_header, reserved_2048, 2048);

struct otlpshm_control {
  /*    0 */ uint32_t lanes_open;     /* lanes 0..lanes_open-1 may hold records; only grows */
  /*    4 */ uint32_t resource_count; /* release-stored after the entry and its bytes */
  /*    8 */ uint32_t scope_count;    /* release-stored after the entry and its bytes */
  /*   12 */ uint8_t reserved_12[116];
  /*  128 */ uint64_t flush_request; /* raised by each force_flush */
  /*  136 */ uint8_t reserved_136[120];
  /*  256 */ uint64_t dropped[OTLPSHM_PRODUCER_REASONS]; /* by reason number; [0] unused */
  /*  512 */ uint8_t reserved_512[3584];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_control) == 4096);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, lanes_open, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, resource_count, 4);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, scope_count, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, reserved_12, 12);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, flush_request, 128);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, reserved_136, 136);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, dropped, 256);
OTLPSHM_LAYOUT_FIELD(otlpshm_control, reserved_512, 512);

/* Written by the thread that holds the lane's lease. */
struct otlpshm_lane_control {
  /*   0 */ uint64_t tail;     /* position after the newest committed record; never wraps */
  /*   8 */ uint64_t sequence; /* of the newest committed record; may lag tail, never leads it */
  /*  16 */ uint8_t reserved[112];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_lane_control) == 128);
OTLPSHM_LAYOUT_FIELD(otlpshm_lane_control, tail, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_lane_control, sequence, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_lane_control, reserved, 16);

/* A row of the resource table or of the scope table; immutable below the count. */
struct otlpshm_table_entry {
  /*  0 */ uint32_t offset;         /* from OTLPSHM_TABLE_BYTES_OFFSET */
  /*  4 */ uint32_t bytes;          /* resource: ResourceSpans fields 1 and 3, verbatim;
                                       scope: ScopeSpans fields 1 and 3, verbatim */
  /*  8 */ uint16_t resource_index; /* of a scope; 0 in the resource table */
  /* 10 */ uint8_t reserved[6];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_table_entry) == 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_table_entry, offset, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_table_entry, bytes, 4);
OTLPSHM_LAYOUT_FIELD(otlpshm_table_entry, resource_index, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_table_entry, reserved, 10);

OTLPSHM_LAYOUT_ASSERT(OTLPSHM_CONTROL_OFFSET >= sizeof(struct otlpshm_segment_header));
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_LANE_CONTROLS_OFFSET ==
                      OTLPSHM_CONTROL_OFFSET + sizeof(struct otlpshm_control));
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_RESOURCE_TABLE_OFFSET ==
                      OTLPSHM_LANE_CONTROLS_OFFSET +
                          OTLPSHM_LANES_MAX * sizeof(struct otlpshm_lane_control));
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_CONTROL_MAP_BYTES ==
                      OTLPSHM_RESOURCE_TABLE_OFFSET - OTLPSHM_CONTROL_OFFSET);
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_SCOPE_TABLE_OFFSET >=
                      OTLPSHM_RESOURCE_TABLE_OFFSET +
                          OTLPSHM_RESOURCES_MAX * sizeof(struct otlpshm_table_entry));
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_TABLE_BYTES_OFFSET ==
                      OTLPSHM_SCOPE_TABLE_OFFSET +
                          OTLPSHM_SCOPES_MAX * sizeof(struct otlpshm_table_entry));
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_LANE_AREAS_OFFSET >=
                      OTLPSHM_TABLE_BYTES_OFFSET + OTLPSHM_TABLE_BYTES_MAX);
OTLPSHM_LAYOUT_ASSERT(OTLPSHM_LANE_AREAS_OFFSET % OTLPSHM_LANE_ALIGNMENT == 0);

/* ---- a record, in a lane area -------------------------------------------------------------- */
/* A record starts at a position that is a multiple of 8; its byte i lies in the area at offset
 * (position + i) mod lane_bytes; the next record starts at position + size rounded up to 8. */

#define OTLPSHM_RECORD_SPAN 1u /* body: the fields of one Span message */
#define OTLPSHM_RECORD_SPAN_INLINE_SCOPE        \
  2u /* body: u32 n, n bytes of a resource row, \
        u32 m, m bytes of a scope row, then the fields */

#define OTLPSHM_RECORD_ONLY 0x0001u            /* not sampled; the daemon may still keep it */
#define OTLPSHM_RECORD_PARENT_SAMPLED 0x0002u  /* the parent's W3C sampled flag */
#define OTLPSHM_RECORD_THRESHOLD_KNOWN 0x0004u /* threshold holds the sampling threshold */
#define OTLPSHM_RECORD_MULTI_PRODUCER 0x8000u  /* reserved: must be 0 */

#define OTLPSHM_THRESHOLD_MASK ((UINT64_C(1) << 56) - 1)

struct otlpshm_record_header {
  /*  0 */ uint32_t size;         /* header and body, without the padding to 8 */
  /*  4 */ uint32_t position_low; /* low 32 bits of the record's position */
  /*  8 */ uint64_t sequence;     /* of its lane: 1, 2, 3, … */
  /* 16 */ uint8_t trace_id[16];  /* equals the body's */
  /* 32 */ uint8_t span_id[8];    /* equals the body's */
  /* 40 */ uint64_t duration_nano;
  /* 48 */ uint64_t name_hash;    /* of the name's bytes; 0 without one */
  /* 56 */ uint64_t threshold;    /* 56 bits: rejection threshold of th; 0 = all kept */
  /* 64 */ uint16_t scope_index;  /* row of the scope table; 0xffff with an inline scope */
  /* 66 */ uint16_t record_flags; /* OTLPSHM_RECORD_* bits; others 0 */
  /* 68 */ uint32_t span_flags;   /* Span.flags */
  /* 72 */ uint8_t record_kind;   /* OTLPSHM_RECORD_SPAN… */
  /* 73 */ uint8_t span_kind;     /* Span.kind */
  /* 74 */ uint8_t status_code;   /* Status.code */
  /* 75 */ uint8_t reserved[5];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_record_header) == 80);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, size, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, position_low, 4);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, sequence, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, trace_id, 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, span_id, 32);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, duration_nano, 40);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, name_hash, 48);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, threshold, 56);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, scope_index, 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, record_flags, 66);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, span_flags, 68);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, record_kind, 72);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, span_kind, 73);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, status_code, 74);
OTLPSHM_LAYOUT_FIELD(otlpshm_record_header, reserved, 75);

/* ---- <id>.ack: owner and only writer is the daemon ----------------------------------------- */

#define OTLPSHM_ACK_SLOTS_OFFSET 4096u

enum otlpshm_ack_state {
  otlpshm_ack_none = 0,        /* never stored: a file shorter than its daemon's promise */
  otlpshm_ack_live = 1,        /* daemon, when it adopts the segment */
  otlpshm_ack_quarantined = 2, /* daemon, when cursors contradict each other; nothing is read */
  otlpshm_ack_reaped = 3,      /* daemon, before it unlinks the segment: attach anew */
};

struct otlpshm_ack_header {
  /*    0 */ struct otlpshm_file_header file; /* id = the segment's */
  /*   64 */ uint32_t lane_count;             /* slots that follow; the segment's */
  /*   68 */ uint8_t reserved_68[60];
  /*  128 */ uint32_t state; /* enum otlpshm_ack_state; producers load it at each commit */
  /*  132 */ uint8_t reserved_132[124];
  /*  256 */ uint64_t dropped_echo[OTLPSHM_PRODUCER_REASONS]; /* producer drops that were counted */
  /*  512 */ uint64_t adoptions;  /* daemons that took this segment over, the first included */
  /*  520 */ uint64_t flush_echo; /* newest flush_request that was acted on */
  /*  528 */ uint8_t reserved_528[3568];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_ack_header) == 4096);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, file, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, lane_count, 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, reserved_68, 68);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, state, 128);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, reserved_132, 132);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, dropped_echo, 256);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, adoptions, 512);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, flush_echo, 520);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_header, reserved_528, 528);

/* One moment of a lane: everything up to release has settled, and this is how. */
struct otlpshm_ack_copy {
  /*   0 */ uint64_t release;  /* position; bytes below it may be overwritten; never falls */
  /*   8 */ uint64_t sequence; /* of the last settled record */
  /*  16 */ uint64_t exported;
  /*  24 */ uint32_t attempts; /* hand-overs of the range at release that have not settled */
  /*  28 */ uint32_t reserved_28;
  /*  32 */ uint64_t dropped[OTLPSHM_DAEMON_REASONS]; /* by reason number - 32 */
  /* 288 */ uint8_t reserved_288[32];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_ack_copy) == 320);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, release, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, sequence, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, exported, 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, attempts, 24);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, reserved_28, 28);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, dropped, 32);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_copy, reserved_288, 288);

/* The valid copy is copies[selector & 1]; the daemon fills the other, then stores selector + 1. */
struct otlpshm_ack_slot {
  /*   0 */ uint64_t selector;
  /*   8 */ uint8_t reserved[56];
  /*  64 */ struct otlpshm_ack_copy copies[2];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_ack_slot) == 704);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_slot, selector, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_slot, reserved, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_ack_slot, copies, 64);

/* Size of an ack file: header page and slots, rounded up to 4096. */
#define OTLPSHM_ACK_FILE_BYTES(lane_count)                                                        \
  ((OTLPSHM_ACK_SLOTS_OFFSET + (uint64_t)(lane_count) * sizeof(struct otlpshm_ack_slot) + 4095) & \
   ~(uint64_t)4095)

/* ---- state: owner and only writer is the daemon; one page ---------------------------------- */

#define OTLPSHM_STATE_FILE_BYTES 4096u
#define OTLPSHM_STATE_RULES_OFFSET 1024u
#define OTLPSHM_STATE_RULES_BYTES_MAX 3072u

#define OTLPSHM_POLICY_THRESHOLD 0x1u /* threshold is in force */
#define OTLPSHM_POLICY_RATE 0x2u      /* spans_per_second is in force */
#define OTLPSHM_POLICY_LIMITS 0x4u    /* the limits are in force */
#define OTLPSHM_POLICY_RULES 0x8u     /* rules are in force */

/* Under a seqlock: generation is odd while the fields change. 0 = never written. */
struct otlpshm_policy {
  /*  0 */ uint64_t generation;
  /*  8 */ uint32_t flags;          /* OTLPSHM_POLICY_* */
  /* 12 */ uint32_t pressure_level; /* 0 none … 3 only errors */
  /* 16 */ uint64_t threshold;      /* 56-bit rejection threshold for new roots */
  /* 24 */ uint64_t spans_per_second;
  /* 32 */ uint32_t attribute_count;
  /* 36 */ uint32_t attribute_value_bytes;
  /* 40 */ uint32_t event_count;
  /* 44 */ uint32_t link_count;
  /* 48 */ uint32_t record_bytes;
  /* 52 */ uint32_t rules_offset; /* from the start of the file */
  /* 56 */ uint32_t rules_bytes;
  /* 60 */ uint32_t reserved;
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_policy) == 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, generation, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, flags, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, pressure_level, 12);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, threshold, 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, spans_per_second, 24);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, attribute_count, 32);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, attribute_value_bytes, 36);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, event_count, 40);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, link_count, 44);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, record_bytes, 48);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, rules_offset, 52);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, rules_bytes, 56);
OTLPSHM_LAYOUT_FIELD(otlpshm_policy, reserved, 60);

/* Under a seqlock of its own. unix_nano + ((tsc_now - tsc) * multiplier >> shift). */
struct otlpshm_clock {
  /*  0 */ uint64_t generation;
  /*  8 */ uint64_t tsc;
  /* 16 */ uint64_t unix_nano;
  /* 24 */ uint64_t expiry_tsc; /* not to be used at or after this tsc */
  /* 32 */ uint32_t multiplier; /* nanoseconds per tick, scaled by 2^shift */
  /* 36 */ uint32_t shift;
  /* 40 */ uint8_t reserved[24];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_clock) == 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, generation, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, tsc, 8);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, unix_nano, 16);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, expiry_tsc, 24);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, multiplier, 32);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, shift, 36);
OTLPSHM_LAYOUT_FIELD(otlpshm_clock, reserved, 40);

struct otlpshm_state {
  /*    0 */ struct otlpshm_file_header file; /* id = identity of this file, kept across daemons */
  /*   64 */ uint64_t lives;                  /* daemons that have run on this file */
  /*   72 */ uint8_t reserved_72[56];
  /*  128 */ uint64_t heartbeat; /* + 1 each second; unchanged for 10 s = expired */
  /*  136 */ uint8_t reserved_136[120];
  /*  256 */ uint32_t doorbell;    /* futex word; its value never changes while a wait is armed */
  /*  260 */ uint32_t sleep_epoch; /* odd = the daemon sleeps or is about to; even = awake */
  /*  264 */ uint8_t reserved_264[120];
  /*  384 */ struct otlpshm_policy policy;
  /*  448 */ uint8_t reserved_448[64];
  /*  512 */ struct otlpshm_clock clock;
  /*  576 */ uint8_t reserved_576[448];
  /* 1024 */ uint8_t rules[OTLPSHM_STATE_RULES_BYTES_MAX];
};
OTLPSHM_LAYOUT_ASSERT(sizeof(struct otlpshm_state) == OTLPSHM_STATE_FILE_BYTES);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, file, 0);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, lives, 64);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, reserved_72, 72);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, heartbeat, 128);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, reserved_136, 136);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, doorbell, 256);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, sleep_epoch, 260);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, reserved_264, 264);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, policy, 384);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, reserved_448, 448);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, clock, 512);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, reserved_576, 576);
OTLPSHM_LAYOUT_FIELD(otlpshm_state, rules, 1024);

#endif
