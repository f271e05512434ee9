// SPDX-License-Identifier: Apache-2.0
// evict.cc: exchange first, then look at what came away: what is seen under a name that others can
// take may be another thing when it is removed.
#include "ingest/evict.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "io/clock.h"
#include "telemetry/log.h"

namespace otlpshm::ingest {

namespace {

constexpr int kTriesMax = 32;  // against somebody who takes and leaves the name in a loop
constexpr uid_t kRoot = 0;

bool may_be_evicted(uid_t user) {
  return user != kRoot && user != ::geteuid();
}

// Without the sticky bit all who may write are one trust domain, and nobody squats.
bool is_ours_and_sticky(int directory) {
  struct stat status = {};
  return ::fstat(directory, &status) == 0 && status.st_uid == ::geteuid() &&
         (status.st_mode & S_ISVTX) != 0;
}

bool find(int directory, const std::string& name, struct stat* status) {
  return ::fstatat(directory, name.c_str(), status, AT_SYMLINK_NOFOLLOW) == 0;
}

bool exchange(int directory, const std::string& one, const std::string& other) {
  return ::renameat2(directory, one.c_str(), directory, other.c_str(), RENAME_EXCHANGE) == 0;
}

// Nobody guesses it; what a daemon that is killed leaves under it is swept.
std::string aside(const std::string& name) {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
    random = io::realtime_ns();
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(random));
  return (name.starts_with('.') ? "" : ".") + name + "." + digits + ".tmp";
}

bool set_lock(int fd, short type) {
  struct flock whole = {};
  whole.l_type = type;
  whole.l_whence = SEEK_SET;
  return ::fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

// Locked, so that a daemon that sees it under the lock's name does not take it for a free lock.
Descriptor create_locked(int directory, const std::string& name) {
  Descriptor fd(
      ::openat(directory, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd && !set_lock(fd.get(), F_WRLCK)) {
    ::unlinkat(directory, name.c_str(), 0);
    return {};
  }
  return fd;
}

// What was done, for the log.
std::string remove(int directory, const std::string& name) {
  if (::unlinkat(directory, name.c_str(), 0) == 0 ||
      ::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
    return "removed";
  }
  return "renamed to " + name;
}

}  // namespace

bool evict(int directory, const std::string& name, Descriptor* replacement, std::string* error) {
  for (int i = 0; i < kTriesMax; ++i) {
    struct stat seen = {};
    if (!find(directory, name, &seen) || seen.st_uid == ::geteuid()) return true;
    if (!is_ours_and_sticky(directory)) return true;
    if (!may_be_evicted(seen.st_uid)) {
      *error = name + " is in the way" + remedy(directory, name);
      return false;
    }
    const std::string place = aside(name);
    Descriptor own = create_locked(directory, place);
    if (!own) {
      *error = "cannot create " + place + ": " + std::strerror(errno) + remedy(directory, name);
      return false;
    }
    if (!exchange(directory, place, name)) {
      const int number = errno;
      ::unlinkat(directory, place.c_str(), 0);
      if (number == ENOENT) continue;
      *error = "cannot take " + name + " back: " + std::strerror(number) + remedy(directory, name);
      return false;
    }
    struct stat moved = {};
    if (find(directory, place, &moved) && !may_be_evicted(moved.st_uid)) {
      if (exchange(directory, place, name)) ::unlinkat(directory, place.c_str(), 0);
      continue;
    }
    telemetry::log(telemetry::LogLevel::warning,
                   "another user had taken a name that the daemon needs: " + name,
                   {{"user", seen.st_uid}, {"was", remove(directory, place)}});
    [[maybe_unused]] const bool unlocked = set_lock(own.get(), F_UNLCK);
    *replacement = std::move(own);
    return true;
  }
  *error = name + " comes and goes: somebody else uses the directory" + remedy(directory, name);
  return false;
}

std::string remedy(int directory, const std::string& name) {
  struct stat found = {};
  struct stat shared = {};
  if (!find(directory, name, &found) || ::fstat(directory, &shared) != 0) return "";
  if (found.st_uid == ::geteuid()) return "; remove " + name;
  const std::string user =
      found.st_uid == kRoot ? std::string("root") : "user " + std::to_string(found.st_uid);
  std::string text =
      "; " + name + " belongs to " + user + ": stop the daemon of " + user + ", and remove it";
  if (shared.st_uid != ::geteuid() && shared.st_uid != kRoot) {
    text +=
        ", or run this one as user " + std::to_string(shared.st_uid) + ", the directory's owner";
  }
  return text;
}

}  // namespace otlpshm::ingest
