// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <iterator>

#include "host.h"
#include "warp.h"

namespace otlpshm::hostile {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Version {
  std::uint16_t major = 1;
  std::uint16_t minor = 0;
  std::uint32_t required = 0;
  std::uint32_t optional = 0;
};

// Gives a file of the daemon another version; reserved bytes are in use there.
std::string of_version(std::string bytes, const Version& version, std::size_t reserved) {
  std::memcpy(bytes.data() + 8, &version.major, 2);
  std::memcpy(bytes.data() + 10, &version.minor, 2);
  std::memcpy(bytes.data() + 24, &version.required, 4);
  std::memcpy(bytes.data() + 28, &version.optional, 4);
  if (version.minor != 0) bytes.replace(reserved, 8, 8, '\x5a');
  return bytes;
}

std::string state_of(const Version& version) {
  std::string bytes = file_header("OLSHMSTA", 4096, std::string(16, 's'));
  bytes.resize(4096);
  return of_version(bytes, version, 576);
}

std::string ack_path(const std::string& segment) {
  return segment.substr(0, segment.size() - 3) + "ack";
}

// The ack that a daemon of that version makes for the segment; all that was written has settled.
void make_ack(const std::string& segment_path, const Version& version) {
  const SegmentFile segment(segment_path);
  {
    AckFile ack(segment_path);
    ack.settle_all(segment);
  }
  const std::string bytes = of_version(text_of(ack_path(segment_path)), version, 528);
  write_file(ack_path(segment_path), bytes);
}

void look(otlpshm_writer* writer) {
  step_monotonic(2 * kSecond);
  (void)otlpshm_writer_status(writer);
}

const Version kRefused[] = {
    {2, 0, 0, 0}, {0, 0, 0, 0}, {1, 0, 1, 0}, {1, 1, 0x80000000u, 0}, {65535, 9, 0, 0}};
const Version kAccepted[] = {{1, 0, 0, 0}, {1, 1, 0, 0}, {1, 65535, 0, 0xffffffffu}};

}  // namespace

TEST_CASE("skew: a daemon of a later minor, with what is new there, loses no span") {
  for (const Version& version : kAccepted) {
    INFO("minor " << version.minor << ", optional " << version.optional);
    const PrivateDirectory directory;
    in_child([&] {
      write_file(directory.file("state"), state_of(version));
      otlpshm_writer* writer = open_writer(directory.path(), kOneLane);
      while (write_span(writer) == OTLPSHM_OK) {
      }
      (void)check_books(writer, directory);
      make_ack(directory.segment(), version);
      look(writer);
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_OK);
      const std::uint64_t before = stats_of(writer).dropped[kLaneFull];
      (void)write_span(writer);  // finds it full, looks, and has room
      REQUIRE(write_spans(writer, 10) == 10);
      const otlpshm_stats stats = stats_of(writer);
      REQUIRE(stats.dropped[kLaneFull] <= before + 1);
      REQUIRE(stats.ended == stats.committed + dropped_of(stats));
    });
  }
}

TEST_CASE(
    "skew: a state of another major or with an unknown demand is left untouched, all counts") {
  for (const Version& version : kRefused) {
    INFO("version " << version.major << "." << version.minor << ", required " << version.required);
    const PrivateDirectory directory;
    in_child([&] {
      const std::string bytes = state_of(version);
      write_file(directory.file("state"), bytes);
      struct stat before = {};
      REQUIRE(stat(directory.file("state").c_str(), &before) == 0);
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_ABI_SKEW);
      REQUIRE(write_spans(writer, 10) == 0);
      look(writer);
      REQUIRE(write_spans(writer, 10) == 0);
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_ABI_SKEW);
      const otlpshm_stats stats = stats_of(writer);
      REQUIRE(stats.ended == 20);
      REQUIRE(stats.dropped[kNoSegment] == 20);
      REQUIRE(directory.names("") == std::vector<std::string>{"state"});
      struct stat after = {};
      REQUIRE(stat(directory.file("state").c_str(), &after) == 0);
      REQUIRE(text_of(directory.file("state")) == bytes);
      REQUIRE(after.st_ino == before.st_ino);
      REQUIRE(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
      // The daemon is taken back to a version that both know.
      write_file(directory.file("state"), state_of({}));
      look(writer);
      REQUIRE(write_spans(writer, 5) == 5);
      REQUIRE(check_books(writer, directory).ended == 25);
    });
  }
}

TEST_CASE("skew: a daemon that is replaced by another major in a life is named by the status") {
  for (const Version& version : kRefused) {
    INFO("version " << version.major << "." << version.minor << ", required " << version.required);
    const PrivateDirectory directory;
    in_child([&] {
      write_file(directory.file("state"), state_of({}));
      otlpshm_writer* writer = open_writer(directory.path());
      REQUIRE(write_spans(writer, 10) == 10);
      make_ack(directory.segment(), {});
      look(writer);
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_OK);
      const std::string bytes = state_of(version);
      write_file(directory.file("state"), bytes);
      for (int i = 0; i < 8; ++i) look(writer);  // the old heartbeat expires
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_ABI_SKEW);
      REQUIRE(write_spans(writer, 10) == 10);  // they wait in the lanes
      REQUIRE(text_of(directory.file("state")) == bytes);
      write_file(directory.file("state"), state_of({}));
      for (int i = 0; i < 2; ++i) look(writer);
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_OK);
      REQUIRE(check_books(writer, directory).committed == 20);
    });
  }
}

TEST_CASE(
    "skew: a daemon that makes state and ack anew is believed in both, with room in the lanes") {
  const PrivateDirectory directory;
  in_child([&] {
    write_file(directory.file("state"), state_of({}));
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string path = directory.segment();
    const SegmentFile segment(path);
    AckFile first(path);
    look(writer);
    REQUIRE(write_spans(writer, 10) == 10);
    first.settle_all(segment);
    REQUIRE(stats_of(writer).settled == 10);
    write_file(directory.file("state"), state_of({}));
    AckFile second(path);
    REQUIRE(write_spans(writer, 10) == 10);
    second.settle_all(segment);
    for (int i = 0; i < 8; ++i) look(writer);  // the old heartbeat expires
    REQUIRE(stats_of(writer).settled == 20);
    REQUIRE(check_books(writer, directory).committed == 20);
  });
}

TEST_CASE("skew: an ack of another major is left untouched and gives no room; nothing uncounted") {
  for (const Version& version : kRefused) {
    INFO("version " << version.major << "." << version.minor << ", required " << version.required);
    const PrivateDirectory directory;
    in_child([&] {
      write_file(directory.file("state"), state_of({}));
      otlpshm_writer* writer = open_writer(directory.path(), kOneLane);
      while (write_span(writer) == OTLPSHM_OK) {
      }
      make_ack(directory.segment(), version);
      const std::string bytes = text_of(ack_path(directory.segment()));
      look(writer);
      REQUIRE(write_spans(writer, 10) == 0);
      look(writer);
      REQUIRE(write_spans(writer, 10) == 0);
      REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_ABI_SKEW);
      REQUIRE(text_of(ack_path(directory.segment())) == bytes);
      const otlpshm_stats stats = check_books(writer, directory);
      REQUIRE(stats.dropped[kLaneFull] == 21);
    });
  }
}

TEST_CASE("skew: a disabled writer makes no file, counts nothing and touches no errno") {
  const PrivateDirectory directory;
  in_child([&] {
    setenv("OTEL_SDK_DISABLED", "true", 1);
    otlpshm_writer* writer = nullptr;
    const otlpshm_writer_options options = options_of(directory.path());
    REQUIRE(otlpshm_writer_open(&writer, &options) == OTLPSHM_OK);
    REQUIRE(write_span(writer) == kNoOp);
    look(writer);
    REQUIRE(write_span(writer) == kNoOp);
    REQUIRE(otlpshm_writer_status(writer) == OTLPSHM_ERROR_DISABLED);
    REQUIRE(stats_of(writer).ended == 0);
    const pid_t pid = fork();
    if (pid == 0) _exit(write_span(writer) == kNoOp && errno_changes == 0 ? 0 : 1);
    REQUIRE(wait_for(pid) == 0);
    REQUIRE(otlpshm_force_flush(writer, 10) == OTLPSHM_OK);
    REQUIRE(otlpshm_shutdown(writer, 10) == OTLPSHM_OK);
    REQUIRE(directory.names("").empty());
    REQUIRE(errno_changes == 0);
  });
}

}  // namespace otlpshm::hostile
