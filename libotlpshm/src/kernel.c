/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c: thin wrappers of syscall(2), which is no cancellation point.
 *   Never  changes errno. */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ordering.h"
#if defined(__x86_64__)
#include <asm/prctl.h>
#ifndef ARCH_GET_CPUID
#define ARCH_GET_CPUID 0x1011
#endif
#endif

#define FALLOCATE_TRIES 32
#define STREAMS 3 /* descriptors 0, 1 and 2 are the application's, also while they are closed */

static long call(long number, long a, long b, long c, long d, long e, long f) {
  const int before = errno;
  const long result = syscall(number, a, b, c, d, e, f);
  const long answer = result == -1 ? -errno : result;
  errno = before;
  return answer;
}

/* Takes the streams that are closed, so that no file of ours is one of them even for an instant, in
 * which another thread might print into it: a directory takes print no more than they do. */
static int hold_streams(int directory, int held[STREAMS]) {
  int count = 0;
  while (count < STREAMS) {
    const long fd = call(SYS_fcntl, directory, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
    if (fd >= 0 && fd < STREAMS) {
      held[count++] = (int)fd;
      continue;
    }
    if (fd >= 0) (void)otlpshm_kernel_close((int)fd);
    break;
  }
  return count;
}

long otlpshm_kernel_openat(int directory, const char* name, int flags, unsigned mode) {
  int held[STREAMS];
  int count = (flags & O_CREAT) != 0 ? hold_streams(directory, held) : 0;
  long fd = call(SYS_openat, directory, (long)name, flags | O_CLOEXEC, (long)mode, 0, 0);
  if (fd >= 0 && fd < STREAMS) {
    const long low = fd;
    fd = call(SYS_fcntl, low, F_DUPFD_CLOEXEC, STREAMS, 0, 0, 0);
    (void)otlpshm_kernel_close((int)low);
  }
  while (count > 0) (void)otlpshm_kernel_close(held[--count]);
  return fd;
}

long otlpshm_kernel_close(int fd) {
  return call(SYS_close, fd, 0, 0, 0, 0, 0);
}

long otlpshm_kernel_read(int fd, void* out, size_t bytes) {
  return call(SYS_read, fd, (long)out, (long)bytes, 0, 0, 0);
}

long otlpshm_kernel_readlink(const char* path, char* out, size_t bytes) {
  return call(SYS_readlinkat, AT_FDCWD, (long)path, (long)out, (long)bytes, 0, 0);
}

long otlpshm_kernel_fstat(int fd, struct stat* out) {
  return call(SYS_fstat, fd, (long)out, 0, 0, 0, 0);
}

long otlpshm_kernel_stat_at(int directory, const char* name, struct stat* out) {
  return call(SYS_newfstatat, directory, (long)name, (long)out, AT_SYMLINK_NOFOLLOW, 0, 0);
}

long otlpshm_kernel_fstatfs(int fd, struct statfs* out) {
  return call(SYS_fstatfs, fd, (long)out, 0, 0, 0, 0);
}

long otlpshm_kernel_fchmod(int fd, unsigned mode) {
  return call(SYS_fchmod, fd, (long)mode, 0, 0, 0, 0);
}

long otlpshm_kernel_ftruncate(int fd, uint64_t bytes) {
  return call(SYS_ftruncate, fd, (long)bytes, 0, 0, 0, 0);
}

long otlpshm_kernel_fallocate(int fd, uint64_t offset, uint64_t bytes) {
  long answer = -EINTR; /* tmpfs gives up at any signal that is pending, and undoes it all */
  for (int tries = 0; tries < FALLOCATE_TRIES && answer == -EINTR; ++tries) {
    answer = call(SYS_fallocate, fd, 0, (long)offset, (long)bytes, 0, 0);
  }
  return answer;
}

long otlpshm_kernel_lock_whole(int fd) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return call(SYS_fcntl, fd, F_OFD_SETLK, (long)&lock, 0, 0, 0);
}

long otlpshm_kernel_rename(int directory, const char* from, const char* to) {
  return call(SYS_renameat2, directory, (long)from, directory, (long)to, 0, 0);
}

long otlpshm_kernel_unlink(int directory, const char* name) {
  return call(SYS_unlinkat, directory, (long)name, 0, 0, 0, 0);
}

long otlpshm_kernel_file_size_limit(uint64_t* bytes) {
  struct rlimit limit;
  const long answer = call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0);
  if (answer == 0) *bytes = limit.rlim_cur;
  return answer;
}

long otlpshm_kernel_mmap(void** base, size_t bytes, int protection, int flags, int fd) {
  const long answer = call(SYS_mmap, (long)*base, (long)bytes, protection, flags, fd, 0);
  if (answer < 0 && answer > -4096) return answer;
  *base = (void*)answer;
  return 0;
}

long otlpshm_kernel_mprotect(void* base, size_t bytes, int protection) {
  return call(SYS_mprotect, (long)base, (long)bytes, protection, 0, 0, 0);
}

long otlpshm_kernel_munmap(void* base, size_t bytes) {
  return call(SYS_munmap, (long)base, (long)bytes, 0, 0, 0, 0);
}

long otlpshm_kernel_munlock(void* base, size_t bytes) {
  return call(SYS_munlock, (long)base, (long)bytes, 0, 0, 0, 0);
}

long otlpshm_kernel_madvise(void* base, size_t bytes, int advice) {
  return call(SYS_madvise, (long)base, (long)bytes, advice, 0, 0, 0);
}

long otlpshm_kernel_futex_wake(const uint32_t* word, uint32_t count) {
  return call(SYS_futex, (long)word, FUTEX_WAKE, (long)count, 0, 0, 0);
}

long otlpshm_kernel_random(void* bytes, size_t count) {
  return call(SYS_getrandom, (long)bytes, (long)count, 1 /* GRND_NONBLOCK */, 0, 0, 0);
}

long otlpshm_kernel_sleep(uint64_t nanoseconds) {
  const struct timespec pause = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
                                 .tv_nsec = (long)(nanoseconds % 1000000000u)};
  return call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&pause, 0, 0, 0);
}

bool otlpshm_kernel_allows_tsc(void) {
#if defined(__x86_64__)
  int tsc = 0;
  /* A kernel that cannot forbid CPUID answers EINVAL. */
  return call(SYS_prctl, PR_GET_TSC, (long)&tsc, 0, 0, 0, 0) == 0 && tsc == PR_TSC_ENABLE &&
         call(SYS_arch_prctl, ARCH_GET_CPUID, 0, 0, 0, 0, 0) != 0;
#else
  return false;
#endif
}

uint32_t otlpshm_kernel_tid(void) {
  return (uint32_t)call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

uint32_t otlpshm_kernel_pid(void) {
  return (uint32_t)call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

uint32_t otlpshm_kernel_allowed_cpus(void) {
  unsigned long mask[128]; /* 8192 CPUs */
  const long bytes = call(SYS_sched_getaffinity, 0, sizeof mask, (long)mask, 0, 0, 0);
  uint32_t cpus = 0;
  for (long word = 0; word < bytes / (long)sizeof mask[0]; ++word) {
    cpus += (uint32_t)__builtin_popcountl(mask[word]);
  }
  return cpus == 0 ? 1 : cpus;
}

long otlpshm_kernel_working_directory(char* out, size_t bytes) {
  return call(SYS_getcwd, (long)out, (long)bytes, 0, 0, 0, 0);
}

/* The C library keeps two signals for itself that sigprocmask(3) would leave out: one cancels. */
uint64_t otlpshm_kernel_block_signals(void) {
  uint64_t most = UINT64_MAX;
  static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof own / sizeof own[0]; ++i) most &= ~(UINT64_C(1) << (own[i] - 1));
  uint64_t before = 0;
  (void)call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&most, (long)&before, sizeof before, 0, 0);
  return before;
}

void otlpshm_kernel_restore_signals(uint64_t before) {
  (void)call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
}

bool otlpshm_kernel_thread_is_gone(uint32_t tid) {
  if (tid == 0 || tid > INT32_MAX) return false;
  if (call(SYS_tgkill, (long)otlpshm_kernel_pid(), (long)tid, 0, 0, 0, 0) != -ESRCH) return false;
  acquire_fence(); /* SYNC(note): with the locks that the kernel took to end the thread */
  return true;
}
