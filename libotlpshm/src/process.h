/* SPDX-License-Identifier: Apache-2.0 */
/* process.h: what belongs to this process and this thread, and must not survive a fork.
 *   Owns   a page that the kernel wipes in a child (MADV_WIPEONFORK), and each thread's ids.
 *   Rule   nonce is random and not 0 while this process has attached; a child reads 0, and whoever
 *          reads 0 first renews everything.
 *   Never  trusts pthread_atfork alone: a raw clone runs no handlers. */
#ifndef OTLPSHM_SRC_PROCESS_H
#define OTLPSHM_SRC_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "ordering.h"

struct otlpshm_process {
  uint64_t nonce;
  uint32_t renewing;  /* 1 while the first thread of a child renews */
  uint32_t forgotten; /* 1 once a fork handler has forgotten the parent, in the child */
};

struct otlpshm_thread {
  uint64_t nonce; /* the process's, when this thread was made ready */
  uint64_t keys[3];
  uint64_t counter;
  uint32_t tid;
  uint32_t lane; /* preferred */
};

extern struct otlpshm_process* otlpshm_process;
extern _Thread_local struct otlpshm_thread otlpshm_thread
    __attribute__((tls_model("initial-exec")));

/* Makes the page and the first nonce, once. Returns false when the kernel gives no page. The caller
 * holds the open lock (attach.h). */
bool otlpshm_process_start(void);

/* Slow path of otlpshm_process_ready. */
bool otlpshm_process_renew(void);

/* True of a thread that has been made ready in this process. */
static inline bool otlpshm_process_is_ready(void) {
  const uint64_t nonce = load_relaxed_u64(&otlpshm_process->nonce);
  return nonce != 0 && otlpshm_thread.nonce == nonce;
}

/* Makes it so. True when this thread may go on; false in the instant in which another thread of a
 * child renews. Async-signal-safe. */
static inline bool otlpshm_process_ready(void) {
  return otlpshm_process_is_ready() || otlpshm_process_renew();
}

#endif
