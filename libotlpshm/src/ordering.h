/* SPDX-License-Identifier: Apache-2.0 */
/* ordering.h: every atomic access of the library, and nothing else that orders memory.
 *   Rule   words that another thread or process may change are touched only through these; the
 *          label SYNC(...) at a call names its partner in docs/abi.md#memory-order.
 *   Never  used on bytes of records or of table rows: a release store publishes those. */
#ifndef OTLPSHM_SRC_ORDERING_H
#define OTLPSHM_SRC_ORDERING_H

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t load_relaxed_u32(const uint32_t* word) {
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline uint64_t load_relaxed_u64(const uint64_t* word) {
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline uint32_t load_acquire_u32(const uint32_t* word) {
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline uint64_t load_acquire_u64(const uint64_t* word) {
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void store_relaxed_u32(uint32_t* word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
static inline void store_relaxed_u64(uint64_t* word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
static inline void store_release_u32(uint32_t* word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline void store_release_u64(uint64_t* word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void add_relaxed_u64(uint64_t* word, uint64_t value) {
  (void)__atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}

static inline uint64_t exchange_relaxed_u64(uint64_t* word, uint64_t value) {
  return __atomic_exchange_n(word, value, __ATOMIC_RELAXED);
}

/* True and *word = to when *word was from. */
static inline bool take_u32(uint32_t* word, uint32_t from, uint32_t to) {
  return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Uses beside a pointer that may be withdrawn: a user notes its use, then looks at the pointer;
 * who withdraws clears the pointer, then looks at the uses. Both need one total order. */
static inline bool take_ordered_u32(uint32_t* word, uint32_t from, uint32_t to) {
  return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}
static inline uint32_t load_ordered_u32(const uint32_t* word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}
#define load_ordered_pointer(pointer) __atomic_load_n((pointer), __ATOMIC_SEQ_CST)
#define store_ordered_pointer(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_SEQ_CST)

#define load_acquire_pointer(pointer) __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
#define load_relaxed_pointer(pointer) __atomic_load_n((pointer), __ATOMIC_RELAXED)
#define store_relaxed_pointer(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELAXED)
#define store_release_pointer(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)

static inline void acquire_fence(void) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Stores after it are not seen before stores that stand in front of it. */
static inline void release_fence(void) {
  __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Between a producer's store of tail and its load of sleep_epoch. The daemon's membarrier is the
 * other half, so a compiler fence is enough here; a model of the doorbell uses a full fence. */
static inline void light_barrier(void) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* A thread's own counter, also against a signal handler on that thread. */
static inline uint64_t next_of_thread_u64(uint64_t* counter) {
#if defined(__x86_64__)
  uint64_t one = 1;
  __asm__ volatile("xaddq %0, %1" : "+r"(one), "+m"(*counter) : : "cc");
  return one;
#else
  return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
#endif
}

/* Asks for a line that this thread will write to and another processor has read: a hint, also where
 * the address is no address. */
static inline void prefetch_to_write(const void* line) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*(const char*)line)); /* a nop where it is not known */
#else
  __builtin_prefetch(line, 1);
#endif
}

static inline void spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
