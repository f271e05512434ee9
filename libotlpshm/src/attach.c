/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c: the life of an attachment and of its segments: open, attach, attach anew, close, fork.
 *   Order  a new segment holds all tables and all pending drops before it becomes current; a
 *          reaped one stops being current before its leases are closed; those of one whose name is
 *          gone are closed before.
 *   Never  waits on the span path, but for another thread that attaches anew, 2 ms at most. */
#include "attach.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "headroom.h"
#include "kernel.h"

#define SECOND UINT64_C(1000000000)
#define LOOK_AGAIN_NANO SECOND
#define DEFAULT_BUDGET (UINT64_C(16) << 20)
#define LIMIT_PARTS 16   /* of the cgroup's memory limit, one at most by default */
#define FREE_PARTS_MIN 4 /* one in four blocks of the file system */
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

/* ---- uses ------------------------------------------------------------------------------------ */

bool otlpshm_attach_use(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment) {
  for (uint32_t i = 0; i < OTLPSHM_USES_MAX; ++i) {
    if (!take_ordered_u32(&segment->uses[i], 0, otlpshm_attach_holder())) continue;
    if (load_ordered_pointer(&attachment->current) == segment) return true;
    store_release_u32(&segment->uses[i], 0);
    return false;
  }
  return false;
}

/* One of this thread's: which of them does not matter. */
void otlpshm_attach_unuse(struct otlpshm_segment* segment) {
  for (uint32_t i = 0; i < OTLPSHM_USES_MAX; ++i) {
    if (load_relaxed_u32(&segment->uses[i]) != otlpshm_attach_holder()) continue;
    store_release_u32(&segment->uses[i], 0);
    return;
  }
}

/* ---- attach, under the mutex ----------------------------------------------------------------- */

void otlpshm_attach_collect(struct otlpshm_attachment* attachment) {
  for (uint32_t i = 0; i < OTLPSHM_SEGMENTS_MAX; ++i) {
    struct otlpshm_segment* segment = &attachment->segments[i];
    if (segment->phase != otlpshm_segment_retired || !otlpshm_segment_close_leases(segment)) {
      continue;
    }
    otlpshm_attach_keep_counts(attachment, segment);
    otlpshm_segment_unmap(segment);
  }
}

static void retire_current(struct otlpshm_attachment* attachment) {
  struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  store_ordered_pointer(&attachment->current, (struct otlpshm_segment*)NULL);
  if (segment != NULL) {
    segment->phase = otlpshm_segment_retired;
    if (load_relaxed_u32(&segment->removed) != 0) ++attachment->removals;
  }
  otlpshm_attach_collect(attachment);
}

static bool has_free_space(int directory) {
  struct statfs system;
  return otlpshm_kernel_fstatfs(directory, &system) == 0 &&
         (uint64_t)system.f_bavail >= (uint64_t)system.f_blocks / FREE_PARTS_MIN;
}

static int create_segment(struct otlpshm_attachment* attachment,
                          const struct otlpshm_open_directory* directory) {
  otlpshm_attach_collect(attachment);
  for (uint32_t i = 0; i < OTLPSHM_SEGMENTS_MAX; ++i) {
    struct otlpshm_segment* segment = &attachment->segments[i];
    if (segment->phase != otlpshm_segment_empty) continue;
    const int status =
        otlpshm_segment_create(segment, directory->fd, directory->trust.for_group ? 0640 : 0644,
                               attachment->lane_count, attachment->lane_bytes);
    if (status != OTLPSHM_OK) return status;
    otlpshm_attach_write_tables(attachment, segment);
    otlpshm_attach_hand_over(attachment, segment);
    otlpshm_attach_watch(segment, directory);
    otlpshm_segment_start(segment);
    if (!otlpshm_attach_may_enter_kernel(attachment)) {
      otlpshm_segment_open_all(segment, otlpshm_attach_holder(), otlpshm_clock_monotonic());
    }
    store_ordered_pointer(&attachment->current, segment);
    return OTLPSHM_OK;
  }
  return OTLPSHM_ERROR_NO_MEMORY; /* late threads hold every mapping; they let go soon */
}

static int attach(struct otlpshm_attachment* attachment, uint64_t now) {
  struct otlpshm_open_directory directory;
  int status = otlpshm_attach_open_directory(attachment->path, &directory);
  store_relaxed_u32(&attachment->directory_there, status != OTLPSHM_ERROR_NO_DIRECTORY);
  if (status != OTLPSHM_OK) return status;
  status = otlpshm_attach_judge_state(attachment, &directory, now);
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

bool otlpshm_attach_again(struct otlpshm_attachment* attachment, struct otlpshm_segment* over) {
  bool locked = try_lock(attachment);
  for (int tries = 0; tries < OTLPSHM_AGAIN_TRIES && !locked; ++tries) {
    (void)otlpshm_kernel_sleep(OTLPSHM_AGAIN_PAUSE_NANO);
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
    if (segment != NULL && !otlpshm_segment_is_over(segment)) { /* else the next tick sees to it */
      otlpshm_attach_reclaim(attachment, segment); /* what is not open by now never opens */
      otlpshm_segment_open_all(segment, otlpshm_attach_holder(), otlpshm_clock_monotonic());
    }
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
  struct otlpshm_open_directory directory;
  if (!is_read_out(segment)) return;
  if (otlpshm_attach_open_directory(attachment->path, &directory) != OTLPSHM_OK) return;
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
      /* Also beside a late thread: while it has a lease or a use the memory stays, and to these
       * words there are only atomic additions. */
      if (!otlpshm_segment_is_over(segment)) otlpshm_attach_hand_over(attachment, segment);
      if (closed) unlink_if_read_out(attachment, segment);
      otlpshm_attach_collect(attachment);
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
