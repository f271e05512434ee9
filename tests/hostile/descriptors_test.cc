// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "host.h"

namespace otlpshm::hostile {
namespace {

constexpr int kFiles = 24;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The application's own files, in every descriptor that is free.
class OwnFiles {
 public:
  explicit OwnFiles(const PrivateDirectory& directory) {
    for (int i = 0; i < kFiles; ++i) {
      paths_.push_back(directory.file("own" + std::to_string(i)));
      fds_.push_back(open(paths_.back().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      good_ = good_ && fds_.back() >= 0 && write(fds_.back(), "mine", 4) == 4;
    }
  }
  // Each is open, is the same file, stands where it stood and holds what it held.
  bool are_untouched() const {
    bool good = good_;
    for (std::size_t i = 0; i < fds_.size(); ++i) {
      struct stat by_fd = {};
      struct stat by_path = {};
      good = good && fstat(fds_[i], &by_fd) == 0 && stat(paths_[i].c_str(), &by_path) == 0 &&
             by_fd.st_ino == by_path.st_ino && lseek(fds_[i], 0, SEEK_CUR) == 4 &&
             text_of(paths_[i]) == "mine";
    }
    return good;
  }

 private:
  bool good_ = true;
  std::vector<std::string> paths_;
  std::vector<int> fds_;
};

// Everything that may enter the kernel: lanes that open, looks at the daemon's files, a doorbell, a
// segment that is reaped and its successor, a flush.
void live_a_full_life(otlpshm_writer* writer, const PrivateDirectory& directory) {
  const std::string first = directory.segment();
  const SegmentFile segment(first);
  StateFile state(directory);
  AckFile ack(first);
  for (std::uint32_t epoch = 1; epoch < 8; epoch += 2) {
    state.beat();
    state.sleep(epoch);
    (void)write_spans(writer, 300);
    usleep(110'000);  // until the daemon's files are looked at again
    (void)write_spans(writer, 1);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { (void)write_spans(writer, 500); });
  for (std::thread& thread : threads) thread.join();
  ack.settle_all(segment);
  REQUIRE(otlpshm_force_flush(writer, 1000) == OTLPSHM_OK);
  ack.set_state(3);
  REQUIRE(unlink(first.c_str()) == 0);
  REQUIRE(write_spans(writer, 100) == 100);
  REQUIRE(directory.segment() != first);
  const otlpshm_stats stats = stats_of(writer);
  REQUIRE(stats.ended == stats.committed + dropped_of(stats));
  REQUIRE(stats.committed ==
          check_records(segment) + check_records(SegmentFile(directory.segment())));
  REQUIRE(errno_changes == 0);
}

}  // namespace

TEST_CASE("descriptors: a writer holds none, attached or not, and leaves none behind") {
  const PrivateDirectory directory;
  const PrivateDirectory own;
  in_child([&] {
    const auto before = open_descriptors();
    otlpshm_writer* nowhere = open_writer(directory.file("missing"));
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(open_descriptors() == before);
    live_a_full_life(writer, directory);
    REQUIRE(open_descriptors() == before);
    REQUIRE(otlpshm_shutdown(nowhere, 0) == OTLPSHM_OK);
    (void)otlpshm_shutdown(writer, 0);
    REQUIRE(open_descriptors() == before);
  });
}

TEST_CASE("descriptors: after a closefrom the application's own files stay its own, no span lost") {
  const PrivateDirectory directory;
  const PrivateDirectory own;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    closefrom(3);
    const OwnFiles files(own);
    live_a_full_life(writer, directory);
    REQUIRE(files.are_untouched());
    (void)otlpshm_shutdown(writer, 0);
    REQUIRE(files.are_untouched());
  });
}

TEST_CASE("descriptors: closed all the time by another thread, they cost at most an attach") {
  const PrivateDirectory directory;
  const PrivateDirectory own;
  in_child([&] {
    std::atomic<bool> stop{false};
    otlpshm_writer* writer = open_writer(directory.path());
    std::thread closer([&] {
      while (!stop) (void)syscall(SYS_close_range, 3, 64, 0);
    });
    for (int i = 0; i < 300; ++i) {
      otlpshm_writer* another = nullptr;
      const otlpshm_writer_options options = options_of(own.path());
      REQUIRE(otlpshm_writer_open(&another, &options) == OTLPSHM_OK);
      (void)write_spans(another, 2);
      const otlpshm_stats stats = stats_of(another);
      REQUIRE(stats.ended == stats.committed + dropped_of(stats));
      (void)otlpshm_shutdown(another, 0);
      REQUIRE(write_span(writer) == OTLPSHM_OK);
    }
    stop = true;
    closer.join();
    REQUIRE(check_books(writer, directory).committed == 300);
  });
}

TEST_CASE(
    "descriptors: with standard streams closed, a new file 0, 1 or 2 stays the application's") {
  const PrivateDirectory directory;
  const PrivateDirectory own;
  const int status = status_of_child([&] {
    (void)syscall(SYS_close_range, 0, ~0u, 0);
    otlpshm_writer* writer = open_writer(directory.path());
    const OwnFiles files(own);
    live_a_full_life(writer, directory);
    REQUIRE(files.are_untouched());
  });
  REQUIRE(status == 0);
}

TEST_CASE("descriptors: with standard streams closed, what a thread prints lands in no segment") {
  const PrivateDirectory directory;
  const int status = status_of_child([&] {
    (void)syscall(SYS_close_range, 0, ~0u, 0);
    std::atomic<bool> stop{false};
    std::atomic<long> landed{0};
    std::thread printer([&] {
      while (!stop) {
        for (int fd = 0; fd < 3; ++fd) landed += write(fd, "print", 5) >= 0 ? 1 : 0;
      }
    });
    for (int i = 0; i < 300; ++i) {
      otlpshm_writer* writer = open_writer(directory.path(), kOneLane);
      REQUIRE(check_records(SegmentFile(directory.segment())) == 0);
      (void)otlpshm_shutdown(writer, 0);  // removes the segment, for nothing is in it
    }
    stop = true;
    printer.join();
    REQUIRE(landed == 0);
  });
  REQUIRE(status == 0);
}

TEST_CASE("descriptors: with none left to open, spans of an attached writer are kept") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    rlimit before = {};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none = {0, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    const std::uint64_t kept = write_spans(writer, 500);
    usleep(110'000);
    const std::uint64_t later = write_spans(writer, 500);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(kept + later == 1000);
    REQUIRE(check_books(writer, directory).committed == 1000);
  });
}

}  // namespace otlpshm::hostile
