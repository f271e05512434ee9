// SPDX-License-Identifier: Apache-2.0
// backend.h: what the loop needs of a kernel interface; io_uring and epoll each give it.
//   Names  everything by the loop's token: never 0, and never used again after remove or a wake.
//   Never  calls back, and never drops a token that is ready.
//   Loses  nothing: may report a token that is gone (the loop ignores it) or not ready (spurious).
#ifndef OTLPSHM_IO_BACKEND_H
#define OTLPSHM_IO_BACKEND_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loop.h"

namespace otlpshm::io {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;

  // 0 or an errno. Level-triggered until removed.
  virtual int add(int fd, Interest interest, uint64_t token) = 0;
  // When it returns, the kernel holds no reference to `fd` on our behalf: closing it closes it.
  virtual void remove(int fd, uint64_t token) = 0;

  // Nothing if this kernel interface cannot wait on a futex. Reported once, like a descriptor.
  virtual std::optional<Armed> wait_futex(const uint32_t* word, uint32_t expected,
                                          uint64_t token) = 0;
  // Waits, at most a second, until the kernel has let go of the word.
  virtual void cancel_futex(uint64_t token) = 0;

  // Appends the tokens that are ready; waits at most `timeout_ns` for the first.
  virtual void wait(uint64_t timeout_ns, std::vector<uint64_t>* ready) = 0;
};

// Null, and a sentence in `error` that names the reason and the remedy, if the kernel refuses.
std::unique_ptr<Backend> make_uring_backend(std::string* error);
std::unique_ptr<Backend> make_epoll_backend(std::string* error);

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_BACKEND_H
