/* SPDX-License-Identifier: Apache-2.0 */
/* state.c: see state.h.
 *   Order  the header is read by pread-like means only after the file is mapped and checked; a
 *          mapping that fails a check is gone before this returns, unless it replaced another. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel.h"
#include "otlpshm/layout.h"
#include "otlpshm/otlpshm.h"

struct otlpshm_trust otlpshm_trust_of(const struct stat* directory) {
  const mode_t mode = directory->st_mode;
  const bool open_to_all = (mode & S_IWOTH) != 0 && (mode & S_ISVTX) == 0;
  const bool open_to_group =
      (mode & S_IWGRP) != 0 && (mode & S_ISGID) != 0 && (mode & S_ISVTX) == 0;
  const struct otlpshm_trust trust = {
      .owner = directory->st_uid,
      .one_domain = open_to_all || open_to_group,
      .for_group = (mode & S_ISGID) != 0 && !open_to_all,
  };
  return trust;
}

static bool is_trusted(const struct stat* file, const struct otlpshm_trust* trust, uint64_t bytes) {
  if (!S_ISREG(file->st_mode) || (uint64_t)file->st_size != bytes) return false;
  if ((uint64_t)file->st_blocks * 512 < bytes) return false;
  return trust->one_domain || file->st_uid == trust->owner || file->st_uid == 0 ||
         file->st_uid == geteuid();
}

static int check_header(const struct otlpshm_file_header* header,
                        const struct otlpshm_daemon_file* expected) {
  if (header->magic != expected->magic) return OTLPSHM_ERROR_UNTRUSTED;
  if (header->major != OTLPSHM_ABI_MAJOR || header->features_required != 0) {
    return OTLPSHM_ERROR_ABI_SKEW;
  }
  if (header->header_bytes != sizeof *header || header->file_bytes != expected->bytes) {
    return OTLPSHM_ERROR_UNTRUSTED;
  }
  if (expected->id != NULL && memcmp(header->id, expected->id, sizeof header->id) != 0) {
    return OTLPSHM_ERROR_UNTRUSTED;
  }
  return OTLPSHM_OK;
}

static int map_checked(int fd, const struct otlpshm_daemon_file* expected, void** base) {
  void* fresh = NULL;
  if (otlpshm_kernel_mmap(&fresh, expected->bytes, PROT_READ, MAP_SHARED, fd) != 0) {
    return OTLPSHM_ERROR_SYSTEM;
  }
  int status = check_header(fresh, expected);
  if (status == OTLPSHM_OK && *base == NULL) {
    *base = fresh;
    return OTLPSHM_OK;
  }
  (void)otlpshm_kernel_munmap(fresh, expected->bytes);
  if (status == OTLPSHM_OK &&
      otlpshm_kernel_mmap(base, expected->bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd) != 0) {
    status = OTLPSHM_ERROR_SYSTEM;
  }
  return status;
}

int otlpshm_daemon_file_map(int directory, const char* name, const struct otlpshm_trust* trust,
                            const struct otlpshm_daemon_file* expected, void** base,
                            struct stat* file_stat) {
  const long fd =
      otlpshm_kernel_openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
  if (fd == -ENOENT) return OTLPSHM_ERROR_NO_DAEMON;
  if (fd == -ELOOP || fd == -EACCES || fd == -ENXIO) return OTLPSHM_ERROR_UNTRUSTED;
  if (fd < 0) return OTLPSHM_ERROR_SYSTEM;
  struct stat found;
  int status = OTLPSHM_OK;
  if (otlpshm_kernel_fstat((int)fd, &found) != 0) {
    status = OTLPSHM_ERROR_SYSTEM;
  } else if (!is_trusted(&found, trust, expected->bytes)) {
    status = OTLPSHM_ERROR_UNTRUSTED;
  } else if (*base == NULL || !otlpshm_is_same_file(&found, file_stat)) {
    status = map_checked((int)fd, expected, base);
  }
  if (status == OTLPSHM_OK) *file_stat = found;
  (void)otlpshm_kernel_close((int)fd);
  return status;
}
