// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "host.h"

extern char** environ;

namespace otlpshm::hostile {
namespace {

// Threads that write and open and shut down writers until they are stopped.
class Crowd {
 public:
  Crowd(otlpshm_writer* writer, const std::string& directory) {
    for (int i = 0; i < 3; ++i) {
      threads_.emplace_back([this, writer] {
        while (!stop_) {
          kept_ += write_spans(writer, 10);
          usleep(50);
        }
      });
    }
    threads_.emplace_back([this, directory] {
      while (!stop_) {
        otlpshm_writer* another = nullptr;
        const otlpshm_writer_options options = options_of(directory);
        if (otlpshm_writer_open(&another, &options) == OTLPSHM_OK) {
          (void)otlpshm_shutdown(another, 0);
        }
      }
    });
  }
  ~Crowd() { stop(); }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  std::uint64_t stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return kept_;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> kept_{0};
  std::vector<std::thread> threads_;
};

// In a child that was made without the handlers of fork: no allocation, no assertion.
int write_in_bare_child(otlpshm_writer* writer) {
  otlpshm_stats stats{};
  stats.size = sizeof stats;
  for (int i = 0; i < 3; ++i) (void)write_span(writer, "child");
  if (otlpshm_writer_stats(writer, &stats) != OTLPSHM_OK) return 2;
  if (stats.ended != 3 || stats.committed != 3) return 3;
  return errno_changes == 0 ? 0 : 4;
}

constexpr int kChildren = 20;

template <typename Make>
void make_children_in_a_crowd(Make make) {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), kRoomy);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    const std::string parents = directory.segment();
    std::uint64_t kept = 1;
    int bad = 0;
    {
      Crowd crowd(writer, directory.path());
      for (int i = 0; i < kChildren; ++i) {
        const pid_t pid = make();
        if (pid == 0) {
          alarm(kBodySeconds);
          _exit(write_in_bare_child(writer));
        }
        if (pid < 0 || wait_for(pid) != 0) ++bad;
      }
      kept += crowd.stop();
    }
    REQUIRE(bad == 0);
    REQUIRE(stats_of(writer).committed == kept);
    (void)check_books(writer, std::vector<std::string>{parents});
    for (const std::string& path : segments_of(directory)) {
      if (path == parents) continue;
      const SegmentFile childs(path);
      REQUIRE_FALSE(is_locked(path));
      REQUIRE(check_records(childs) == 3);
      REQUIRE(childs.dropped_total() == 0);
    }
    REQUIRE(segments_of(directory).size() == kChildren + 1);
  });
}

}  // namespace

TEST_CASE("fork: by _Fork, among threads that write, open and shut down, no span is lost") {
  make_children_in_a_crowd([] { return _Fork(); });
}

TEST_CASE("fork: by a raw clone, among threads that write, open and shut down, no span is lost") {
  make_children_in_a_crowd(
      [] { return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); });
}

TEST_CASE("fork: five generations, each writes and none loses a span or counts another's") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const auto generation = [&](auto&& next, int depth) -> void {
      REQUIRE(stats_of(writer).ended == 0);
      REQUIRE(write_spans(writer, 4) == 4);
      if (depth < 5) REQUIRE(status_of_child([&] { next(next, depth + 1); }) == 0);
      REQUIRE(write_spans(writer, 3) == 3);
      REQUIRE(stats_of(writer).committed == 7);
      REQUIRE(errno_changes == 0);
    };
    generation(generation, 1);
    REQUIRE(segments_of(directory).size() == 5);
    for (const std::string& path : segments_of(directory)) {
      REQUIRE(check_records(SegmentFile(path)) == 7);
    }
  });
}

TEST_CASE("fork: a child that only ends its parent's span loses that one, counted as forked") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string parents = directory.segment();
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "parent", nullptr);
    const pid_t pid = _Fork();
    if (pid == 0) {
      otlpshm_stats stats{};
      stats.size = sizeof stats;
      const int ended = otlpshm_span_end(&span);
      (void)otlpshm_writer_stats(writer, &stats);
      const bool good =
          ended == OTLPSHM_ERROR_DROPPED && stats.ended == 1 && stats.dropped[kForked] == 1;
      _exit(good ? 0 : 1);
    }
    REQUIRE(wait_for(pid) == 0);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(check_books(writer, std::vector<std::string>{parents}).committed == 1);
  });
}

TEST_CASE("fork: in a signal handler that interrupted a thread that writes, no span is lost") {
  static otlpshm_writer* writer;
  static std::atomic<int> good_children;
  const PrivateDirectory directory;
  in_child([&] {
    writer = open_writer(directory.path(), kRoomy);
    const std::string parents = directory.segment();
    struct sigaction action = {};
    action.sa_handler = [](int) {
      const pid_t pid = _Fork();
      if (pid == 0) _exit(write_in_bare_child(writer));  // never back into the interrupted frame
      if (pid > 0 && wait_for(pid) == 0) ++good_children;
    };
    action.sa_flags = SA_RESTART;
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
    std::atomic<bool> stop{false};
    std::uint64_t kept = 0;
    std::thread thread([&] {
      while (!stop) kept += write_spans(writer, 1);
    });
    for (int i = 0; i < 25; ++i) {
      REQUIRE(pthread_kill(thread.native_handle(), SIGUSR1) == 0);
      while (good_children <= i && segments_of(directory).size() < 60) usleep(200);
    }
    stop = true;
    thread.join();
    REQUIRE(good_children == 25);
    REQUIRE(check_books(writer, std::vector<std::string>{parents}).committed == kept);
  });
}

namespace {

// A child that runs in this process's memory until it ends.
pid_t borrowing_child(bool will_exec) {
  const pid_t pid = vfork();
  if (pid == 0) {
    if (will_exec) execl("/bin/true", "true", nullptr);
    _exit(will_exec ? 127 : 0);
  }
  return pid;
}

}  // namespace

TEST_CASE("vfork: children that exec or exit among threads that write lose no span") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), kRoomy);
    const std::string parents = directory.segment();
    int bad = 0;
    Crowd crowd(writer, directory.path());
    for (int i = 0; i < 40; ++i) {
      if (wait_for(borrowing_child(i % 2 == 0)) != 0) ++bad;
    }
    const std::uint64_t kept = crowd.stop();
    REQUIRE(bad == 0);
    REQUIRE(is_locked(parents));
    REQUIRE(check_books(writer, std::vector<std::string>{parents}).committed == kept);
  });
}

TEST_CASE("exec: a program that is started while segments are made inherits no descriptor of one") {
  const PrivateDirectory directory;
  in_child([&] {
    std::atomic<bool> stop{false};
    std::thread thread([&] {
      while (!stop) {
        otlpshm_writer* writer = nullptr;
        const otlpshm_writer_options options = options_of(directory.path());
        (void)otlpshm_writer_open(&writer, &options);
        (void)otlpshm_shutdown(writer, 0);
      }
    });
    const std::string script = "ls -l /proc/self/fd | grep -c " + directory.path() + "; true";
    std::string text;
    for (int i = 0; i < 40; ++i) {
      int ends[2];
      REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
      const char* const arguments[] = {"sh", "-c", script.c_str(), nullptr};
      posix_spawn_file_actions_t actions;
      posix_spawn_file_actions_init(&actions);
      posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
      pid_t pid = -1;
      REQUIRE(posix_spawn(&pid, "/bin/sh", &actions, nullptr, const_cast<char* const*>(arguments),
                          environ) == 0);
      posix_spawn_file_actions_destroy(&actions);
      close(ends[1]);
      char line[16] = "";
      text.append(line, static_cast<std::size_t>(std::max<ssize_t>(0, read(ends[0], line, 15))));
      close(ends[0]);
      text += line;
      REQUIRE(wait_for(pid) == 0);
    }
    stop = true;
    thread.join();
    for (const char found : text) REQUIRE((found == '0' || found == '\n' || found == '\0'));
    REQUIRE(text.find('0') != std::string::npos);
  });
}

TEST_CASE("exec: the segment of the program before is whole and unlocked, the next has its own") {
  const PrivateDirectory directory;
  const std::string next = program("hostile_spans");
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(kBodySeconds);
    otlpshm_writer* writer = nullptr;
    const otlpshm_writer_options options = options_of(directory.path());
    (void)otlpshm_writer_open(&writer, &options);
    (void)write_spans(writer, 5);
    setenv("OTLPSHM_DIR", directory.path().c_str(), 1);
    execl(next.c_str(), next.c_str(), "3", nullptr);
    _exit(127);
  }
  REQUIRE(wait_for(pid) == 0);
  std::vector<std::uint64_t> counts;
  for (const std::string& path : segments_of(directory)) {
    REQUIRE_FALSE(is_locked(path));
    counts.push_back(check_records(SegmentFile(path)));
  }
  std::sort(counts.begin(), counts.end());
  REQUIRE(counts == std::vector<std::uint64_t>{3, 5});
}

namespace {

// As daemon(3) and more: two forks, a session, the root directory, no descriptor left.
[[noreturn]] void daemonise_and_write(otlpshm_writer* writer) {
  if (fork() != 0) _exit(0);
  setsid();
  if (fork() != 0) _exit(0);
  alarm(kBodySeconds);
  umask(077);
  int status = chdir("/");
  status |= static_cast<int>(syscall(SYS_close_range, 0, ~0u, 0));
  status |= open("/dev/null", O_RDWR) | dup(0) - 1 | dup(0) - 2;
  const std::uint64_t kept = write_spans(writer, 4, "daemon");
  _exit(status == 0 && kept == 4 ? 0 : 1);
}

// Waits until no producer holds a segment of the directory any more.
bool all_have_gone(const PrivateDirectory& directory, std::size_t segments) {
  for (int tries = 0; tries < 5000; ++tries, usleep(2000)) {
    const auto paths = segments_of(directory);
    bool gone = paths.size() >= segments;
    for (const std::string& path : paths) {
      const SegmentFile segment(path);
      gone = gone && !is_locked(path) && segment.tail(0) != 0;
    }
    if (gone) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("daemonise: what was written before and what the daemon writes is all there") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 6) == 6);
    daemonise_and_write(writer);
  });
  REQUIRE(all_have_gone(directory, 2));
  std::vector<std::uint64_t> counts;
  for (const std::string& path : segments_of(directory)) {
    counts.push_back(check_records(SegmentFile(path)));
  }
  std::sort(counts.begin(), counts.end());
  REQUIRE(counts == std::vector<std::uint64_t>{4, 6});  // the process in between left nothing
}

TEST_CASE("daemonise: a directory that was named by a relative path is still the same") {
  const PrivateDirectory directory;
  const std::string::size_type slash = directory.path().rfind('/');
  in_child([&] {
    REQUIRE(chdir(directory.path().substr(0, slash).c_str()) == 0);
    otlpshm_writer* writer = open_writer(directory.path().substr(slash + 1));
    REQUIRE(write_spans(writer, 6) == 6);
    daemonise_and_write(writer);
  });
  REQUIRE(all_have_gone(directory, 2));
}

}  // namespace otlpshm::hostile
