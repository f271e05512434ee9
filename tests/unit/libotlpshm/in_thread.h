// SPDX-License-Identifier: Apache-2.0
// in_thread.h: runs a body in a thread that is gone afterwards, for the kernel too.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_IN_THREAD_H
#define OTLPSHM_TESTS_LIBOTLPSHM_IN_THREAD_H

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace otlpshm::library {

// Runs a body in a thread, to its end: whoever joins a thread may be a moment before the kernel has
// forgotten its id.
template <typename Body>
void in_thread(Body body) {
  std::atomic<pid_t> tid{0};
  std::thread([&] {
    tid = static_cast<pid_t>(syscall(SYS_gettid));
    body();
  }).join();
  for (int tries = 0; tries < 10000 && syscall(SYS_tgkill, getpid(), tid.load(), 0) == 0; ++tries) {
    usleep(100);
  }
}

}  // namespace otlpshm::library

#endif
