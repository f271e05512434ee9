// SPDX-License-Identifier: Apache-2.0
// futex_waiter.cc: a thread that waits on one futex word where the loop's backend cannot.
#include "io/futex_waiter.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>
#include <utility>

#include "io/quiet_thread.h"

namespace otlpshm::io {
namespace {

// Without FUTEX_PRIVATE_FLAG: the other side is another process.
long futex(const uint32_t* word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, nullptr, 0);
}

}  // namespace

FutexWaiter::FutexWaiter(std::function<void(uint64_t)> woken) : woken_(std::move(woken)) {
  thread_ = start_quiet_thread("otlpshm-futex", [this] { run(); });
}

FutexWaiter::~FutexWaiter() {
  disarm();
  {
    std::lock_guard lock(mutex_);
    state_ = State::stopping;
  }
  changed_.notify_all();
  thread_.join();
}

void FutexWaiter::arm(const uint32_t* word, uint32_t expected, uint64_t token) {
  std::lock_guard lock(mutex_);
  assert(state_ == State::idle);
  word_ = word;
  expected_ = expected;
  token_ = token;
  state_ = State::armed;
  changed_.notify_all();
}

void FutexWaiter::disarm() {
  std::unique_lock lock(mutex_);
  if (state_ == State::armed) state_ = State::disarmed;
  // The wake is lost if the thread is not in the system call yet, so it is repeated.
  while (state_ == State::disarmed) {
    futex(word_, FUTEX_WAKE, INT_MAX, nullptr);
    changed_.wait_for(lock, std::chrono::milliseconds(1));
  }
}

void FutexWaiter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return state_ != State::idle; });
    if (state_ == State::stopping) return;
    while (state_ == State::armed) {
      lock.unlock();
      const bool woken = wait_for_wake();
      lock.lock();
      if (!woken || state_ != State::armed) continue;
      woken_(token_);
      break;
    }
    state_ = State::idle;
    changed_.notify_all();
  }
}

bool FutexWaiter::wait_for_wake() const {
  const timespec second{1, 0};
  if (futex(word_, FUTEX_WAIT, expected_, &second) == 0) return true;
  return errno != ETIMEDOUT && errno != EINTR;  // EAGAIN: the word has changed, which is a wake
}

}  // namespace otlpshm::io
