// SPDX-License-Identifier: Apache-2.0
// own_file.h: a file that the daemon owns and producers map: `state` and the acks.
//   Owns   the mapping and, until it is told otherwise, the descriptor.
//   Never  is seen half made: temporary name, full allocation, contents, then rename. Never
//   resized,
//          truncated or replaced in place: that would be a SIGBUS in every application.
#ifndef OTLPSHM_INGEST_OWN_FILE_H
#define OTLPSHM_INGEST_OWN_FILE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ingest/descriptor.h"

namespace otlpshm::ingest {

class OwnFile {
 public:
  // Makes it, with `fill` writing into zeros before the file gets its name. Null, with a sentence
  // that names the remedy, if the directory does not let us.
  static std::unique_ptr<OwnFile> create(int directory, const std::string& name, std::size_t bytes,
                                         const std::function<void(std::uint8_t*)>& fill,
                                         std::string* error);
  // Takes up the file that has this name. Null if it is not there, or not what `create` makes:
  // regular, one link, of this size, fully allocated, ours, and as `fit` wants its contents.
  static std::unique_ptr<OwnFile> adopt(int directory, const std::string& name, std::size_t bytes,
                                        const std::function<bool(const std::uint8_t*)>& fit);
  ~OwnFile();
  OwnFile(const OwnFile&) = delete;
  OwnFile& operator=(const OwnFile&) = delete;

  [[nodiscard]] std::uint8_t* bytes() const { return address_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void close_descriptor() { fd_ = Descriptor(); }

 private:
  OwnFile(Descriptor fd, std::uint8_t* address, std::size_t bytes);
  static std::unique_ptr<OwnFile> map(Descriptor fd, std::size_t bytes);

  Descriptor fd_;
  std::uint8_t* address_;
  std::size_t bytes_;
};

}  // namespace otlpshm::ingest

#endif
