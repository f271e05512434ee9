// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "host.h"
#include "warp.h"

namespace otlpshm::hostile {
namespace {

std::string good_state() {
  std::string bytes = file_header("OLSHMSTA", 4096, std::string(16, 's'));
  bytes.resize(4096);
  return bytes;
}

// Long enough that a directory or a file of the daemon is looked for again.
void let_it_look() {
  step_monotonic(2 * kSecond);
}

// Fills a file system to its last byte; how many bytes that were.
std::uint64_t fill(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  std::uint64_t bytes = 0;
  for (std::uint64_t piece = 1 << 20; piece >= 4096; piece /= 2) {
    while (posix_fallocate(fd, static_cast<off_t>(bytes), static_cast<off_t>(piece)) == 0) {
      bytes += piece;
    }
  }
  close(fd);
  return bytes;
}

void make_sparse(const std::string& path, const std::string& bytes, std::uint64_t size) {
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  REQUIRE(fd >= 0);
  REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  REQUIRE(ftruncate(fd, static_cast<off_t>(size)) == 0);
  close(fd);
}

// What may stand where a producer expects a fit file of `bytes`, and must not be mapped.
struct Unfit {
  std::string name;
  std::function<void(const std::string& path, const std::string& bytes)> make;
};
std::vector<Unfit> unfit_files() {
  return {
      {"empty", [](const std::string& path, const std::string&) { write_file(path, ""); }},
      {"a byte short", [](const std::string& path,
                          const std::string& bytes) { write_file(path, bytes.substr(1)); }},
      {"a page long",
       [](const std::string& path, const std::string& bytes) {
         write_file(path, bytes + std::string(4096, '\0'));
       }},
      {"all hole", [](const std::string& path,
                      const std::string& bytes) { make_sparse(path, "", bytes.size()); }},
      {"huge and all hole",
       [](const std::string& path, const std::string&) {
         make_sparse(path, "", std::uint64_t{1} << 40);
       }},
      {"a pipe", [](const std::string& path,
                    const std::string&) { REQUIRE(mkfifo(path.c_str(), 0644) == 0); }},
      {"a directory", [](const std::string& path,
                         const std::string&) { REQUIRE(mkdir(path.c_str(), 0755) == 0); }},
      {"a link to a fit file",
       [](const std::string& path, const std::string& bytes) {
         write_file(path + ".elsewhere", bytes);
         REQUIRE(symlink((path + ".elsewhere").c_str(), path.c_str()) == 0);
       }},
      {"a link to itself",
       [](const std::string& path, const std::string&) {
         REQUIRE(symlink(path.c_str(), path.c_str()) == 0);
       }},
      {"of letters",
       [](const std::string& path, const std::string& bytes) {
         write_file(path, std::string(bytes.size(), 'x'));
       }},
      {"of zeros",
       [](const std::string& path, const std::string& bytes) {
         write_file(path, std::string(bytes.size(), '\0'));
       }},
  };
}

std::string fit_ack(const SegmentFile& segment) {
  const std::uint64_t bytes =
      (4096 + 704 * std::uint64_t{segment.lane_count()} + 4095) / 4096 * 4096;
  std::string ack = file_header("OLSHMACK", bytes, segment.read(32, 16));
  ack.resize(bytes);
  ack[64] = static_cast<char>(segment.lane_count());
  ack[128] = 1;
  return ack;
}
std::string ack_of(const std::string& segment) {
  return segment.substr(0, segment.size() - 3) + "ack";
}

}  // namespace

// ---- the daemon's files ----

TEST_CASE("files: whatever stands where state belongs, no signal comes and no span is lost") {
  for (const Unfit& unfit : unfit_files()) {
    INFO("state is " << unfit.name);
    const PrivateDirectory directory;
    unfit.make(directory.file("state"), good_state());
    in_child([&] {
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(write_spans(writer, 50) == 50);
      let_it_look();
      REQUIRE(write_spans(writer, 50) == 50);
      REQUIRE(otlpshm_writer_status(writer) != OTLPSHM_OK);
      (void)otlpshm_force_flush(writer, 0);
      REQUIRE(check_books(writer, directory).committed == 100);
    });
  }
}

TEST_CASE("files: whatever takes state's place in a life, no signal comes and no span is lost") {
  for (const Unfit& unfit : unfit_files()) {
    INFO("state becomes " << unfit.name);
    const PrivateDirectory directory;
    in_child([&] {
      StateFile state(directory);
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(write_spans(writer, 50) == 50);
      REQUIRE(unlink(directory.file("state").c_str()) == 0);
      unfit.make(directory.file("state"), good_state());
      step_monotonic(11 * kSecond);  // the old one expires, and the new one is looked at
      for (int i = 0; i < 5; ++i) {
        REQUIRE(write_spans(writer, 10) == 10);
        let_it_look();
      }
      REQUIRE(otlpshm_writer_status(writer) != OTLPSHM_OK);
      REQUIRE(check_books(writer, directory).committed == 100);
    });
  }
}

TEST_CASE("files: whatever stands where the ack belongs, no signal comes, and it gives no room") {
  for (const Unfit& unfit : unfit_files()) {
    INFO("the ack is " << unfit.name);
    const PrivateDirectory directory;
    in_child([&] {
      StateFile state(directory);
      otlpshm_writer* writer = open_writer(directory.path(), kOneLane);
      const SegmentFile segment(directory.segment());
      unfit.make(ack_of(directory.segment()), fit_ack(segment));
      for (int i = 0; i < 5; ++i) {
        (void)write_spans(writer, 150);
        let_it_look();
        state.beat();
      }
      REQUIRE(otlpshm_writer_status(writer) != OTLPSHM_OK);
      const otlpshm_stats stats = check_books(writer, directory);
      REQUIRE(stats.ended == 750);
      REQUIRE(stats.dropped[kLaneFull] == dropped_of(stats));
      REQUIRE(stats.dropped[kLaneFull] > 0);
    });
  }
}

TEST_CASE("files: an ack that is replaced, removed or made foreign in a life loses no span") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path(), kOneLane);
    const std::string path = directory.segment();
    const SegmentFile segment(path);
    AckFile first(path);
    let_it_look();
    REQUIRE(write_spans(writer, 100) == 100);
    first.settle_all(segment);

    for (const Unfit& unfit : unfit_files()) {
      INFO("the ack becomes " << unfit.name);
      std::filesystem::remove_all(ack_of(path));
      unfit.make(ack_of(path), fit_ack(segment));
      while (write_span(writer) == OTLPSHM_OK) {
      }  // full: so the ack is looked for
      let_it_look();
      state.beat();
      REQUIRE(write_span(writer) == OTLPSHM_ERROR_DROPPED);
      first.settle_all(segment);  // the one that is mapped goes on giving room
      REQUIRE(write_spans(writer, 10) == 10);
      std::filesystem::remove_all(ack_of(path) + ".elsewhere");
    }
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
    REQUIRE(stats.dropped[kLaneFull] == dropped_of(stats));
    REQUIRE(stats.committed == segment.sequence(0));
    REQUIRE(errno_changes == 0);
  });
}

TEST_CASE(
    "files: a state with a second name is mapped, for its bytes are the daemon's all the same") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    REQUIRE(link(directory.file("state").c_str(), directory.file("second").c_str()) == 0);
    otlpshm_writer* writer = open_writer(directory.path());
    AckFile ack(directory.segment());
    let_it_look();
    state.beat();
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_OK);
    REQUIRE(check_books(writer, directory).committed == 1);
  });
}

TEST_CASE("files: somebody's state and ack in a host directory are not believed; no span is lost") {
  if (geteuid() != 0) return say_skipped("files of other users need root");
  const PrivateDirectory directory(03733);
  const int status = status_of_child([&] {
    StateFile state(directory);
    REQUIRE(chown(directory.file("state").c_str(), 1003, 1003) == 0);
    REQUIRE(chmod(directory.file("state").c_str(), 0644) == 0);
    REQUIRE(seteuid(1002) == 0);
    otlpshm_writer* writer = open_writer(directory.path(), kOneLane);
    REQUIRE(seteuid(0) == 0);
    const std::string path = directory.segment();
    const SegmentFile segment(path);
    AckFile ack(path);
    REQUIRE(chown(ack_of(path).c_str(), 1003, 1003) == 0);
    REQUIRE(seteuid(1002) == 0);
    (void)write_spans(writer, 10);
    ack.settle_all(segment);
    ack.set_state(3);  // "reaped", says somebody
    let_it_look();
    REQUIRE(write_spans(writer, 10) == 10);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DAEMON);
    REQUIRE(seteuid(0) == 0);
    REQUIRE(directory.segment() == path);
    REQUIRE(check_books(writer, directory).committed == 20);
  });
  REQUIRE(status == 0);
}

// ---- the directory ----

namespace {

// A producer under another uid, in a directory of that mode.
template <typename Body>
void as_user_in(unsigned mode, Body body) {
  const PrivateDirectory directory(mode);
  const int status = status_of_child([&] {
    REQUIRE(setegid(1002) == 0);
    REQUIRE(seteuid(1002) == 0);
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t kept = write_spans(writer, 20);
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == 20);
    REQUIRE(stats.committed == kept);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
    REQUIRE(seteuid(0) == 0);
    body(writer, directory, stats);
    REQUIRE(errno_changes == 0);
  });
  INFO("mode " << std::oct << mode);
  REQUIRE(status == 0);
}

}  // namespace

TEST_CASE("files: in a directory that can be written but not listed no span is lost") {
  if (geteuid() != 0) return say_skipped("directories of other users need root");
  for (const unsigned mode : {03733u, 01733u, 0733u}) {
    as_user_in(mode,
               [](otlpshm_writer*, const PrivateDirectory& directory, const otlpshm_stats& stats) {
                 REQUIRE(stats.committed == 20);
                 REQUIRE(check_records(SegmentFile(directory.segment())) == 20);
               });
  }
}

TEST_CASE("files: in a directory that cannot be written or entered every span counts as dropped") {
  if (geteuid() != 0) return say_skipped("directories of other users need root");
  for (const unsigned mode : {0555u, 0755u, 0444u, 0700u, 0000u}) {
    as_user_in(mode, [](otlpshm_writer* writer, const PrivateDirectory& directory,
                        const otlpshm_stats& stats) {
      REQUIRE(stats.dropped[kNoSegment] == 20);
      REQUIRE(directory.names("").empty());
      // Made right, it is found, and what was lost is told to the daemon.
      REQUIRE(chmod(directory.path().c_str(), 0777) == 0);
      let_it_look();
      REQUIRE(write_spans(writer, 5) == 5);
      REQUIRE(check_books(writer, directory).dropped[kNoSegment] == 20);
    });
  }
}

TEST_CASE("files: on a read-only file system every span counts as dropped, until it is writable") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs(directory.path(), "size=64m");
    REQUIRE(mount("none", directory.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 20) == 0);
    REQUIRE(stats_of(writer).dropped[kNoSegment] == 20);
    REQUIRE(otlpshm_writer_status(writer) < 0);
    REQUIRE(mount("none", directory.path().c_str(), nullptr, MS_REMOUNT, nullptr) == 0);
    let_it_look();
    REQUIRE(write_spans(writer, 20) == 20);
    REQUIRE(check_books(writer, directory).ended == 40);
  });
}

TEST_CASE("files: on a full tmpfs no signal comes, and what finds no room counts as lane_full") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs(directory.path(), "size=8m");
    otlpshm_writer* writer = open_writer(directory.path());  // lanes for twice what there is
    REQUIRE(write_spans(writer, 100) == 100);
    REQUIRE(fill(directory.file("filler")) > (4 << 20));
    std::atomic<std::uint64_t> kept{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { kept += write_spans(writer, 10'000); });
    }
    for (std::thread& thread : threads) thread.join();
    otlpshm_stats stats = check_books(writer, directory);
    REQUIRE(stats.ended == 40'100);
    REQUIRE(stats.committed == kept + 100);
    REQUIRE(dropped_of(stats) == stats.dropped[kLaneFull] + stats.dropped[kLanesBusy]);
    REQUIRE(stats.dropped[kLaneFull] > 0);

    REQUIRE(unlink(directory.file("filler").c_str()) == 0);
    let_it_look();
    REQUIRE(write_spans(writer, 100) == 100);  // there is room again, so lanes grow again
    stats = check_books(writer, directory);
    REQUIRE(stats.ended == 40'200);
  });
}

TEST_CASE("files: full before the application starts, a tmpfs costs every span, and each counts") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs(directory.path(), "size=8m");
    (void)fill(directory.file("filler"));
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_SPACE);
    REQUIRE(write_spans(writer, 1000) == 0);
    REQUIRE(stats_of(writer).dropped[kNoSegment] == 1000);
    REQUIRE(directory.names("").size() == 1);  // nothing half made
  });
}

TEST_CASE("files: with no inode left every span counts as dropped, until there is one") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs(directory.path(), "size=64m,nr_inodes=4");
    std::vector<std::string> made;
    for (int i = 0; i < 8; ++i) {
      const std::string path = directory.file("f" + std::to_string(i));
      const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
      if (fd < 0) break;
      made.push_back(path);
      close(fd);
    }
    REQUIRE(made.size() < 8);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_SPACE);
    REQUIRE(write_spans(writer, 10) == 0);
    REQUIRE(unlink(made.back().c_str()) == 0);
    let_it_look();
    REQUIRE(write_spans(writer, 10) == 10);
    REQUIRE(check_books(writer, directory).dropped[kNoSegment] == 10);
  });
}

// ---- what vanishes under a living application ----

TEST_CASE(
    "files: a segment that is removed and told to be reaped loses what was not read, no more") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string first = directory.segment();
    const SegmentFile removed(first);
    AckFile ack(first);
    let_it_look();
    REQUIRE(write_spans(writer, 30) == 30);
    REQUIRE(unlink(first.c_str()) == 0);
    REQUIRE(write_spans(writer, 10) == 10);  // the daemon has not noticed yet
    ack.settle_all(removed);
    ack.set_state(3);
    REQUIRE(write_spans(writer, 20) == 20);
    REQUIRE(check_records(removed) == 40);
    REQUIRE(check_records(SegmentFile(directory.segment())) == 20);
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == 60);
    REQUIRE(stats.settled == 40);
  });
}

TEST_CASE("files: a segment that is removed while no daemon lives is replaced within seconds") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 30) == 30);
    REQUIRE(unlink(directory.segment().c_str()) == 0);
    for (int i = 0; i < 12 && directory.segment().empty(); ++i) {
      step_monotonic(kSecond);
      (void)write_span(writer);
    }
    REQUIRE_FALSE(directory.segment().empty());
    const SegmentFile next(directory.segment());
    const std::uint64_t before = check_records(next);
    REQUIRE(write_spans(writer, 20) == 20);
    REQUIRE(check_records(next) == before + 20);
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
  });
}

TEST_CASE("files: a flush whose segment is removed and replaced does not say that all settled") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_spans(writer, 30) == 30);
    const SegmentFile first(directory.segment());
    std::atomic<int> status{1};
    std::thread flushing([&] { status = otlpshm_force_flush(writer, 60'000); });
    while (first.u64(4096 + 128) == 0) usleep(1000);  // flush_request
    REQUIRE(unlink(directory.segment().c_str()) == 0);
    while (directory.segment().empty()) {
      state.beat();
      step_monotonic(kSecond);
      (void)write_span(writer);
    }
    usleep(50'000);  // it looks every 10 ms
    step_monotonic(60 * kSecond);
    flushing.join();
    REQUIRE(status != OTLPSHM_OK);
  });
}

TEST_CASE("files: a directory that is removed and made anew, with a new daemon, is found again") {
  const PrivateDirectory outer;
  in_child([&] {
    const std::string path = outer.file("run");
    std::filesystem::create_directory(path);
    write_file(path + "/state", good_state());
    otlpshm_writer* writer = open_writer(path);
    REQUIRE(write_spans(writer, 30) == 30);
    std::filesystem::remove_all(path);
    REQUIRE(write_spans(writer, 30) == 30);
    std::filesystem::create_directory(path);
    write_file(path + "/state", good_state());
    const auto has_segment = [&] {
      for (const auto& entry : std::filesystem::directory_iterator(path)) {
        if (entry.path().extension() == ".seg") return true;
      }
      return false;
    };
    for (int i = 0; i < 24 && !has_segment(); ++i) {
      step_monotonic(kSecond);
      (void)write_span(writer);
    }
    REQUIRE(has_segment());
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == stats.committed + dropped_of(stats));
  });
}

// ---- directories that outlive their daemon ----

TEST_CASE("files: where a daemon died days ago, processes come and go, count all, leave nothing") {
  const PrivateDirectory directory;
  write_file(directory.file("state"), good_state());
  timespec times[2];
  clock_gettime(CLOCK_REALTIME, &times[0]);
  times[0].tv_sec -= 3 * 24 * 3600;
  times[1] = times[0];
  REQUIRE(utimensat(AT_FDCWD, directory.file("state").c_str(), times, 0) == 0);
  for (int i = 0; i < 60; ++i) {
    in_child([&] {
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(write_spans(writer, 10) == 0);
      let_it_look();
      REQUIRE(write_spans(writer, 10) == 0);
      const otlpshm_stats stats = stats_of(writer);
      REQUIRE(stats.ended == 20);
      REQUIRE(stats.dropped[kNoSegment] == 20);
    });
  }
  REQUIRE(directory.names("") == std::vector<std::string>{"state"});
}

TEST_CASE("files: where no daemon ever came, processes never fill the file system, and count all") {
  const PrivateDirectory directory;
  in_child([&] {
    if (!enter_mount_namespace()) return;
    mount_tmpfs(directory.path(), "size=16m");
    int without = 0;
    for (int i = 0; i < 40; ++i) {
      in_child([&] {
        otlpshm_writer* writer = open_writer(directory.path());
        const std::uint64_t kept = write_spans(writer, 10);
        const otlpshm_stats stats = stats_of(writer);
        REQUIRE(stats.ended == 10);
        REQUIRE(stats.committed == kept);
        REQUIRE(stats.dropped[kNoSegment] == 10 - kept);
      });
      struct statvfs system = {};
      REQUIRE(statvfs(directory.path().c_str(), &system) == 0);
      REQUIRE(system.f_bavail * 8 >= system.f_blocks);  // a quarter less one segment
    }
    without = 40 - static_cast<int>(segments_of(directory).size());
    REQUIRE(without > 0);
    REQUIRE(without < 40);
  });
}

// ---- clocks ----

TEST_CASE(
    "files: the wall clock steps back and forth, no span ends before it starts, none is lost") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    for (const std::int64_t step : {-3600, 3600, -86'400 * 365, 86'400 * 365, -1, 1}) {
      for (int i = 0; i < 3; ++i) {
        otlpshm_span span{};
        otlpshm_span_start_cstr(writer, &span, "span", nullptr);
        step_realtime(step * kSecond);
        step_monotonic(kSecond / 2);
        REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
      }
    }
    const SegmentFile segment(directory.segment());
    for (const library::Span& span : segment.spans()) {
      REQUIRE(span.end - span.start >= kSecond / 2);
      REQUIRE(span.end - span.start < 2 * kSecond);
    }
    REQUIRE(check_books(writer, directory).committed == 18);
  });
}

}  // namespace otlpshm::hostile
