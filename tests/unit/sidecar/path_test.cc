// SPDX-License-Identifier: Apache-2.0
#include "path.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <set>

#include "held_exporter.h"
#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

// A producer, and the stations that its records pass up to a backend that takes everything.
struct PathRig {
  explicit PathRig(const config::Config& options = config::default_config())
      : writer(directory),
        config(options),
        drain(config.drain_bytes_per_turn_max, 16 * config.drain_bytes_per_turn_max),
        path(config),
        exporter([this](const model::ExportOutcome& outcome) { path.on_outcome(outcome); }) {
    writer.publish();
    path.connect(&exporter);
    ingest::OpenFault fault = ingest::OpenFault::none;
    std::string why;
    auto view = ingest::SegmentView::open(directory.fd(), writer.id(), &fault, &why);
    REQUIRE(view != nullptr);
    const auto lanes = static_cast<std::uint32_t>(view->lanes().size());
    auto ack = ingest::Ack::open(directory.fd(), writer.id(), lanes, &why);
    REQUIRE(ack != nullptr);
    source = &path.add(std::move(view), std::move(ack));
  }

  otlpshm_table_entry& scope_entry(std::uint32_t row) {
    auto* const table = writer.bytes() + OTLPSHM_SCOPE_TABLE_OFFSET;
    return reinterpret_cast<otlpshm_table_entry*>(table)[row];
  }

  // What becomes of a span that names the row: it is exported, or dropped as invalid_scope.
  bool is_exported(std::uint16_t row) {
    const model::LaneSettled before = source->ack->settled(0);
    otlpshm_record_header header = header_for(++spans);
    header.scope_index = row;
    writer.commit(0, ids(spans), header);
    REQUIRE(drain.turn({source}, path) == ingest::Drain::Found::records);
    (void)path.send();
    exporter.acknowledge_all();
    model::LaneSettled after = source->ack->settled(0);
    REQUIRE(source->state == ingest::SegmentState::live);
    REQUIRE(after.release == writer.position(0));
    const bool exported = after.exported == before.exported + 1;
    const std::uint64_t dropped = after.dropped_for(model::Reason::invalid_scope);
    REQUIRE(after.exported + dropped == spans);
    return exported;
  }

  // Bytes of the scopes and resources that are kept for this producer.
  std::size_t kept_bytes() const {
    std::size_t bytes = 0;
    std::set<const void*> counted;
    for (const model::ScopeRef& scope : source->scopes) {
      if (scope == nullptr) continue;
      if (counted.insert(scope.get()).second) bytes += scope->bytes.size();
      const model::Resource* const resource = scope->resource.get();
      if (counted.insert(resource).second) bytes += resource->bytes.size();
    }
    return bytes;
  }

  SharedDirectory directory;
  SegmentWriter writer;
  config::Config config;
  ingest::Drain drain;
  Path path;
  HeldExporter exporter;
  Source* source = nullptr;
  std::uint64_t spans = 0;
};

// A row of 16389 bytes or more: a schema URL alone.
std::string row_of(std::size_t bytes) {
  return delimited(3, std::string(bytes - 4, 'u'));
}

TEST_CASE("path: a span of a scope is exported, one of a row that is not there yet is dropped") {
  PathRig rig;
  CHECK_FALSE(rig.is_exported(0));
  rig.writer.add_scope(resource_row("r"), scope_row("s"));
  CHECK(rig.is_exported(0));
  CHECK_FALSE(rig.is_exported(1));
  CHECK_FALSE(rig.is_exported(OTLPSHM_SCOPES_MAX));
}

TEST_CASE("path: a row that is not valid is read once, however many spans name it") {
  PathRig rig;
  const std::string good = resource_row("r");
  rig.writer.add_scope(std::string(good.size(), '\0'), scope_row("s"));
  rig.writer.add_scope(good, scope_row("s"));
  CHECK_FALSE(rig.is_exported(0));
  // No producer may do that; it shows whether somebody looks.
  std::memcpy(rig.writer.bytes() + OTLPSHM_TABLE_BYTES_OFFSET, good.data(), good.size());
  CHECK_FALSE(rig.is_exported(0));
  CHECK_FALSE(rig.is_exported(0));
  CHECK(rig.is_exported(1));
}

TEST_CASE("path: a row beyond the bytes of the table is not valid, and those beside it are") {
  PathRig rig;
  for (int i = 0; i < 3; ++i) rig.writer.add_scope(resource_row("r"), scope_row("s"));
  const std::uint32_t last = OTLPSHM_TABLE_BYTES_MAX - 1;
  std::memcpy(rig.writer.bytes() + OTLPSHM_TABLE_BYTES_OFFSET + last, scope_row("s").data(),
              scope_row("s").size());
  rig.scope_entry(1).offset = last;
  rig.scope_entry(2).bytes = UINT32_MAX;
  CHECK(rig.is_exported(0));
  CHECK_FALSE(rig.is_exported(1));
  CHECK_FALSE(rig.is_exported(2));
  CHECK(rig.is_exported(0));
}

TEST_CASE("path: rows that fill the table to its last byte are all kept, a resource once") {
  PathRig rig;
  rig.writer.add_scope(row_of(20000), row_of(20000));
  rig.writer.add_scope("", row_of(OTLPSHM_TABLE_BYTES_MAX - 40000));
  rig.scope_entry(1).resource_index = 0;
  CHECK(rig.is_exported(0));
  CHECK(rig.is_exported(1));
  CHECK(rig.kept_bytes() == OTLPSHM_TABLE_BYTES_MAX);
}

TEST_CASE("path: of rows that overlap no more bytes are kept than the table has") {
  constexpr std::uint32_t kRows = 60;
  constexpr std::uint32_t kFieldBytes = 1000;
  PathRig rig;
  std::string fields;
  for (std::uint32_t i = 0; i < kRows; ++i) {
    fields += delimited(3, std::string(kFieldBytes - 3, 'u'));
  }
  rig.writer.add_scope(resource_row("r"), fields);
  for (std::uint32_t row = 1; row < kRows; ++row) {
    rig.scope_entry(row) = rig.scope_entry(0);
    rig.scope_entry(row).bytes = (kRows - row) * kFieldBytes;
  }
  rig.writer.control().scope_count = kRows;
  CHECK(rig.is_exported(0));
  CHECK_FALSE(rig.is_exported(1));
  for (std::uint16_t row = 0; row < kRows; ++row) (void)rig.is_exported(row);
  CHECK(rig.kept_bytes() <= OTLPSHM_TABLE_BYTES_MAX);
  CHECK(rig.is_exported(0));
  CHECK_FALSE(rig.is_exported(1));
}

constexpr std::uint64_t kShare = 65536;
constexpr std::uint64_t kSpansInBatch = 10;

config::Config small_batches() {
  config::Config options = config::default_config();
  options.drain_bytes_per_turn_max = kShare;
  options.batch_spans_max = kSpansInBatch;
  return options;
}

// A producer with one scope, and with spans that are far less than a share.
struct ShareRig : PathRig {
  explicit ShareRig(const std::string& resource) : PathRig(small_batches()) {
    writer.add_scope(resource_row(resource), scope_row("s"));
    for (std::uint64_t i = 1; i <= kSpans; ++i) writer.commit(0, ids(i), header_for(i));
  }
  // How many records have left their lane after one turn more.
  std::uint64_t turn() {
    REQUIRE(drain.turn({source}, path) == ingest::Drain::Found::records);
    return source->cursors[0].sequence;
  }

  static constexpr std::uint64_t kSpans = 300;
};

TEST_CASE("path: a share holds many small spans of a small resource") {
  ShareRig rig("r");
  CHECK(rig.turn() == ShareRig::kSpans);
}

TEST_CASE("path: a large resource that each batch carries counts in its producer's share") {
  ShareRig rig(std::string(30000, 'r'));
  std::uint64_t taken = rig.turn();
  CHECK(taken >= kSpansInBatch);
  CHECK(taken <= 3 * kSpansInBatch);
  CHECK(rig.exporter.submitted_bytes <= kShare + 30000);
  std::uint64_t turns = 1;
  for (; taken < ShareRig::kSpans; ++turns) {
    const std::uint64_t now = rig.turn();
    REQUIRE(now > taken);
    taken = now;
  }
  CHECK(turns >= ShareRig::kSpans / (3 * kSpansInBatch));
}

TEST_CASE("path: a record that brings its rows along is not charged for them again") {
  ShareRig rig("r");
  REQUIRE(rig.turn() == ShareRig::kSpans);
  otlpshm_record_header header = header_for(301);
  header.record_kind = OTLPSHM_RECORD_SPAN_INLINE_SCOPE;
  header.scope_index = 65535;
  for (const char letter : {'x', 'y', 'z'}) {
    const std::string resource = resource_row(std::string(20000, letter));
    rig.writer.commit(0, prefixed(resource) + prefixed(scope_row("t")) + ids(301), header);
  }
  const std::uint64_t before = rig.exporter.submitted_bytes;
  CHECK(rig.turn() == ShareRig::kSpans + 3);
  REQUIRE(rig.path.send());
  CHECK(rig.exporter.submitted_bytes > before + 60000);
}

}  // namespace
}  // namespace otlpshm::tests
