/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c: makes and unmakes the shared file.
 *   Order  allocate, lock, map, forbid inheritance, fill, rename, close: a file that has its name
 *          is complete and locked, and the lock lives exactly as long as the mapping.
 *   Never  touches a page that is not allocated: on a full tmpfs that would be a SIGBUS.
 *   Layout docs/abi.md#segment. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "clock.h"
#include "headroom.h"
#include "kernel.h"
#include "otlpshm/otlpshm.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define UNIT ((uint64_t)OTLPSHM_LANE_ALIGNMENT)
#define LANE_0_UNITS 16u                     /* 1 MiB */
#define POPULATE_BYTES (UINT64_C(256) << 10) /* some 30 us of the kernel's time */
#define GROW_RETRY_NANO UINT64_C(1000000000)
#define LOST_NANO UINT64_C(1000000000)
#define ACK_TRIES 3
#define LEASE_TRIES 50
#define LEASE_PAUSE_NANO UINT64_C(1000000)

uint32_t otlpshm_segment_plan(uint64_t budget_bytes, uint32_t cpus,
                              uint64_t lane_bytes[OTLPSHM_LANES_MAX]) {
  const uint64_t units_max = OTLPSHM_LANE_BYTES_MAX / UNIT;
  uint64_t count = 4 * (uint64_t)cpus;
  if (count < 8) count = 8;
  if (count > OTLPSHM_LANES_MAX) count = OTLPSHM_LANES_MAX;
  uint64_t units = budget_bytes / UNIT;
  if (units < 1) units = 1;
  if (units > units_max * count) units = units_max * count;

  uint64_t first;
  uint64_t other = 1;
  if (units >= LANE_0_UNITS + count - 1) {
    first = (units + count - 1) / count;
    if (first < LANE_0_UNITS) first = LANE_0_UNITS;
    other = (units - first) / (count - 1);
  } else if (units > LANE_0_UNITS) {
    first = LANE_0_UNITS;
    count = 1 + units - LANE_0_UNITS;
  } else {
    first = units;
    count = 1;
  }
  for (uint64_t lane = 0; lane < count; ++lane)
    lane_bytes[lane] = (lane == 0 ? first : other) * UNIT;
  return (uint32_t)count;
}

static int status_of(long error) {
  switch (error) {
    case -ENOSPC:
    case -EFBIG:
    case -ENOMEM:
    case -EDQUOT:
      return OTLPSHM_ERROR_NO_SPACE;
    default:
      return OTLPSHM_ERROR_SYSTEM;
  }
}

static void fill_header(struct otlpshm_segment* segment, const uint8_t id[16],
                        const uint64_t* lane_bytes) {
  struct otlpshm_segment_header* header = (struct otlpshm_segment_header*)segment->base;
  const uint64_t now = otlpshm_clock_monotonic();
  header->file.magic = OTLPSHM_SEGMENT_MAGIC;
  header->file.major = OTLPSHM_ABI_MAJOR;
  header->file.minor = OTLPSHM_ABI_MINOR;
  header->file.header_bytes = sizeof header->file;
  header->file.file_bytes = segment->bytes;
  memcpy(header->file.id, id, sizeof header->file.id);
  header->file.created_unix_nano = now + otlpshm_clock_offset(now);
  header->lane_count = segment->lane_count;
  header->producer_pid = otlpshm_kernel_pid();
  memcpy(header->library, "libotlpshm " OTLPSHM_VERSION_STRING,
         sizeof "libotlpshm " OTLPSHM_VERSION_STRING);
  uint64_t offset = OTLPSHM_LANE_AREAS_OFFSET;
  for (uint32_t lane = 0; lane < segment->lane_count; ++lane) {
    header->lanes[lane].area_offset = offset;
    header->lanes[lane].area_bytes = lane_bytes[lane];
    offset += lane_bytes[lane];
  }
  segment->control->lanes_open = 1;
}

static void fill_lanes(struct otlpshm_segment* segment, const uint64_t* lane_bytes) {
  struct otlpshm_lane_control* controls =
      (struct otlpshm_lane_control*)(segment->base + OTLPSHM_LANE_CONTROLS_OFFSET);
  uint8_t* area = segment->base + OTLPSHM_LANE_AREAS_OFFSET;
  for (uint32_t index = 0; index < segment->lane_count; ++index) {
    struct otlpshm_lane* lane = &segment->lanes[index];
    lane->tail = lane->sequence = lane->offset = lane->limit = lane->release = 0;
    lane->bytes = lane_bytes[index];
    lane->populated = segment->areas_allocated ? lane->bytes : 0;
    lane->area = area;
    lane->control = &controls[index];
    store_relaxed_u64(&lane->held_since, 0);
    area += lane_bytes[index];
  }
}

/* Before Linux 5.14 memory cannot be had lane by lane without the file: all lanes now, or lane 0
 * alone where all would be too much. */
static long allocate_all(struct otlpshm_segment* segment, int fd, uint64_t lane_0_bytes) {
  const uint64_t before = OTLPSHM_LANE_AREAS_OFFSET + lane_0_bytes;
  segment->areas_allocated = true;
  if (!otlpshm_headroom_allows(segment->bytes - before, otlpshm_clock_monotonic())) {
    store_relaxed_u32(&segment->lane_count, 1);
    return 0;
  }
  return otlpshm_kernel_fallocate(fd, 0, segment->bytes);
}

/* Space for the header and lane 0, and a writable mapping of it all; or a negative errno. */
static long allocate_and_map(struct otlpshm_segment* segment, int fd, uint64_t lane_0_bytes) {
  long error = otlpshm_kernel_ftruncate(fd, segment->bytes);
  if (error == 0) {
    error = otlpshm_kernel_fallocate(fd, 0, OTLPSHM_LANE_AREAS_OFFSET + lane_0_bytes);
  }
  if (error == 0) error = otlpshm_kernel_lock_whole(fd);
  if (error != 0) return error;

  /* Without access first: under mlockall(MCL_FUTURE) a writable mapping would allocate it all. */
  void* base = NULL;
  error = otlpshm_kernel_mmap(&base, segment->bytes, PROT_NONE, MAP_SHARED, fd);
  if (error != 0) return error;
  segment->base = base;
  (void)otlpshm_kernel_munlock(base, segment->bytes);
  error = otlpshm_kernel_madvise(base, segment->bytes, MADV_DONTFORK);
  if (error == 0) {
    error = otlpshm_kernel_mprotect(base, segment->bytes, PROT_READ | PROT_WRITE);
  }
  if (error == 0) {
    error = otlpshm_kernel_madvise(base, OTLPSHM_LANE_AREAS_OFFSET, MADV_POPULATE_WRITE);
    if (error == -EINVAL) error = allocate_all(segment, fd, lane_0_bytes);
  }
  if (error != 0) (void)otlpshm_kernel_munmap(base, segment->bytes);
  return error;
}

int otlpshm_segment_create(struct otlpshm_segment* segment, int directory, unsigned mode,
                           uint32_t lane_count, const uint64_t* lane_bytes) {
  store_relaxed_u32(&segment->lane_count, lane_count); /* a late thread may be looking */
  segment->bytes = OTLPSHM_LANE_AREAS_OFFSET;
  for (uint32_t lane = 0; lane < segment->lane_count; ++lane) segment->bytes += lane_bytes[lane];
  store_relaxed_u32(&segment->open_lease, 0);
  store_relaxed_u64(&segment->grow_again_at, 0);
  store_relaxed_u32(&segment->sealed, 0);
  segment->inherited = false;
  segment->areas_allocated = false;
  segment->ack = NULL;
  store_relaxed_u32(&segment->ack_is_skewed, 0);
  store_relaxed_u32(&segment->removed, 0);
  for (uint32_t lane = 0; lane < OTLPSHM_LANES_MAX; ++lane) {
    store_relaxed_u32(&segment->lanes[lane].lease, OTLPSHM_LEASE_CLOSED);
  }

  uint64_t size_limit = UINT64_MAX; /* beyond it ftruncate is a SIGXFSZ */
  (void)otlpshm_kernel_file_size_limit(&size_limit);
  if (segment->bytes > size_limit ||
      !otlpshm_headroom_allows(OTLPSHM_LANE_AREAS_OFFSET + lane_bytes[0],
                               otlpshm_clock_monotonic())) {
    return OTLPSHM_ERROR_NO_SPACE;
  }

  uint8_t id[16];
  if (otlpshm_kernel_random(id, sizeof id) != sizeof id) return OTLPSHM_ERROR_SYSTEM;
  for (size_t i = 0; i < sizeof id; ++i) {
    segment->id[2 * i] = "0123456789abcdef"[id[i] >> 4];
    segment->id[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
  }
  segment->id[OTLPSHM_ID_CHARACTERS] = '\0';
  char temporary[OTLPSHM_FILE_NAME_BYTES];
  char name[OTLPSHM_FILE_NAME_BYTES];
  otlpshm_segment_name(segment, ".", ".seg.tmp", temporary);
  otlpshm_segment_name(segment, "", ".seg", name);

  const long fd =
      otlpshm_kernel_openat(directory, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (fd < 0) return status_of(fd);
  struct stat stat;
  long error = otlpshm_kernel_fchmod((int)fd, mode);
  if (error == 0) error = otlpshm_kernel_fstat((int)fd, &stat);
  if (error == 0) error = allocate_and_map(segment, (int)fd, lane_bytes[0]);
  if (error != 0) {
    (void)otlpshm_kernel_unlink(directory, temporary);
    (void)otlpshm_kernel_close((int)fd);
    return status_of(error);
  }
  segment->device = stat.st_dev;
  segment->inode = stat.st_ino;
  segment->control = (struct otlpshm_control*)(segment->base + OTLPSHM_CONTROL_OFFSET);
  fill_header(segment, id, lane_bytes);
  fill_lanes(segment, lane_bytes);
  store_relaxed_u32(&segment->lanes_open, 1);

  error = otlpshm_kernel_rename(directory, temporary, name);
  (void)otlpshm_kernel_close((int)fd);
  if (error != 0) {
    (void)otlpshm_kernel_unlink(directory, temporary);
    (void)otlpshm_kernel_munmap(segment->base, segment->bytes);
    return status_of(error);
  }
  segment->phase = otlpshm_segment_live;
  return OTLPSHM_OK;
}

/* The caller holds open_lease. */
static void publish_next_lane(struct otlpshm_segment* segment) {
  const uint32_t index = load_relaxed_u32(&segment->lanes_open);
  store_release_u32(&segment->control->lanes_open, index + 1); /* SYNC(open) */
  store_relaxed_u32(&segment->lanes_open, index + 1);
  store_release_u32(&segment->lanes[index].lease, OTLPSHM_LEASE_FREE); /* SYNC(lease) */
}

void otlpshm_segment_open_lane(struct otlpshm_segment* segment, uint32_t tid) {
  if (!take_u32(&segment->open_lease, 0, tid)) return; /* SYNC(lease) */
  if (load_relaxed_u32(&segment->lanes_open) < segment->lane_count) publish_next_lane(segment);
  store_release_u32(&segment->open_lease, 0); /* SYNC(lease) */
}

bool otlpshm_segment_populate(struct otlpshm_segment* segment, struct otlpshm_lane* lane,
                              uint64_t bytes, uint64_t now) {
  /* Lane 0 has its space since the segment was made; here it only gets its page tables. */
  const bool has_space = lane == &segment->lanes[0];
  if (!has_space && now < load_relaxed_u64(&segment->grow_again_at)) return false;
  if (load_relaxed_u32(&segment->sealed) != 0) return false;
  uint64_t end = (bytes + POPULATE_BYTES - 1) / POPULATE_BYTES * POPULATE_BYTES;
  if (end > lane->bytes) end = lane->bytes;
  uint8_t* from = lane->area + lane->populated;
  const uint64_t more = end - lane->populated;
  const bool allowed = has_space || otlpshm_headroom_allows(more, now);
  if (!allowed || otlpshm_kernel_madvise(from, more, MADV_POPULATE_WRITE) != 0) {
    if (allowed && !has_space) (void)otlpshm_kernel_madvise(from, more, MADV_REMOVE);
    store_relaxed_u64(&segment->grow_again_at, now + GROW_RETRY_NANO);
    return false;
  }
  lane->populated = end;
  return true;
}

/* A lease, waited for as long as a commit may stand still. */
static bool take_lease(uint32_t* lease, uint32_t from, uint32_t tid) {
  for (int tries = 0; tries < LEASE_TRIES; ++tries) {
    if (take_u32(lease, from, tid)) return true; /* SYNC(lease) */
    (void)otlpshm_kernel_sleep(LEASE_PAUSE_NANO);
  }
  return false;
}

/* Who changes a lane's memory holds its lease, or open_lease while it is closed. */
static bool populate_whole(struct otlpshm_segment* segment, struct otlpshm_lane* lane,
                           uint64_t now) {
  return lane->populated == lane->bytes ||
         otlpshm_segment_populate(segment, lane, lane->bytes, now);
}

void otlpshm_segment_open_all(struct otlpshm_segment* segment, uint32_t tid, uint64_t now) {
  bool has_memory = true;
  for (uint32_t index = 0; index < segment->lane_count && has_memory; ++index) {
    struct otlpshm_lane* lane = &segment->lanes[index];
    if (index >= load_relaxed_u32(&segment->lanes_open)) {
      /* They open in the order of their numbers: behind one that does not, none. */
      if (!take_lease(&segment->open_lease, 0, tid)) break;
      if (index >= load_relaxed_u32(&segment->lanes_open)) { /* another thread may have */
        has_memory = populate_whole(segment, lane, now);
        if (has_memory) publish_next_lane(segment);
      }
      store_release_u32(&segment->open_lease, 0); /* SYNC(lease) */
    }
    if (index < load_relaxed_u32(&segment->lanes_open) &&
        take_lease(&lane->lease, OTLPSHM_LEASE_FREE, tid)) {
      has_memory = populate_whole(segment, lane, now);
      store_release_u32(&lane->lease, OTLPSHM_LEASE_FREE); /* SYNC(lease) */
    }
  }
  store_relaxed_u32(&segment->sealed, 1);
}

/* The kernel hands tids out in a circle: one does not come again between question and answer. */
static bool forget_gone(uint32_t* word, uint32_t to) {
  const uint32_t tid = load_ordered_u32(word);
  return otlpshm_kernel_thread_is_gone(tid) && take_u32(word, tid, to);
}

void otlpshm_segment_close_free_leases(struct otlpshm_segment* segment) {
  for (uint32_t index = 0; index < segment->lane_count; ++index) {
    (void)take_u32(&segment->lanes[index].lease, OTLPSHM_LEASE_FREE,
                   OTLPSHM_LEASE_CLOSED); /* SYNC(lease) */
  }
}

bool otlpshm_segment_close_leases(struct otlpshm_segment* segment) {
  bool all_closed = true;
  for (uint32_t i = 0; i < OTLPSHM_USES_MAX; ++i) {
    all_closed = (load_ordered_u32(&segment->uses[i]) == 0 || forget_gone(&segment->uses[i], 0)) &&
                 all_closed;
  }
  for (uint32_t index = 0; index < segment->lane_count; ++index) {
    uint32_t* lease = &segment->lanes[index].lease;
    const bool closed =
        take_u32(lease, OTLPSHM_LEASE_FREE, OTLPSHM_LEASE_CLOSED) || /* SYNC(lease) */
        load_acquire_u32(lease) == OTLPSHM_LEASE_CLOSED || forget_gone(lease, OTLPSHM_LEASE_CLOSED);
    all_closed = closed && all_closed;
  }
  return all_closed;
}

bool otlpshm_segment_leave_to_frame(struct otlpshm_segment* segment, uint32_t tid_in_parent,
                                    uint32_t tid) {
  bool is_in_use = false;
  for (uint32_t i = 0; i < OTLPSHM_USES_MAX; ++i) {
    const bool is_mine = load_relaxed_u32(&segment->uses[i]) == tid_in_parent;
    store_relaxed_u32(&segment->uses[i], is_mine ? tid : 0);
    is_in_use = is_in_use || is_mine;
  }
  for (uint32_t index = 0; index < OTLPSHM_LANES_MAX; ++index) {
    uint32_t* lease = &segment->lanes[index].lease;
    const bool is_mine = load_relaxed_u32(lease) == tid_in_parent;
    store_relaxed_u32(lease, is_mine ? tid : OTLPSHM_LEASE_CLOSED);
    is_in_use = is_in_use || is_mine;
  }
  void* base = segment->base;
  if (!is_in_use || tid_in_parent == 0 || segment->phase == otlpshm_segment_empty ||
      otlpshm_kernel_mmap(&base, segment->bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1) != 0) {
    return false;
  }
  segment->phase = otlpshm_segment_retired;
  segment->inherited = true;
  return true;
}

uint32_t otlpshm_segment_watch(struct otlpshm_segment* segment, uint64_t now) {
  uint32_t lost = 0;
  for (uint32_t index = 0; index < load_relaxed_u32(&segment->lanes_open); ++index) {
    struct otlpshm_lane* lane = &segment->lanes[index];
    const uint32_t holder = load_relaxed_u32(&lane->lease);
    const uint64_t tail = load_relaxed_u64(&lane->tail);
    if (holder == OTLPSHM_LEASE_FREE || holder == OTLPSHM_LEASE_CLOSED) {
      store_relaxed_u64(&lane->held_since, 0);
    } else if (load_relaxed_u64(&lane->held_since) == 0 ||
               load_relaxed_u32(&lane->held_by) != holder ||
               load_relaxed_u64(&lane->held_tail) != tail) {
      store_relaxed_u32(&lane->held_by, holder);
      store_relaxed_u64(&lane->held_tail, tail);
      store_relaxed_u64(&lane->held_since, now);
    } else if (now > load_relaxed_u64(&lane->held_since) + LOST_NANO) {
      ++lost;
    }
  }
  return lost;
}

void otlpshm_segment_name(const struct otlpshm_segment* segment, const char* prefix,
                          const char* suffix, char out[OTLPSHM_FILE_NAME_BYTES]) {
  char* at = out;
  while (*prefix != '\0') *at++ = *prefix++;
  memcpy(at, segment->id, OTLPSHM_ID_CHARACTERS);
  at += OTLPSHM_ID_CHARACTERS;
  while (*suffix != '\0') *at++ = *suffix++;
  *at = '\0';
}

void otlpshm_segment_unmap(struct otlpshm_segment* segment) {
  if (segment->ack != NULL) {
    (void)otlpshm_kernel_munmap((void*)segment->ack, segment->ack_bytes);
    segment->ack = NULL;
  }
  (void)otlpshm_kernel_munmap(segment->base, segment->bytes);
  segment->base = NULL;
  segment->control = NULL;
  segment->phase = otlpshm_segment_empty;
}

static const struct otlpshm_ack_slot* slot_of(const struct otlpshm_segment* segment,
                                              uint32_t lane) {
  const struct otlpshm_ack_header* ack = load_acquire_pointer(&segment->ack);
  if (ack == NULL) return NULL;
  return (const struct otlpshm_ack_slot*)((const uint8_t*)ack + OTLPSHM_ACK_SLOTS_OFFSET) + lane;
}

bool otlpshm_segment_read_release(const struct otlpshm_segment* segment, uint32_t lane,
                                  uint64_t* release) {
  const struct otlpshm_ack_slot* slot = slot_of(segment, lane);
  for (int tries = 0; slot != NULL && tries < ACK_TRIES; ++tries) {
    const uint64_t selector = load_acquire_u64(&slot->selector); /* SYNC(release) */
    *release = load_relaxed_u64(&slot->copies[selector & 1].release);
    acquire_fence(); /* SYNC(release) */
    if (load_relaxed_u64(&slot->selector) == selector) return true;
  }
  return false;
}

bool otlpshm_segment_read_ack(const struct otlpshm_segment* segment, uint32_t lane,
                              struct otlpshm_ack_copy* copy) {
  const struct otlpshm_ack_slot* slot = slot_of(segment, lane);
  for (int tries = 0; slot != NULL && tries < ACK_TRIES; ++tries) {
    const uint64_t selector = load_acquire_u64(&slot->selector); /* SYNC(release) */
    const struct otlpshm_ack_copy* from = &slot->copies[selector & 1];
    copy->release = load_relaxed_u64(&from->release);
    copy->sequence = load_relaxed_u64(&from->sequence);
    copy->exported = load_relaxed_u64(&from->exported);
    copy->attempts = load_relaxed_u32(&from->attempts);
    for (uint32_t reason = 0; reason < OTLPSHM_DAEMON_REASONS; ++reason) {
      copy->dropped[reason] = load_relaxed_u64(&from->dropped[reason]);
    }
    acquire_fence(); /* SYNC(release) */
    if (load_relaxed_u64(&slot->selector) == selector) return true;
  }
  return false;
}
