// SPDX-License-Identifier: Apache-2.0
#include "ingest/segment_view.h"

#include <catch2/catch.hpp>

#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

using ingest::OpenFault;
using ingest::RowRead;
using ingest::SegmentView;

std::unique_ptr<SegmentView> open(const SharedDirectory& directory, const ingest::SegmentId& id,
                                  OpenFault* fault) {
  std::string why;
  auto view = SegmentView::open(directory.fd(), id, fault, &why);
  CHECK((view != nullptr) == (*fault == OpenFault::none));
  CHECK(why.empty() == (view != nullptr));
  return view;
}

template <typename Change>
OpenFault fault_with(Change change, std::uint64_t file_bytes = 0) {
  SharedDirectory directory;
  SegmentWriter writer(directory);
  change(writer.header());
  writer.publish(file_bytes);
  OpenFault fault = OpenFault::none;
  (void)open(directory, writer.id(), &fault);
  return fault;
}

TEST_CASE("segment_view: a segment is opened, and its words and bytes are read") {
  SharedDirectory directory;
  SegmentWriter writer(directory);
  writer.publish();
  writer.commit(0, full_span(1));
  writer.control().flush_request = 3;
  writer.control().dropped[2] = 5;
  OpenFault fault = OpenFault::none;
  const auto view = open(directory, writer.id(), &fault);
  REQUIRE(view != nullptr);
  CHECK(view->lanes().size() == 2);
  ingest::ControlUntrusted control;
  REQUIRE(view->load_control(&control));
  CHECK(control.lanes_open == 2);
  CHECK(control.flush_request == 3);
  CHECK(control.tail[0] == writer.position(0));
  CHECK(control.sequence[0] == 1);
  std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS> dropped{};
  REQUIRE(view->load_dropped(&dropped));
  CHECK(dropped[2] == 5);
  CHECK(view->has_producer());
  CHECK(view->has_name(directory.fd()));
  writer.die();
  CHECK_FALSE(view->has_producer());
}

TEST_CASE("segment_view: a scope is read with its resource, and none above the count") {
  SharedDirectory directory;
  SegmentWriter writer(directory);
  writer.publish();
  writer.add_scope(resource_row("r"), scope_row("s"));
  OpenFault fault = OpenFault::none;
  const auto view = open(directory, writer.id(), &fault);
  std::vector<std::uint8_t> resource;
  std::vector<std::uint8_t> scope;
  REQUIRE(view->read_scope(0, &resource, &scope) == RowRead::yes);
  CHECK(std::string(resource.begin(), resource.end()) == resource_row("r"));
  CHECK(std::string(scope.begin(), scope.end()) == scope_row("s"));
  CHECK(view->read_scope(1, &resource, &scope) == RowRead::absent);
  writer.control().scope_count = UINT32_MAX;
  CHECK(view->read_scope(256, &resource, &scope) == RowRead::absent);
  CHECK(view->read_scope(65534, &resource, &scope) == RowRead::absent);
  // A row that leads out of the table's bytes has no bytes that anybody could take for a scope.
  auto* const rows =
      reinterpret_cast<otlpshm_table_entry*>(writer.bytes() + OTLPSHM_SCOPE_TABLE_OFFSET);
  rows[0].offset = UINT32_MAX;
  REQUIRE(view->read_scope(0, &resource, &scope) == RowRead::yes);
  CHECK(scope == std::vector<std::uint8_t>{0});
  rows[0].resource_index = 9;
  CHECK(view->read_scope(0, &resource, &scope) == RowRead::absent);
}

TEST_CASE("segment_view: lane bytes are read over the end of the area") {
  SharedDirectory directory;
  SegmentWriter writer(directory, 1, {65536});
  writer.publish();
  for (std::size_t i = 0; i < 65536; ++i) {
    writer.bytes()[OTLPSHM_LANE_AREAS_OFFSET + i] = static_cast<std::uint8_t>(i / 256 + i);
  }
  OpenFault fault = OpenFault::none;
  const auto view = open(directory, writer.id(), &fault);
  std::vector<std::uint8_t> bytes(1000);
  REQUIRE(view->read_lane(0, 7 * 65536 + 65000, bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t at = (65000 + i) % 65536;
    REQUIRE(bytes[i] == static_cast<std::uint8_t>(at / 256 + at));
  }
}

TEST_CASE("segment_view: a file that is not a segment is unfit") {
  CHECK(fault_with([](auto& header) { header.file.magic ^= 1; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.file.id[3] ^= 1; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.file.header_bytes = 128; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.file.file_bytes += 4096; },
                   131072 + (1 << 20) + (1 << 16)) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lane_count = 0; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lane_count = 65; }) == OpenFault::unfit);
  CHECK(fault_with([](auto&) {}, 100) == OpenFault::unfit);
}

TEST_CASE("segment_view: lanes that overlap, leave the file or are misaligned are unfit") {
  CHECK(fault_with([](auto& header) { header.lanes[1].area_offset = 131072; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[0].area_offset = 65536; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[1].area_offset += 65536; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[1].area_offset = UINT64_MAX - 65535; }) ==
        OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[1].area_bytes = 0; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[1].area_bytes = 65537; }) == OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[0].area_bytes = UINT64_C(1) << 63; }) ==
        OpenFault::unfit);
  CHECK(fault_with([](auto& header) { header.lanes[0].area_bytes = 0; }) == OpenFault::unfit);
  // Lane 0 is the largest.
  CHECK(fault_with([](auto& header) { std::swap(header.lanes[0], header.lanes[1]); }) ==
        OpenFault::unfit);
}

TEST_CASE("segment_view: another major or an unknown required feature is skew") {
  CHECK(fault_with([](auto& header) { header.file.major = 2; }) == OpenFault::abi_skew);
  CHECK(fault_with([](auto& header) { header.file.features_required = 1; }) == OpenFault::abi_skew);
  CHECK(fault_with([](auto& header) { header.file.minor = 9; }) == OpenFault::none);
  CHECK(fault_with([](auto& header) { header.file.features_optional = 1; }) == OpenFault::none);
}

TEST_CASE("segment_view: a link, a pipe, a directory or a second name is refused at once") {
  SharedDirectory directory;
  SegmentWriter writer(directory);
  writer.publish();
  ingest::SegmentId id;
  OpenFault fault = OpenFault::none;
  const auto path = [&] { return directory.path() + "/" + id.segment_name(); };
  id.bytes.fill(2);
  REQUIRE(::symlink((writer.id().segment_name()).c_str(), path().c_str()) == 0);
  CHECK(open(directory, id, &fault) == nullptr);
  CHECK(fault == OpenFault::unfit);
  id.bytes.fill(3);
  REQUIRE(::mkfifo(path().c_str(), 0644) == 0);
  CHECK(open(directory, id, &fault) == nullptr);
  CHECK(fault == OpenFault::unfit);
  id.bytes.fill(4);
  REQUIRE(::mkdir(path().c_str(), 0755) == 0);
  CHECK(open(directory, id, &fault) == nullptr);
  CHECK(fault == OpenFault::unfit);
  id.bytes.fill(5);
  CHECK(open(directory, id, &fault) == nullptr);
  CHECK(fault == OpenFault::gone);
  REQUIRE(::linkat(directory.fd(), writer.id().segment_name().c_str(), directory.fd(), "second",
                   0) == 0);
  CHECK(open(directory, writer.id(), &fault) == nullptr);
  CHECK(fault == OpenFault::unfit);
}

TEST_CASE("segment_view: a file that shrinks under it is an answer, again and again") {
  SharedDirectory directory;
  SegmentWriter writer(directory);
  writer.publish();
  writer.add_scope(resource_row("r"), scope_row("s"));
  OpenFault fault = OpenFault::none;
  const auto view = open(directory, writer.id(), &fault);
  writer.truncate(4096);
  ingest::ControlUntrusted control;
  std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS> dropped{};
  std::vector<std::uint8_t> bytes(100);
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(view->load_control(&control));
    CHECK_FALSE(view->load_dropped(&dropped));
    CHECK_FALSE(view->read_lane(0, 0, bytes));
    CHECK(view->read_scope(0, &bytes, &bytes) == RowRead::lost);
  }
}

TEST_CASE("segment_view: a hole that is punched into a segment reads as zeros") {
  SharedDirectory directory;
  SegmentWriter writer(directory);
  writer.publish();
  writer.commit(0, full_span(1));
  OpenFault fault = OpenFault::none;
  const auto view = open(directory, writer.id(), &fault);
  writer.punch(0, writer.header().file.file_bytes);
  ingest::ControlUntrusted control;
  REQUIRE(view->load_control(&control));
  CHECK(control.lanes_open == 0);
  std::vector<std::uint8_t> bytes(100, 1);
  REQUIRE(view->read_lane(0, 0, bytes));
  CHECK(bytes == std::vector<std::uint8_t>(100, 0));
}

}  // namespace
}  // namespace otlpshm::tests
