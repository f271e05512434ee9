// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

void look(otlpshm_writer* writer) {
  writer->attachment->state_look_at = 0;
  otlpshm_attach_look(writer->attachment, otlpshm_clock_monotonic() + kSecond, false);
}

}  // namespace

TEST_CASE("writer: 64 are open at a time, and a place that is free is used again") {
  const PrivateDirectory directory;
  in_child([&] {
    std::vector<otlpshm_writer*> writers;
    for (int i = 0; i < 64; ++i) writers.push_back(open_writer(directory.path()));
    const otlpshm_writer_options options = options_of(directory.path());
    otlpshm_writer* one_more = writers[0];
    REQUIRE(otlpshm_writer_open(&one_more, &options) == OTLPSHM_ERROR_NO_MEMORY);
    REQUIRE(one_more == nullptr);
    for (otlpshm_writer* writer : writers) REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(SegmentFile(directory.segment()).sequence(0) == 64);
    (void)otlpshm_shutdown(writers[30], 0);
    REQUIRE(otlpshm_writer_open(&one_more, &options) == OTLPSHM_OK);
    REQUIRE(write_span(one_more) == OTLPSHM_OK);
  });
}

TEST_CASE("writer: options that make no sense are refused and leave null") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    const auto open = [](const otlpshm_writer_options& options) {
      otlpshm_writer* writer = reinterpret_cast<otlpshm_writer*>(1);
      const int status = otlpshm_writer_open(&writer, &options);
      REQUIRE(writer == nullptr);
      return status;
    };
    otlpshm_writer_options options = options_of(directory.path());
    options.size = 7;
    REQUIRE(open(options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options.size = 5000;
    REQUIRE(open(options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options = options_of(directory.path());
    options.resource_attribute_count = 1;
    REQUIRE(open(options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options = options_of(directory.path());
    options.scope_attribute_count = 1;
    REQUIRE(open(options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    const std::string long_path(256, 'd');
    options = options_of(long_path);
    REQUIRE(open(options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    REQUIRE(otlpshm_writer_open(nullptr, nullptr) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  });
}

TEST_CASE("writer: a fifth directory is refused") {
  const PrivateDirectory directory;
  in_child([&] {
    for (int i = 0; i < 4; ++i) (void)open_writer(directory.file(std::to_string(i)));
    const std::string fifth = directory.file("4");
    const otlpshm_writer_options options = options_of(fifth);
    otlpshm_writer* writer = nullptr;
    REQUIRE(otlpshm_writer_open(&writer, &options) == OTLPSHM_ERROR_NO_MEMORY);
  });
}

TEST_CASE("writer: a span that outlives its writer drops as shutdown") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* stays = open_writer(directory.path());
    otlpshm_writer* goes = open_writer(directory.path());
    otlpshm_span span{};
    otlpshm_span_start_cstr(goes, &span, "s", nullptr);
    (void)otlpshm_shutdown(goes, 0);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_ERROR_DROPPED);
    REQUIRE(stats_of(stays).dropped[otlpshm_drop_shutdown] == 1);
    REQUIRE(SegmentFile(directory.segment()).dropped(otlpshm_drop_shutdown) == 1);
    REQUIRE(otlpshm_shutdown(goes, 0) == OTLPSHM_ERROR_SHUTDOWN);
    REQUIRE(otlpshm_force_flush(goes, 0) == OTLPSHM_ERROR_SHUTDOWN);
    REQUIRE(otlpshm_writer_status(goes) == OTLPSHM_ERROR_SHUTDOWN);
    REQUIRE(otlpshm_span_is_recording(&span) == 0);
  });
}

TEST_CASE("writer: a span is not taken for one of the writer that has its place now") {
  const PrivateDirectory directory;
  const PrivateDirectory other;
  in_child([&] {
    otlpshm_writer* first = open_writer(directory.path());
    otlpshm_span span{};
    otlpshm_span_start_cstr(first, &span, "s", nullptr);
    (void)otlpshm_shutdown(first, 0);
    otlpshm_writer* second = open_writer(other.path());
    REQUIRE(second == first);  // the same place
    otlpshm_span_set_int_cstr(&span, "k", 1);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_ERROR_DROPPED);
    REQUIRE(stats_of(second).ended == 0);
  });
}

TEST_CASE("writer: a span outlives its writer also when that place is disabled or was refused") {
  const PrivateDirectory directory;
  in_child([&] {
    for (const bool is_disabled : {false, true}) {
      otlpshm_writer* writer = open_writer(directory.path());
      otlpshm_span span{};
      otlpshm_span_start_cstr(writer, &span, "s", nullptr);
      (void)otlpshm_shutdown(writer, 0);
      const std::string long_path(300, 'd');
      const otlpshm_writer_options options = options_of(is_disabled ? directory.path() : long_path);
      if (is_disabled) setenv("OTEL_SDK_DISABLED", "true", 1);
      otlpshm_writer* next = nullptr;
      (void)otlpshm_writer_open(&next, &options);
      otlpshm_span_set_int_cstr(&span, "", 1);  // dropped, and counted where it started
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_ERROR_DROPPED);
      if (next != nullptr) (void)otlpshm_shutdown(next, 0);
    }
  });
}

TEST_CASE("writer: a flush is OK when everything before it has settled, and no sooner") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    AckFile ack(directory.segment());
    const SegmentFile segment(directory.segment());
    look(writer);
    REQUIRE(otlpshm_force_flush(writer, 0) == OTLPSHM_OK);  // nothing to wait for
    for (int i = 0; i < 10; ++i) REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(otlpshm_force_flush(writer, 0) == OTLPSHM_ERROR_TIMEOUT);
    REQUIRE(otlpshm_force_flush(writer, 30) == OTLPSHM_ERROR_TIMEOUT);
    ack.settle(0, segment.tail(0) - 8, 9, 9);
    REQUIRE(otlpshm_force_flush(writer, 0) == OTLPSHM_ERROR_TIMEOUT);
    const std::uint64_t asked = segment.u64(4096 + 128);
    std::thread daemon([&] {
      while (segment.u64(4096 + 128) == asked) usleep(100);
      usleep(5000);
      ack.settle_all(segment);
    });
    REQUIRE(otlpshm_force_flush(writer, 20'000) == OTLPSHM_OK);
    daemon.join();
    REQUIRE(segment.u64(4096 + 128) == asked + 1);
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE(stats.ended == 10);
    REQUIRE(stats.committed == 10);
    REQUIRE(stats.settled == 10);
    REQUIRE(stats.exported == 10);
  });
}

TEST_CASE(
    "writer: a flush during which the last writer is shut down does not say that all settled") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    const AckFile ack(directory.segment());
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    std::atomic<int> status{1};
    std::thread flusher([&] { status = otlpshm_force_flush(writer, 60'000); });
    usleep(50'000);
    (void)otlpshm_shutdown(writer, 0);
    flusher.join();
    REQUIRE(status == OTLPSHM_ERROR_SHUTDOWN);
  });
}

TEST_CASE("writer: a flush without a daemon says so at once; without an ack, at its deadline") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    REQUIRE(otlpshm_force_flush(writer, 60'000) == OTLPSHM_ERROR_NO_DAEMON);
    StateFile state(directory);
    look(writer);
    REQUIRE(otlpshm_force_flush(writer, 20) == OTLPSHM_ERROR_NO_DAEMON);
    AckFile ack(directory.segment());
    look(writer);
    REQUIRE(otlpshm_force_flush(writer, 20) == OTLPSHM_ERROR_TIMEOUT);
    store_relaxed_u32(&writer->attachment->expired, 1);
    writer->attachment->heartbeat_seen_at = 1;
    REQUIRE(otlpshm_force_flush(writer, 60'000) == OTLPSHM_ERROR_NO_DAEMON);
  });
}

TEST_CASE("writer: a flush ends when the segment was reaped and another is there") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path());
    AckFile ack(directory.segment());
    look(writer);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    std::thread daemon([&] {
      usleep(20'000);
      ack.set_state(3);
      usleep(1000);
      (void)write_span(writer);
    });
    REQUIRE(otlpshm_force_flush(writer, 20'000) == OTLPSHM_OK);
    daemon.join();
  });
}

TEST_CASE("writer: a clean exit unlinks a segment that was read out, and leaves any other") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    for (const bool has_settled : {false, true}) {
      for (const bool has_echoed : {false, true}) {
        otlpshm_writer* writer = open_writer(directory.path(), kSmall);
        const std::string path = directory.segment();
        const SegmentFile segment(path);
        AckFile ack(path);
        look(writer);
        REQUIRE(write_span(writer) == OTLPSHM_OK);
        REQUIRE(commit_record(writer->attachment, kSmall, 'x') == OTLPSHM_ERROR_DROPPED);
        ack.settle_all(segment);
        if (!has_echoed) ack.echo(otlpshm_drop_record_too_large, 0);
        if (!has_settled) REQUIRE(write_span(writer) == OTLPSHM_OK);
        const int expected = has_settled ? OTLPSHM_OK : OTLPSHM_ERROR_TIMEOUT;
        REQUIRE(otlpshm_shutdown(writer, 0) == expected);
        REQUIRE((access(path.c_str(), F_OK) == 0) == !(has_settled && has_echoed));
        (void)unlink(path.c_str());
      }
    }
  });
}

TEST_CASE("writer: a segment that nobody wrote to goes with its writer, without a daemon too") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path(), kSmall);
    const std::string path = directory.segment();
    REQUIRE(access(path.c_str(), F_OK) == 0);
    (void)otlpshm_shutdown(writer, 0);
    REQUIRE(access(path.c_str(), F_OK) != 0);
  });
}

namespace {

// A writer whose one span a daemon has settled.
struct Settled {
  explicit Settled(const PrivateDirectory& directory)
      : state(directory),
        writer(open_writer(directory.path(), kSmall)),
        path(directory.segment()),
        segment(path),
        ack(path),
        current(writer->attachment->current) {
    look(writer);
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    ack.settle_all(segment);
  }

  StateFile state;
  otlpshm_writer* writer;
  std::string path;
  SegmentFile segment;
  AckFile ack;
  otlpshm_segment* current;
};

}  // namespace

TEST_CASE("writer: drops that no segment holds yet are in the segment that a shutdown leaves") {
  const PrivateDirectory directory;
  in_child([&] {
    const Settled settled(directory);
    otlpshm_writer* const writer = settled.writer;
    const SegmentFile& segment = settled.segment;
    otlpshm_segment* const current = settled.current;
    for (std::uint32_t& use : current->uses) use = 0x80000001;  // so many threads look at it
    REQUIRE(commit_record(writer->attachment, kSmall, 'x') == OTLPSHM_ERROR_DROPPED);
    for (std::uint32_t& use : current->uses) use = 0;
    REQUIRE(segment.dropped_total() == 0);
    REQUIRE(otlpshm_shutdown(writer, 0) == OTLPSHM_OK);
    REQUIRE(segment.dropped(otlpshm_drop_record_too_large) == 1);
    REQUIRE(segment.dropped_total() == 1);
    REQUIRE(access(settled.path.c_str(), F_OK) == 0);  // the daemon has not seen that yet
  });
}

TEST_CASE("writer: such drops are in it also when a late thread outlasts the shutdown") {
  const PrivateDirectory directory;
  in_child([&] {
    const Settled settled(directory);
    otlpshm_writer* const writer = settled.writer;
    const SegmentFile& segment = settled.segment;
    otlpshm_segment* const current = settled.current;
    current->lanes[0].lease = 0x80000001;  // no tid of this process, and never gone
    (void)otlpshm_attach_drop_later(writer->attachment, otlpshm_drop_forked);
    REQUIRE(otlpshm_shutdown(writer, 0) == OTLPSHM_OK);
    REQUIRE(segment.dropped(otlpshm_drop_forked) == 1);
    REQUIRE(access(settled.path.c_str(), F_OK) == 0);
    store_release_u32(&current->lanes[0].lease, OTLPSHM_LEASE_FREE);
    REQUIRE(stats_of(open_writer(directory.path())).dropped[otlpshm_drop_forked] == 1);
    REQUIRE(segment.dropped_total() == 1);
  });
}

TEST_CASE("writer: drops that come with the end of a reaped segment are not put into it") {
  const PrivateDirectory directory;
  in_child([&] {
    StateFile state(directory);
    otlpshm_writer* writer = open_writer(directory.path(), kSmall);
    const SegmentFile segment(directory.segment());
    AckFile ack(directory.segment());
    look(writer);
    ack.set_state(3);
    (void)otlpshm_attach_drop_later(writer->attachment, otlpshm_drop_forked);
    (void)otlpshm_shutdown(writer, 0);
    REQUIRE(segment.dropped_total() == 0);
    REQUIRE(stats_of(open_writer(directory.path())).dropped[otlpshm_drop_forked] == 1);
  });
}

TEST_CASE("writer: the last one to shut down unmaps the segment, and the next has another") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* first = open_writer(directory.path());
    otlpshm_writer* second = open_writer(directory.path());
    otlpshm_segment* segment = first->attachment->current;
    REQUIRE(otlpshm_shutdown(first, 0) == OTLPSHM_OK);
    REQUIRE(write_span(second) == OTLPSHM_OK);
    (void)otlpshm_shutdown(second, 0);
    REQUIRE(segment->phase == otlpshm_segment_empty);
    REQUIRE(segment->base == nullptr);
    otlpshm_writer* third = open_writer(directory.path());
    REQUIRE(write_span(third) == OTLPSHM_OK);
    REQUIRE(directory.names(".seg").size() == 2);
    REQUIRE(stats_of(third).ended == 2);  // counts are of the process and the directory
  });
}

TEST_CASE("writer: a caller of an older or a newer version is understood as far as both know") {
  const PrivateDirectory directory;
  in_child([&] {
    struct {
      otlpshm_writer_options known;
      std::uint64_t unknown;
    } newer{options_of(directory.path()), 0};
    newer.known.size = sizeof newer;
    otlpshm_writer* writer = nullptr;
    REQUIRE(otlpshm_writer_open(&writer, &newer.known) == OTLPSHM_OK);
    newer.unknown = 1;
    otlpshm_writer* none = nullptr;
    REQUIRE(otlpshm_writer_open(&none, &newer.known) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    otlpshm_writer_options older = options_of(directory.path());
    older.size = offsetof(otlpshm_writer_options, sampler);
    older.sampler = 99;  // beyond the size: not read
    REQUIRE(otlpshm_writer_open(&none, &older) == OTLPSHM_OK);

    otlpshm_context parent{};
    parent.trace_id[0] = parent.span_id[0] = 1;
    parent.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED;
    otlpshm_start_options start{};
    start.size = offsetof(otlpshm_start_options, kind);
    start.parent = &parent;
    start.kind = OTLPSHM_KIND_SERVER;  // beyond the size
    const Span span = span_of(
        writer, directory, [](otlpshm_span*) {}, &start);
    REQUIRE(span.parent_id.size() == 8);
    REQUIRE(span.kind == OTLPSHM_KIND_INTERNAL);

    struct {
      otlpshm_stats known;
      std::uint64_t unknown;
    } stats{};
    stats.known.size = sizeof stats;
    stats.unknown = 7;
    REQUIRE(otlpshm_writer_stats(writer, &stats.known) == OTLPSHM_OK);
    REQUIRE(stats.known.committed == 1);
    REQUIRE(stats.unknown == 0);
    stats.known.size = offsetof(otlpshm_stats, committed);
    stats.known.committed = 99;
    REQUIRE(otlpshm_writer_stats(writer, &stats.known) == OTLPSHM_OK);
    REQUIRE(stats.known.ended == 1);
    REQUIRE(stats.known.committed == 99);
  });
}

TEST_CASE("writer: statistics need a size, and reasons have their names") {
  otlpshm_stats stats{};
  CHECK(otlpshm_writer_stats(nullptr, nullptr) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(otlpshm_writer_stats(nullptr, &stats) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  stats.size = sizeof stats;
  stats.ended = 7;
  CHECK(otlpshm_writer_stats(nullptr, &stats) == OTLPSHM_OK);
  CHECK(stats.ended == 0);
  CHECK(std::string(otlpshm_drop_reason_name(1)) == "lane_full");
  CHECK(std::string(otlpshm_drop_reason_name(52)) == "segment_lost");
  CHECK(otlpshm_drop_reason_name(0) == nullptr);
  CHECK(otlpshm_drop_reason_name(31) == nullptr);
  CHECK(otlpshm_drop_reason_name(UINT32_MAX) == nullptr);
  CHECK(std::string(otlpshm_version()) == OTLPSHM_VERSION_STRING);
  for (int status = 0; status >= -12; --status) {
    CHECK(std::string(otlpshm_strerror(status)) != otlpshm_strerror(-13));
  }
  CHECK(otlpshm_strerror(1) == std::string(otlpshm_strerror(-999)));
}

}  // namespace otlpshm::library
