/* SPDX-License-Identifier: Apache-2.0 */
/* attach_counts.c: what became of this process's spans.
 *   Owns   pending: drops that no segment holds; gone: the counts of segments that are unmapped.
 *   Rule   a drop is counted once: in the segment that it came to, or in the next one where the
 *          daemon read that one no more.
 *   Source docs/abi.md#producer.   Order  SYNC(reaped). */
#include "attach.h"
#include "clock.h"

/* ---- drops ----------------------------------------------------------------------------------- */

int otlpshm_attach_drop_later(struct otlpshm_attachment* attachment,
                              enum otlpshm_drop_reason reason) {
  add_relaxed_u64(&attachment->pending[reason], 1);
  return OTLPSHM_ERROR_DROPPED;
}

int otlpshm_attach_drop(struct otlpshm_attachment* attachment, enum otlpshm_drop_reason reason) {
  struct otlpshm_segment* segment = load_acquire_pointer(&attachment->current);
  if (segment == NULL || !otlpshm_attach_use(attachment, segment)) {
    return otlpshm_attach_drop_later(attachment, reason);
  }
  const bool is_read = !otlpshm_segment_is_over(segment);
  if (is_read) add_relaxed_u64(&segment->control->dropped[reason], 1);
  otlpshm_attach_unuse(segment);
  return is_read ? OTLPSHM_ERROR_DROPPED : otlpshm_attach_drop_later(attachment, reason);
}

void otlpshm_attach_hand_over(struct otlpshm_attachment* attachment,
                              struct otlpshm_segment* segment) {
  for (uint32_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    if (load_relaxed_u64(&attachment->pending[reason]) == 0) continue;
    const uint64_t dropped = exchange_relaxed_u64(&attachment->pending[reason], 0);
    add_relaxed_u64(&segment->control->dropped[reason], dropped);
  }
}

/* ---- counts, under the mutex ----------------------------------------------------------------- */

static void add_counts(const struct otlpshm_segment* segment, struct otlpshm_stats* stats) {
  const uint32_t open = load_relaxed_u32(&segment->lanes_open);
  for (uint32_t index = 0; index < open; ++index) {
    struct otlpshm_ack_copy copy;
    stats->committed += load_relaxed_u64(&segment->lanes[index].control->sequence);
    if (!otlpshm_segment_read_ack(segment, index, &copy)) continue;
    stats->settled += copy.sequence;
    stats->exported += copy.exported;
    for (uint32_t reason = 0; reason < OTLPSHM_DAEMON_REASONS; ++reason) {
      stats->dropped[OTLPSHM_DAEMON_REASON_FIRST + reason] += copy.dropped[reason];
    }
  }
  for (uint32_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    stats->dropped[reason] += load_relaxed_u64(&segment->control->dropped[reason]);
  }
}

/* What the daemon did not count before it said `reaped`, or before the name was gone, goes to the
 * next segment, and is not counted for this one. Not by otlpshm_segment_is_over: the echoes are
 * read behind `reaped`, so its load acquires. */
static void take_unechoed(struct otlpshm_attachment* attachment,
                          const struct otlpshm_segment* segment) {
  const struct otlpshm_ack_header* ack = load_acquire_pointer(&segment->ack);
  const bool is_reaped =
      ack != NULL && load_acquire_u32(&ack->state) == otlpshm_ack_reaped; /* SYNC(reaped) */
  if (!is_reaped && load_relaxed_u32(&segment->removed) == 0) return;
  for (uint32_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    const uint64_t dropped = load_relaxed_u64(&segment->control->dropped[reason]);
    const uint64_t echoed = ack == NULL ? 0 : load_relaxed_u64(&ack->dropped_echo[reason]);
    if (echoed >= dropped) continue;
    add_relaxed_u64(&attachment->pending[reason], dropped - echoed);
    attachment->gone.dropped[reason] -= dropped - echoed;
  }
}

/* Records that a frame of the parent's went on with in this child, in memory that nobody reads. */
static void count_as_forked(struct otlpshm_attachment* attachment,
                            const struct otlpshm_segment* segment) {
  for (uint32_t index = 0; index < segment->lane_count; ++index) {
    if (load_relaxed_u64(&segment->lanes[index].control->tail) != 0) {
      (void)otlpshm_attach_drop_later(attachment, otlpshm_drop_forked);
    }
  }
}

void otlpshm_attach_keep_counts(struct otlpshm_attachment* attachment,
                                const struct otlpshm_segment* segment) {
  if (segment->inherited) {
    count_as_forked(attachment, segment);
  } else {
    add_counts(segment, &attachment->gone);
    take_unechoed(attachment, segment);
  }
}

void otlpshm_attach_stats(struct otlpshm_attachment* attachment, struct otlpshm_stats* stats) {
  const uint64_t now = otlpshm_clock_monotonic();
  otlpshm_attach_tick(attachment, now, true);
  otlpshm_attach_lock(attachment);
  otlpshm_attach_collect(attachment);
  const size_t size = stats->size;
  *stats = attachment->gone;
  stats->size = size;
  for (uint32_t i = 0; i < OTLPSHM_SEGMENTS_MAX; ++i) {
    const struct otlpshm_segment* one = &attachment->segments[i];
    if (one->phase != otlpshm_segment_empty && !one->inherited) {
      add_counts(one, stats);
    }
  }
  struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  if (segment != NULL) {
    stats->lanes_open = load_relaxed_u32(&segment->lanes_open);
    stats->lanes_lost = otlpshm_segment_watch(segment, now);
  }
  stats->ended = stats->committed;
  for (uint32_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    stats->dropped[reason] += load_relaxed_u64(&attachment->pending[reason]);
    stats->ended += stats->dropped[reason];
  }
  stats->attributes_dropped = load_relaxed_u64(&attachment->attributes_dropped);
  stats->events_dropped = load_relaxed_u64(&attachment->events_dropped);
  stats->links_dropped = load_relaxed_u64(&attachment->links_dropped);
  stats->spans_grown = load_relaxed_u64(&attachment->spans_grown);
  stats->late_calls = load_relaxed_u64(&attachment->late_calls);
  otlpshm_attach_unlock(attachment);
}
