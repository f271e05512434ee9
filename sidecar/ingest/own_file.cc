// SPDX-License-Identifier: Apache-2.0
// own_file.cc: the recipe of docs/abi.md#directory-and-files.
#include "ingest/own_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "ingest/evict.h"
#include "ingest/sigbus_guard.h"

namespace otlpshm::ingest {

namespace {

constexpr mode_t kMode = 0644;
constexpr int kTriesMax = 32;  // against somebody who takes and leaves the name in a loop

std::string sentence(const char* doing, const std::string& name, int error) {
  std::string text = std::string("cannot ") + doing + " " + name + ": " + std::strerror(error);
  if (error == ENOSPC) return text + "; make room in the directory's file system";
  if (error == EACCES || error == EPERM || error == EROFS) {
    return text + "; the daemon's user must be able to write the directory";
  }
  return text;
}

Descriptor create_temporary(int directory, const std::string& name, std::string* error) {
  for (int i = 0; i < kTriesMax; ++i) {
    Descriptor fd(::openat(directory, name.c_str(),
                           O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
    if (fd) return fd;
    if (errno != EEXIST) {
      *error = sentence("create", name, errno);
      return {};
    }
    if (!evict(directory, name, &fd, error)) return {};
    if (fd) return fd;
    // Only one daemon lives here: a file of this name was left by one that was killed.
    if (::unlinkat(directory, name.c_str(), 0) != 0 && errno != EISDIR && errno != ENOENT) break;
  }
  *error = "cannot remove " + name + ": " + std::strerror(errno) + remedy(directory, name);
  return {};
}

// Over what has the name; only a directory is in the way of that.
bool give_name(int directory, const std::string& temporary, const std::string& name,
               std::string* error) {
  int number = EISDIR;
  for (int i = 0; i < kTriesMax && number == EISDIR; ++i) {
    Descriptor replacement;
    if (!evict(directory, name, &replacement, error)) return false;
    if (::renameat(directory, temporary.c_str(), directory, name.c_str()) == 0) return true;
    number = errno;
  }
  *error = "cannot rename " + temporary + " to " + name + ": " + std::strerror(number) +
           remedy(directory, name);
  return false;
}

}  // namespace

OwnFile::OwnFile(Descriptor fd, std::uint8_t* address, std::size_t bytes)
    : fd_(std::move(fd)), address_(address), bytes_(bytes) {}

OwnFile::~OwnFile() {
  ::munmap(address_, bytes_);
}

std::unique_ptr<OwnFile> OwnFile::map(Descriptor fd, std::size_t bytes) {
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (address == MAP_FAILED) return nullptr;
  return std::unique_ptr<OwnFile>(
      new OwnFile(std::move(fd), static_cast<std::uint8_t*>(address), bytes));
}

std::unique_ptr<OwnFile> OwnFile::create(int directory, const std::string& name, std::size_t bytes,
                                         const std::function<void(std::uint8_t*)>& fill,
                                         std::string* error) {
  const std::string temporary = "." + name + ".tmp";
  Descriptor fd = create_temporary(directory, temporary, error);
  if (!fd) return nullptr;
  const auto give_up = [&](const char* doing, int number) {
    *error = sentence(doing, temporary, number);
    ::unlinkat(directory, temporary.c_str(), 0);
    return nullptr;
  };
  if (::fchmod(fd.get(), kMode) != 0) return give_up("set the mode of", errno);
  if (const int failed = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); failed != 0) {
    return give_up("allocate", failed);
  }
  std::unique_ptr<OwnFile> file = map(std::move(fd), bytes);
  if (file == nullptr) return give_up("map", errno);
  std::uint8_t* const start = file->bytes();
  if (!guarded([&fill, start] { fill(start); })) return give_up("write", EIO);
  if (!give_name(directory, temporary, name, error)) {
    ::unlinkat(directory, temporary.c_str(), 0);
    return nullptr;
  }
  return file;
}

std::unique_ptr<OwnFile> OwnFile::adopt(int directory, const std::string& name, std::size_t bytes,
                                        const std::function<bool(const std::uint8_t*)>& fit) {
  Descriptor fd(::openat(directory, name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return nullptr;
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1 ||
      status.st_size != static_cast<off_t>(bytes) ||
      static_cast<std::uint64_t>(status.st_blocks) * 512 < bytes || status.st_uid != ::geteuid()) {
    return nullptr;
  }
  std::unique_ptr<OwnFile> file = map(std::move(fd), bytes);
  if (file == nullptr) return nullptr;
  bool is_fit = false;
  const std::uint8_t* const start = file->bytes();
  if (!guarded([&fit, &is_fit, start] { is_fit = fit(start); }) || !is_fit) return nullptr;
  return file;
}

}  // namespace otlpshm::ingest
