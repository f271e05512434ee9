/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c: see attach.h.
 *   Order  a new segment holds all tables and all pending drops before it becomes current; a
 *          reaped one stops being current before its leases are closed; those of one whose name is
 *          gone are closed before.
 *   Never  waits on the span path, but for another thread that attaches anew, 2 ms at most. */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "headroom.h"
#include "kernel.h"
#include "lane.h"
#include "process.h"
#include "sampling.h"

#define SECOND UINT64_C(1000000000)
#define LOOK_AGAIN_NANO SECOND
#define TICK_NANO (SECOND / 10)
#define EXPIRY_NANO (10 * SECOND)
#define DEFAULT_BUDGET (UINT64_C(16) << 20)
#define LIMIT_PARTS 16 /* of the cgroup's memory limit, one at most by default */
#define ACK_TRIES 200
#define ACK_PAUSE_NANO (SECOND / 1000)
#define STALE_STATE_SECONDS 600
#define FREE_PARTS_MIN 4 /* one in four blocks of the file system */
#define AGAIN_TRIES 40
#define AGAIN_PAUSE_NANO (SECOND / 20000)
#define CLOSE_TRIES 50
#define CLOSE_PAUSE_NANO (SECOND / 1000)

static struct otlpshm_attachment attachments[OTLPSHM_ATTACHMENTS_MAX];
static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t open_signals; /* under open_mutex: what its holder had blocked before */

/* ---- locks ---------------------------------------------------------------------------------- */

void otlpshm_attach_open_lock(void) {
  const uint64_t before = otlpshm_kernel_block_signals();
  pthread_mutex_lock(&open_mutex);
  open_signals = before;
}

void otlpshm_attach_open_unlock(void) {
  const uint64_t before = open_signals;
  pthread_mutex_unlock(&open_mutex);
  otlpshm_kernel_restore_signals(before);
}

void otlpshm_attach_lock(struct otlpshm_attachment* attachment) {
  const uint64_t before = otlpshm_kernel_block_signals();
  pthread_mutex_lock(&attachment->mutex);
  attachment->signals = before;
}

static bool try_lock(struct otlpshm_attachment* attachment) {
  const uint64_t before = otlpshm_kernel_block_signals();
  if (pthread_mutex_trylock(&attachment->mutex) == 0) {
    attachment->signals = before;
    return true;
  }
  otlpshm_kernel_restore_signals(before);
  return false;
}

void otlpshm_attach_unlock(struct otlpshm_attachment* attachment) {
  const uint64_t before = attachment->signals;
  pthread_mutex_unlock(&attachment->mutex);
  otlpshm_kernel_restore_signals(before);
}

/* Threads that are not ready have no tid yet. */
static uint32_t holder(void) {
  return otlpshm_thread.tid != 0 ? otlpshm_thread.tid : OTLPSHM_LEASE_UNKNOWN;
}

/* With signals blocked the lease cannot be lost; a glance does not block them, so a thread may die
 * in it. */
static bool take_tick(struct otlpshm_attachment* attachment) {
  if (take_u32(&attachment->tick_lease, 0, holder())) return true; /* SYNC(lease) */
  const uint32_t other = load_relaxed_u32(&attachment->tick_lease);
  return otlpshm_kernel_thread_is_gone(other) &&
         take_u32(&attachment->tick_lease, other, holder()); /* SYNC(lease) */
}

static void give_tick(struct otlpshm_attachment* attachment) {
  store_release_u32(&attachment->tick_lease, 0); /* SYNC(lease) */
}

/* ---- the directory and the daemon's files ------------------------------------------------- */

struct open_directory {
  int fd;
  struct otlpshm_trust trust;
};

static int open_directory(const char* path, struct open_directory* out) {
  const long fd = otlpshm_kernel_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
  if (fd == -ENOENT || fd == -ENOTDIR) return OTLPSHM_ERROR_NO_DIRECTORY;
  if (fd < 0) return OTLPSHM_ERROR_SYSTEM; /* it may well be there: what is lost is counted */
  struct stat stat;
  if (otlpshm_kernel_fstat((int)fd, &stat) != 0) {
    (void)otlpshm_kernel_close((int)fd);
    return OTLPSHM_ERROR_SYSTEM;
  }
  out->fd = (int)fd;
  out->trust = otlpshm_trust_of(&stat);
  return OTLPSHM_OK;
}

/* The caller holds tick_lease. */
static int look_for_state(struct otlpshm_attachment* attachment, const struct open_directory* in,
                          uint64_t now) {
  const struct otlpshm_daemon_file expected = {.magic = OTLPSHM_STATE_MAGIC,
                                               .bytes = OTLPSHM_STATE_FILE_BYTES};
  const struct stat before = attachment->state_stat;
  void* base = (void*)load_relaxed_pointer(&attachment->state);
  const bool first = base == NULL;
  const int status = otlpshm_daemon_file_map(in->fd, "state", &in->trust, &expected, &base,
                                             &attachment->state_stat);
  store_relaxed_u64(&attachment->state_look_at, now + SECOND);
  store_relaxed_u32(&attachment->state_is_skewed, status == OTLPSHM_ERROR_ABI_SKEW);
  if (status != OTLPSHM_OK) return status;
  if (first || !otlpshm_is_same_file(&attachment->state_stat, &before)) {
    attachment->heartbeat_seen_at = 0;
    store_relaxed_u32(&attachment->epoch_rung, 0);
    store_release_pointer(&attachment->state, (const struct otlpshm_state*)base);
  }
  return OTLPSHM_OK;
}

/* The caller holds tick_lease and a use of the segment, or the mutex. */
static int look_for_ack(struct otlpshm_segment* segment, const struct open_directory* in) {
  const struct otlpshm_segment_header* header = (const struct otlpshm_segment_header*)segment->base;
  const struct otlpshm_daemon_file expected = {.magic = OTLPSHM_ACK_MAGIC,
                                               .bytes = OTLPSHM_ACK_FILE_BYTES(segment->lane_count),
                                               .id = header->file.id};
  char name[OTLPSHM_FILE_NAME_BYTES];
  otlpshm_segment_name(segment, "", ".ack", name);
  void* base = (void*)load_relaxed_pointer(&segment->ack);
  struct stat stat = {.st_dev = segment->ack_device, .st_ino = segment->ack_inode};
  const int status = otlpshm_daemon_file_map(in->fd, name, &in->trust, &expected, &base, &stat);
  store_relaxed_u32(&segment->ack_is_skewed, status == OTLPSHM_ERROR_ABI_SKEW);
  if (status != OTLPSHM_OK) return status;
  segment->ack_device = stat.st_dev;
  segment->ack_inode = stat.st_ino;
  segment->ack_bytes = expected.bytes;
  store_release_pointer(&segment->ack, (const struct otlpshm_ack_header*)base);
  return OTLPSHM_OK;
}

static void note_root(struct otlpshm_segment* segment) {
  struct stat root = {.st_ino = 0};
  (void)otlpshm_kernel_stat_at(AT_FDCWD, "/", &root);
  segment->root_device = root.st_dev;
  segment->root_inode = root.st_ino;
}

/* False after a chroot: then a path that leads nowhere says nothing. */
static bool has_same_root(const struct otlpshm_segment* segment) {
  struct stat root;
  return otlpshm_kernel_stat_at(AT_FDCWD, "/", &root) == 0 && root.st_dev == segment->root_device &&
         root.st_ino == segment->root_inode;
}

/* A daemon that lives says `reaped` before it removes a segment, and when somebody else did.
 * Without one, what is written to a file without a name is lost and nobody says so. in is null when
 * the directory is gone too. The caller holds tick_lease and a use of the segment. */
static void look_for_name(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                          const struct open_directory* in, uint64_t now) {
  if (now < attachment->name_look_at) return;
  attachment->name_look_at = now + SECOND;
  if (in != NULL) {
    char name[OTLPSHM_FILE_NAME_BYTES];
    struct stat stat;
    otlpshm_segment_name(segment, "", ".seg", name);
    const long error = otlpshm_kernel_stat_at(in->fd, name, &stat);
    if (error != 0 && error != -ENOENT) return;
    if (error == 0 && stat.st_dev == segment->device && stat.st_ino == segment->inode) return;
  }
  if (otlpshm_segment_is_reaped(segment) || !has_same_root(segment)) return;
  store_relaxed_u32(&segment->removed, 1);
}

/* The caller holds tick_lease. */
static void watch_heartbeat(struct otlpshm_attachment* attachment, uint64_t now) {
  const struct otlpshm_state* state = load_relaxed_pointer(&attachment->state);
  if (state == NULL) return;
  const uint64_t heartbeat = load_relaxed_u64(&state->heartbeat);
  if (attachment->heartbeat_seen_at == 0 || heartbeat != attachment->heartbeat) {
    attachment->heartbeat = heartbeat;
    attachment->heartbeat_seen_at = now;
    store_relaxed_u32(&attachment->expired, 0);
  } else if (now > attachment->heartbeat_seen_at + EXPIRY_NANO) { /* it may be from before */
    store_relaxed_u32(&attachment->expired, 1);
  }
}

/* The caller has a use of the segment, or it is not current yet. */
static void hand_over_pending(struct otlpshm_attachment* attachment,
                              struct otlpshm_segment* segment) {
  for (uint32_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    if (load_relaxed_u64(&attachment->pending[reason]) == 0) continue;
    const uint64_t dropped = exchange_relaxed_u64(&attachment->pending[reason], 0);
    add_relaxed_u64(&segment->control->dropped[reason], dropped);
  }
}

/* The caller holds tick_lease, and a use of the segment unless that is null. */
static void look_at_memory(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                           uint64_t now) {
  watch_heartbeat(attachment, now);
  if (segment != NULL && load_relaxed_u32(&segment->removed) != 0) {
    otlpshm_segment_close_free_leases(segment); /* again, for some were held before */
  } else if (segment != NULL && !otlpshm_segment_is_reaped(segment)) {
    hand_over_pending(attachment, segment);
    (void)otlpshm_segment_watch(segment, now);
  }
  const struct otlpshm_state* state = load_relaxed_pointer(&attachment->state);
  const bool is_believed = state != NULL && load_relaxed_u32(&attachment->expired) == 0;
  otlpshm_clock_adopt(&attachment->clock, is_believed ? &state->clock : NULL);
  otlpshm_sampling_adopt(&attachment->published_threshold, is_believed ? &state->policy : NULL);
}

static struct otlpshm_segment* use_current(struct otlpshm_attachment* attachment) {
  struct otlpshm_segment* segment = load_acquire_pointer(&attachment->current);
  return segment != NULL && otlpshm_attach_use(attachment, segment) ? segment : NULL;
}

void otlpshm_attach_glance(struct otlpshm_attachment* attachment, uint64_t now) {
  store_relaxed_u64(&attachment->tick_at, now + TICK_NANO);
  if (!take_u32(&attachment->tick_lease, 0, holder())) return; /* SYNC(lease) */
  struct otlpshm_segment* segment = use_current(attachment);
  look_at_memory(attachment, segment, now);
  if (segment != NULL) otlpshm_attach_unuse(segment);
  give_tick(attachment);
}

static bool wants_state(const struct otlpshm_attachment* attachment, uint64_t now) {
  return (load_relaxed_pointer(&attachment->state) == NULL ||
          load_relaxed_u32(&attachment->expired) != 0) &&
         now >= load_relaxed_u64(&attachment->state_look_at);
}

static bool wants_ack(const struct otlpshm_attachment* attachment) {
  const struct otlpshm_segment* segment = load_acquire_pointer(&attachment->current);
  return segment != NULL && load_relaxed_pointer(&segment->ack) == NULL;
}

/* The caller holds tick_lease, with signals blocked, and a use of the segment unless it is null. */
static void look_for_files(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                           uint64_t now, bool full) {
  const bool missing = segment != NULL && (full || load_relaxed_pointer(&segment->ack) == NULL);
  const bool state_too = wants_state(attachment, now);
  if (!missing && !state_too) return;
  struct open_directory directory;
  const int status = open_directory(attachment->path, &directory);
  if (status == OTLPSHM_OK) {
    const struct stat state_before = attachment->state_stat;
    if (state_too) (void)look_for_state(attachment, &directory, now);
    /* A daemon that made its state anew may have made the ack anew. */
    const bool another = !otlpshm_is_same_file(&attachment->state_stat, &state_before);
    if (segment != NULL && (missing || another)) (void)look_for_ack(segment, &directory);
    if (segment != NULL) look_for_name(attachment, segment, &directory, now);
    (void)otlpshm_kernel_close(directory.fd);
  } else if (status == OTLPSHM_ERROR_NO_DIRECTORY && segment != NULL) {
    look_for_name(attachment, segment, NULL, now);
  }
}

void otlpshm_attach_look(struct otlpshm_attachment* attachment, uint64_t now, bool full) {
  if (!full && !wants_state(attachment, now) && !wants_ack(attachment)) {
    otlpshm_attach_glance(attachment, now);
    if (!wants_state(attachment, now)) return; /* it has not just expired */
  }
  store_relaxed_u64(&attachment->tick_at, now + TICK_NANO);
  store_relaxed_u64(&attachment->look_at, now + TICK_NANO);
  const uint64_t signals = otlpshm_kernel_block_signals();
  if (take_tick(attachment)) {
    struct otlpshm_segment* segment = use_current(attachment);
    look_for_files(attachment, segment, now, full);
    look_at_memory(attachment, segment, now);
    if (full && segment != NULL) otlpshm_lane_reclaim(segment, holder());
    if (segment != NULL) otlpshm_attach_unuse(segment);
    give_tick(attachment);
  }
  otlpshm_kernel_restore_signals(signals);
}

void otlpshm_attach_tick(struct otlpshm_attachment* attachment, uint64_t now, bool full) {
  if (now >= load_relaxed_u64(&attachment->look_at)) {
    store_relaxed_u64(&attachment->look_at, now + TICK_NANO);
    otlpshm_attach_look(attachment, now, full);
  }
  if (otlpshm_attach_may_enter_kernel(attachment)) return;
  struct otlpshm_segment* segment = otlpshm_attach_now(attachment, now);
  if (segment != NULL) (void)otlpshm_attach_again(attachment, segment);
}

/* ---- uses, drops ---------------------------------------------------------------------------- */

bool otlpshm_attach_use(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment) {
  for (uint32_t i = 0; i < OTLPSHM_USES_MAX; ++i) {
    if (!take_ordered_u32(&segment->uses[i], 0, holder())) continue;
    if (load_ordered_pointer(&attachment->current) == segment) return true;
    store_release_u32(&segment->uses[i], 0);
    return false;
  }
  return false;
}

/* One of this thread's: which of them does not matter. */
void otlpshm_attach_unuse(struct otlpshm_segment* segment) {
  for (uint32_t i = 0; i < OTLPSHM_USES_MAX; ++i) {
    if (load_relaxed_u32(&segment->uses[i]) != holder()) continue;
    store_release_u32(&segment->uses[i], 0);
    return;
  }
}

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

/* ---- tables, under the mutex ---------------------------------------------------------------- */

static void write_row(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                      uint32_t table_offset, uint32_t index,
                      const struct otlpshm_table_entry* row) {
  memcpy(segment->base + OTLPSHM_TABLE_BYTES_OFFSET + row->offset,
         attachment->table_bytes + row->offset, row->bytes);
  memcpy(segment->base + table_offset + index * sizeof *row, row, sizeof *row);
}

/* The rows that are not counted yet: the daemon may be reading the others. */
static void write_tables(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment) {
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
  if (segment != NULL) write_tables(attachment, segment);
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

/* ---- counts, under the mutex ---------------------------------------------------------------- */

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
 * next segment, and is not counted for this one. */
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

static void collect_retired(struct otlpshm_attachment* attachment) {
  for (uint32_t i = 0; i < OTLPSHM_SEGMENTS_MAX; ++i) {
    struct otlpshm_segment* segment = &attachment->segments[i];
    if (segment->phase != otlpshm_segment_retired || !otlpshm_segment_close_leases(segment)) {
      continue;
    }
    if (segment->inherited) {
      count_as_forked(attachment, segment);
    } else {
      add_counts(segment, &attachment->gone);
      take_unechoed(attachment, segment);
    }
    otlpshm_segment_unmap(segment);
  }
}

void otlpshm_attach_stats(struct otlpshm_attachment* attachment, struct otlpshm_stats* stats) {
  const uint64_t now = otlpshm_clock_monotonic();
  otlpshm_attach_tick(attachment, now, true);
  otlpshm_attach_lock(attachment);
  collect_retired(attachment);
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

/* ---- attach, under the mutex ---------------------------------------------------------------- */

static void retire_current(struct otlpshm_attachment* attachment) {
  struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  store_ordered_pointer(&attachment->current, (struct otlpshm_segment*)NULL);
  if (segment != NULL) {
    segment->phase = otlpshm_segment_retired;
    if (load_relaxed_u32(&segment->removed) != 0) ++attachment->removals;
  }
  collect_retired(attachment);
}

static bool is_stale(const struct stat* state) {
  struct timespec wall;
  return clock_gettime(CLOCK_REALTIME, &wall) == 0 &&
         wall.tv_sec - state->st_mtim.tv_sec > STALE_STATE_SECONDS;
}

static bool has_free_space(int directory) {
  struct statfs system;
  return otlpshm_kernel_fstatfs(directory, &system) == 0 &&
         (uint64_t)system.f_bavail >= (uint64_t)system.f_blocks / FREE_PARTS_MIN;
}

static int create_segment(struct otlpshm_attachment* attachment,
                          const struct open_directory* directory) {
  collect_retired(attachment);
  for (uint32_t i = 0; i < OTLPSHM_SEGMENTS_MAX; ++i) {
    struct otlpshm_segment* segment = &attachment->segments[i];
    if (segment->phase != otlpshm_segment_empty) continue;
    const int status =
        otlpshm_segment_create(segment, directory->fd, directory->trust.for_group ? 0640 : 0644,
                               attachment->lane_count, attachment->lane_bytes);
    if (status != OTLPSHM_OK) return status;
    note_root(segment);
    write_tables(attachment, segment);
    hand_over_pending(attachment, segment);
    (void)look_for_ack(segment, directory);
    otlpshm_segment_start(segment);
    if (!otlpshm_attach_may_enter_kernel(attachment)) {
      otlpshm_segment_open_all(segment, holder(), otlpshm_clock_monotonic());
    }
    store_ordered_pointer(&attachment->current, segment);
    return OTLPSHM_OK;
  }
  return OTLPSHM_ERROR_NO_MEMORY; /* late threads hold every mapping; they let go soon */
}

/* Under the mutex. Another thread may be looking for the same file: that takes microseconds. */
static int judge_state(struct otlpshm_attachment* attachment,
                       const struct open_directory* directory, uint64_t now) {
  bool taken = take_tick(attachment);
  for (int tries = 0; tries < AGAIN_TRIES && !taken; ++tries) {
    (void)otlpshm_kernel_sleep(AGAIN_PAUSE_NANO);
    taken = take_tick(attachment);
  }
  if (!taken) return OTLPSHM_ERROR_SYSTEM; /* tried again in a second */
  int status = look_for_state(attachment, directory, now);
  if (status == OTLPSHM_OK && load_relaxed_u32(&attachment->expired) == 0) {
    /* Not at the first tick alone: many a process has but one span. */
    const struct otlpshm_state* state = load_relaxed_pointer(&attachment->state);
    otlpshm_sampling_adopt(&attachment->published_threshold, &state->policy);
  }
  if (status == OTLPSHM_OK && is_stale(&attachment->state_stat)) {
    status = OTLPSHM_ERROR_NO_DAEMON;
  } else if (status == OTLPSHM_ERROR_NO_DAEMON || status == OTLPSHM_ERROR_UNTRUSTED) {
    status = OTLPSHM_OK; /* none yet, or one that the daemon will replace: spans wait for it */
  }
  give_tick(attachment);
  return status;
}

static int attach(struct otlpshm_attachment* attachment, uint64_t now) {
  struct open_directory directory;
  int status = open_directory(attachment->path, &directory);
  store_relaxed_u32(&attachment->directory_there, status != OTLPSHM_ERROR_NO_DIRECTORY);
  if (status != OTLPSHM_OK) return status;
  status = judge_state(attachment, &directory, now);
  if (status == OTLPSHM_OK && !has_free_space(directory.fd)) status = OTLPSHM_ERROR_NO_SPACE;
  if (status == OTLPSHM_OK) status = create_segment(attachment, &directory);
  (void)otlpshm_kernel_close(directory.fd);
  return status;
}

/* Under the mutex. */
static void attach_or_postpone(struct otlpshm_attachment* attachment, uint64_t now) {
  if (load_relaxed_pointer(&attachment->current) != NULL || attachment->writers == 0) return;
  const int status = attach(attachment, now);
  store_relaxed_u32((uint32_t*)&attachment->status, (uint32_t)status);
  store_relaxed_u64(&attachment->look_again_at, now + LOOK_AGAIN_NANO);
}

struct otlpshm_segment* otlpshm_attach_now(struct otlpshm_attachment* attachment, uint64_t now) {
  if (now >= load_relaxed_u64(&attachment->look_again_at) && try_lock(attachment)) {
    attach_or_postpone(attachment, now);
    otlpshm_attach_unlock(attachment);
  }
  return load_acquire_pointer(&attachment->current);
}

void otlpshm_attach_await_ack(struct otlpshm_attachment* attachment) {
  if (otlpshm_attach_may_enter_kernel(attachment)) return;
  for (int tries = 0; tries < ACK_TRIES; ++tries) {
    otlpshm_attach_look(attachment, otlpshm_clock_monotonic(), true);
    if (load_relaxed_pointer(&attachment->state) == NULL || !wants_ack(attachment)) return;
    (void)otlpshm_kernel_sleep(ACK_PAUSE_NANO);
  }
}

bool otlpshm_attach_again(struct otlpshm_attachment* attachment, struct otlpshm_segment* over) {
  bool locked = try_lock(attachment);
  for (int tries = 0; tries < AGAIN_TRIES && !locked; ++tries) {
    (void)otlpshm_kernel_sleep(AGAIN_PAUSE_NANO);
    locked = try_lock(attachment);
  }
  if (!locked) return false;
  /* The same struct may hold the next segment already. */
  if (over != NULL && load_relaxed_pointer(&attachment->current) == over &&
      otlpshm_segment_is_over(over)) {
    retire_current(attachment);
    attach_or_postpone(attachment, otlpshm_clock_monotonic());
  }
  otlpshm_attach_unlock(attachment);
  return load_acquire_pointer(&attachment->current) != NULL;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* An absolute path stays right when the program changes its working directory. */
static int absolute(const char* path, char out[OTLPSHM_PATH_BYTES]) {
  size_t before = 0;
  if (path[0] != '/') {
    const long bytes = otlpshm_kernel_working_directory(out, OTLPSHM_PATH_BYTES - 1);
    if (bytes == -ERANGE) return OTLPSHM_ERROR_INVALID_ARGUMENT;
    if (bytes < 2 || out[0] != '/') return OTLPSHM_ERROR_SYSTEM;
    before = (size_t)bytes - 1;
    out[before++] = '/';
  }
  const size_t count = strlen(path) + 1;
  if (count > OTLPSHM_PATH_BYTES - before) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  memcpy(out + before, path, count);
  return OTLPSHM_OK;
}

static void plan_lanes(struct otlpshm_attachment* attachment, uint64_t budget_bytes) {
  const uint64_t* lane_bytes = attachment->lane_bytes;
  attachment->lane_count =
      otlpshm_segment_plan(budget_bytes, otlpshm_kernel_allowed_cpus(), attachment->lane_bytes);
  const uint64_t half = lane_bytes[0] / 2;
  attachment->record_bytes_max = half < OTLPSHM_RECORD_BYTES_MAX ? half : OTLPSHM_RECORD_BYTES_MAX;
  const uint64_t half_of_others = lane_bytes[attachment->lane_count > 1 ? 1 : 0] / 2;
  attachment->record_bytes_any =
      half_of_others < attachment->record_bytes_max ? half_of_others : attachment->record_bytes_max;
}

static uint64_t default_budget(void) {
  const uint64_t part = otlpshm_headroom_limit() / LIMIT_PARTS;
  return part < DEFAULT_BUDGET ? part : DEFAULT_BUDGET;
}

/* The one of a path, or an unused one made ready for it; null when all are used. */
static struct otlpshm_attachment* attachment_of(const char* path, uint64_t budget_bytes) {
  for (uint32_t i = 0; i < OTLPSHM_ATTACHMENTS_MAX; ++i) {
    struct otlpshm_attachment* attachment = &attachments[i];
    if (attachment->used && strcmp(attachment->path, path) == 0) return attachment;
    if (attachment->used) continue;
    pthread_mutex_init(&attachment->mutex, NULL);
    memcpy(attachment->path, path, strlen(path) + 1);
    plan_lanes(attachment, budget_bytes);
    attachment->used = true;
    return attachment;
  }
  return NULL;
}

int otlpshm_attach_open(struct otlpshm_attachment** out, const char* path, uint64_t budget_bytes,
                        bool preopen) {
  char whole[OTLPSHM_PATH_BYTES];
  const int status = absolute(path, whole);
  if (status != OTLPSHM_OK) return status;
  struct otlpshm_attachment* attachment =
      attachment_of(whole, budget_bytes != 0 ? budget_bytes : default_budget());
  if (attachment == NULL) return OTLPSHM_ERROR_NO_MEMORY;
  otlpshm_clock_probe();
  otlpshm_attach_lock(attachment);
  ++attachment->writers;
  if (preopen && load_relaxed_u32(&attachment->preopen) == 0) {
    store_relaxed_u32(&attachment->preopen, 1);
    struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
    if (segment != NULL) otlpshm_segment_open_all(segment, holder(), otlpshm_clock_monotonic());
  }
  otlpshm_attach_unlock(attachment);
  *out = attachment;
  return OTLPSHM_OK;
}

/* Nothing of it is left to read: all settled, all drops echoed. Without an ack nothing was. */
static bool is_read_out(const struct otlpshm_segment* segment) {
  const struct otlpshm_ack_header* ack = load_acquire_pointer(&segment->ack);
  for (uint32_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
    const uint64_t echoed = ack == NULL ? 0 : load_relaxed_u64(&ack->dropped_echo[reason]);
    if (echoed != load_relaxed_u64(&segment->control->dropped[reason])) return false;
  }
  for (uint32_t index = 0; index < load_relaxed_u32(&segment->lanes_open); ++index) {
    struct otlpshm_ack_copy copy = {.release = 0};
    if (ack != NULL && !otlpshm_segment_read_ack(segment, index, &copy)) return false;
    if (copy.release != load_relaxed_u64(&segment->lanes[index].control->tail)) return false;
  }
  return true;
}

static void unlink_if_read_out(struct otlpshm_attachment* attachment,
                               const struct otlpshm_segment* segment) {
  struct open_directory directory;
  if (!is_read_out(segment) || open_directory(attachment->path, &directory) != OTLPSHM_OK) return;
  char name[OTLPSHM_FILE_NAME_BYTES];
  otlpshm_segment_name(segment, "", ".seg", name);
  (void)otlpshm_kernel_unlink(directory.fd, name);
  (void)otlpshm_kernel_close(directory.fd);
}

void otlpshm_attach_close(struct otlpshm_attachment* attachment) {
  otlpshm_attach_lock(attachment);
  if (--attachment->writers == 0) {
    struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
    store_ordered_pointer(&attachment->current, (struct otlpshm_segment*)NULL);
    if (segment != NULL) {
      segment->phase = otlpshm_segment_retired;
      ++attachment->closes;
      bool closed = false;
      for (int tries = 0; tries < CLOSE_TRIES && !closed; ++tries) {
        closed = otlpshm_segment_close_leases(segment);
        if (!closed) (void)otlpshm_kernel_sleep(CLOSE_PAUSE_NANO);
      }
      const bool is_over =
          otlpshm_segment_is_reaped(segment) || load_relaxed_u32(&segment->removed) != 0;
      if (closed && !is_over) hand_over_pending(attachment, segment);
      if (closed) unlink_if_read_out(attachment, segment);
      collect_retired(attachment);
    }
    store_relaxed_u64(&attachment->look_again_at, 0);
  }
  otlpshm_attach_unlock(attachment);
}

/* ---- fork ------------------------------------------------------------------------------------ */

void otlpshm_attach_before_fork(void) {
  otlpshm_attach_open_lock();
  for (uint32_t i = 0; i < OTLPSHM_ATTACHMENTS_MAX; ++i) {
    if (attachments[i].used) pthread_mutex_lock(&attachments[i].mutex);
  }
}

static void unlock_attachments(void) {
  for (uint32_t i = OTLPSHM_ATTACHMENTS_MAX; i-- > 0;) {
    if (attachments[i].used) pthread_mutex_unlock(&attachments[i].mutex);
  }
}

void otlpshm_attach_after_fork(void) {
  unlock_attachments();
  otlpshm_attach_open_unlock();
}

/* What the parent took over the fork is given back at once, while the child has one thread: none
 * can wait for it yet. Signals stay blocked until the parent is forgotten. */
void otlpshm_attach_after_fork_in_child(void) {
  const uint64_t before = open_signals;
  unlock_attachments();
  pthread_mutex_unlock(&open_mutex);
  otlpshm_attach_forget_parent();
  otlpshm_kernel_restore_signals(before);
}

static void forget_segment(struct otlpshm_segment* segment, uint32_t tid) {
  if (otlpshm_segment_leave_to_frame(segment, otlpshm_thread.tid, tid)) return;
  if (segment->phase != otlpshm_segment_empty && segment->ack != NULL) {
    (void)otlpshm_kernel_munmap((void*)segment->ack, segment->ack_bytes);
  }
  memset(segment, 0, sizeof *segment);
  for (uint32_t lane = 0; lane < OTLPSHM_LANES_MAX; ++lane) {
    segment->lanes[lane].lease = OTLPSHM_LEASE_CLOSED;
  }
}

/* In a child, before anything else of the library runs: the mappings of segments are not here, the
 * threads that held locks and leases are not either, and the parent's counts are the parent's. */
void otlpshm_attach_forget_parent(void) {
  const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
  open_mutex = unlocked;
  const uint32_t tid = otlpshm_kernel_tid();
  for (uint32_t i = 0; i < OTLPSHM_ATTACHMENTS_MAX; ++i) {
    struct otlpshm_attachment* attachment = &attachments[i];
    attachment->mutex = unlocked;
    store_relaxed_pointer(&attachment->current, (struct otlpshm_segment*)NULL);
    for (uint32_t s = 0; s < OTLPSHM_SEGMENTS_MAX; ++s)
      forget_segment(&attachment->segments[s], tid);
    memset(&attachment->gone, 0, sizeof attachment->gone);
    memset(attachment->pending, 0, sizeof attachment->pending);
    memset(&attachment->state_stat, 0, sizeof attachment->state_stat); /* perhaps half written */
    store_relaxed_u32(&attachment->tick_lease, 0);
    store_relaxed_u64(&attachment->look_again_at, 0);
    store_relaxed_u64(&attachment->tick_at, 0);
    store_relaxed_u64(&attachment->look_at, 0);
    attachment->name_look_at = 0;
    store_relaxed_u32(&attachment->epoch_rung, 0);
    store_relaxed_u64(&attachment->attributes_dropped, 0);
    store_relaxed_u64(&attachment->events_dropped, 0);
    store_relaxed_u64(&attachment->links_dropped, 0);
    store_relaxed_u64(&attachment->spans_grown, 0);
    store_relaxed_u64(&attachment->late_calls, 0);
  }
  otlpshm_thread.tid = tid;
}
