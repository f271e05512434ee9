// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <new>
#include <thread>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

std::vector<std::string> segments(const PrivateDirectory& directory) {
  return directory.names(".seg");
}

// The segment that is not `known`.
std::string other_segment(const PrivateDirectory& directory, const std::string& known) {
  for (const std::string& name : segments(directory)) {
    if (directory.file(name) != known) return directory.file(name);
  }
  return "";
}

template <typename Word>
Word* shared_words(std::size_t count) {
  void* base = mmap(nullptr, count * sizeof(Word), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(base != MAP_FAILED);
  return static_cast<Word*>(base);
}

int wait_for(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

TEST_CASE("process: a child writes to a segment of its own, the parent goes on in its") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    const std::string parents = directory.segment();
    REQUIRE(status_of_child([&] {
              REQUIRE(stats_of(writer).ended == 0);
              REQUIRE(write_span(writer, "child") == OTLPSHM_OK);
              REQUIRE(segments(directory).size() == 2);
              REQUIRE(stats_of(writer).ended == 1);
            }) == 0);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(SegmentFile(parents).sequence(0) == 2);
    const SegmentFile childs(other_segment(directory, parents));
    REQUIRE(childs.spans().at(0).name == "child");
    REQUIRE(childs.scope(0) == SegmentFile(parents).scope(0));
  });
}

TEST_CASE("process: the lock of a parent's segment does not live on in its child") {
  const PrivateDirectory directory;
  in_child([&] {
    int hold[2];
    REQUIRE(pipe(hold) == 0);
    const pid_t parent = fork();
    if (parent == 0) {
      (void)open_writer(directory.path());
      const pid_t child = fork();
      if (child == 0) {
        char byte;
        close(hold[1]);
        (void)!read(hold[0], &byte, 1);
        _exit(0);
      }
      _exit(child > 0 ? 0 : 1);
    }
    REQUIRE(wait_for(parent) == 0);
    const int fd = open(directory.segment().c_str(), O_RDONLY | O_CLOEXEC);
    struct flock lock = {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    REQUIRE(fcntl(fd, F_OFD_GETLK, &lock) == 0);
    REQUIRE(lock.l_type == F_UNLCK);
    close(hold[1]);
  });
}

TEST_CASE(
    "process: a span from before the fork is the parent's; in the child it counts as forked") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string parents = directory.segment();
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "parent", nullptr);
    for (int i = 0; i < 100; ++i) {  // beyond the inline bytes
      otlpshm_span_set_string_cstr(&span, std::to_string(i).c_str(), "a value of some length");
    }
    REQUIRE(status_of_child([&] {
              REQUIRE(otlpshm_span_end(&span) == OTLPSHM_ERROR_DROPPED);
              REQUIRE(stats_of(writer).dropped[otlpshm_drop_forked] == 1);
              REQUIRE(write_span(writer) == OTLPSHM_OK);
              REQUIRE(stats_of(writer).ended == 2);
            }) == 0);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(SegmentFile(parents).spans().at(0).name == "parent");
    const SegmentFile childs(other_segment(directory, parents));
    REQUIRE(childs.dropped(otlpshm_drop_forked) == 1);
    REQUIRE(SegmentFile(parents).dropped_total() == 0);
  });
}

TEST_CASE("process: a child may open, flush and shut down writers before its first span") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    setenv("OTEL_SDK_DISABLED", "true", 1);
    otlpshm_writer* disabled = open_writer(options_of(directory.path()));
    unsetenv("OTEL_SDK_DISABLED");
    REQUIRE(status_of_child([&] { (void)open_writer(directory.path()); }) == 0);
    REQUIRE(status_of_child([&] { REQUIRE(otlpshm_shutdown(disabled, 0) == OTLPSHM_OK); }) == 0);
    REQUIRE(status_of_child([&] { REQUIRE(otlpshm_shutdown(writer, 0) == OTLPSHM_OK); }) == 0);
    REQUIRE(status_of_child([&] {
              REQUIRE(otlpshm_force_flush(writer, 0) == OTLPSHM_OK);
              REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DAEMON);
            }) == 0);
  });
}

TEST_CASE("process: a fork before the first writer leaves both sides able to open one") {
  const PrivateDirectory directory;
  in_child([&] {
    REQUIRE(status_of_child(
                [&] { REQUIRE(write_span(open_writer(directory.path())) == OTLPSHM_OK); }) == 0);
    REQUIRE(write_span(open_writer(directory.path())) == OTLPSHM_OK);
    REQUIRE(segments(directory).size() == 2);
  });
}

TEST_CASE(
    "process: a raw clone runs no handlers, and the child has a segment of its own all the same") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "parent", nullptr);
    const std::string parents = directory.segment();
    const auto pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (pid == 0) {
      const bool good = otlpshm_span_end(&span) == OTLPSHM_ERROR_DROPPED &&
                        write_span(writer, "child") == OTLPSHM_OK;
      otlpshm_writer* another = nullptr;
      const otlpshm_writer_options options = options_of(directory.path());
      const bool opened = otlpshm_writer_open(&another, &options) == OTLPSHM_OK;
      _exit(good && opened ? 0 : 1);
    }
    REQUIRE(wait_for(pid) == 0);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    const SegmentFile childs(other_segment(directory, parents));
    REQUIRE(childs.spans().at(0).name == "child");
    REQUIRE(childs.dropped(otlpshm_drop_forked) == 1);
    REQUIRE(SegmentFile(parents).sequence(0) == 1);
  });
}

TEST_CASE("process: ids of a parent and of its child are distinct") {
  const PrivateDirectory directory;
  in_child([&] {
    constexpr std::size_t kCount = 500'000;
    auto* ids = shared_words<std::uint64_t>(2 * kCount);
    otlpshm_writer* writer = open_writer(directory.path());
    const auto fill = [&](std::uint64_t* out) {
      for (std::size_t i = 0; i < kCount; ++i) {
        otlpshm_span span{};
        otlpshm_context context;
        otlpshm_span_start_cstr(writer, &span, "s", nullptr);
        otlpshm_span_get_context(&span, &context);
        std::memcpy(out + i, context.span_id, 8);
        otlpshm_span_discard(&span);
      }
    };
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    const pid_t pid = fork();
    if (pid == 0) {
      fill(ids + kCount);
      _exit(0);
    }
    fill(ids);
    REQUIRE(wait_for(pid) == 0);
    std::sort(ids, ids + 2 * kCount);
    REQUIRE(ids[0] != 0);
    REQUIRE(std::adjacent_find(ids, ids + 2 * kCount) == ids + 2 * kCount);
  });
}

TEST_CASE("process: a vfork and an exec leave the parent's spans as they were") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "parent", nullptr);
    const pid_t pid = vfork();
    if (pid == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(127);
    }
    REQUIRE(wait_for(pid) == 0);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(segments(directory).size() == 1);
    REQUIRE(SegmentFile(directory.segment()).sequence(0) == 1);
  });
}

TEST_CASE("process: children that are forked while other threads write all count right") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        while (!stop) (void)write_span(writer);
      });
    }
    int bad = 0;
    for (int i = 0; i < 60; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        alarm(kBodySeconds);
        std::thread second([&] { (void)write_span(writer); });
        (void)write_span(writer);
        second.join();
        const otlpshm_stats stats = [&] {
          otlpshm_stats out{};
          out.size = sizeof out;
          (void)otlpshm_writer_stats(writer, &out);
          return out;
        }();
        (void)otlpshm_shutdown(writer, 0);
        // A thread that comes while the other attaches has a span that is counted as dropped.
        _exit(stats.ended == 2 && stats.committed >= 1 ? 0 : 1);
      }
      if (wait_for(pid) != 0) ++bad;
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    REQUIRE(bad == 0);
  });
}

}  // namespace otlpshm::library
