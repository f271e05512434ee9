/* SPDX-License-Identifier: Apache-2.0 */
/* lane.h: station 4 of a span's life: a finished record goes into shared memory.
 *   Never  blocks, allocates, or waits for another thread (but for one that attaches anew: see
 *          otlpshm_attach_again); enters the kernel only for memory, for the daemon's files, and to
 *          wake it.
 *   Loses  lane_full, lanes_busy, record_too_large, no_segment; each counted. */
#ifndef OTLPSHM_SRC_LANE_H
#define OTLPSHM_SRC_LANE_H

#include <stdbool.h>
#include <stdint.h>

struct otlpshm_attachment;
struct otlpshm_inline_rows;
struct otlpshm_segment;

/* Commits a record: its header and the fields of the span in one piece, of so many bytes; rows
 * stand between the two in a record of kind 2, and are null in one of kind 1. Nothing of it is
 * changed: size, position_low and sequence of the header are filled in on the way. now is
 * monotonic. Returns OTLPSHM_OK or OTLPSHM_ERROR_DROPPED, counted. may_attach: not in a signal
 * handler. Thread-safe; async-signal-safe without may_attach. */
int otlpshm_lane_commit(struct otlpshm_attachment* attachment, const uint8_t* bytes, uint32_t size,
                        const struct otlpshm_inline_rows* rows, uint64_t now, bool may_attach);

/* Takes back the lanes whose holder is gone: a thread that ended, was cancelled or was killed in
 * the middle of a commit, or of opening a lane. What it had committed stays; what it had not is not
 * seen. The caller holds tick_lease, and a use of the segment or the attach mutex, with signals
 * blocked. */
void otlpshm_lane_reclaim(struct otlpshm_segment* segment, uint32_t tid);

#endif
