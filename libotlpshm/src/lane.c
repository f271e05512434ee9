/* SPDX-License-Identifier: Apache-2.0 */
/* lane.c: one writer at a time, one reader: a ring of records.
 *   Owns   tail and sequence, while the lease is held.   Reads  release (written by the daemon).
 *   Rule   the next tail and sequence are noted privately before tail is stored: whoever takes
 *          over from a dead thread keeps the noted sequence if the shared tail is the noted one,
 *          else the one before; so a sequence never repeats.
 *   Layout docs/abi.md#lane.             Order  SYNC(lease), SYNC(commit), SYNC(release). */
#include "lane.h"

#include <string.h>

#include "attach.h"
#include "doorbell.h"
#include "otlpshm/otlpshm.h"
#include "process.h"

/* Leases last some 100 ns unless their holder is preempted; this many looks are a microsecond. */
#define BUSY_TRIES 64

enum lane_result { lane_committed, lane_busy, lane_is_full, lane_reaped };

static uint64_t padded(uint32_t size) {
  return ((uint64_t)size + OTLPSHM_RECORD_ALIGNMENT - 1) &
         ~(uint64_t)(OTLPSHM_RECORD_ALIGNMENT - 1);
}

static void copy_in(const struct otlpshm_lane* lane, const uint8_t* record, uint32_t size) {
  const uint64_t offset = lane->tail % lane->bytes;
  const uint64_t until_end = lane->bytes - offset;
  if (size <= until_end) {
    memcpy(lane->area + offset, record, size);
  } else {
    memcpy(lane->area + offset, record, until_end);
    memcpy(lane->area, record + until_end, size - until_end);
  }
}

/* Takes the daemon's release if it makes sense: it never falls, and never passes tail. */
static void reload_release(struct otlpshm_segment* segment, uint32_t index) {
  struct otlpshm_lane* lane = &segment->lanes[index];
  struct otlpshm_ack_copy copy;
  if (!otlpshm_segment_read_ack(segment, index, &copy)) return; /* SYNC(release) */
  if (copy.release >= lane->release && copy.release <= lane->tail) lane->release = copy.release;
}

/* In its first lap a lane gets its memory as it is filled. */
static bool has_memory(struct otlpshm_segment* segment, struct otlpshm_lane* lane, uint64_t end,
                       uint64_t now) {
  if (lane->populated == lane->bytes) return true;
  if (end > lane->bytes) end = lane->bytes;
  return end <= lane->populated || otlpshm_segment_populate(segment, lane, end, now);
}

/* The caller holds the lease. */
static enum lane_result write_record(struct otlpshm_segment* segment, uint32_t index,
                                     uint8_t* record, uint32_t size, uint64_t now) {
  struct otlpshm_lane* lane = &segment->lanes[index];
  if (otlpshm_segment_is_reaped(segment)) return lane_reaped;
  if (lane->tail + padded(size) - lane->release > lane->bytes) {
    reload_release(segment, index);
    if (lane->tail + padded(size) - lane->release > lane->bytes) return lane_is_full;
  }
  if (!has_memory(segment, lane, lane->tail + padded(size), now)) return lane_is_full;

  const uint32_t position_low = (uint32_t)lane->tail;
  const uint64_t sequence = lane->sequence + 1;
  memcpy(record + offsetof(struct otlpshm_record_header, size), &size, sizeof size);
  memcpy(record + offsetof(struct otlpshm_record_header, position_low), &position_low,
         sizeof position_low);
  memcpy(record + offsetof(struct otlpshm_record_header, sequence), &sequence, sizeof sequence);
  copy_in(lane, record, size);

  lane->sequence = sequence;
  lane->tail += padded(size);
  store_release_u64(&lane->control->tail, lane->tail); /* SYNC(commit) */
  store_relaxed_u64(&lane->control->sequence, sequence);
  return lane_committed;
}

static enum lane_result try_lane(struct otlpshm_segment* segment, uint32_t index, uint8_t* record,
                                 uint32_t size, uint64_t now) {
  struct otlpshm_lane* lane = &segment->lanes[index];
  if (!take_u32(&lane->lease, OTLPSHM_LEASE_FREE, otlpshm_thread.tid)) { /* SYNC(lease) */
    return lane_busy;
  }
  const enum lane_result result = write_record(segment, index, record, size, now);
  store_release_u32(&lane->lease, OTLPSHM_LEASE_FREE); /* SYNC(lease) */
  return result;
}

/* What does not fit half of another lane goes to lane 0, the largest. */
static bool fits_every_lane(const struct otlpshm_attachment* attachment, uint32_t size) {
  return attachment->lane_count > 1 && padded(size) <= attachment->lane_bytes[1] / 2;
}

/* One look at every open lane that was not full at an earlier look, the preferred one first. Who
 * looks at a full lane holds its lease for that, and is in the way of the others. */
static enum lane_result try_open_lanes(const struct otlpshm_attachment* attachment,
                                       struct otlpshm_segment* segment, uint8_t* record,
                                       uint32_t size, uint64_t now, uint64_t* full) {
  const uint32_t lanes =
      fits_every_lane(attachment, size) ? load_relaxed_u32(&segment->lanes_open) : 1;
  const uint32_t first = otlpshm_thread.lane % lanes;
  enum lane_result result = lane_is_full;
  for (uint32_t step = 0; step < lanes; ++step) {
    const uint32_t index = first + step < lanes ? first + step : first + step - lanes;
    if ((*full >> index & 1) != 0) continue;
    const enum lane_result tried = try_lane(segment, index, record, size, now);
    if (tried == lane_committed) {
      if (step != 0) otlpshm_thread.lane = index;
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
                                    struct otlpshm_segment* segment, uint8_t* record, uint32_t size,
                                    uint64_t now) {
  enum lane_result result = lane_is_full;
  uint64_t full = 0; /* a bit for each lane that was */
  for (int tries = 0; tries < BUSY_TRIES; ++tries) {
    result = try_open_lanes(attachment, segment, record, size, now, &full);
    if (result == lane_committed || result == lane_reaped) return result;
    if (fits_every_lane(attachment, size) && otlpshm_segment_may_open(segment, now)) {
      open_one_more(attachment, segment);
    } else if (result == lane_is_full) {
      return result;
    } else {
      spin_pause();
    }
  }
  return full != 0 ? lane_is_full : result; /* busy means that all of them were */
}
_Static_assert(OTLPSHM_LANES_MAX <= 64, "a lane is a bit of `full`");

int otlpshm_lane_commit(struct otlpshm_attachment* attachment, uint8_t* record, uint32_t size,
                        uint64_t now, bool may_attach) {
  for (int tries = 0; tries < 2; ++tries) {
    struct otlpshm_segment* segment = load_acquire_pointer(&attachment->current);
    if (segment == NULL) break;
    if (padded(size) > attachment->lane_bytes[0] / 2 || size > OTLPSHM_RECORD_BYTES_MAX) {
      return otlpshm_attach_drop(attachment, otlpshm_drop_record_too_large);
    }
    const enum lane_result result = try_segment(attachment, segment, record, size, now);
    if (result == lane_committed) {
      otlpshm_doorbell(attachment);
      otlpshm_attach_tick(attachment, now, false);
      return OTLPSHM_OK;
    }
    if (result != lane_reaped) {
      otlpshm_doorbell(attachment);
      otlpshm_attach_tick(attachment, now, true);
      return otlpshm_attach_drop(
          attachment, result == lane_busy ? otlpshm_drop_lanes_busy : otlpshm_drop_lane_full);
    }
    if (!may_attach || !otlpshm_attach_again(attachment, segment)) break;
  }
  return otlpshm_attach_drop(attachment, otlpshm_drop_no_segment);
}
