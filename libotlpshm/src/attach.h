/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h: this process and one directory: its segment, the daemon's files, the tables, counts.
 *   Owns   up to 4 attachments, in static memory, never freed.
 *   Files  attach.c: its life; attach_watch.c; attach_counts.c; attach_tables.c.
 *   Locks  one mutex each; held to attach, attach again, register, read counts, and over fork.
 *          The span path takes it only by trylock, and never in a signal handler.
 *   Leases tick_lease, and uses of a segment: by tid, so that those of dead threads are forgotten.
 */
#ifndef OTLPSHM_SRC_ATTACH_H
#define OTLPSHM_SRC_ATTACH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "ordering.h"
#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"
#include "process.h"
#include "segment.h"
#include "state.h"

#define OTLPSHM_ATTACHMENTS_MAX 4
#define OTLPSHM_SEGMENTS_MAX 3 /* one live, two that late threads still hold */
#define OTLPSHM_PATH_BYTES 256
#define OTLPSHM_INLINE_BYTES_MAX (1u << 20)
/* For a thread that does the same at this moment: it takes microseconds, so 2 ms are much. */
#define OTLPSHM_AGAIN_TRIES 40
#define OTLPSHM_AGAIN_PAUSE_NANO UINT64_C(50000)

/* A resource and a scope for which the tables had no room, as a record of kind 2 carries them: u32
 * n, n bytes, u32 m, m bytes. */
#define OTLPSHM_SCOPE_INLINE 0xffffu /* scope_index of such a record */
struct otlpshm_inline_rows {
  struct otlpshm_inline_rows* next;
  const uint8_t* bytes;
  uint32_t size;
};

struct otlpshm_attachment {
  struct otlpshm_segment* current;   /* null: not attached */
  const struct otlpshm_state* state; /* null: none seen yet; its address stays once mapped */
  uint64_t record_bytes_any;         /* what fits half of every lane */
  uint64_t record_bytes_max;         /* what fits half of lane 0 */
  uint32_t preopen;                  /* spans never enter the kernel */
  uint32_t epoch_rung;
  uint32_t expired;             /* heartbeat unchanged for 10 s */
  uint64_t tick_at;             /* monotonic: when to look at the daemon's files again */
  uint64_t published_threshold; /* of new roots, by the daemon; 0: none is in force */
  uint32_t root_look_mask;      /* of a trace id: see otlpshm_sampling_look_again */
  struct otlpshm_calibrations clock;
  uint32_t lane_count; /* the plan, fixed before the first segment */
  uint64_t lane_bytes[OTLPSHM_LANES_MAX];

  /* Slow path, atomics. */
  uint32_t tick_lease;      /* a tid, or 0 */
  uint64_t look_at;         /* monotonic: when a call other than a span's may look again */
  uint64_t look_again_at;   /* monotonic: when to try to attach again */
  uint64_t root_look_at;    /* coarse: when a root that the daemon takes away last looked */
  uint32_t directory_there; /* 1: spans that cannot be kept are counted */
  int32_t status;           /* why nothing arrives */
  uint32_t state_is_skewed; /* what was last found in state's place speaks another version */
  uint64_t heartbeat;       /* under tick_lease, with the next four */
  uint64_t heartbeat_seen_at;
  uint64_t state_look_at;
  uint64_t name_look_at;
  struct stat state_stat;
  uint64_t
      attributes_dropped; /* with the next four: counts of spans and what they could not keep */
  uint64_t events_dropped;
  uint64_t links_dropped;
  uint64_t spans_grown;
  uint64_t late_calls;
  uint64_t pending[OTLPSHM_PRODUCER_REASONS]; /* drops that no segment holds; the next look or
                                                 segment takes them over */

  /* Under the mutex. */
  pthread_mutex_t mutex;
  uint64_t signals; /* what the thread that holds it had blocked before */
  bool used;
  uint32_t writers;
  uint32_t removals; /* segments that were left because their name was gone: not read to the end */
  uint32_t closes;   /* segments that were left by the last writer's shutdown, settled or not */
  char path[OTLPSHM_PATH_BYTES];
  struct otlpshm_segment segments[OTLPSHM_SEGMENTS_MAX];
  struct otlpshm_table_entry resources[OTLPSHM_RESOURCES_MAX];
  struct otlpshm_table_entry scopes[OTLPSHM_SCOPES_MAX];
  uint32_t resource_count;
  uint32_t scope_count;
  uint32_t table_bytes_used;
  uint8_t table_bytes[OTLPSHM_TABLE_BYTES_MAX];
  struct otlpshm_inline_rows* inline_rows; /* a list; malloc, never freed: spans point to them */
  uint32_t inline_bytes_used;
  struct otlpshm_stats gone; /* counts of segments that are unmapped */
};

/* Held to open and to shut down writers, and over fork; taken before any attachment's mutex. All
 * these mutexes are held with every signal blocked: a handler never interrupts their holder, so it
 * may fork, and a thread is not cancelled while it holds one. */
void otlpshm_attach_open_lock(void);
void otlpshm_attach_open_unlock(void);
void otlpshm_attach_lock(struct otlpshm_attachment* attachment);
void otlpshm_attach_unlock(struct otlpshm_attachment* attachment);

/* The attachment of a directory; counts a writer. A relative path is one of the working directory
 * of this moment. budget_bytes (0: the default) is used by the first writer only; preopen, once
 * asked for, stays. Returns OTLPSHM_OK, INVALID_ARGUMENT (the path is too long), SYSTEM (there is
 * no working directory), or NO_MEMORY (too many directories). The caller holds the open lock. */
int otlpshm_attach_open(struct otlpshm_attachment** out, const char* path, uint64_t budget_bytes,
                        bool preopen);

/* Uncounts a writer; the last one gives the segment up, and unlinks it when nothing of it is left
 * to read. */
void otlpshm_attach_close(struct otlpshm_attachment* attachment);

/* Attaches unless it is attached or it is too early to look again. now is monotonic.
 * Not async-signal-safe. Returns the segment or null. */
struct otlpshm_segment* otlpshm_attach_now(struct otlpshm_attachment* attachment, uint64_t now);

/* False for the spans of a program that asked for preopen: they drop instead. */
static inline bool otlpshm_attach_may_enter_kernel(const struct otlpshm_attachment* attachment) {
  return load_relaxed_u32(&attachment->preopen) == 0;
}

/* Leaves a segment that is over and attaches anew; null: another thread is at it. Waits for another
 * thread that is at it, 2 ms at most. True when another segment is current. Not async-signal-safe.
 */
bool otlpshm_attach_again(struct otlpshm_attachment* attachment, struct otlpshm_segment* over);

/* Notes a use of a segment's mapping by a thread without a lease. False when the segment is not
 * current any more, or too many threads use it at once. */
bool otlpshm_attach_use(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment);
void otlpshm_attach_unuse(struct otlpshm_segment* segment);

/* fork: no child holds the descriptor of a segment in the making, or a locked mutex. The last is
 * for a child in which no handler ran. */
void otlpshm_attach_before_fork(void);
void otlpshm_attach_after_fork(void);
void otlpshm_attach_after_fork_in_child(void);
void otlpshm_attach_forget_parent(void);

/* ---- attach_watch.c -------------------------------------------------------------------------- */

/* Looks for the daemon's files and at its heartbeat. full: no lane took a span, so an ack is worth
 * looking for, and lanes of threads that are gone are taken back. Where no daemon shows itself it
 * looks, once a second, whether the segment still has its name. Async-signal-safe. */
void otlpshm_attach_look(struct otlpshm_attachment* attachment, uint64_t now, bool full);

/* The same without entering the kernel: at the heartbeat, the published clock, the leases. */
void otlpshm_attach_glance(struct otlpshm_attachment* attachment, uint64_t now);

/* Every 100 ms at the most, in a span. */
static inline void otlpshm_attach_tick_of_span(struct otlpshm_attachment* attachment, uint64_t now,
                                               bool full) {
  if (now < load_relaxed_u64(&attachment->tick_at)) return;
  if (otlpshm_attach_may_enter_kernel(attachment)) {
    otlpshm_attach_look(attachment, now, full);
  } else {
    otlpshm_attach_glance(attachment, now);
  }
}

/* Every 100 ms at the most, in calls that may enter the kernel whatever was asked for. With preopen
 * it is they who attach and attach anew. Not async-signal-safe; not under the mutex. */
void otlpshm_attach_tick(struct otlpshm_attachment* attachment, uint64_t now, bool full);

/* With preopen: waits for the daemon's ack, 200 ms at most, if a daemon is there: spans will not
 * look for it. Not async-signal-safe. */
void otlpshm_attach_await_ack(struct otlpshm_attachment* attachment);

/* ---- attach_counts.c ------------------------------------------------------------------------- */

/* Counts a dropped span; returns OTLPSHM_ERROR_DROPPED. Async-signal-safe. */
int otlpshm_attach_drop(struct otlpshm_attachment* attachment, enum otlpshm_drop_reason reason);

/* The same for a process that is not ready: its segment may be the parent's, which is not here. */
int otlpshm_attach_drop_later(struct otlpshm_attachment* attachment,
                              enum otlpshm_drop_reason reason);

/* Fills everything of stats but size. */
void otlpshm_attach_stats(struct otlpshm_attachment* attachment, struct otlpshm_stats* stats);

/* ---- attach_tables.c ------------------------------------------------------------------------- */

/* Rows of the tables, by equal bytes. Return the index, or -1 when the table is full. */
int otlpshm_attach_resource(struct otlpshm_attachment* attachment, const uint8_t* bytes,
                            size_t count);
int otlpshm_attach_scope(struct otlpshm_attachment* attachment, const uint8_t* bytes, size_t count,
                         uint16_t resource_index);

/* Both rows for records that carry them, when the tables are full; equal ones are one. They stay as
 * they are for as long as the process lives. Null when memory is short, when they would leave a
 * span less than a quarter of lane 0, or when all of them would be more than 1 MiB. */
const struct otlpshm_inline_rows* otlpshm_attach_inline(struct otlpshm_attachment* attachment,
                                                        const uint8_t* resource,
                                                        size_t resource_bytes, const uint8_t* scope,
                                                        size_t scope_bytes);

/* ---- between these files --------------------------------------------------------------------- */

/* Who takes a lease or a use: this thread, which has no tid yet while it is not ready. */
static inline uint32_t otlpshm_attach_holder(void) {
  return otlpshm_thread.tid != 0 ? otlpshm_thread.tid : OTLPSHM_LEASE_UNKNOWN;
}

struct otlpshm_open_directory {
  int fd;
  struct otlpshm_trust trust;
};

/* Returns OTLPSHM_OK, and the descriptor is the caller's to close; or NO_DIRECTORY or SYSTEM. */
int otlpshm_attach_open_directory(const char* path, struct otlpshm_open_directory* out);

/* Looks for state, and returns OTLPSHM_OK if a segment in this directory may be read one day; or
 * NO_DAEMON (it has been gone for long), ABI_SKEW or SYSTEM. Under the mutex. */
int otlpshm_attach_judge_state(struct otlpshm_attachment* attachment,
                               const struct otlpshm_open_directory* directory, uint64_t now);

/* Looks for the ack of a segment that is not current yet. Under the mutex. */
void otlpshm_attach_watch(struct otlpshm_segment* segment,
                          const struct otlpshm_open_directory* directory);

/* Takes back what threads that are gone had leased of the segment. Waits for a thread that looks,
 * 2 ms at most. Under the mutex. */
void otlpshm_attach_reclaim(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment);

/* Writes the rows that the segment does not have yet. Under the mutex. */
void otlpshm_attach_write_tables(struct otlpshm_attachment* attachment,
                                 struct otlpshm_segment* segment);

/* Adds pending drops to the segment's. The caller has a use of it, or the mutex. */
void otlpshm_attach_hand_over(struct otlpshm_attachment* attachment,
                              struct otlpshm_segment* segment);

/* Unmaps segments that are retired and that nobody uses any more. Under the mutex. */
void otlpshm_attach_collect(struct otlpshm_attachment* attachment);

/* Takes the counts of a segment that is about to be unmapped: what its daemon did not count goes to
 * the next one. Under the mutex. */
void otlpshm_attach_keep_counts(struct otlpshm_attachment* attachment,
                                const struct otlpshm_segment* segment);

#endif
