// SPDX-License-Identifier: Apache-2.0
// sigbus_guard.cc: a jump out of the signal, to the access of this thread that caused it.
#include "ingest/sigbus_guard.h"

#include <setjmp.h>
#include <signal.h>

namespace otlpshm::ingest {

namespace {

thread_local sigjmp_buf* current_access = nullptr;

void on_sigbus(int signo, siginfo_t* /*cause*/, void* /*context*/) {
  if (current_access != nullptr) siglongjmp(*current_access, 1);
  // Not ours: the instruction faults again, now with the default action.
  ::signal(signo, SIG_DFL);
}

bool install() {
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  // The jump leaves the mask alone (saving it would be a system call), so it must not be changed.
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

bool run_guarded(void (*access)(void*), void* argument) {
  [[maybe_unused]] static const bool installed = install();
  sigjmp_buf back;
  if (sigsetjmp(back, 0) != 0) {
    current_access = nullptr;
    return false;
  }
  current_access = &back;
  access(argument);
  current_access = nullptr;
  return true;
}

}  // namespace otlpshm::ingest
