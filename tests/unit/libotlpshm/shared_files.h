// SPDX-License-Identifier: Apache-2.0
// shared_files.h: the three files, as a daemon of the tests reads and writes them.
//   Owns   a private directory on tmpfs, gone at the end of the case.
//   Rule   written from docs/abi.md, with its numbers: nothing of layout.h, so that an offset which
//          moves there is seen here.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_SHARED_FILES_H
#define OTLPSHM_TESTS_LIBOTLPSHM_SHARED_FILES_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace otlpshm::library {

class PrivateDirectory {
 public:
  explicit PrivateDirectory(unsigned mode = 0755);
  ~PrivateDirectory();
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::vector<std::string> names(const std::string& ending) const;
  // The path of the only segment; empty when there is none or more than one.
  std::string segment() const;

 private:
  std::string path_;
};

// ---- protobuf, as far as a span needs it ----

struct Field {
  unsigned number = 0;
  unsigned wire = 0;
  std::uint64_t word = 0;  // of wire types 0, 1 and 5
  std::string bytes;       // of wire type 2
};
// Nothing when the bytes are not a well-formed message.
std::optional<std::vector<Field>> parse(const std::string& message);

struct Attribute {
  std::string key;
  Field value;  // the field of AnyValue
};
struct Event {
  std::uint64_t time = 0;
  std::string name;
  std::vector<Attribute> attributes;
  std::uint64_t dropped_attributes = 0;
};
struct Span {
  std::string trace_id, span_id, parent_id, trace_state, name, status_message;
  std::uint64_t kind = 0, start = 0, end = 0, flags = 0, status_code = 0;
  std::uint64_t dropped_attributes = 0, dropped_events = 0;
  std::vector<Attribute> attributes;
  std::vector<Event> events;

  const Attribute* attribute(const std::string& key) const;
};
std::vector<Attribute> parse_attributes(const std::vector<Field>& fields, unsigned number);
std::optional<Span> parse_span(const std::string& body);

// ---- <id>.seg ----

struct Record {
  std::uint64_t position = 0, sequence = 0, duration = 0, name_hash = 0, threshold = 0;
  std::uint32_t size = 0, position_low = 0, span_flags = 0;
  std::uint16_t scope_index = 0, record_flags = 0;
  std::uint8_t record_kind = 0, span_kind = 0, status_code = 0;
  std::string trace_id, span_id, reserved, body;

  std::uint64_t next() const { return position + ((std::uint64_t{size} + 7) & ~std::uint64_t{7}); }
};

class SegmentFile {
 public:
  explicit SegmentFile(const std::string& path);
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  std::string read(std::uint64_t offset, std::uint64_t bytes) const;
  std::uint64_t u64(std::uint64_t offset) const;
  std::uint32_t u32(std::uint64_t offset) const;
  std::uint32_t u16(std::uint64_t offset) const;

  std::uint32_t lane_count() const { return u32(64); }
  std::uint32_t lanes_open() const { return u32(4096); }
  std::uint64_t area_offset(std::uint32_t lane) const { return u64(1024 + 16 * lane); }
  std::uint64_t area_bytes(std::uint32_t lane) const { return u64(1024 + 16 * lane + 8); }
  std::uint64_t tail(std::uint32_t lane) const { return u64(8192 + 128 * lane); }
  std::uint64_t sequence(std::uint32_t lane) const { return u64(8192 + 128 * lane + 8); }
  std::uint64_t dropped(unsigned reason) const { return u64(4096 + 256 + 8 * reason); }
  std::uint64_t dropped_total() const;
  std::uint32_t resource_count() const { return u32(4096 + 4); }
  std::uint32_t scope_count() const { return u32(4096 + 8); }
  std::string resource(std::uint32_t row) const;
  std::string scope(std::uint32_t row) const;
  std::uint32_t scope_resource(std::uint32_t row) const;

  // The records of [from, tail). Nothing when one of them contradicts the page.
  std::optional<std::vector<Record>> records(std::uint32_t lane, std::uint64_t from = 0,
                                             std::uint64_t sequence_before = 0) const;
  // The spans of all open lanes from their beginning.
  std::vector<Span> spans() const;

 private:
  std::string table_row(std::uint64_t row) const;
  std::string ring(std::uint32_t lane, std::uint64_t position, std::uint64_t bytes) const;
  int fd_ = -1;
};

// ---- state and <id>.ack ----

std::string file_header(const std::string& magic, std::uint64_t bytes, const std::string& id);
void write_file(const std::string& path, const std::string& bytes);

// A file of the daemon's, mapped for writing; each store is one aligned access of its full width.
class DaemonFile {
 public:
  explicit DaemonFile(const std::string& path);
  ~DaemonFile();
  DaemonFile(const DaemonFile&) = delete;
  DaemonFile& operator=(const DaemonFile&) = delete;

  std::uint64_t load64(std::uint64_t offset) const;
  void store64(std::uint64_t offset, std::uint64_t value);
  void store32(std::uint64_t offset, std::uint32_t value);
  const std::uint32_t* word(std::uint64_t offset) const;

 private:
  unsigned char* base_ = nullptr;
  std::uint64_t bytes_ = 0;
};

class StateFile : public DaemonFile {
 public:
  explicit StateFile(const PrivateDirectory& directory);
  void beat() { store64(128, load64(128) + 1); }
  void sleep(std::uint32_t epoch) { store32(260, epoch); }
  const std::uint32_t* doorbell() const { return word(256); }
};

class AckFile : public DaemonFile {
 public:
  // Makes the ack of a segment, live, with nothing released.
  explicit AckFile(const std::string& segment_path);
  void set_state(std::uint32_t state) { store32(128, state); }
  void echo(unsigned reason, std::uint64_t dropped) { store64(256 + 8 * reason, dropped); }
  // Publishes a new copy of a lane's slot.
  void settle(std::uint32_t lane, std::uint64_t release, std::uint64_t sequence,
              std::uint64_t exported);
  // Everything that is committed counts as exported, and every drop as echoed.
  void settle_all(const SegmentFile& segment);

 private:
  static std::string make(const std::string& segment_path);
};

}  // namespace otlpshm::library

#endif
