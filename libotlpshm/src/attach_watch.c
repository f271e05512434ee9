/* SPDX-License-Identifier: Apache-2.0 */
/* attach_watch.c: looks at what the daemon says, and at whether the segment still has its name.
 *   Owns   tick_lease: one thread at a time looks, and the others go on.
 *   Never  looks for a file more often than docs/abi.md says; a glance does not enter the kernel.
 *   Source docs/abi.md#directory-and-files, docs/abi.md#state.   Order  SYNC(lease). */
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "attach.h"
#include "clock.h"
#include "kernel.h"
#include "lane.h"
#include "sampling.h"

#define SECOND UINT64_C(1000000000)
#define TICK_NANO (SECOND / 10)
#define EXPIRY_NANO (10 * SECOND)
#define STALE_STATE_SECONDS 600
#define ACK_TRIES 200
#define ACK_PAUSE_NANO (SECOND / 1000)

/* ---- the lease ------------------------------------------------------------------------------ */

/* With signals blocked the lease cannot be lost; a glance does not block them, so a thread may die
 * in it. */
static bool take_tick(struct otlpshm_attachment* attachment) {
  if (take_u32(&attachment->tick_lease, 0, otlpshm_attach_holder())) return true; /* SYNC(lease) */
  const uint32_t other = load_relaxed_u32(&attachment->tick_lease);
  return otlpshm_kernel_thread_is_gone(other) &&
         take_u32(&attachment->tick_lease, other, otlpshm_attach_holder()); /* SYNC(lease) */
}

static bool await_tick(struct otlpshm_attachment* attachment) {
  bool taken = take_tick(attachment);
  for (int tries = 0; tries < OTLPSHM_AGAIN_TRIES && !taken; ++tries) {
    (void)otlpshm_kernel_sleep(OTLPSHM_AGAIN_PAUSE_NANO);
    taken = take_tick(attachment);
  }
  return taken;
}

static void give_tick(struct otlpshm_attachment* attachment) {
  store_release_u32(&attachment->tick_lease, 0); /* SYNC(lease) */
}

/* ---- the daemon's files, and the segment's name ---------------------------------------------- */

int otlpshm_attach_open_directory(const char* path, struct otlpshm_open_directory* out) {
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

/* *is_another: it is not the file that was mapped before. The caller holds tick_lease. */
static int look_for_state(struct otlpshm_attachment* attachment,
                          const struct otlpshm_open_directory* in, uint64_t now, bool* is_another) {
  const struct otlpshm_daemon_file expected = {.magic = OTLPSHM_STATE_MAGIC,
                                               .bytes = OTLPSHM_STATE_FILE_BYTES};
  const struct stat before = attachment->state_stat;
  void* base = (void*)load_relaxed_pointer(&attachment->state);
  const bool first = base == NULL;
  const int status = otlpshm_daemon_file_map(in->fd, "state", &in->trust, &expected, &base,
                                             &attachment->state_stat);
  store_relaxed_u64(&attachment->state_look_at, now + SECOND);
  store_relaxed_u32(&attachment->state_is_skewed, status == OTLPSHM_ERROR_ABI_SKEW);
  *is_another =
      status == OTLPSHM_OK && (first || !otlpshm_is_same_file(&attachment->state_stat, &before));
  if (*is_another) {
    attachment->heartbeat_seen_at = 0;
    store_relaxed_u32(&attachment->epoch_rung, 0);
    store_release_pointer(&attachment->state, (const struct otlpshm_state*)base);
  }
  return status;
}

/* The caller holds tick_lease and a use of the segment, or the mutex. */
static int look_for_ack(struct otlpshm_segment* segment, const struct otlpshm_open_directory* in) {
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
  return otlpshm_kernel_stat_at(AT_FDCWD, "/", &root) == 0 &&
         otlpshm_is_file(&root, segment->root_device, segment->root_inode);
}

/* A daemon that lives says `reaped` before it removes a segment, and when somebody else did.
 * Without one, what is written to a file without a name is lost and nobody says so. in is null when
 * the directory is gone too. The caller holds tick_lease and a use of the segment. */
static void look_for_name(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                          const struct otlpshm_open_directory* in, uint64_t now) {
  if (now < attachment->name_look_at) return;
  attachment->name_look_at = now + SECOND;
  if (in != NULL) {
    char name[OTLPSHM_FILE_NAME_BYTES];
    struct stat stat;
    otlpshm_segment_name(segment, "", ".seg", name);
    const long error = otlpshm_kernel_stat_at(in->fd, name, &stat);
    if (error != 0 && error != -ENOENT) return;
    if (error == 0 && otlpshm_is_file(&stat, segment->device, segment->inode)) return;
  }
  if (otlpshm_segment_is_reaped(segment) || !has_same_root(segment)) return;
  store_relaxed_u32(&segment->removed, 1);
}

void otlpshm_attach_watch(struct otlpshm_segment* segment,
                          const struct otlpshm_open_directory* directory) {
  note_root(segment);
  (void)look_for_ack(segment, directory);
}

static bool is_stale(const struct stat* state) {
  struct timespec wall;
  return clock_gettime(CLOCK_REALTIME, &wall) == 0 &&
         wall.tv_sec - state->st_mtim.tv_sec > STALE_STATE_SECONDS;
}

int otlpshm_attach_judge_state(struct otlpshm_attachment* attachment,
                               const struct otlpshm_open_directory* directory, uint64_t now) {
  if (!await_tick(attachment)) return OTLPSHM_ERROR_SYSTEM; /* tried again in a second */
  bool is_another;
  int status = look_for_state(attachment, directory, now, &is_another);
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

/* ---- what stands in memory ------------------------------------------------------------------- */

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

/* The caller holds tick_lease, and a use of the segment unless that is null. */
static void look_at_memory(struct otlpshm_attachment* attachment, struct otlpshm_segment* segment,
                           uint64_t now) {
  watch_heartbeat(attachment, now);
  if (segment != NULL && load_relaxed_u32(&segment->removed) != 0) {
    otlpshm_segment_close_free_leases(segment); /* again, for some were held before */
  } else if (segment != NULL && !otlpshm_segment_is_reaped(segment)) {
    otlpshm_attach_hand_over(attachment, segment);
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
  if (!take_u32(&attachment->tick_lease, 0, otlpshm_attach_holder())) return; /* SYNC(lease) */
  struct otlpshm_segment* segment = use_current(attachment);
  look_at_memory(attachment, segment, now);
  if (segment != NULL) otlpshm_attach_unuse(segment);
  give_tick(attachment);
}

/* ---- looks ----------------------------------------------------------------------------------- */

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
  struct otlpshm_open_directory directory;
  const int status = otlpshm_attach_open_directory(attachment->path, &directory);
  if (status == OTLPSHM_OK) {
    bool is_another = false;
    if (state_too) (void)look_for_state(attachment, &directory, now, &is_another);
    /* A daemon that made its state anew may have made the ack anew. */
    if (segment != NULL && (missing || is_another)) (void)look_for_ack(segment, &directory);
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
    if (full && segment != NULL) otlpshm_lane_reclaim(segment, otlpshm_attach_holder());
    if (segment != NULL) otlpshm_attach_unuse(segment);
    give_tick(attachment);
  }
  otlpshm_kernel_restore_signals(signals);
}

void otlpshm_attach_reclaim(struct otlpshm_attachment* attachment,
                            struct otlpshm_segment* segment) {
  if (!await_tick(attachment)) return; /* they stay closed, or without memory */
  otlpshm_lane_reclaim(segment, otlpshm_attach_holder());
  give_tick(attachment);
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

void otlpshm_attach_await_ack(struct otlpshm_attachment* attachment) {
  if (otlpshm_attach_may_enter_kernel(attachment)) return;
  for (int tries = 0; tries < ACK_TRIES; ++tries) {
    otlpshm_attach_look(attachment, otlpshm_clock_monotonic(), true);
    if (load_relaxed_pointer(&attachment->state) == NULL || !wants_ack(attachment)) return;
    (void)otlpshm_kernel_sleep(ACK_PAUSE_NANO);
  }
}
