/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h: this process's shared file and its lanes, as this process sees them.
 *   Owns   the mapping of <id>.seg, the mapping of <id>.ack, the leases.
 *   Life   empty -> live (attach) -> retired (re-attach, shutdown) -> empty (all leases closed, no
 *          users). The struct itself is never freed: a late thread finds closed leases in it.
 *   Never  unmaps what a lease holder or a counted user may still touch. */
#ifndef OTLPSHM_SRC_SEGMENT_H
#define OTLPSHM_SRC_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ordering.h"
#include "otlpshm/layout.h"

#define OTLPSHM_LEASE_FREE 0u
#define OTLPSHM_LEASE_CLOSED UINT32_MAX
#define OTLPSHM_LEASE_UNKNOWN (UINT32_MAX - 1) /* of a thread without a tid: never gone */
#define OTLPSHM_USES_MAX 16u
#define OTLPSHM_ID_CHARACTERS 32u
#define OTLPSHM_FILE_NAME_BYTES 64u

/* The private half of a lane. Everything below the lease belongs to its holder. */
struct otlpshm_lane {
  uint32_t lease; /* a tid, OTLPSHM_LEASE_FREE, or OTLPSHM_LEASE_CLOSED */
  uint32_t reserved;
  uint64_t tail;     /* noted before it is stored in shared memory: see lane.c */
  uint64_t sequence; /* likewise */
  uint64_t offset;   /* tail mod bytes */
  uint64_t limit;    /* where a record may end without a look at release or at memory */
  uint64_t bytes;
  uint8_t* area;
  struct otlpshm_lane_control* control;
  uint64_t release;   /* last good release that was read */
  uint64_t populated; /* bytes of the area that have memory behind them */
  /* Of those that watch leases, atomics: see otlpshm_segment_watch. */
  uint64_t held_since; /* monotonic; 0: it was free */
  uint64_t held_tail;
  uint32_t held_by;
  uint32_t apart[7];
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct otlpshm_lane) == 128, "a lease shares no line with its neighbour's");

enum otlpshm_segment_phase {
  otlpshm_segment_empty = 0,
  otlpshm_segment_live,
  otlpshm_segment_retired,
};

struct otlpshm_segment {
  struct otlpshm_lane lanes[OTLPSHM_LANES_MAX];
  const struct otlpshm_ack_header* ack; /* null until the daemon has made it */
  struct otlpshm_control* control;
  uint8_t* base;
  uint64_t bytes;
  uint32_t lane_count;
  uint32_t lanes_open;              /* copy of the shared word, for those without a lease */
  enum otlpshm_segment_phase phase; /* under the attach mutex */
  bool areas_allocated;             /* all of them, at attach: the kernel cannot populate */
  uint32_t sealed;                  /* all memory that it will have it has: preopen */
  bool inherited;                   /* a parent's, for a frame that goes on in the child */
  uint64_t ack_bytes;
  dev_t ack_device;
  ino_t ack_inode;
  dev_t device; /* with the inode: the file that bears its name, while it does */
  ino_t inode;
  dev_t root_device; /* of "/", when its path was walked: a later chroot sees other files */
  ino_t root_inode;
  uint32_t removed;       /* its name is gone, and nobody said `reaped` */
  uint32_t ack_is_skewed; /* what was last found in its place speaks another version */
  char id[OTLPSHM_ID_CHARACTERS + 1];

  /* Tids of threads that touch the mapping without a lease, and of some that just look; or 0. */
  uint32_t uses[OTLPSHM_USES_MAX] __attribute__((aligned(128)));
  uint32_t open_lease;    /* tid of the thread that opens a lane, or 0 */
  uint64_t grow_again_at; /* monotonic; memory was short */
};

/* Sizes of the lanes for a budget and a number of CPUs; returns the number of lanes. */
uint32_t otlpshm_segment_plan(uint64_t budget_bytes, uint32_t cpus,
                              uint64_t lane_bytes[OTLPSHM_LANES_MAX]);

/* Makes, locks, maps and names a new segment in an empty struct. directory is open; mode is the
 * file's. All leases are closed: a thread that still knows the struct from its last life must not
 * write before the tables are there. uses are left alone, for the same thread may be noting one.
 * Returns 0 or a negative otlpshm_status; nothing is left behind on failure.
 * Under the attach mutex. */
int otlpshm_segment_create(struct otlpshm_segment* segment, int directory, unsigned mode,
                           uint32_t lane_count, const uint64_t* lane_bytes);

/* Lets threads write to lane 0. */
static inline void otlpshm_segment_start(struct otlpshm_segment* segment) {
  store_release_u32(&segment->lanes[0].lease, OTLPSHM_LEASE_FREE); /* SYNC(lease) */
}

/* True when the daemon reads it no more. The caller holds a lease, a use, or the attach mutex. */
static inline bool otlpshm_segment_is_reaped(const struct otlpshm_segment* segment) {
  const struct otlpshm_ack_header* ack = load_acquire_pointer(&segment->ack);
  return ack != NULL && load_relaxed_u32(&ack->state) == otlpshm_ack_reaped; /* SYNC(reaped) */
}

/* The same, and when its file has lost its name while no daemon was there to say so. Whoever finds
 * that out closes its leases, so a commit need not ask. The caller holds as above. */
static inline bool otlpshm_segment_is_over(const struct otlpshm_segment* segment) {
  return load_relaxed_u32(&segment->removed) != 0 || otlpshm_segment_is_reaped(segment);
}

/* True when a lane is left to open, memory was not short within the last second, and the segment is
 * not sealed. */
static inline bool otlpshm_segment_may_open(const struct otlpshm_segment* segment, uint64_t now) {
  return load_relaxed_u32(&segment->lanes_open) < load_relaxed_u32(&segment->lane_count) &&
         load_relaxed_u32(&segment->sealed) == 0 &&
         now >= load_relaxed_u64(&segment->grow_again_at);
}

/* Opens one more lane, unless there is none or another thread is at it. It has no memory yet.
 * The caller holds a use of the segment. Async-signal-safe. */
void otlpshm_segment_open_lane(struct otlpshm_segment* segment, uint32_t tid);

/* Puts memory behind the lane's area up to `bytes` and a little further. False when there is none,
 * when taking it could get the process killed (headroom.h), or when the segment is sealed: what was
 * there stays. The caller holds the lane's lease. Async-signal-safe. */
bool otlpshm_segment_populate(struct otlpshm_segment* segment, struct otlpshm_lane* lane,
                              uint64_t bytes, uint64_t now);

/* Opens every lane, puts memory behind all of them, and seals the segment: no span will enter the
 * kernel for it. Where memory is short, or another thread does not come to an end of opening a lane
 * for 50 ms, the remaining lanes stay closed; one that is leased for so long stays as it is. Under
 * the attach mutex. */
void otlpshm_segment_open_all(struct otlpshm_segment* segment, uint32_t tid, uint64_t now);

/* Closes the leases that are free: nothing more is written. The caller holds a use. */
void otlpshm_segment_close_free_leases(struct otlpshm_segment* segment);

/* Closes the leases that are free, and those of threads that are gone, whose uses it forgets. True
 * when all are closed and nobody uses the mapping. Under the attach mutex, once the segment is
 * retired. */
bool otlpshm_segment_close_leases(struct otlpshm_segment* segment);

/* Leaves a parent's segment, in its child, to the frame of this very thread that a fork interrupted
 * and that goes on when the handler returns: harmless memory where the mapping was, its leases and
 * uses under its new tid. False when there is no such frame. */
bool otlpshm_segment_leave_to_frame(struct otlpshm_segment* segment, uint32_t tid_in_parent,
                                    uint32_t tid);

/* Notes since when each lease has been held. Returns how many lanes have been held for over a
 * second without a commit: by a thread that is gone, that jumped out of a commit, or that stands
 * still. The caller holds a use, or the attach mutex. */
uint32_t otlpshm_segment_watch(struct otlpshm_segment* segment, uint64_t now);

/* Makes the names of files: prefix, id, suffix. */
void otlpshm_segment_name(const struct otlpshm_segment* segment, const char* prefix,
                          const char* suffix, char out[OTLPSHM_FILE_NAME_BYTES]);

/* Unmaps a segment whose leases are closed, and empties the struct. Under the attach mutex. */
void otlpshm_segment_unmap(struct otlpshm_segment* segment);

/* release of the valid copy of a lane's ack slot; false as below. The caller holds the lease. */
bool otlpshm_segment_read_release(const struct otlpshm_segment* segment, uint32_t lane,
                                  uint64_t* release);

/* The valid copy of a lane's ack slot; false when the daemon is changing it (three tries) or the
 * segment has no ack. The caller holds a lease, a use, or the attach mutex. */
bool otlpshm_segment_read_ack(const struct otlpshm_segment* segment, uint32_t lane,
                              struct otlpshm_ack_copy* copy);

#endif
