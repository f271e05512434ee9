// SPDX-License-Identifier: Apache-2.0
#include "ingest/evict.h"

#include <signal.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <functional>

#include "ingest/discover.h"
#include "ingest/state_file.h"
#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

using ingest::Discover;
using ingest::StateFile;

constexpr uid_t kDaemon = 61001;
constexpr uid_t kStranger = 61003;
constexpr unsigned kSeconds = 60;

bool can_be_others() {
  if (::geteuid() == 0) return true;
  WARN("SKIPPED: run as root to have this case, which needs a daemon and a stranger of other uids");
  return false;
}

void become(uid_t user) {
  if (::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0) ::_exit(1);
}

// What `body` said as that user, and behind it what was logged meanwhile.
std::string as_user(uid_t user, const std::function<std::string()>& body) {
  const int said = ::memfd_create("said", MFD_CLOEXEC);
  REQUIRE(said >= 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(kSeconds);
    ::dup2(said, STDERR_FILENO);
    become(user);
    const std::string text = body() + "\n";
    const bool whole = ::write(said, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(whole ? 0 : 1);
  }
  int status = -1;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  std::string text(64 * 1024, '\0');
  const ssize_t bytes = ::pread(said, text.data(), text.size(), 0);
  ::close(said);
  REQUIRE(bytes >= 0);
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

// As a host's: the daemon owns it, others can make files in it and see none.
struct HostDirectory : SharedDirectory {
  explicit HostDirectory(uid_t owner = kDaemon, mode_t mode = 03733) {
    REQUIRE(::fchown(fd(), owner, owner) == 0);
    REQUIRE(::fchmod(fd(), mode) == 0);
  }
  [[nodiscard]] uid_t owner_of(const std::string& name) const {
    struct stat status = {};
    REQUIRE(::fstatat(fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0);
    return status.st_uid;
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      found.push_back(entry.path().filename());
    }
    return found;
  }
};

std::string start_daemon(const SharedDirectory& directory) {
  std::string error;
  const auto discover = Discover::open(directory.path(), &error);
  if (discover == nullptr) return error;
  const auto state = StateFile::open(discover->directory(), &error);
  return state == nullptr ? error : "ready";
}

struct Squat {
  const char* kind;
  std::function<bool(int directory, const char* name)> take;
};
const Squat kSquats[] = {
    {"a closed file",
     [](int directory, const char* name) {
       return ::openat(directory, name, O_CREAT | O_EXCL | O_RDWR, 0600) >= 0;
     }},
    {"an open file",
     [](int directory, const char* name) {
       const int fd = ::openat(directory, name, O_CREAT | O_EXCL | O_RDWR, 0600);
       return fd >= 0 && ::fchmod(fd, 0666) == 0;
     }},
    {"a link", [](int directory,
                  const char* name) { return ::symlinkat("/etc/hostname", directory, name) == 0; }},
    {"a pipe",
     [](int directory, const char* name) { return ::mkfifoat(directory, name, 0666) == 0; }},
    {"a directory",
     [](int directory, const char* name) { return ::mkdirat(directory, name, 0700) == 0; }},
    {"a full directory",
     [](int directory, const char* name) {
       return ::mkdirat(directory, name, 0700) == 0 &&
              ::openat(::openat(directory, name, O_DIRECTORY), "file", O_CREAT | O_RDWR, 0600) >= 0;
     }},
};
const char* const kNames[] = {".otlpshmd.lock", "state", ".state.tmp"};

void take(const HostDirectory& directory, const Squat& squat, const char* name, uid_t user) {
  REQUIRE(as_user(user, [&] {
            return std::string(squat.take(directory.fd(), name) ? "taken" : "free");
          }) == "taken\n");
}

TEST_CASE("evict: a daemon takes its names back in its own directory, and says so") {
  if (!can_be_others()) return;
  for (const Squat& squat : kSquats) {
    for (const char* const name : kNames) {
      const HostDirectory directory;
      take(directory, squat, name, kStranger);
      const std::string said = as_user(kDaemon, [&] { return start_daemon(directory); });
      INFO(squat.kind << " at " << name << ": " << said);
      CHECK(said.ends_with("ready\n"));
      CHECK(said.find(std::string("needs: ") + name) != std::string::npos);
      CHECK(said.find(std::to_string(kStranger)) != std::string::npos);
      CHECK(directory.owner_of("state") == kDaemon);
      CHECK(directory.owner_of(".otlpshmd.lock") == kDaemon);
      CHECK_FALSE(directory.has(".state.tmp"));
      const bool is_kept = squat.kind == std::string("a full directory");
      CHECK(said.find(is_kept ? "renamed to ." : "removed") != std::string::npos);
      CHECK(directory.names().size() == (is_kept ? 3 : 2));
    }
  }
}

TEST_CASE("evict: a lock that a stranger holds is no running daemon") {
  if (!can_be_others()) return;
  const HostDirectory directory;
  const int held = ::openat(directory.fd(), ".otlpshmd.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  REQUIRE(held >= 0);
  REQUIRE((::fchmod(held, 0666) == 0 && ::fchown(held, kStranger, kStranger) == 0));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  REQUIRE(::fcntl(held, F_OFD_SETLK, &whole) == 0);
  CHECK(as_user(kDaemon, [&] { return start_daemon(directory); }).ends_with("ready\n"));
  ::close(held);
}

TEST_CASE("evict: what is root's stays, and the daemon says what to do") {
  if (!can_be_others()) return;
  for (const Squat& squat : kSquats) {
    for (const char* const name : kNames) {
      const HostDirectory directory;
      take(directory, squat, name, 0);
      const std::string said = as_user(kDaemon, [&] { return start_daemon(directory); });
      INFO(squat.kind << " at " << name << ": " << said);
      CHECK(said.find(std::string(name) + " belongs to root: ") != std::string::npos);
      CHECK(said.find("remove it") != std::string::npos);
      CHECK(directory.owner_of(name) == 0);
    }
  }
}

TEST_CASE("evict: in a sticky directory of another the daemon refuses, and says what to do") {
  if (!can_be_others()) return;
  for (const Squat& squat : kSquats) {
    for (const char* const name : kNames) {
      const HostDirectory directory(61002, 01777);
      take(directory, squat, name, kStranger);
      const std::string said = as_user(kDaemon, [&] { return start_daemon(directory); });
      INFO(squat.kind << " at " << name << ": " << said);
      CHECK(said.find(std::string(name) + " belongs to user 61003: ") != std::string::npos);
      CHECK(said.find("remove it, or run this one as user 61002") != std::string::npos);
      CHECK(directory.owner_of(name) == kStranger);
    }
  }
}

TEST_CASE("evict: a directory of the daemon's own user stays, and is named") {
  for (const char* const name : kNames) {
    const SharedDirectory directory;
    REQUIRE(::fchmod(directory.fd(), 03733) == 0);
    REQUIRE(::mkdirat(directory.fd(), name, 0700) == 0);
    const std::string error = start_daemon(directory);
    INFO(error);
    CHECK(error.find(std::string("; remove ") + name) != std::string::npos);
    CHECK(directory.has(name));
  }
}

TEST_CASE("evict: somebody who takes a name again and again does not keep the daemon out") {
  if (!can_be_others()) return;
  for (const char* const name : kNames) {
    for (const Squat& squat : kSquats) {
      const HostDirectory directory;
      const pid_t squatter = ::fork();
      REQUIRE(squatter >= 0);
      if (squatter == 0) {
        ::alarm(kSeconds);
        become(kStranger);
        for (;;) {
          (void)squat.take(directory.fd(), name);
          (void)::unlinkat(directory.fd(), name, 0);
          (void)::unlinkat(directory.fd(), name, AT_REMOVEDIR);
          ::close_range(directory.fd() + 1, ~0u, 0);
        }
      }
      const std::string said = as_user(kDaemon, [&] { return start_daemon(directory); });
      ::kill(squatter, SIGKILL);
      ::waitpid(squatter, nullptr, 0);
      INFO(squat.kind << " at " << name << ": " << said);
      CHECK(said.ends_with("ready\n"));
      CHECK(directory.owner_of("state") == kDaemon);
    }
  }
}

}  // namespace
}  // namespace otlpshm::tests
