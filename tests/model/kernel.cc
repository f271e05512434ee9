// SPDX-License-Identifier: Apache-2.0
// kernel.cc: the kernel as a scenario sees it, in place of libotlpshm/src/kernel.c.
//   Owns   what the scenarios ask afterwards: how often the doorbell rang.
//   Gives  a directory and an ack when a scenario has them, and no other file.
#include "kernel.h"

#include <pthread.h>
#include <time.h>

#include <cerrno>

#include "checker.h"
#include "library.h"

namespace otlpshm::model {

unsigned rings = 0;
void* ack_to_find = nullptr;

namespace {
std::uint32_t mutex_word = 0;  // one is enough: a scenario has one attachment
struct otlpshm_thread threads[kThreadsMax];
}  // namespace

void reset_kernel() {
  rings = 0;
  mutex_word = 0;
}

void begin_thread(std::uint32_t tid) {
  ::otlpshm_thread = {};
  ::otlpshm_thread.tid = tid;
}
void save_thread(unsigned thread) {
  threads[thread] = ::otlpshm_thread;
}
void restore_thread(unsigned thread) {
  ::otlpshm_thread = threads[thread];
}

}  // namespace otlpshm::model

namespace model = otlpshm::model;

extern "C" {

long otlpshm_kernel_openat(int, const char*, int, unsigned) {
  return model::ack_to_find != nullptr ? 3 : -EACCES;  // a missing directory would say more
}
long otlpshm_kernel_close(int) {
  return 0;
}
long otlpshm_kernel_fstat(int, struct stat*) {
  return 0;
}
long otlpshm_kernel_stat_at(int, const char*, struct stat*) {
  return -EACCES;
}
long otlpshm_kernel_fstatfs(int, struct statfs*) {
  return -EIO;
}
long otlpshm_kernel_fchmod(int, unsigned) {
  return -EIO;
}
long otlpshm_kernel_ftruncate(int, uint64_t) {
  return -EIO;
}
long otlpshm_kernel_fallocate(int, uint64_t, uint64_t) {
  return -EIO;
}
long otlpshm_kernel_lock_whole(int) {
  return -EIO;
}
long otlpshm_kernel_rename(int, const char*, const char*) {
  return -EIO;
}
long otlpshm_kernel_unlink(int, const char*) {
  return -EIO;
}
long otlpshm_kernel_file_size_limit(uint64_t*) {
  return -EIO;
}
long otlpshm_kernel_mmap(void**, size_t, int, int, int) {
  return -EIO;
}
long otlpshm_kernel_mprotect(void*, size_t, int) {
  return -EIO;
}
long otlpshm_kernel_munlock(void*, size_t) {
  return -EIO;
}
long otlpshm_kernel_madvise(void*, size_t, int) {
  return 0;
}
long otlpshm_kernel_working_directory(char*, size_t) {
  return -EIO;
}
uint64_t otlpshm_kernel_block_signals(void) {
  return 0;
}
void otlpshm_kernel_restore_signals(uint64_t) {}
bool otlpshm_kernel_thread_is_gone(uint32_t tid) {
  return model::is_dead(tid);
}
bool otlpshm_kernel_allows_tsc(void) {
  return false;
}
long otlpshm_kernel_random(void*, size_t) {
  return -EIO;
}
uint32_t otlpshm_kernel_tid(void) {
  return otlpshm_thread.tid;
}
uint32_t otlpshm_kernel_pid(void) {
  return 1;
}
uint32_t otlpshm_kernel_allowed_cpus(void) {
  return 1;
}

otlpshm_trust otlpshm_trust_of(const struct stat*) {
  return {};
}

int otlpshm_daemon_file_map(int, const char*, const otlpshm_trust*,
                            const otlpshm_daemon_file* expected, void** base, struct stat*) {
  if (expected->magic != OTLPSHM_ACK_MAGIC) return OTLPSHM_ERROR_NO_DAEMON;
  if (*base != nullptr) return OTLPSHM_OK;
  model::appear(model::ack_to_find);
  *base = model::ack_to_find;
  return OTLPSHM_OK;
}

long otlpshm_kernel_munmap(void* base, size_t) {
  model::forget(base);
  return 0;
}

long otlpshm_kernel_futex_wake(const uint32_t*, uint32_t) {
  ++model::rings;
  return 1;
}

long otlpshm_kernel_sleep(uint64_t) {
  model::wait_for_others();
  return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t*) {
  while (!model::take("mutex: lock", &model::mutex_word, 0, 1)) {
  }
  return 0;
}
int __wrap_pthread_mutex_trylock(pthread_mutex_t*) {
  return model::take("mutex: trylock", &model::mutex_word, 0, 1) ? 0 : EBUSY;
}
int __wrap_pthread_mutex_unlock(pthread_mutex_t*) {
  model::store("mutex: unlock", &model::mutex_word, 0, __ATOMIC_RELEASE);
  return 0;
}
int __wrap_clock_gettime(clockid_t, struct timespec* out) {
  *out = {1000, 0};
  return 0;
}

}  // extern "C"
