// SPDX-License-Identifier: Apache-2.0
// futex_waiter.h: a thread that waits on one futex word where the loop's backend cannot.
//   Owns   its thread; the word belongs to the caller and is only touched through futex(2).
//   Never  waits longer than a second at a time.
//   Loses  a wake that comes between arm() and the thread's system call: the caller looks again.
#ifndef OTLPSHM_IO_FUTEX_WAITER_H
#define OTLPSHM_IO_FUTEX_WAITER_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace otlpshm::io {

class FutexWaiter {
 public:
  // `woken(token)` runs on the helper thread, at most once for each arm().
  explicit FutexWaiter(std::function<void(uint64_t token)> woken);
  ~FutexWaiter();
  FutexWaiter(const FutexWaiter&) = delete;
  FutexWaiter& operator=(const FutexWaiter&) = delete;

  // Only while not armed.
  void arm(const uint32_t* word, uint32_t expected, uint64_t token);
  // After it the word is not touched and `woken` does not run. Usually 1 ms, at most a second.
  void disarm();

 private:
  enum class State {
    idle,      // arm() leads to armed
    armed,     // the thread, having seen a wake, leads to idle; disarm() leads to disarmed
    disarmed,  // the thread, out of the system call, leads to idle
    stopping,  // the destructor, from idle
  };

  void run();
  bool wait_for_wake() const;  // false: only the second is over

  std::function<void(uint64_t)> woken_;
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::idle;       // guarded by mutex_
  const uint32_t* word_ = nullptr;  // these three change only while the thread is idle
  uint32_t expected_ = 0;
  uint64_t token_ = 0;
  std::thread thread_;
};

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_FUTEX_WAITER_H
