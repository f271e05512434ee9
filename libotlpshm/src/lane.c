/* SPDX-License-Identifier: Apache-2.0 */
/* lane.c: one writer at a time, one reader: a ring of records.
 *   Owns   tail and sequence, while the lease is held.   Reads  release (written by the daemon).
 *   Rule   stored in this order: the private tail, the private sequence, the shared tail, the
 *          shared sequence. So at any instruction the newest record's sequence is the private one
 *          if the two tails are equal, else the shared one: who takes over from a dead thread
 *          knows it.
 *   Layout docs/abi.md#lane.   Order  SYNC(lease), SYNC(note), SYNC(commit), SYNC(release). */
#include "lane.h"

#include <string.h>

#include "attach.h"
#include "branches.h"
#include "doorbell.h"
#include "kernel.h"
#include "otlpshm/otlpshm.h"
#include "process.h"

/* Leases last some 100 ns unless their holder is preempted; this many looks are a microsecond. */
#define BUSY_TRIES 64
#define SEGMENT_TRIES 3 /* one is reaped, and the next one may be, under a daemon that restarts */

#define LINE_BYTES 64u
#define AHEAD_BYTES_MAX 1024u

enum lane_result { lane_committed, lane_busy, lane_is_full, lane_reaped };

/* The fields of a record's header that its place in a lane decides, as two words: they are its
 * first ones. */
struct placed {
  uint64_t size_and_position_low;
  uint64_t sequence;
};
_Static_assert(offsetof(struct otlpshm_record_header, size) == 0 &&
                   offsetof(struct otlpshm_record_header, position_low) == 4 &&
                   offsetof(struct otlpshm_record_header, sequence) == 8 &&
                   offsetof(struct otlpshm_record_header, trace_id) == sizeof(struct placed),
               "a header begins with its place");

/* What is to be written; not changed by it. */
struct record {
  const uint8_t* bytes; /* the header and the fields of the span, contiguous */
  const uint8_t* rows;  /* what stands between the two */
  uint32_t size;        /* of bytes */
  uint32_t rows_size;
};

static inline uint64_t padded(uint64_t size) {
  return (size + OTLPSHM_RECORD_ALIGNMENT - 1) & ~(uint64_t)(OTLPSHM_RECORD_ALIGNMENT - 1);
}

/* Copies to an offset of the ring; returns the offset behind it. */
static uint64_t copy_round(const struct otlpshm_lane* lane, uint64_t offset, const void* bytes,
                           uint64_t count) {
  const uint64_t until_end = lane->bytes - offset;
  if (count == 0) return offset;
  if (count < until_end) {
    memcpy(lane->area + offset, bytes, count);
    return offset + count;
  }
  memcpy(lane->area + offset, bytes, until_end);
  memcpy(lane->area, (const uint8_t*)bytes + until_end, count - until_end);
  return count - until_end;
}

static __attribute__((noinline)) void copy_in_pieces(const struct otlpshm_lane* lane,
                                                     struct record record, struct placed placed) {
  const uint64_t header = sizeof(struct otlpshm_record_header);
  uint64_t at = copy_round(lane, lane->offset, &placed, sizeof placed);
  at = copy_round(lane, at, record.bytes + sizeof placed, header - sizeof placed);
  at = copy_round(lane, at, record.rows, record.rows_size);
  (void)copy_round(lane, at, record.bytes + header, record.size - header);
}

/* In one piece when it neither wraps nor carries rows. The placed words go straight into the lane:
 * a copy that loads wider than what was just stored would wait for those stores. */
static inline void copy_in(const struct otlpshm_lane* lane, struct record record,
                           struct placed placed) {
  if (LIKELY(record.size <= lane->bytes - lane->offset && record.rows_size == 0)) {
    uint8_t* to = lane->area + lane->offset;
    memcpy(to, &placed.size_and_position_low, sizeof placed.size_and_position_low);
    memcpy(to + sizeof placed.size_and_position_low, &placed.sequence, sizeof placed.sequence);
    memcpy(to + sizeof placed, record.bytes + sizeof placed, record.size - sizeof placed);
  } else {
    copy_in_pieces(lane, record, placed);
  }
}

/* Takes the daemon's release if it makes sense: it never falls, and never passes tail. */
static void reload_release(struct otlpshm_segment* segment, struct otlpshm_lane* lane) {
  uint64_t release;
  const uint32_t index = (uint32_t)(lane - segment->lanes);
  if (!otlpshm_segment_read_release(segment, index, &release)) return; /* SYNC(release) */
  if (release >= lane->release && release <= lane->tail) lane->release = release;
}

/* Moves the limit behind a record that would end at `end`, if it may go there: the daemon has
 * released what stood there, and in the first lap the kernel gives the memory. */
static __attribute__((noinline)) bool make_room(struct otlpshm_segment* segment,
                                                struct otlpshm_lane* lane, uint64_t end,
                                                uint64_t now) {
  if (end - lane->release > lane->bytes) {
    reload_release(segment, lane);
    if (end - lane->release > lane->bytes) return false;
  }
  const uint64_t needed = end < lane->bytes ? end : lane->bytes;
  if (needed > lane->populated && !otlpshm_segment_populate(segment, lane, needed, now)) {
    return false;
  }
  lane->limit = lane->populated < lane->bytes ? lane->populated : lane->release + lane->bytes;
  return true;
}

/* The daemon has read what the next record will overwrite: its lines are fetched while the next
 * span runs. One record is about as long as the one before. */
static inline void ask_for_lines(const struct otlpshm_lane* lane, uint32_t size) {
  const uint8_t* at = lane->area + lane->offset;
  const uint32_t bytes = size < AHEAD_BYTES_MAX ? size : AHEAD_BYTES_MAX;
  for (uint32_t ahead = LINE_BYTES; ahead < bytes + LINE_BYTES; ahead += LINE_BYTES) {
    prefetch_to_write(at + ahead);
  }
}

/* The caller holds the lease. */
static inline enum lane_result write_record(struct otlpshm_segment* segment,
                                            struct otlpshm_lane* lane, struct record record,
                                            uint64_t now) {
  if (otlpshm_segment_is_reaped(segment)) return lane_reaped;
  const uint32_t size = record.size + record.rows_size;
  const uint64_t end = lane->tail + padded(size);
  if (!LIKELY(end <= lane->limit) && !make_room(segment, lane, end, now)) return lane_is_full;

  const uint64_t sequence = lane->sequence + 1;
  const struct placed placed = {size | lane->tail << 32, sequence};
  copy_in(lane, record, placed);

  const uint64_t offset = lane->offset + padded(size);
  lane->offset = offset < lane->bytes ? offset : offset - lane->bytes;
  ask_for_lines(lane, size);
  store_relaxed_u64(&lane->tail, end);
  store_release_u64(&lane->sequence, sequence);          /* SYNC(note) */
  store_release_u64(&lane->control->tail, end);          /* SYNC(commit) */
  store_release_u64(&lane->control->sequence, sequence); /* SYNC(note) */
  return lane_committed;
}

static inline enum lane_result try_lane(struct otlpshm_segment* segment, struct otlpshm_lane* lane,
                                        struct record record, uint64_t now) {
  if (!LIKELY(take_u32(&lane->lease, OTLPSHM_LEASE_FREE, otlpshm_thread.tid))) { /* SYNC(lease) */
    return lane_busy;
  }
  const enum lane_result result = write_record(segment, lane, record, now);
  store_release_u32(&lane->lease, OTLPSHM_LEASE_FREE); /* SYNC(lease) */
  return result;
}

/* ---- when the preferred lane does not take it ----------------------------------------------- */

/* What does not fit half of another lane goes to lane 0, the largest. */
static bool fits_every_lane(const struct otlpshm_attachment* attachment, struct record record) {
  return attachment->lane_count > 1 &&
         (uint64_t)record.size + record.rows_size <= attachment->record_bytes_any;
}

/* One look at every open lane that was not full at an earlier look, the preferred one first. Who
 * looks at a full lane holds its lease for that, and is in the way of the others. */
static enum lane_result try_open_lanes(struct otlpshm_segment* segment, uint32_t lanes,
                                       struct record record, uint64_t now, uint64_t* full) {
  const uint32_t first = otlpshm_thread.lane % lanes;
  enum lane_result result = lane_is_full;
  for (uint32_t step = 0; step < lanes; ++step) {
    const uint32_t index = first + step < lanes ? first + step : first + step - lanes;
    if ((*full >> index & 1) != 0) continue;
    const enum lane_result tried = try_lane(segment, &segment->lanes[index], record, now);
    if (tried == lane_committed) {
      if (lanes == load_relaxed_u32(&segment->lanes_open)) otlpshm_thread.lane = index;
      return lane_committed;
    }
    if (tried == lane_reaped) return lane_reaped;
    if (tried == lane_busy) result = lane_busy;
    if (tried == lane_is_full) *full |= UINT64_C(1) << index;
  }
  return result;
}

static void open_one_more(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment) {
  if (!otlpshm_attach_use(attachment, segment)) return;
  otlpshm_segment_open_lane(segment, otlpshm_thread.tid);
  otlpshm_attach_unuse(segment);
}

static enum lane_result try_segment(struct otlpshm_attachment* attachment,
                                    struct otlpshm_segment* segment, struct record record,
                                    uint64_t now) {
  const bool any = fits_every_lane(attachment, record);
  enum lane_result result = lane_is_full;
  uint64_t full = 0; /* a bit for each lane that was */
  /* Without a lease the ack must not be looked at. */
  if (load_relaxed_u32(&segment->removed) != 0) return lane_reaped;
  for (int tries = 0; tries < BUSY_TRIES; ++tries) {
    const uint32_t open = load_relaxed_u32(&segment->lanes_open);
    if (open == 0) return lane_reaped; /* a handler forked, and the child forgot the segment */
    const uint32_t lanes = any ? open : 1;
    result = try_open_lanes(segment, lanes, record, now, &full);
    if (result == lane_committed || result == lane_reaped) return result;
    if (any && otlpshm_segment_may_open(segment, now)) {
      open_one_more(attachment, segment);
    } else if (result == lane_is_full &&
               (!any || lanes == load_relaxed_u32(&segment->lanes_open))) {
      return result; /* and no other thread has opened a lane meanwhile */
    } else {
      spin_pause();
    }
  }
  return full != 0 ? lane_is_full : result; /* busy means that all of them were */
}
_Static_assert(OTLPSHM_LANES_MAX <= 64, "a lane is a bit of `full`");

static inline void after_attempt(struct otlpshm_attachment* attachment, uint64_t now, bool full) {
  if (otlpshm_attach_may_enter_kernel(attachment)) otlpshm_doorbell(attachment);
  otlpshm_attach_tick_of_span(attachment, now, full);
}

static __attribute__((noinline)) int commit_elsewhere(struct otlpshm_attachment* attachment,
                                                      struct record record, uint64_t now,
                                                      bool may_attach) {
  for (int tries = 0; tries < SEGMENT_TRIES; ++tries) {
    struct otlpshm_segment* segment = load_acquire_pointer(&attachment->current);
    if (segment != NULL) {
      if ((uint64_t)record.size + record.rows_size > attachment->record_bytes_max) {
        return otlpshm_attach_drop(attachment, otlpshm_drop_record_too_large);
      }
      const enum lane_result result = try_segment(attachment, segment, record, now);
      if (result == lane_committed) {
        after_attempt(attachment, now, false);
        return OTLPSHM_OK;
      }
      /* Leases that another thread closed, because it attaches anew, look busy. */
      if (result != lane_reaped && load_acquire_pointer(&attachment->current) == segment) {
        after_attempt(attachment, now, true);
        return otlpshm_attach_drop(
            attachment, result == lane_busy ? otlpshm_drop_lanes_busy : otlpshm_drop_lane_full);
      }
    }
    if (!may_attach || !otlpshm_attach_may_enter_kernel(attachment) ||
        !otlpshm_attach_again(attachment, segment)) {
      break;
    }
  }
  return otlpshm_attach_drop(attachment, otlpshm_drop_no_segment);
}

int otlpshm_lane_commit(struct otlpshm_attachment* attachment, const uint8_t* bytes, uint32_t size,
                        const struct otlpshm_inline_rows* rows, uint64_t now, bool may_attach) {
  struct otlpshm_segment* segment = load_acquire_pointer(&attachment->current);
  if (LIKELY(segment != NULL && rows == NULL && size <= attachment->record_bytes_any)) {
    const struct record record = {.bytes = bytes, .size = size};
    /* The lease of a lane that is not open is closed, so a preference needs no check. */
    struct otlpshm_lane* lane = &segment->lanes[otlpshm_thread.lane];
    if (LIKELY(try_lane(segment, lane, record, now) == lane_committed)) {
      after_attempt(attachment, now, false);
      return OTLPSHM_OK;
    }
  }
  const struct record record = {.bytes = bytes,
                                .rows = rows == NULL ? NULL : rows->bytes,
                                .size = size,
                                .rows_size = rows == NULL ? 0 : rows->size};
  return commit_elsewhere(attachment, record, now, may_attach);
}

/* ---- lanes of threads that are gone --------------------------------------------------------- */

/* The caller holds the lease. False when the control page says what no commit can have left: then
 * the lane stays lost. */
static bool recover(struct otlpshm_lane* lane) {
  const uint64_t tail = load_relaxed_u64(&lane->control->tail);
  const uint64_t noted = load_relaxed_u64(&lane->tail);
  const uint64_t sequence = tail == noted ? load_relaxed_u64(&lane->sequence)
                                          : load_relaxed_u64(&lane->control->sequence);
  if (tail > noted || noted - tail > OTLPSHM_RECORD_BYTES_MAX) return false;
  if (tail % OTLPSHM_RECORD_ALIGNMENT != 0) return false;
  lane->tail = tail;
  lane->sequence = sequence;
  lane->offset = tail % lane->bytes;
  lane->limit = tail; /* the next record looks at release and at memory again */
  store_release_u64(&lane->control->sequence, sequence); /* SYNC(note) */
  return true;
}

void otlpshm_lane_reclaim(struct otlpshm_segment* segment, uint32_t tid) {
  const uint32_t open = load_relaxed_u32(&segment->lanes_open);
  for (uint32_t index = 0; index < open; ++index) {
    struct otlpshm_lane* lane = &segment->lanes[index];
    const uint32_t holder = load_relaxed_u32(&lane->lease);
    if (holder == OTLPSHM_LEASE_FREE || holder == OTLPSHM_LEASE_CLOSED) continue;
    if (!otlpshm_kernel_thread_is_gone(holder) || !take_u32(&lane->lease, holder, tid)) continue;
    store_release_u32(&lane->lease, recover(lane) ? OTLPSHM_LEASE_FREE : holder); /* SYNC(lease) */
  }
  const uint32_t opener = load_relaxed_u32(&segment->open_lease);
  if (!otlpshm_kernel_thread_is_gone(opener)) return;
  if (!take_u32(&segment->open_lease, opener, tid)) return; /* SYNC(lease) */
  /* It may have counted the lane as open and not yet freed its lease. */
  const uint32_t counted = load_relaxed_u32(&segment->lanes_open);
  if (counted > 0 && !otlpshm_segment_is_over(segment)) {
    struct otlpshm_lane* lane = &segment->lanes[counted - 1];
    (void)take_u32(&lane->lease, OTLPSHM_LEASE_CLOSED, OTLPSHM_LEASE_FREE); /* SYNC(lease) */
  }
  store_release_u32(&segment->open_lease, 0); /* SYNC(lease) */
}
