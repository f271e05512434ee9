/* SPDX-License-Identifier: Apache-2.0 */
/* state.h: the daemon's files, as a producer may trust them.
 *   Owns   nothing; it checks and maps, read-only.
 *   Never  maps what could raise SIGBUS: the file is regular, of exact size, fully allocated, and
 *          of an owner that the directory's trust rule allows.
 *   Source docs/abi.md#directory-and-files. */
#ifndef OTLPSHM_SRC_STATE_H
#define OTLPSHM_SRC_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What the directory says about trust. */
struct otlpshm_trust {
  uid_t owner;
  bool one_domain; /* whoever can write here is trusted: a pod */
  bool for_group;  /* segments are for their owner and the directory's group alone */
};

struct otlpshm_trust otlpshm_trust_of(const struct stat* directory);

/* Device and inode say which file it is, while it exists. */
static inline bool otlpshm_is_file(const struct stat* found, dev_t device, ino_t inode) {
  return found->st_dev == device && found->st_ino == inode;
}
static inline bool otlpshm_is_same_file(const struct stat* one, const struct stat* other) {
  return otlpshm_is_file(one, other->st_dev, other->st_ino);
}

struct otlpshm_daemon_file {
  uint64_t magic;
  uint64_t bytes;
  const uint8_t* id; /* 16 bytes that the header must repeat; null: any */
};

/* Opens a file of the daemon in an open directory and maps it: at *base when that is not null
 * (replacing what is mapped there, in one step), else anywhere. When the file is the one of
 * *file_stat (same device and inode, with *base mapped) nothing is done.
 * Returns OTLPSHM_OK, and *file_stat is that of the mapped file; or NO_DAEMON (there is none),
 * UNTRUSTED, ABI_SKEW or SYSTEM, and *file_stat stays as it was. Async-signal-safe. */
int otlpshm_daemon_file_map(int directory, const char* name, const struct otlpshm_trust* trust,
                            const struct otlpshm_daemon_file* expected, void** base,
                            struct stat* file_stat);

#endif
