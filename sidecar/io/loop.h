// SPDX-License-Identifier: Apache-2.0
// loop.h: the daemon's event loop: descriptors, timers, signals, posted calls, and the doorbell.
//   Owns   its descriptors, timers and two helper threads; never a descriptor it watches.
//   Runs   every callback on the thread that calls run_once; only post() is for any thread.
//   Never  waits without a timeout; never calls a callback from inside watch, after, or arm_futex.
//   Loses  nothing: a spurious call of a callback is possible, a missing one is not.
#ifndef OTLPSHM_IO_LOOP_H
#define OTLPSHM_IO_LOOP_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace otlpshm::io {

class Backend;
class Fence;
class FutexWaiter;

enum class LoopKind { automatic, io_uring, epoll };
enum class Interest { read, write };

// What arm_futex can promise at the moment it returns.
enum class Armed {
  proven,    // the wait is queued in the kernel: a wake from now on is seen
  unproven,  // a helper thread is on its way to the wait: look again for 16 ms
};

using Callback = std::function<void()>;
using TimerId = uint64_t;  // 0 is never a timer

class Loop {
 public:
  ~Loop();  // bounded: a helper thread in a futex or a membarrier is waited for, 1 s at most
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // "io_uring" or "epoll".
  const char* name() const;

  // Calls `ready` in every turn in which `fd` is readable (or writable), has an error or was hung
  // up: level-triggered. The descriptor must be non-blocking, and pollable: a regular file gives
  // false and errno EPERM. One interest a descriptor: watching it again replaces the first watch.
  // False, with errno, if the kernel cannot watch it.
  [[nodiscard]] bool watch(int fd, Interest interest, Callback ready);

  // Call before closing `fd`. Allowed in any callback, its own included; when it returns, the
  // number may be closed and reused at once. Unwatching what is not watched does nothing.
  void unwatch(int fd);

  // Runs `due` once, not before `delay_ms` have passed, timers in the order of their due times.
  // A timer set inside a callback runs in a later turn, whatever its delay.
  TimerId after(uint64_t delay_ms, Callback due);
  // Runs `due` each `period_ms` (1 or more); ticks missed by a late loop are not made up for.
  TimerId every(uint64_t period_ms, Callback due);
  // Cancelling a timer that has run, or 0, does nothing.
  void cancel(TimerId timer);

  // Runs `call` on the loop's thread, in a later turn, in the order of posting. Any thread, until
  // the destructor begins. The queue is as long as its callers make it: each bounds its own.
  void post(Callback call);

  // Blocks `signo` in the calling thread and runs `received` when it arrives. Call it before other
  // threads start (they inherit the mask). It stays blocked after the loop is gone.
  // False, with errno, if it cannot be watched.
  [[nodiscard]] bool on_signal(int signo, Callback received);

  // The doorbell (docs/abi.md). Waits until someone calls FUTEX_WAKE on the shared word, from any
  // process, also through a read-only mapping, and then runs `on_wake` once. A word that no longer
  // holds `expected` counts as a wake. Stays armed until it fires or is disarmed; one at a time:
  // arming while armed replaces. The word must stay mapped until then.
  [[nodiscard]] Armed arm_futex(const uint32_t* word, uint32_t expected, Callback on_wake);
  bool futex_armed() const { return futex_token_ != 0; }
  // After it, `on_wake` does not run and the word may be unmapped. Takes at most a second.
  void disarm_futex();

  // Runs a full memory barrier on every CPU that runs a thread (MEMBARRIER_CMD_GLOBAL, 8-30 ms, in
  // a helper thread) and then `done(true)` on the loop; done(false) if the kernel refuses. Calls
  // made while one barrier is under way share the next one; at most 64 may wait.
  void fence_all_producers(std::function<void(bool ok)> done);

  // One turn: waits at most `timeout_ns` (0: only looks) for something to do, does it, and returns
  // how many callbacks ran. Returns early with 0 when a signal interrupts the wait.
  size_t run_once(uint64_t timeout_ns);

 private:
  friend std::unique_ptr<Loop> make_loop(LoopKind kind, std::string* error);

  struct Watch {
    uint64_t token;
    bool own;  // the loop's own descriptor: what it leads to is counted, not this call
    Callback ready;
  };
  struct Timer {
    uint64_t period_ns;  // 0: once
    Callback due;
  };
  // Due time first; ids grow, so that equal due times run in the order of setting.
  using TimerKey = std::pair<uint64_t, TimerId>;

  Loop(std::unique_ptr<Backend> backend, int wake_fd);
  uint64_t next_token(int fd);
  bool add_watch(int fd, Interest interest, bool own, Callback ready);
  TimerId add_timer(uint64_t delay_ms, uint64_t period_ns, Callback due);
  uint64_t wait_ns(uint64_t timeout_ns) const;
  void run_ready(uint64_t token);
  void run_timers();
  void run_posted();
  void run_signals();
  void run_futex(uint64_t token);

  std::unique_ptr<Backend> backend_;
  bool in_turn_ = false;
  size_t callbacks_run_ = 0;  // in this turn
  uint32_t generation_ = 0;   // of the last token
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::vector<uint64_t> ready_;  // tokens of this turn; kept for its storage

  TimerId last_timer_ = 0;
  uint64_t timers_run_until_ns_ = 0;
  std::map<TimerKey, Timer> timers_;
  std::unordered_map<TimerId, uint64_t> timer_due_ns_;  // to find a timer's key

  int wake_fd_;
  std::mutex posted_mutex_;
  std::vector<Callback> posted_;  // guarded by posted_mutex_
  std::vector<Callback> to_run_;  // taken from posted_; kept for its storage

  int signal_fd_ = -1;
  std::map<int, Callback> signals_;

  uint64_t futex_token_ = 0;  // 0: not armed
  Callback on_futex_wake_;
  std::unique_ptr<FutexWaiter> futex_waiter_;  // made when the backend cannot wait on a futex
  std::unique_ptr<Fence> fence_;               // made by the first fence
};

// `automatic` takes io_uring where kernel and sandbox allow it and epoll elsewhere; `error` then
// says why not io_uring. Null, and a sentence in `error` that names the reason and the remedy, if
// the kind asked for is refused. `error` is empty when nothing was refused.
std::unique_ptr<Loop> make_loop(LoopKind kind, std::string* error);

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_LOOP_H
