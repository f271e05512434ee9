// SPDX-License-Identifier: Apache-2.0
// uring.cc: the loop's backend on io_uring; the only includer of liburing.
//   Owns   the ring. A watch is a one-shot poll that wait() renews, which is level-triggered.
//   Never  relies on a submission succeeding: what the ring could not take is kept and retried.
//   Loses  nothing on a full queue: the kernel keeps completions (IORING_FEAT_NODROP, required).
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <ctime>
#include <fstream>
#include <unordered_map>

#include "io/backend.h"
#include "io/clock.h"

namespace otlpshm::io {
namespace {

constexpr unsigned kSubmissions = 64;
constexpr uint64_t kNoToken = 0;           // completions that nobody waits for
constexpr uint64_t kRetryNs = 10'000'000;  // how soon what the ring refused is tried again
constexpr uint64_t kCancelNsMax = 1'000'000'000;
// liburing 2.3 is older than these.
constexpr uint8_t kOpFutexWait = 51;
constexpr int kFutex2SizeU32 = 0x02;  // without FUTEX2_PRIVATE: the other side is another process
constexpr uint64_t kFutexBitsetAny = 0xffffffff;

__kernel_timespec timespec_of(uint64_t ns) {
  return {static_cast<long long>(ns / 1'000'000'000), static_cast<long long>(ns % 1'000'000'000)};
}

void prepare_futex_wait(io_uring_sqe* sqe, const uint32_t* word, uint32_t expected) {
  io_uring_prep_rw(kOpFutexWait, sqe, kFutex2SizeU32, word, 0, expected);
  sqe->addr3 = kFutexBitsetAny;
}

class UringBackend final : public Backend {
 public:
  UringBackend() = default;
  ~UringBackend() override {
    if (open_) io_uring_queue_exit(&ring_);
  }
  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  // A sentence why not, or nothing.
  std::string open();

  const char* name() const override { return "io_uring"; }
  int add(int fd, Interest interest, uint64_t token) override;
  void remove(int fd, uint64_t token) override;
  std::optional<Armed> wait_futex(const uint32_t* word, uint32_t expected, uint64_t token) override;
  void cancel_futex(uint64_t token) override;
  void wait(uint64_t timeout_ns, std::vector<uint64_t>* ready) override;

 private:
  struct Poll {
    int fd;
    uint32_t events;
    bool in_kernel;
  };

  bool try_futex();
  io_uring_sqe* next_sqe();
  bool submit_all();
  void renew_polls();
  void cancel_in_kernel();
  void reap();

  io_uring ring_{};
  bool open_ = false;
  bool futex_ = false;
  std::unordered_map<uint64_t, Poll> polls_;
  std::vector<uint64_t> to_renew_;   // tokens whose poll is not in the kernel, or gone
  std::vector<uint64_t> to_cancel_;  // tokens, gone from polls_, whose poll still is
  std::vector<uint64_t> reaped_;     // completed, not reported yet
  uint64_t futex_in_kernel_ = kNoToken;
};

// ---- opening -------------------------------------------------------------------------------

std::string read_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string why_refused(int error) {
  if (error == ENOSYS)
    return "the kernel has no io_uring, or a sandbox hides it: use Linux 5.11 or later, or a "
           "seccomp profile that allows the three io_uring_* calls";
  if (error == EPERM || error == EACCES) {
    const std::string disabled = read_line("/proc/sys/kernel/io_uring_disabled");
    if (disabled == "1" || disabled == "2")
      return "sysctl kernel.io_uring_disabled is " + disabled +
             ": set it to 0 (or to 1 with kernel.io_uring_group naming the daemon's group)";
    return "a seccomp profile or security module denies it: use a profile that allows the three "
           "io_uring_* calls";
  }
  if (error == ENOMEM)
    return "the limit of locked memory is too low: raise it (LimitMEMLOCK=, ulimit -l)";
  if (error == EMFILE || error == ENFILE)
    return "too many open files: raise the limit (LimitNOFILE=, ulimit -n)";
  return std::strerror(error);
}

std::string UringBackend::open() {
  if (const int result = io_uring_queue_init(kSubmissions, &ring_, 0); result < 0)
    return why_refused(-result);
  open_ = true;
  constexpr unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  const bool able = (ring_.features & needed) == needed && probe != nullptr &&
                    io_uring_opcode_supported(probe, IORING_OP_POLL_ADD) &&
                    io_uring_opcode_supported(probe, IORING_OP_POLL_REMOVE) &&
                    io_uring_opcode_supported(probe, IORING_OP_ASYNC_CANCEL);
  const bool futex = probe != nullptr && io_uring_opcode_supported(probe, kOpFutexWait);
  if (probe != nullptr) io_uring_free_probe(probe);
  if (!able) {
    utsname system{};
    uname(&system);
    return std::string("the io_uring of Linux ") + system.release +
           " is too old: use 5.11 or later";
  }
  futex_ = futex && try_futex();
  return {};
}

// One wait for a value that the word does not have: EAGAIN says that the kernel did look.
bool UringBackend::try_futex() {
  static const uint32_t word = 0;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  prepare_futex_wait(sqe, &word, 1);
  io_uring_sqe_set_data64(sqe, kNoToken);
  if (io_uring_submit(&ring_) != 1) return false;
  io_uring_cqe* cqe = nullptr;
  __kernel_timespec timeout = timespec_of(kCancelNsMax);
  if (io_uring_wait_cqe_timeout(&ring_, &cqe, &timeout) != 0) return false;
  const int result = cqe->res;
  io_uring_cqe_seen(&ring_, cqe);
  return result == -EAGAIN;
}

// ---- submitting ----------------------------------------------------------------------------

// Null if the kernel takes nothing now (no memory): the caller keeps its request.
io_uring_sqe* UringBackend::next_sqe() {
  if (io_uring_sqe* sqe = io_uring_get_sqe(&ring_)) return sqe;
  submit_all();
  return io_uring_get_sqe(&ring_);
}

// True if the kernel has taken everything.
bool UringBackend::submit_all() {
  for (int attempt = 0; attempt < 8 && io_uring_sq_ready(&ring_) > 0; ++attempt) {
    const int result = io_uring_submit(&ring_);
    // EBUSY: completions have to go first. EAGAIN, ENOMEM: no memory. EINTR: a signal.
    assert(result >= 0 || result == -EBUSY || result == -EAGAIN || result == -ENOMEM ||
           result == -EINTR);
    if (result < 0) reap();
  }
  return io_uring_sq_ready(&ring_) == 0;
}

int UringBackend::add(int fd, Interest interest, uint64_t token) {
  // A poll of these would be "always ready"; epoll refuses them, and so do we.
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno;
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) return EPERM;
  polls_.emplace(
      token, Poll{fd, static_cast<uint32_t>(interest == Interest::read ? POLLIN : POLLOUT), false});
  to_renew_.push_back(token);
  return 0;
}

void UringBackend::remove(int, uint64_t token) {
  const auto found = polls_.find(token);
  if (found == polls_.end()) return;
  const bool in_kernel = found->second.in_kernel;
  polls_.erase(found);
  if (!in_kernel) return;
  to_cancel_.push_back(token);
  cancel_in_kernel();
  submit_all();  // a poll holds its file open: closing it must close it
}

void UringBackend::cancel_in_kernel() {
  while (!to_cancel_.empty()) {
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return;
    io_uring_prep_poll_remove(sqe, to_cancel_.back());
    io_uring_sqe_set_data64(sqe, kNoToken);
    to_cancel_.pop_back();
  }
}

void UringBackend::renew_polls() {
  while (!to_renew_.empty()) {
    const uint64_t token = to_renew_.back();
    to_renew_.pop_back();
    const auto found = polls_.find(token);
    if (found == polls_.end()) continue;
    io_uring_sqe* sqe = next_sqe();  // may reap, and so add to to_renew_
    if (sqe == nullptr) {
      to_renew_.push_back(token);
      return;
    }
    io_uring_prep_poll_add(sqe, found->second.fd, found->second.events);
    io_uring_sqe_set_data64(sqe, token);
    found->second.in_kernel = true;
  }
}

// ---- doorbell ------------------------------------------------------------------------------

std::optional<Armed> UringBackend::wait_futex(const uint32_t* word, uint32_t expected,
                                              uint64_t token) {
  if (!futex_) return {};
  io_uring_sqe* sqe = next_sqe();
  if (sqe == nullptr) return {};
  prepare_futex_wait(sqe, word, expected);
  io_uring_sqe_set_data64(sqe, token);
  futex_in_kernel_ = token;
  return submit_all() ? Armed::proven : Armed::unproven;
}

void UringBackend::cancel_futex(uint64_t token) {
  if (futex_in_kernel_ != token) return;
  bool cancelling = false;
  const uint64_t give_up_ns = monotonic_ns() + kCancelNsMax;
  while (futex_in_kernel_ == token && monotonic_ns() < give_up_ns) {
    if (!cancelling) {
      if (io_uring_sqe* sqe = next_sqe()) {
        io_uring_prep_cancel64(sqe, token, 0);
        io_uring_sqe_set_data64(sqe, kNoToken);
        cancelling = true;
      }
    }
    submit_all();
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec timeout = timespec_of(kRetryNs);
    io_uring_wait_cqe_timeout(&ring_, &cqe, &timeout);
    reap();
  }
}

// ---- completing ----------------------------------------------------------------------------

// Empties the completion queue into reaped_; an overflown one is refilled by liburing's peek.
void UringBackend::reap() {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
    const uint64_t token = io_uring_cqe_get_data64(cqe);
    io_uring_cqe_seen(&ring_, cqe);
    if (token == kNoToken) continue;
    if (token == futex_in_kernel_) {
      futex_in_kernel_ = kNoToken;
      reaped_.push_back(token);
      continue;
    }
    const auto found = polls_.find(token);
    if (found == polls_.end()) continue;  // removed since
    // Whatever the result: an error is for the reader of the descriptor to find.
    found->second.in_kernel = false;
    to_renew_.push_back(token);
    reaped_.push_back(token);
  }
}

void UringBackend::wait(uint64_t timeout_ns, std::vector<uint64_t>* ready) {
  cancel_in_kernel();
  renew_polls();
  if (!to_renew_.empty() || !to_cancel_.empty()) timeout_ns = std::min(timeout_ns, kRetryNs);
  if (reaped_.empty() && timeout_ns > 0) {
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec timeout = timespec_of(timeout_ns);
    const int result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
    if (result < 0 && result != -ETIME && result != -EINTR) {
      // The kernel could not submit and so did not wait: let time pass all the same.
      assert(result == -EBUSY || result == -EAGAIN || result == -ENOMEM);
      pollfd completions{ring_.ring_fd, POLLIN, 0};
      ::poll(&completions, 1, static_cast<int>(std::min(timeout_ns, kRetryNs) / 1'000'000));
    }
  } else {
    submit_all();
  }
  reap();
  ready->insert(ready->end(), reaped_.begin(), reaped_.end());
  reaped_.clear();
}

}  // namespace

std::unique_ptr<Backend> make_uring_backend(std::string* error) {
  auto backend = std::make_unique<UringBackend>();
  const std::string refused = backend->open();
  if (refused.empty()) return backend;
  *error = "event loop: io_uring is refused: " + refused + "; or let the daemon use epoll";
  return nullptr;
}

}  // namespace otlpshm::io
