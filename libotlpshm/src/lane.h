/* SPDX-License-Identifier: Apache-2.0 */
/* lane.h: station 4 of a span's life: a finished record goes into shared memory.
 *   Never  blocks, sleeps, allocates, or waits for another thread; enters the kernel only to open
 *          a lane or to look for the daemon's files.
 *   Loses  lane_full, lanes_busy, record_too_large, no_segment; each counted. */
#ifndef OTLPSHM_SRC_LANE_H
#define OTLPSHM_SRC_LANE_H

#include <stdbool.h>
#include <stdint.h>

struct otlpshm_attachment;

/* Commits a record: its header and body, contiguous; size, position_low and sequence of the header
 * are filled in here. now is monotonic. Returns OTLPSHM_OK or OTLPSHM_ERROR_DROPPED, counted.
 * may_attach: not in a signal handler. Thread-safe; async-signal-safe without may_attach. */
int otlpshm_lane_commit(struct otlpshm_attachment* attachment, uint8_t* record, uint32_t size,
                        uint64_t now, bool may_attach);

#endif
