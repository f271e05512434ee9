/* SPDX-License-Identifier: Apache-2.0 */
/* headroom.h: how much memory this process may still take before its cgroup's limit kills it.
 *   Why    near a memory limit a page of tmpfs is a SIGKILL, not an ENOSPC.
 *   Reads  /proc/self/cgroup and the files of the memory controller, version 2 or 1; what cannot be
 *          read does not limit. Never on the span path but by the thread that takes memory.
 *   Source kernel.org: admin-guide/cgroup-v2, admin-guide/cgroup-v1/memory. */
#ifndef OTLPSHM_SRC_HEADROOM_H
#define OTLPSHM_SRC_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>

/* Where the kernel says it. */
struct otlpshm_memory_files {
  const char* membership; /* /proc/self/cgroup */
  const char* v2;         /* where cgroup2 is mounted */
  const char* v1;         /* where the memory controller of version 1 is mounted */
};

struct otlpshm_headroom {
  uint64_t limit; /* the least limit of the cgroup and its ancestors; UINT64_MAX: none */
  uint64_t left;  /* the least that is left under a limit; page cache that is easily given up is */
};

/* Looks at the cgroup and up to 16 of its ancestors. Looks at what page cache could be given up
 * only where less than `wanted` is left. Async-signal-safe; about 1 KiB of stack. */
struct otlpshm_headroom otlpshm_headroom_read(const struct otlpshm_memory_files* files,
                                              uint64_t wanted);

/* True when at least four times `bytes` is left. now is monotonic. The files are read again after
 * a millisecond, in which the rest of the process may take memory too, or when what was left then
 * has been granted; at most once for each call. */
bool otlpshm_headroom_allows(uint64_t bytes, uint64_t now);

/* The least limit; UINT64_MAX when there is none. */
uint64_t otlpshm_headroom_limit(void);

#endif
