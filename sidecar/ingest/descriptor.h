// SPDX-License-Identifier: Apache-2.0
// descriptor.h: a file descriptor that closes itself.
#ifndef OTLPSHM_INGEST_DESCRIPTOR_H
#define OTLPSHM_INGEST_DESCRIPTOR_H

#include <unistd.h>

#include <utility>

namespace otlpshm::ingest {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace otlpshm::ingest

#endif
