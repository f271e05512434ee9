// SPDX-License-Identifier: Apache-2.0
// discover.cc: open and lock the directory, then listen, then look.
#include "ingest/discover.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "ingest/evict.h"

namespace otlpshm::ingest {

namespace {

constexpr char kLockName[] = ".otlpshmd.lock";
constexpr std::string_view kSegmentEnding = ".seg";
constexpr std::string_view kAckEnding = ".ack";
constexpr std::string_view kTemporaryEnding = ".tmp";
constexpr time_t kTemporarySeconds = 10;

Descriptor open_directory(const std::string& path, std::string* error) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory && ::faccessat(directory.get(), ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0) {
    return directory;
  }
  const int number = errno;
  *error = "directory " + path + ": " + std::strerror(number);
  switch (number) {
    case ENOENT:
      *error += "; create it on a tmpfs, or name another with --dir or OTLPSHM_DIR";
      break;
    case EACCES:
    case EROFS:
      *error += "; the daemon's user must be able to read and write it";
      break;
    case ENOTDIR:
    case ELOOP:
      *error += "; it must be a directory itself, not a file or a symbolic link";
      break;
    default:
      break;
  }
  return {};
}

enum class LockResult { held, taken, again, refused };

LockResult try_lock(int directory, Descriptor* lock, std::string* why) {
  const std::string name = kLockName;
  Descriptor fd;
  if (!evict(directory, name, &fd, why)) return LockResult::refused;
  if (!fd) {
    fd = Descriptor(::openat(directory, kLockName,
                             O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  }
  if (!fd) {
    *why = name + ": " + std::strerror(errno) + remedy(directory, name);
    return LockResult::again;
  }
  struct stat ours = {};
  if (::fstat(fd.get(), &ours) != 0) return LockResult::again;
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &whole) != 0) {
    const int number = errno;
    *why = name + ": cannot be locked: " + std::strerror(number) + remedy(directory, name);
    if (number != EAGAIN && number != EACCES) return LockResult::refused;
    return ours.st_uid == ::geteuid() ? LockResult::taken : LockResult::again;
  }
  // Whoever can open the file could hold its lock against us: it must be ours alone, and still
  // have its name.
  struct stat named = {};
  if (::fstatat(directory, kLockName, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
      ours.st_ino != named.st_ino) {
    return LockResult::again;
  }
  if (!S_ISREG(ours.st_mode) || ours.st_uid != ::geteuid() || (ours.st_mode & 077) != 0) {
    if (::unlinkat(directory, kLockName, 0) == 0) return LockResult::again;
    *why = name + " is not this daemon's own and cannot be removed: " + std::strerror(errno) +
           remedy(directory, name);
    return LockResult::refused;
  }
  *lock = std::move(fd);
  return LockResult::held;
}

Descriptor lock_directory(int directory, const std::string& path, std::string* error) {
  constexpr int kTriesMax = 32;
  std::string why;
  for (int i = 0; i < kTriesMax; ++i) {
    Descriptor lock;
    switch (try_lock(directory, &lock, &why)) {
      case LockResult::held:
        return lock;
      case LockResult::again:
        continue;
      case LockResult::refused:
        *error = "directory " + path + ": " + why;
        return {};
      case LockResult::taken:
        *error = "directory " + path +
                 " already has a running otlpshmd: stop it, or give this one another with --dir";
        return {};
    }
  }
  *error = "directory " + path + ": " +
           (why.empty() ? std::string(kLockName) + " changes under us; start again" : why);
  return {};
}

}  // namespace

std::unique_ptr<Discover> Discover::open(const std::string& path, std::string* error) {
  std::unique_ptr<Discover> discover(new Discover());
  discover->directory_ = open_directory(path, error);
  if (!discover->directory_) return nullptr;
  discover->lock_ = lock_directory(discover->directory(), path, error);
  if (!discover->lock_) return nullptr;

  discover->inotify_ = Descriptor(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  // By the descriptor: the path may have become another directory by now.
  const std::string self = "/proc/self/fd/" + std::to_string(discover->directory());
  constexpr std::uint32_t kEvents =
      IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR;
  if (!discover->inotify_ || ::inotify_add_watch(discover->inotify(), self.c_str(), kEvents) < 0) {
    *error = "directory " + path + " cannot be watched: " + std::strerror(errno) +
             "; raise fs.inotify.max_user_instances and max_user_watches";
    return nullptr;
  }
  return discover;
}

Discover::~Discover() {
  if (listing_ != nullptr) ::closedir(listing_);
}

void Discover::read_hints(const Events& events) {
  // A bounded number of reads: what is left is readable again in the next turn.
  constexpr int kReadsMax = 16;
  alignas(inotify_event) std::array<char, 16 * 1024> bytes;
  for (int i = 0; i < kReadsMax; ++i) {
    const ssize_t got = ::read(inotify(), bytes.data(), bytes.size());
    if (got <= 0) return;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      const auto& event = *reinterpret_cast<const inotify_event*>(bytes.data() + at);
      at += sizeof event + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) events.overflow();
      if (event.len == 0) continue;
      const auto id = SegmentId::from_name(event.name, kSegmentEnding);
      if (!id) continue;
      if ((event.mask & IN_MOVED_TO) != 0) events.there(*id);
      if ((event.mask & IN_CLOSE_WRITE) != 0) events.closed(*id);
      if ((event.mask & (IN_DELETE | IN_MOVED_FROM)) != 0) events.unnamed(*id);
    }
  }
}

bool Discover::scan(std::size_t entries_max, const Events& events) {
  if (listing_ == nullptr) {
    // A descriptor of its own: the position of a listing belongs to the open file.
    Descriptor own(::openat(directory(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!own) return true;  // out of descriptors: the next scan tries again
    listing_ = ::fdopendir(own.get());
    if (listing_ == nullptr) return true;
    [[maybe_unused]] const int moved = own.release();
  }
  for (std::size_t i = 0; i < entries_max; ++i) {
    const dirent* const entry = ::readdir(listing_);
    if (entry == nullptr) {
      ::closedir(listing_);
      listing_ = nullptr;
      return true;
    }
    const std::string_view name = entry->d_name;
    if (const auto segment = SegmentId::from_name(name, kSegmentEnding)) {
      events.there(*segment);
    } else if (const auto ack = SegmentId::from_name(name, kAckEnding)) {
      events.ack(*ack);
    } else if (name.starts_with('.') && name.ends_with(kTemporaryEnding)) {
      sweep(entry->d_name);
    }
  }
  return false;
}

// Removes a temporary file that its maker has left behind.
void Discover::sweep(const char* name) const {
  Descriptor fd(::openat(directory(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return;
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (::time(nullptr) - status.st_ctim.tv_sec <= kTemporarySeconds) return;
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK) return;
  ::unlinkat(directory(), name, 0);
}

}  // namespace otlpshm::ingest
