// SPDX-License-Identifier: Apache-2.0
// loop.cc: what both backends share: tokens, timers, posted calls, signals, the doorbell.
//   Order  of a turn: wait, then descriptors (posted calls and signals are two of them) and the
//          futex in the backend's order, then timers by due time.
#include "io/loop.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/backend.h"
#include "io/clock.h"
#include "io/fence.h"
#include "io/futex_waiter.h"

namespace otlpshm::io {
namespace {

constexpr int kFutexFd = -1;  // the descriptor in a futex's token
constexpr uint64_t kDelayMsMax = uint64_t{1}
                                 << 40;  // 34 years: sums of nanoseconds stay in 64 bits

int fd_of(uint64_t token) {
  return static_cast<int>(static_cast<uint32_t>(token));
}

}  // namespace

Loop::Loop(std::unique_ptr<Backend> backend, int wake_fd)
    : backend_(std::move(backend)), wake_fd_(wake_fd) {}

Loop::~Loop() {
  disarm_futex();
  futex_waiter_.reset();  // the helper threads post to us: they go first
  fence_.reset();
  backend_.reset();
  if (signal_fd_ >= 0) close(signal_fd_);
  close(wake_fd_);
}

const char* Loop::name() const {
  return backend_->name();
}

// ---- descriptors ---------------------------------------------------------------------------

// A token is {generation, descriptor}: what the kernel still reports of an earlier watch of the
// same number has another generation and is ignored.
uint64_t Loop::next_token(int fd) {
  if (++generation_ == 0) ++generation_;
  return uint64_t{generation_} << 32 | static_cast<uint32_t>(fd);
}

bool Loop::watch(int fd, Interest interest, Callback ready) {
  return add_watch(fd, interest, false, std::move(ready));
}

bool Loop::add_watch(int fd, Interest interest, bool own, Callback ready) {
  unwatch(fd);
  if (fd < 0) {
    errno = EBADF;
    return false;
  }
  const uint64_t token = next_token(fd);
  if (const int error = backend_->add(fd, interest, token); error != 0) {
    errno = error;
    return false;
  }
  watches_[fd] = std::make_shared<Watch>(Watch{token, own, std::move(ready)});
  return true;
}

void Loop::unwatch(int fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  backend_->remove(fd, found->second->token);
  watches_.erase(found);
}

void Loop::run_ready(uint64_t token) {
  if (token == futex_token_) {
    ++callbacks_run_;
    return run_futex(token);
  }
  const auto found = watches_.find(fd_of(token));
  if (found == watches_.end() || found->second->token != token) return;
  const std::shared_ptr<Watch> watch = found->second;  // it may unwatch itself
  if (!watch->own) ++callbacks_run_;
  watch->ready();
}

// ---- timers --------------------------------------------------------------------------------

TimerId Loop::after(uint64_t delay_ms, Callback due) {
  return add_timer(delay_ms, 0, std::move(due));
}

TimerId Loop::every(uint64_t period_ms, Callback due) {
  assert(period_ms > 0);
  return add_timer(period_ms, std::min(period_ms, kDelayMsMax) * 1'000'000, std::move(due));
}

TimerId Loop::add_timer(uint64_t delay_ms, uint64_t period_ns, Callback due) {
  // Later than the turn that sets it, so that timers that set timers cannot hold a turn for ever.
  const uint64_t due_ns = std::max(monotonic_ns() + std::min(delay_ms, kDelayMsMax) * 1'000'000,
                                   timers_run_until_ns_ + 1);
  const TimerId id = ++last_timer_;
  timers_.emplace(TimerKey{due_ns, id}, Timer{period_ns, std::move(due)});
  timer_due_ns_.emplace(id, due_ns);
  return id;
}

void Loop::cancel(TimerId timer) {
  const auto found = timer_due_ns_.find(timer);
  if (found == timer_due_ns_.end()) return;
  timers_.erase(TimerKey{found->second, timer});
  timer_due_ns_.erase(found);
}

void Loop::run_timers() {
  if (timers_.empty()) return;
  const uint64_t now_ns = monotonic_ns();
  timers_run_until_ns_ = now_ns;
  while (!timers_.empty() && timers_.begin()->first.first <= now_ns) {
    auto node = timers_.extract(timers_.begin());
    const auto [due_ns, id] = node.key();
    // The callback is held here while it runs, for it may cancel its own timer.
    Callback due = std::move(node.mapped().due);
    const uint64_t period_ns = node.mapped().period_ns;
    if (period_ns == 0) {
      timer_due_ns_.erase(id);
    } else {
      const uint64_t next_ns = now_ns + period_ns - (now_ns - due_ns) % period_ns;
      node.key() = TimerKey{next_ns, id};
      timers_.insert(std::move(node));
      timer_due_ns_[id] = next_ns;
    }
    ++callbacks_run_;
    due();
    if (const auto found = timer_due_ns_.find(id); found != timer_due_ns_.end())
      timers_.at(TimerKey{found->second, id}).due = std::move(due);
  }
}

// ---- posted calls, signals -----------------------------------------------------------------

void Loop::post(Callback call) {
  bool first = false;
  {
    std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(call));
  }
  if (first) eventfd_write(wake_fd_, 1);
}

void Loop::run_posted() {
  eventfd_t count = 0;
  eventfd_read(wake_fd_, &count);  // before the swap: a later post writes again
  {
    std::lock_guard lock(posted_mutex_);
    std::swap(posted_, to_run_);
  }
  for (Callback& call : to_run_) {
    ++callbacks_run_;
    call();
  }
  to_run_.clear();
}

bool Loop::on_signal(int signo, Callback received) {
  sigset_t watched;
  sigemptyset(&watched);
  for (const auto& [earlier, unused] : signals_) sigaddset(&watched, earlier);
  if (sigaddset(&watched, signo) != 0) return false;
  if (const int error = pthread_sigmask(SIG_BLOCK, &watched, nullptr); error != 0) {
    errno = error;
    return false;
  }
  const int fd = signalfd(signal_fd_, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) return false;
  if (signal_fd_ < 0 && !add_watch(fd, Interest::read, true, [this] { run_signals(); })) {
    close(fd);
    return false;
  }
  signal_fd_ = fd;
  signals_[signo] = std::move(received);
  return true;
}

void Loop::run_signals() {
  signalfd_siginfo signal{};
  // One signal a turn would do; a few save turns, and a bound keeps a flood from holding the loop.
  for (int i = 0; i < 16 && read(signal_fd_, &signal, sizeof signal) == sizeof signal; ++i) {
    const auto found = signals_.find(static_cast<int>(signal.ssi_signo));
    if (found == signals_.end()) continue;
    const Callback received = found->second;  // it may replace itself
    ++callbacks_run_;
    received();
  }
}

// ---- doorbell ------------------------------------------------------------------------------

Armed Loop::arm_futex(const uint32_t* word, uint32_t expected, Callback on_wake) {
  disarm_futex();
  futex_token_ = next_token(kFutexFd);
  on_futex_wake_ = std::move(on_wake);
  if (const auto armed = backend_->wait_futex(word, expected, futex_token_)) return *armed;
  if (!futex_waiter_)
    futex_waiter_ = std::make_unique<FutexWaiter>(
        [this](uint64_t token) { post([this, token] { run_futex(token); }); });
  futex_waiter_->arm(word, expected, futex_token_);
  return Armed::unproven;
}

void Loop::disarm_futex() {
  if (futex_token_ == 0) return;
  backend_->cancel_futex(futex_token_);
  if (futex_waiter_) futex_waiter_->disarm();
  futex_token_ = 0;
  on_futex_wake_ = nullptr;
}

void Loop::run_futex(uint64_t token) {
  if (token != futex_token_) return;  // disarmed after the wake
  futex_token_ = 0;
  const Callback on_wake = std::exchange(on_futex_wake_, nullptr);
  on_wake();
}

void Loop::fence_all_producers(std::function<void(bool ok)> done) {
  if (!fence_)
    fence_ = std::make_unique<Fence>([this](std::vector<Fence::Done> requests, bool ok) {
      post([requests = std::move(requests), ok] {
        for (const Fence::Done& request : requests) request(ok);
      });
    });
  fence_->request(std::move(done));
}

// ---- a turn --------------------------------------------------------------------------------

uint64_t Loop::wait_ns(uint64_t timeout_ns) const {
  if (timers_.empty() || timeout_ns == 0) return timeout_ns;
  const uint64_t due_ns = timers_.begin()->first.first;
  const uint64_t now_ns = monotonic_ns();
  return std::min(timeout_ns, due_ns > now_ns ? due_ns - now_ns : 0);
}

size_t Loop::run_once(uint64_t timeout_ns) {
  assert(!in_turn_);
  in_turn_ = true;
  callbacks_run_ = 0;
  ready_.clear();
  backend_->wait(wait_ns(timeout_ns), &ready_);
  for (const uint64_t token : ready_) run_ready(token);
  run_timers();
  in_turn_ = false;
  return callbacks_run_;
}

std::unique_ptr<Loop> make_loop(LoopKind kind, std::string* error) {
  error->clear();
  std::unique_ptr<Backend> backend;
  if (kind != LoopKind::epoll) backend = make_uring_backend(error);
  if (kind == LoopKind::epoll || (kind == LoopKind::automatic && !backend)) {
    std::string refused;
    backend = make_epoll_backend(&refused);
    if (!backend) *error = refused;
  }
  if (!backend) return nullptr;
  const int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) {
    *error = std::string("event loop: cannot make an eventfd: ") + std::strerror(errno) +
             "; raise the limit of open files (LimitNOFILE=, ulimit -n)";
    return nullptr;
  }
  std::unique_ptr<Loop> loop(new Loop(std::move(backend), wake_fd));
  if (!loop->add_watch(wake_fd, Interest::read, true, [raw = loop.get()] { raw->run_posted(); })) {
    *error = std::string("event loop: cannot watch its eventfd: ") + std::strerror(errno);
    return nullptr;
  }
  return loop;
}

}  // namespace otlpshm::io
