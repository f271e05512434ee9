// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

// As if a second had passed since the directory was looked for.
void let_it_look_again(otlpshm_writer* writer) {
  writer->attachment->look_again_at = 0;
}

void look(otlpshm_writer* writer) {
  otlpshm_attach_look(writer->attachment, otlpshm_clock_monotonic() + kSecond, false);
}

}  // namespace

TEST_CASE("attach: without a directory a span is a no-op that nobody counts") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.file("missing"));
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DIRECTORY);
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "s", nullptr);
    REQUIRE(otlpshm_span_is_recording(&span) == 0);
    otlpshm_span_set_int_cstr(&span, "k", 1);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(stats_of(writer).ended == 0);
  });
}

TEST_CASE("attach: a directory that comes later is found, after a second") {
  const PrivateDirectory directory;
  in_child([&] {
    const std::string later = directory.file("later");
    otlpshm_writer* writer = open_writer(later);
    std::filesystem::create_directory(later);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(stats_of(writer).ended == 0);  // not looked for again yet
    let_it_look_again(writer);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(stats_of(writer).committed == 1);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DAEMON);
  });
}

TEST_CASE("attach: with a directory and no daemon yet, spans wait in the lanes for it") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DAEMON);
    StateFile state(directory);
    AckFile ack(directory.segment());
    writer->attachment->state_look_at = 0;
    look(writer);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_OK);
    ack.set_state(2);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_UNTRUSTED);
  });
}

TEST_CASE("attach: the segment's mode lets the daemon's group read in a setgid directory") {
  for (const unsigned mode : {0755u, 02777u, 0777u, 03733u}) {
    const PrivateDirectory directory(mode);
    in_child([&] {
      umask(077);
      (void)open_writer(directory.path());
      struct stat stat = {};
      REQUIRE(::stat(directory.segment().c_str(), &stat) == 0);
      REQUIRE((stat.st_mode & 07777) == (mode == 03733u ? 0640 : 0644));
    });
  }
}

TEST_CASE("attach: a daemon that has been gone for ten minutes gets no segment") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 605;
    times[1] = times[0];
    REQUIRE(utimensat(AT_FDCWD, directory.file("state").c_str(), times, 0) == 0);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DAEMON);
    REQUIRE(directory.segment().empty());
    (void)write_span(writer);
    REQUIRE(stats_of(writer).dropped[otlpshm_drop_no_segment] == 1);

    times[0].tv_sec += 60;
    times[1] = times[0];
    REQUIRE(utimensat(AT_FDCWD, directory.file("state").c_str(), times, 0) == 0);
    let_it_look_again(writer);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    const SegmentFile segment(directory.segment());
    REQUIRE(segment.dropped(otlpshm_drop_no_segment) == 1);  // carried over
    REQUIRE(segment.sequence(0) == 1);
    REQUIRE(stats_of(writer).ended == 2);
  });
}

TEST_CASE("attach: a daemon of another version gets no segment, an unfit file of nobody's does") {
  const PrivateDirectory directory;
  in_child([&] {
    std::string bytes = file_header("OLSHMSTA", 4096, std::string(16, 's'));
    bytes[8] = 2;
    bytes.resize(4096);
    write_file(directory.file("state"), bytes);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_ABI_SKEW);
    REQUIRE(directory.segment().empty());
    bytes[0] = 'X';
    write_file(directory.file("state"), bytes);
    let_it_look_again(writer);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
  });
}

TEST_CASE("attach: a file system that is three quarters full gets no segment") {
  if (geteuid() != 0) return;
  const PrivateDirectory directory;
  if (mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=16m") != 0) return;
  const int status = status_of_child([&] {
    const int fd = open(directory.file("filler").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    REQUIRE(posix_fallocate(fd, 0, (12 << 20) + 65536) == 0);
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_SPACE);
    REQUIRE(directory.segment().empty());
    (void)write_span(writer);
    REQUIRE(stats_of(writer).dropped[otlpshm_drop_no_segment] == 1);
    REQUIRE(ftruncate(fd, 1 << 20) == 0);
    let_it_look_again(writer);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    close(fd);
  });
  CHECK(umount2(directory.path().c_str(), MNT_DETACH) == 0);
  CHECK(status == 0);
}

// Runs it in a process that can open nothing.
void without_descriptors(const std::function<void()>& body) {
  rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none = {0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  body();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("attach: a directory that cannot be opened for want of descriptors counts its drops") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = nullptr;
    int status = OTLPSHM_OK;
    without_descriptors([&] {
      writer = open_writer(directory.path());
      status = otlpshm_writer_status(writer);
      (void)write_span(writer);
    });
    REQUIRE(status == OTLPSHM_ERROR_SYSTEM);
    REQUIRE(stats_of(writer).dropped[otlpshm_drop_no_segment] == 1);
  });
}

TEST_CASE("attach: without a segment nothing is missed that the sampler would not have kept") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer_options options{};
    options.size = sizeof options;
    options.directory = directory.path().c_str();
    options.sampler = OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON;
    otlpshm_writer* writer = nullptr;
    otlpshm_context unsampled{};
    unsampled.trace_id[0] = unsampled.span_id[0] = 1;
    otlpshm_start_options start{};
    start.size = sizeof start;
    start.parent = &unsampled;
    otlpshm_span span;
    std::uint64_t of_unsampled = 0;
    without_descriptors([&] {
      writer = open_writer(options);
      otlpshm_span_start(writer, &span, "child", 5, &start);
      (void)otlpshm_span_end(&span);
      of_unsampled = stats_of(writer).dropped[otlpshm_drop_no_segment];
      unsampled.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED;
      otlpshm_span_start(writer, &span, "child", 5, &start);
      (void)otlpshm_span_end(&span);
      (void)write_span(writer);
    });
    REQUIRE(of_unsampled == 0);
    REQUIRE(stats_of(writer).dropped[otlpshm_drop_no_segment] == 2);
    REQUIRE(stats_of(writer).ended == 2);
  });
}

TEST_CASE("attach: OTEL_SDK_DISABLED leaves no segment and no spans") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    for (const char* text : {"true", "TRUE", "True"}) {
      setenv("OTEL_SDK_DISABLED", text, 1);
      otlpshm_writer* writer = open_writer(options_of(directory.path()));
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_DISABLED);
      REQUIRE(write_span(writer) == OTLPSHM_OK);
      REQUIRE(otlpshm_force_flush(writer, 0) == OTLPSHM_OK);
      REQUIRE(otlpshm_shutdown(writer, 0) == OTLPSHM_OK);
    }
    REQUIRE(directory.segment().empty());
    for (const char* text : {"1", "yes", "", "false"}) {
      setenv("OTEL_SDK_DISABLED", text, 1);
      otlpshm_writer* writer = open_writer(options_of(directory.path()));
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_NO_DAEMON);
    }
  });
}

TEST_CASE("attach: a new segment holds the tables of all writers, with the same rows") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* first = open_writer(directory.path());
    otlpshm_writer_options options = options_of(directory.path());
    options.service_name = "other";
    options.scope_name = "scope";
    otlpshm_writer* second = open_writer(options);
    const std::string path = directory.segment();
    const SegmentFile segment(path);
    AckFile ack(path);
    look(first);
    ack.set_state(3);
    REQUIRE(unlink(path.c_str()) == 0);
    REQUIRE(write_span(second) == OTLPSHM_OK);
    const SegmentFile next(directory.segment());
    REQUIRE(next.resource_count() == 2);
    REQUIRE(next.scope_count() == 2);
    for (std::uint32_t row = 0; row < 2; ++row) {
      REQUIRE(next.resource(row) == segment.resource(row));
      REQUIRE(next.scope(row) == segment.scope(row));
      REQUIRE(next.scope_resource(row) == row);
    }
    REQUIRE(next.records(0)->at(0).scope_index == 1);
    REQUIRE(next.read(32, 16) != segment.read(32, 16));
  });
}

TEST_CASE(
    "attach: writers of a directory share a segment and equal rows, directories share nothing") {
  const PrivateDirectory directory;
  const PrivateDirectory other;
  in_child([&] {
    (void)open_writer(directory.path());
    (void)open_writer(directory.path());
    REQUIRE(SegmentFile(directory.segment()).scope_count() == 1);
    (void)open_writer(other.path());
    REQUIRE(directory.names(".seg").size() == 1);
    REQUIRE(other.names(".seg").size() == 1);
  });
}

TEST_CASE("attach: with full tables a writer's spans carry its resource and scope themselves") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* first = open_writer(directory.path());
    const std::string long_name(40'000, 'n');
    otlpshm_writer_options options = options_of(directory.path());
    options.scope_name = long_name.c_str();
    REQUIRE(open_writer(options) != nullptr);
    options.scope_version = "1";
    otlpshm_writer* third = open_writer(options);
    const SegmentFile segment(directory.segment());
    REQUIRE(segment.scope_count() == 2);
    REQUIRE(write_span(first, "first") == OTLPSHM_OK);
    REQUIRE(write_span(third, "third") == OTLPSHM_OK);
    const auto records = segment.records(0);
    REQUIRE(records);
    REQUIRE(records->size() == 2);
    REQUIRE(records->at(0).record_kind == 1);
    REQUIRE(records->at(1).record_kind == 2);
    REQUIRE(records->at(1).scope_index == 65535);
    const std::string& body = records->at(1).body;
    std::uint32_t n = 0;
    std::uint32_t m = 0;
    std::memcpy(&n, body.data(), 4);
    REQUIRE(body.substr(4, n) == segment.resource(0));
    std::memcpy(&m, body.data() + 4 + n, 4);
    REQUIRE(m > long_name.size());
    REQUIRE(body.substr(8 + n, m).find(long_name) != std::string::npos);
    const auto span = parse_span(body.substr(8 + n + m));
    REQUIRE(span);
    REQUIRE(span->name == "third");
  });
}

TEST_CASE("attach: a drop that came while nothing was attached is in the segment after a look") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    (void)otlpshm_attach_drop_later(writer->attachment, otlpshm_drop_forked);
    REQUIRE(stats_of(writer).dropped[otlpshm_drop_forked] == 1);
    look(writer);
    REQUIRE(SegmentFile(directory.segment()).dropped(otlpshm_drop_forked) == 1);
    REQUIRE(stats_of(writer).dropped[otlpshm_drop_forked] == 1);
  });
}

TEST_CASE(
    "attach: who read the clock before another thread looked does not take a daemon for gone") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t now = otlpshm_clock_monotonic();
    const auto is_expired_at = [&](std::uint64_t time) {
      otlpshm_attach_glance(writer->attachment, time);
      return writer->attachment->expired != 0;
    };
    state.beat();
    REQUIRE_FALSE(is_expired_at(now));
    REQUIRE_FALSE(is_expired_at(now - 1));
    REQUIRE_FALSE(is_expired_at(1));
    REQUIRE_FALSE(is_expired_at(now + 10 * kSecond));
    REQUIRE(is_expired_at(now + 10 * kSecond + 1));
    state.beat();
    REQUIRE_FALSE(is_expired_at(now));
  });
}

TEST_CASE("attach: a producer under another uid attaches in a host directory and in a pod's") {
  if (geteuid() != 0) return;
  struct Case {
    unsigned mode;
    uid_t owner;
  };
  for (const Case& one : {Case{03733, 1001}, Case{02777, 0}, Case{0777, 0}}) {
    const PrivateDirectory directory(one.mode);
    StateFile state(directory);
    REQUIRE(chown(directory.file("state").c_str(), 1001, 1001) == 0);
    REQUIRE(chmod(directory.file("state").c_str(), 0644) == 0);
    REQUIRE(chown(directory.path().c_str(), one.owner, one.owner) == 0);
    REQUIRE(chmod(directory.path().c_str(), one.mode) == 0);
    const int status = status_of_child([&] {
      REQUIRE(setregid(1002, 1002) == 0);
      REQUIRE(setreuid(1002, 1002) == 0);
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(writer->attachment->state != nullptr);
      REQUIRE(write_span(writer) == OTLPSHM_OK);
    });
    INFO("mode " << std::oct << one.mode);
    CHECK(status == 0);
    CHECK(SegmentFile(directory.segment()).sequence(0) == 1);
  }
}

}  // namespace otlpshm::library
