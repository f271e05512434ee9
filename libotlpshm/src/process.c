/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: see process.h.
 *   Order  a child renews its attachments before it stores its nonce, so no thread of the child
 *          sees a pointer of the parent. */
#include "process.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "attach.h"
#include "clock.h"
#include "ids.h"
#include "kernel.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static struct otlpshm_process before_start; /* nonce 0: nothing has attached */
struct otlpshm_process* otlpshm_process = &before_start;
_Thread_local struct otlpshm_thread otlpshm_thread;

static uint64_t fresh_nonce(void) {
  uint64_t nonce = 0;
  if (otlpshm_kernel_random(&nonce, sizeof nonce) != sizeof nonce) {
    nonce = otlpshm_clock_monotonic() ^ ((uint64_t)otlpshm_kernel_tid() << 40);
  }
  return nonce | 1;
}

/* The kernel has wiped the page; where it cannot, this does. */
static void wipe_in_child(void) {
  store_relaxed_u32(&otlpshm_process->renewing, 0);
  store_relaxed_u64(&otlpshm_process->nonce, 0);
  otlpshm_attach_after_fork_in_child();
  store_relaxed_u32(&otlpshm_process->forgotten, 1);
}

__attribute__((constructor)) static void watch_forks(void) {
  (void)pthread_atfork(otlpshm_attach_before_fork, otlpshm_attach_after_fork, wipe_in_child);
}

bool otlpshm_process_start(void) {
  if (otlpshm_process != &before_start) return true;
  void* page = NULL;
  if (otlpshm_kernel_mmap(&page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1) !=
      0) {
    return false;
  }
  (void)otlpshm_kernel_madvise(page, 4096, MADV_WIPEONFORK);
  struct otlpshm_process* process = page;
  store_relaxed_u64(&process->nonce, fresh_nonce());
  store_release_pointer(&otlpshm_process, process);
  return true;
}

bool otlpshm_process_renew(void) {
  if (otlpshm_process == &before_start) return false;
  uint64_t nonce = load_relaxed_u64(&otlpshm_process->nonce);
  if (nonce == 0) {
    if (!take_u32(&otlpshm_process->renewing, 0, 1)) return false;
    nonce = load_relaxed_u64(&otlpshm_process->nonce);
    if (nonce == 0) {
      if (load_relaxed_u32(&otlpshm_process->forgotten) == 0) otlpshm_attach_forget_parent();
      nonce = fresh_nonce();
      store_release_u64(&otlpshm_process->nonce, nonce);
    }
    store_release_u32(&otlpshm_process->renewing, 0);
  }
  otlpshm_ids_seed(&otlpshm_thread);
  otlpshm_thread.tid = otlpshm_kernel_tid();
  otlpshm_thread.lane = otlpshm_thread.tid % OTLPSHM_LANES_MAX;
  otlpshm_thread.nonce = nonce;
  return true;
}
