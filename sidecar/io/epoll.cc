// SPDX-License-Identifier: Apache-2.0
// epoll.cc: the loop's backend where io_uring is not allowed or not there.
//   Owns   the epoll descriptor.     Never  waits on a futex: the loop's helper thread does.
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <ctime>

#include "io/backend.h"

namespace otlpshm::io {
namespace {

class EpollBackend final : public Backend {
 public:
  explicit EpollBackend(int epoll_fd) : epoll_fd_(epoll_fd) {}
  ~EpollBackend() override { close(epoll_fd_); }
  EpollBackend(const EpollBackend&) = delete;
  EpollBackend& operator=(const EpollBackend&) = delete;

  const char* name() const override { return "epoll"; }

  int add(int fd, Interest interest, uint64_t token) override {
    epoll_event event{};
    event.events = interest == Interest::read ? EPOLLIN : EPOLLOUT;
    event.data.u64 = token;
    return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
  }

  void remove(int fd, uint64_t) override { epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr); }

  std::optional<Armed> wait_futex(const uint32_t*, uint32_t, uint64_t) override { return {}; }
  void cancel_futex(uint64_t) override {}

  void wait(uint64_t timeout_ns, std::vector<uint64_t>* ready) override {
    std::array<epoll_event, 256> events;
    const int count = wait_for(timeout_ns, events.data(), static_cast<int>(events.size()));
    for (int i = 0; i < count; ++i) {
      const uint64_t token = events[static_cast<size_t>(i)].data.u64;  // packed: no reference to it
      ready->push_back(token);
    }
  }

 private:
  // -1 on a signal, like the system call.
  int wait_for(uint64_t timeout_ns, epoll_event* events, int events_max) {
    if (nanoseconds_) {
      const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                             static_cast<long>(timeout_ns % 1'000'000'000)};
      const int count = epoll_pwait2(epoll_fd_, events, events_max, &timeout, nullptr);
      if (count >= 0 || errno == EINTR) return count;
      nanoseconds_ = false;  // before Linux 5.11, or a sandbox that does not know it
    }
    const uint64_t timeout_ms = (timeout_ns + 999'999) / 1'000'000;  // up: a timer is never early
    return epoll_wait(epoll_fd_, events, events_max,
                      static_cast<int>(std::min<uint64_t>(timeout_ms, INT_MAX)));
  }

  int epoll_fd_;
  bool nanoseconds_ = true;
};

}  // namespace

std::unique_ptr<Backend> make_epoll_backend(std::string* error) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd >= 0) return std::make_unique<EpollBackend>(epoll_fd);
  *error = std::string("event loop: cannot make an epoll descriptor: ") + std::strerror(errno) +
           "; raise the limit of open files (LimitNOFILE=, ulimit -n)";
  return nullptr;
}

}  // namespace otlpshm::io
