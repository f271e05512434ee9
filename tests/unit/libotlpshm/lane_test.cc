// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

constexpr std::uint32_t kAnother = 0x80000001;  // no tid of this process, and never gone
constexpr std::uint64_t kSecond = 1'000'000'000;

// A daemon and a producer in one child.
struct Scene {
  explicit Scene(const PrivateDirectory& where, std::uint64_t budget = kSmall)
      : directory(where),
        state(where),
        writer(open_writer(where.path(), budget)),
        attachment(writer->attachment),
        segment(where.segment()),
        ack(where.segment()) {
    look();
  }
  void look() { otlpshm_attach_look(attachment, otlpshm_clock_monotonic() + kSecond, true); }
  otlpshm_segment* current() { return attachment->current; }

  const PrivateDirectory& directory;
  StateFile state;
  otlpshm_writer* writer;
  otlpshm_attachment* attachment;
  SegmentFile segment;
  AckFile ack;
};

std::uint64_t padded(std::uint64_t size) {
  return (size + 7) / 8 * 8;
}

// Commits records of `size`, settling each, until tail mod 64 KiB is `offset`.
void go_to(Scene& scene, std::uint64_t offset) {
  while (scene.segment.tail(0) % kSmall != offset) {
    const std::uint64_t left = (offset + kSmall - scene.segment.tail(0) % kSmall) % kSmall;
    const std::uint64_t size = left > 1200 ? 1000 : left > 600 ? left - 400 : left;
    REQUIRE(size > 80);
    REQUIRE(commit_record(scene.attachment, static_cast<std::uint32_t>(size), 'f') == OTLPSHM_OK);
    scene.ack.settle(0, scene.segment.tail(0), scene.segment.sequence(0),
                     scene.segment.sequence(0));
  }
}

}  // namespace

TEST_CASE("lane: a record is read back with its size, its position and its sequence") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    for (const std::uint32_t size : {81u, 87u, 88u, 89u, 1000u}) {
      REQUIRE(commit_record(scene.attachment, size, 'x') == OTLPSHM_OK);
    }
    const auto records = scene.segment.records(0);
    REQUIRE(records);
    REQUIRE(records->size() == 5);
    REQUIRE(records->at(2).size == 88);
    REQUIRE(records->at(2).position == 88 + 88);
    REQUIRE(records->at(4).body == std::string(920, 'x'));
    REQUIRE(scene.segment.sequence(0) == 5);
  });
}

TEST_CASE("lane: a record is read back whole wherever it wraps, in its header or in its body") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    for (std::uint64_t before_end = 8; before_end <= 208; before_end += 8) {
      go_to(scene, kSmall - before_end);
      const std::uint64_t position = scene.segment.tail(0);
      const std::uint64_t sequence = scene.segment.sequence(0);
      const char fill = static_cast<char>('a' + before_end / 8 % 26);
      REQUIRE(commit_record(scene.attachment, 203, fill) == OTLPSHM_OK);
      const auto records = scene.segment.records(0, position, sequence);
      REQUIRE(records);
      REQUIRE(records->size() == 1);
      REQUIRE(records->at(0).body == std::string(123, fill));
      REQUIRE(scene.segment.tail(0) == position + 208);
    }
  });
}

TEST_CASE("lane: when it is full a span drops as lane_full, and nothing that waits is touched") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    for (int i = 0; i < 64; ++i) {
      REQUIRE(commit_record(scene.attachment, 1024, static_cast<char>('0' + i)) == OTLPSHM_OK);
    }
    REQUIRE(scene.segment.tail(0) == kSmall);
    REQUIRE(commit_record(scene.attachment, 88, 'z') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.segment.dropped(otlpshm_drop_lane_full) == 1);
    const auto records = scene.segment.records(0);
    REQUIRE(records);
    REQUIRE(records->size() == 64);
    for (int i = 0; i < 64; ++i) {
      REQUIRE(records->at(i).body == std::string(1024 - 80, static_cast<char>('0' + i)));
    }
  });
}

TEST_CASE("lane: room comes back exactly as far as the daemon released") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    for (int i = 0; i < 64; ++i) REQUIRE(commit_record(scene.attachment, 1024, 'a') == OTLPSHM_OK);
    scene.ack.settle(0, 1024, 1, 1);
    REQUIRE(commit_record(scene.attachment, 1025, 'b') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(commit_record(scene.attachment, 1024, 'b') == OTLPSHM_OK);
    REQUIRE(commit_record(scene.attachment, 81, 'b') == OTLPSHM_ERROR_DROPPED);
    const auto records = scene.segment.records(0, 1024, 1);
    REQUIRE(records);
    REQUIRE(records->size() == 64);
    REQUIRE(records->back().body == std::string(1024 - 80, 'b'));
  });
}

TEST_CASE("lane: a release that falls or passes the tail is not believed") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    for (int i = 0; i < 64; ++i) REQUIRE(commit_record(scene.attachment, 1024, 'a') == OTLPSHM_OK);
    for (const std::uint64_t bad : {kSmall + 1024, kSmall + 1, UINT64_MAX, UINT64_MAX - 1023}) {
      scene.ack.settle(0, bad, 64, 64);
      REQUIRE(commit_record(scene.attachment, 1024, 'b') == OTLPSHM_ERROR_DROPPED);
    }
    scene.ack.settle(0, 2048, 2, 2);
    REQUIRE(commit_record(scene.attachment, 1024, 'b') == OTLPSHM_OK);
    scene.ack.settle(0, 0, 0, 0);
    REQUIRE(commit_record(scene.attachment, 1024, 'b') == OTLPSHM_OK);
    REQUIRE(commit_record(scene.attachment, 1024, 'b') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.current()->lanes[0].release == 2048);
  });
}

TEST_CASE("lane: a record beyond half of lane 0 is too large, one byte less is not") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    REQUIRE(commit_record(scene.attachment, kSmall / 2 + 1, 'x') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.segment.dropped(otlpshm_drop_record_too_large) == 1);
    REQUIRE(scene.segment.tail(0) == 0);
    REQUIRE(commit_record(scene.attachment, kSmall / 2, 'x') == OTLPSHM_OK);
  });
}

TEST_CASE("lane: a record beyond the format's 4 MiB is too large for any lane") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, std::uint64_t{128} << 20);
    REQUIRE(scene.attachment->lane_bytes[0] / 2 > OTLPSHM_RECORD_BYTES_MAX);
    REQUIRE(commit_record(scene.attachment, OTLPSHM_RECORD_BYTES_MAX + 1, 'x') ==
            OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.segment.dropped(otlpshm_drop_record_too_large) == 1);
    REQUIRE(commit_record(scene.attachment, OTLPSHM_RECORD_BYTES_MAX, 'x') == OTLPSHM_OK);
  });
}

TEST_CASE("lane: what does not fit half of another lane goes to lane 0 and opens no other") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 23 * kSmall);
    REQUIRE(scene.attachment->lane_bytes[1] == kSmall);
    otlpshm_thread.lane = 5;
    for (int i = 0; i < 40; ++i) {
      (void)commit_record(scene.attachment, kSmall / 2 + 1, 'x');
    }
    REQUIRE(scene.segment.lanes_open() == 1);
    REQUIRE(scene.segment.sequence(0) == (16 * kSmall) / padded(kSmall / 2 + 1));
    REQUIRE(scene.segment.dropped(otlpshm_drop_lane_full) == 40 - scene.segment.sequence(0));
    REQUIRE(commit_record(scene.attachment, kSmall / 2, 'x') == OTLPSHM_OK);
  });
}

TEST_CASE("lane: a lane that is leased is never waited for, another one opens") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 23 * kSmall);
    (void)otlpshm_process_ready();
    for (std::uint32_t lane = 0; lane + 1 < scene.current()->lane_count; ++lane) {
      REQUIRE(take_u32(&scene.current()->lanes[lane].lease, OTLPSHM_LEASE_FREE, kAnother));
      REQUIRE(commit_record(scene.attachment, 88, 'x') == OTLPSHM_OK);
      REQUIRE(scene.segment.lanes_open() == lane + 2);
      REQUIRE(scene.segment.sequence(lane + 1) == 1);
    }
    const std::uint32_t last = scene.current()->lane_count - 1;
    REQUIRE(take_u32(&scene.current()->lanes[last].lease, OTLPSHM_LEASE_FREE, kAnother));
    REQUIRE(commit_record(scene.attachment, 88, 'x') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.segment.dropped(otlpshm_drop_lanes_busy) == 1);
    REQUIRE(scene.segment.dropped_total() == 1);
  });
}

TEST_CASE("lane: lanes that are full open others, until all are") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 18 * kSmall);
    REQUIRE(scene.current()->lane_count == 3);
    while (commit_record(scene.attachment, 1024, 'x') == OTLPSHM_OK) {
    }
    REQUIRE(scene.segment.lanes_open() == 3);
    for (std::uint32_t lane = 0; lane < 3; ++lane) {
      REQUIRE(scene.segment.tail(lane) == scene.segment.area_bytes(lane));
    }
    REQUIRE(scene.segment.dropped(otlpshm_drop_lane_full) == 1);
  });
}

TEST_CASE("lane: with one lane leased and the others full it is full, for busy means all of them") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 18 * kSmall);
    while (commit_record(scene.attachment, 1024, 'x') == OTLPSHM_OK) {
    }
    REQUIRE(scene.segment.dropped(otlpshm_drop_lane_full) == 1);
    REQUIRE(take_u32(&scene.current()->lanes[1].lease, OTLPSHM_LEASE_FREE, kAnother));
    REQUIRE(commit_record(scene.attachment, 1024, 'x') == OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.segment.dropped(otlpshm_drop_lane_full) == 2);
    REQUIRE(scene.segment.dropped(otlpshm_drop_lanes_busy) == 0);
  });
}

TEST_CASE("lane: a thread stays with the lane that took its record") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory, 18 * kSmall);
    REQUIRE(take_u32(&scene.current()->lanes[0].lease, OTLPSHM_LEASE_FREE, kAnother));
    REQUIRE(commit_record(scene.attachment, 88, 'x') == OTLPSHM_OK);
    store_release_u32(&scene.current()->lanes[0].lease, OTLPSHM_LEASE_FREE);
    for (int i = 0; i < 10; ++i) REQUIRE(commit_record(scene.attachment, 88, 'x') == OTLPSHM_OK);
    REQUIRE(scene.segment.sequence(1) == 11);
    REQUIRE(scene.segment.sequence(0) == 0);
  });
}

TEST_CASE("lane: rows stand between header and fields, wherever the record wraps") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    const std::string resource(37, 'r');
    const std::string scope(11, 's');
    const auto bytes = [](const std::string& text) {
      return reinterpret_cast<const std::uint8_t*>(text.data());
    };
    const otlpshm_inline_rows* rows = otlpshm_attach_inline(
        scene.attachment, bytes(resource), resource.size(), bytes(scope), scope.size());
    REQUIRE(rows != nullptr);
    REQUIRE(rows->size == 4 + 37 + 4 + 11);
    REQUIRE(rows == otlpshm_attach_inline(scene.attachment, bytes(resource), resource.size(),
                                          bytes(scope), scope.size()));
    const std::string body = std::string("\x25\0\0\0", 4) + resource +
                             std::string("\x0b\0\0\0", 4) + scope + std::string(123, 'f');
    const std::vector<std::uint8_t> span(80 + 123, 'f');
    for (std::uint64_t before_end = 8; before_end <= 272; before_end += 8) {
      go_to(scene, kSmall - before_end);
      const std::uint64_t position = scene.segment.tail(0);
      const std::uint64_t sequence = scene.segment.sequence(0);
      REQUIRE(otlpshm_lane_commit(scene.attachment, span.data(),
                                  static_cast<std::uint32_t>(span.size()), rows,
                                  otlpshm_clock_monotonic(), true) == OTLPSHM_OK);
      const auto records = scene.segment.records(0, position, sequence);
      REQUIRE(records);
      REQUIRE(records->size() == 1);
      REQUIRE(records->at(0).body == body);
    }
  });
}

TEST_CASE(
    "lane: rows that leave a span too little of a lane are refused, and so is too much of them") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    std::vector<std::uint8_t> row(kSmall / 4 - 8, 'r');
    const std::uint8_t none = 0;
    REQUIRE(otlpshm_attach_inline(scene.attachment, row.data(), row.size() + 1, &none, 0) ==
            nullptr);
    for (std::uint32_t i = 0; i < OTLPSHM_INLINE_BYTES_MAX / (kSmall / 4); ++i) {
      row[0] = static_cast<std::uint8_t>(i);
      REQUIRE(otlpshm_attach_inline(scene.attachment, row.data(), row.size(), &none, 0) != nullptr);
    }
    row[0] = 255;
    REQUIRE(otlpshm_attach_inline(scene.attachment, row.data(), row.size(), &none, 0) == nullptr);
    row[0] = 0;
    REQUIRE(otlpshm_attach_inline(scene.attachment, row.data(), row.size(), &none, 0) != nullptr);
  });
}

TEST_CASE("lane: a reaped segment gets no more records: the span goes to a new one") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    REQUIRE(commit_record(scene.attachment, 88, 'a') == OTLPSHM_OK);
    scene.ack.set_state(3);
    REQUIRE(commit_record(scene.attachment, 88, 'b') == OTLPSHM_OK);
    REQUIRE(scene.segment.sequence(0) == 1);
    REQUIRE(directory.names(".seg").size() == 2);
    REQUIRE(commit_record(scene.attachment, 88, 'c') == OTLPSHM_OK);
    REQUIRE(directory.names(".seg").size() == 2);
    REQUIRE(stats_of(scene.writer).committed == 3);
    REQUIRE(stats_of(scene.writer).ended == 3);
  });
}

TEST_CASE("lane: in a signal handler a reaped segment is a drop, which the next segment holds") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    scene.ack.set_state(3);
    REQUIRE(commit_record(scene.attachment, 88, 'a', false) == OTLPSHM_ERROR_DROPPED);
    REQUIRE(scene.segment.dropped_total() == 0);
    REQUIRE(stats_of(scene.writer).dropped[otlpshm_drop_no_segment] == 1);
    REQUIRE(unlink(directory.segment().c_str()) == 0);
    REQUIRE(commit_record(scene.attachment, 88, 'b') == OTLPSHM_OK);
    const SegmentFile next(directory.segment());
    REQUIRE(next.dropped(otlpshm_drop_no_segment) == 1);
    REQUIRE(next.sequence(0) == 1);
    REQUIRE(stats_of(scene.writer).ended == 2);
  });
}

TEST_CASE("lane: a thread that is late does not give up the segment that took the struct over") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    otlpshm_segment* reaped = scene.current();
    scene.ack.set_state(3);
    REQUIRE(otlpshm_attach_again(scene.attachment, reaped));
    REQUIRE(scene.current() == reaped);  // the same struct, the next segment
    const std::string id = reaped->id;
    REQUIRE(otlpshm_attach_again(scene.attachment, reaped));
    REQUIRE(id == scene.current()->id);
    REQUIRE(directory.names(".seg").size() == 2);
  });
}

TEST_CASE("lane: a lease that is held keeps the mapping of a reaped segment") {
  const PrivateDirectory directory;
  in_child([&] {
    Scene scene(directory);
    otlpshm_segment* old = scene.current();
    REQUIRE(take_u32(&old->lanes[0].lease, OTLPSHM_LEASE_FREE, kAnother));
    scene.ack.set_state(3);
    REQUIRE(otlpshm_attach_again(scene.attachment, old));
    REQUIRE(scene.current() != old);
    REQUIRE(old->phase == otlpshm_segment_retired);
    old->lanes[0].area[0] = 1;  // no SIGSEGV
    store_release_u32(&old->lanes[0].lease, OTLPSHM_LEASE_FREE);
    AckFile next_ack(directory.file(std::string(scene.current()->id) + ".seg"));
    scene.look();
    next_ack.set_state(3);
    REQUIRE(commit_record(scene.attachment, 88, 'x') == OTLPSHM_OK);
    REQUIRE(old->phase != otlpshm_segment_retired);
  });
}

}  // namespace otlpshm::library
