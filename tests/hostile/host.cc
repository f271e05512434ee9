// SPDX-License-Identifier: Apache-2.0
// host.cc: see host.h.
#include "host.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

namespace otlpshm::hostile {

std::atomic<std::uint64_t> errno_changes{0};

namespace {

constexpr int kErrno = 4711;  // no call of libc sets it

// Sets errno, and looks at it again when the call is over.
class ErrnoWatch {
 public:
  ErrnoWatch() : before_(errno) { errno = kErrno; }
  ~ErrnoWatch() {
    if (errno != kErrno) ++errno_changes;
    errno = before_;
  }
  ErrnoWatch(const ErrnoWatch&) = delete;
  ErrnoWatch& operator=(const ErrnoWatch&) = delete;

 private:
  int before_;
};

}  // namespace

otlpshm_writer_options options_of(const std::string& directory, std::uint64_t lane_bytes) {
  otlpshm_writer_options options{};
  options.size = sizeof options;
  options.directory = directory.c_str();
  options.service_name = "host";
  options.lane_bytes_budget = lane_bytes;
  return options;
}

otlpshm_writer* open_writer(const std::string& directory, std::uint64_t lane_bytes) {
  for (const char* name : {"OTLPSHM_DIR", "OTEL_SDK_DISABLED", "OTEL_RESOURCE_ATTRIBUTES",
                           "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}) {
    unsetenv(name);
  }
  otlpshm_writer* writer = nullptr;
  const otlpshm_writer_options options = options_of(directory, lane_bytes);
  int status = 0;
  {
    const ErrnoWatch watch;
    status = otlpshm_writer_open(&writer, &options);
  }
  REQUIRE(status == OTLPSHM_OK);
  REQUIRE(writer != nullptr);
  return writer;
}

int write_span(otlpshm_writer* writer, const char* name, unsigned flags) {
  const ErrnoWatch watch;
  otlpshm_start_options options{};
  options.size = sizeof options;
  options.flags = flags;
  otlpshm_span span{};
  otlpshm_span_start(writer, &span, name, std::strlen(name), &options);
  otlpshm_span_set_int(&span, "n", 1, 1);
  const bool is_recording = otlpshm_span_is_recording(&span) != 0;
  const int status = otlpshm_span_end(&span);
  return is_recording ? status : kNoOp;
}

std::uint64_t write_spans(otlpshm_writer* writer, std::uint64_t count, const char* name) {
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (write_span(writer, name) == OTLPSHM_OK) ++kept;
  }
  return kept;
}

otlpshm_stats stats_of(otlpshm_writer* writer) {
  otlpshm_stats stats{};
  stats.size = sizeof stats;
  int status = 0;
  {
    const ErrnoWatch watch;
    status = otlpshm_writer_stats(writer, &stats);
  }
  REQUIRE(status == OTLPSHM_OK);
  return stats;
}

std::uint64_t dropped_of(const otlpshm_stats& stats) {
  std::uint64_t total = 0;
  for (unsigned reason = 0; reason < 32; ++reason) total += stats.dropped[reason];
  return total;
}

std::uint64_t check_records(const SegmentFile& segment, std::uint64_t* lag) {
  std::uint64_t count = 0;
  std::set<std::string> ids;
  for (std::uint32_t lane = 0; lane < segment.lanes_open(); ++lane) {
    const auto records = segment.records(lane);
    REQUIRE(records);
    for (const library::Record& record : *records) {
      const auto span = library::parse_span(record.body);
      REQUIRE(span);
      REQUIRE(span->span_id == record.span_id);
      REQUIRE(span->end >= span->start);
      REQUIRE(ids.insert(record.span_id).second);
    }
    const std::uint64_t behind = records->size() - segment.sequence(lane);
    REQUIRE(behind <= 1);
    if (lag != nullptr) *lag += behind;
    count += records->size();
  }
  return count;
}

otlpshm_stats check_books(otlpshm_writer* writer, const std::vector<std::string>& segments) {
  const otlpshm_stats stats = stats_of(writer);
  REQUIRE(stats.ended == stats.committed + dropped_of(stats));
  std::uint64_t records = 0;
  std::uint64_t lag = 0;
  std::uint64_t dropped = 0;
  for (const std::string& path : segments) {
    const SegmentFile segment(path);
    records += check_records(segment, &lag);
    dropped += segment.dropped_total();
  }
  REQUIRE(lag <= 1);
  REQUIRE(records == stats.committed + lag);
  REQUIRE(records + dropped == stats.ended + lag);
  REQUIRE(errno_changes == 0);
  return stats;
}

otlpshm_stats check_books(otlpshm_writer* writer, const PrivateDirectory& directory) {
  return check_books(writer, segments_of(directory));
}

std::vector<std::string> segments_of(const PrivateDirectory& directory) {
  std::vector<std::string> paths = directory.names(".seg");
  for (std::string& path : paths) path = directory.file(path);
  return paths;
}

bool is_locked(const std::string& segment) {
  const int fd = open(segment.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  const int answer = fcntl(fd, F_OFD_GETLK, &lock);
  close(fd);
  REQUIRE(answer == 0);
  return lock.l_type != F_UNLCK;
}

int wait_for(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> open_descriptors() {
  std::vector<std::string> found;
  for (int fd = 0; fd < 4096; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) found.push_back(std::to_string(fd));
  }
  return found;
}

std::string program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

void say_skipped(const std::string& why) {
  WARN("SKIPPED: " << why);
}

bool enter_mount_namespace() {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    say_skipped(std::string("a mount namespace of its own: ") + std::strerror(errno) +
                "; run as root to have this case");
    return false;
  }
  return true;
}

void mount_tmpfs(const std::string& path, const std::string& options) {
  REQUIRE(mount("tmpfs", path.c_str(), "tmpfs", 0, options.c_str()) == 0);
}

}  // namespace otlpshm::hostile
