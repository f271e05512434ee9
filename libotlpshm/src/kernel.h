/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.h: the system calls of the library.
 *   Return the result, or -errno; errno itself is left as it was.
 *   Never  a cancellation point, so a cancelled thread never leaves a lease or a lock behind. */
#ifndef OTLPSHM_SRC_KERNEL_H
#define OTLPSHM_SRC_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* A descriptor is never 0, 1 or 2. With O_CREAT directory is an open one, not AT_FDCWD. */
long otlpshm_kernel_openat(int directory, const char* name, int flags, unsigned mode);
long otlpshm_kernel_close(int fd);
long otlpshm_kernel_read(int fd, void* out, size_t bytes);
long otlpshm_kernel_readlink(const char* path, char* out, size_t bytes); /* no end is put */
long otlpshm_kernel_fstat(int fd, struct stat* out);
long otlpshm_kernel_stat_at(int directory, const char* name,
                            struct stat* out); /* of a link itself */
long otlpshm_kernel_fstatfs(int fd, struct statfs* out);
long otlpshm_kernel_fchmod(int fd, unsigned mode);
long otlpshm_kernel_ftruncate(int fd, uint64_t bytes);
long otlpshm_kernel_fallocate(int fd, uint64_t offset, uint64_t bytes);
long otlpshm_kernel_lock_whole(int fd); /* F_OFD_SETLK, write */
long otlpshm_kernel_rename(int directory, const char* from, const char* to);
long otlpshm_kernel_unlink(int directory, const char* name);
long otlpshm_kernel_file_size_limit(uint64_t* bytes);
long otlpshm_kernel_mmap(void** base, size_t bytes, int protection, int flags, int fd);
long otlpshm_kernel_mprotect(void* base, size_t bytes, int protection);
long otlpshm_kernel_munmap(void* base, size_t bytes);
long otlpshm_kernel_munlock(void* base, size_t bytes);
long otlpshm_kernel_madvise(void* base, size_t bytes, int advice);
long otlpshm_kernel_futex_wake(const uint32_t* word, uint32_t count);
long otlpshm_kernel_random(void* bytes, size_t count);
long otlpshm_kernel_sleep(uint64_t nanoseconds);
long otlpshm_kernel_working_directory(char* out, size_t bytes); /* the length, its end included */
bool otlpshm_kernel_allows_tsc(void); /* to this thread: RDTSC, and CPUID, which tells of it */
uint32_t otlpshm_kernel_tid(void);
uint32_t otlpshm_kernel_pid(void);
uint32_t otlpshm_kernel_allowed_cpus(void); /* at least 1 */

/* Blocks, for this thread, every signal but those that an instruction of its own raises: while they
 * are blocked they end the process. Returns what to restore. */
uint64_t otlpshm_kernel_block_signals(void);
void otlpshm_kernel_restore_signals(uint64_t before);

/* True when no thread of this process has this tid. What it stored is visible afterwards. */
bool otlpshm_kernel_thread_is_gone(uint32_t tid);

#endif
