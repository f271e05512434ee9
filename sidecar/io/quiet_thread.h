// SPDX-License-Identifier: Apache-2.0
// quiet_thread.h: a thread that no signal reaches, so that signals stay with the loop.
#ifndef OTLPSHM_IO_QUIET_THREAD_H
#define OTLPSHM_IO_QUIET_THREAD_H

#include <pthread.h>
#include <signal.h>

#include <functional>
#include <thread>
#include <utility>

namespace otlpshm::io {

// `name` is what ps and top show: 15 characters at most.
inline std::thread start_quiet_thread(const char* name, std::function<void()> run) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited: no window in which it is unmasked
  std::thread thread(std::move(run));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_QUIET_THREAD_H
