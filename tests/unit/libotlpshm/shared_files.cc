// SPDX-License-Identifier: Apache-2.0
// shared_files.cc: see shared_files.h.
#include "shared_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace otlpshm::library {

namespace {

template <typename Word>
Word word_at(const std::string& bytes, std::size_t offset) {
  Word word;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

template <typename Word>
void put(std::string& bytes, std::size_t offset, Word word) {
  std::memcpy(bytes.data() + offset, &word, sizeof word);
}

std::uint64_t varint(const std::string& bytes, std::size_t& at, bool& good) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at >= bytes.size()) break;
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  good = false;
  return 0;
}

}  // namespace

PrivateDirectory::PrivateDirectory(unsigned mode) {
  const char* shm = std::getenv("OTLPSHM_TEST_SHM");
  path_ = std::string(shm != nullptr ? shm : "/dev/shm") + "/library-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr || chmod(path_.c_str(), mode) != 0) {
    throw std::runtime_error("cannot make " + path_);
  }
}

PrivateDirectory::~PrivateDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> PrivateDirectory::names(const std::string& ending) const {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (name.size() >= ending.size() &&
        name.compare(name.size() - ending.size(), ending.size(), ending) == 0) {
      found.push_back(name);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string PrivateDirectory::segment() const {
  const auto found = names(".seg");
  return found.size() == 1 ? file(found[0]) : "";
}

std::optional<std::vector<Field>> parse(const std::string& message) {
  std::vector<Field> fields;
  bool good = true;
  for (std::size_t at = 0; at < message.size() && good;) {
    Field field;
    const std::uint64_t tag = varint(message, at, good);
    field.number = static_cast<unsigned>(tag >> 3);
    field.wire = tag & 7;
    const std::size_t left = message.size() - at;
    if (field.wire == 0) {
      field.word = varint(message, at, good);
    } else if (field.wire == 1 && left >= 8) {
      field.word = word_at<std::uint64_t>(message, at);
      at += 8;
    } else if (field.wire == 5 && left >= 4) {
      field.word = word_at<std::uint32_t>(message, at);
      at += 4;
    } else if (field.wire == 2) {
      const std::uint64_t bytes = varint(message, at, good);
      if (!good || bytes > message.size() - at) return std::nullopt;
      field.bytes = message.substr(at, bytes);
      at += bytes;
    } else {
      return std::nullopt;
    }
    fields.push_back(field);
  }
  if (!good) return std::nullopt;
  return fields;
}

const Attribute* Span::attribute(const std::string& key) const {
  const Attribute* found = nullptr;
  for (const Attribute& one : attributes) {
    if (one.key != key) continue;
    if (found != nullptr) return nullptr;  // twice is as wrong as never
    found = &one;
  }
  return found;
}

std::vector<Attribute> parse_attributes(const std::vector<Field>& fields, unsigned number) {
  std::vector<Attribute> attributes;
  for (const Field& field : fields) {
    if (field.number != number) continue;
    const auto pair = parse(field.bytes);
    if (!pair || pair->size() != 2 || (*pair)[0].number != 1 || (*pair)[1].number != 2) {
      throw std::runtime_error("not a KeyValue");
    }
    const auto any = parse((*pair)[1].bytes);
    if (!any || any->size() != 1) throw std::runtime_error("not an AnyValue");
    attributes.push_back({(*pair)[0].bytes, (*any)[0]});
  }
  return attributes;
}

std::optional<Span> parse_span(const std::string& body) {
  const auto fields = parse(body);
  if (!fields) return std::nullopt;
  Span span;
  span.attributes = parse_attributes(*fields, 9);
  for (const Field& field : *fields) {
    switch (field.number) {
      case 1:
        span.trace_id = field.bytes;
        break;
      case 2:
        span.span_id = field.bytes;
        break;
      case 3:
        span.trace_state = field.bytes;
        break;
      case 4:
        span.parent_id = field.bytes;
        break;
      case 5:
        span.name = field.bytes;
        break;
      case 6:
        span.kind = field.word;
        break;
      case 7:
        span.start = field.word;
        break;
      case 8:
        span.end = field.word;
        break;
      case 9:
        break;
      case 10:
        span.dropped_attributes = field.word;
        break;
      case 12:
        span.dropped_events = field.word;
        break;
      case 16:
        span.flags = field.word;
        break;
      case 11: {
        const auto event = parse(field.bytes);
        if (!event) return std::nullopt;
        Event found;
        found.attributes = parse_attributes(*event, 3);
        for (const Field& part : *event) {
          if (part.number == 1) found.time = part.word;
          if (part.number == 2) found.name = part.bytes;
          if (part.number == 4) found.dropped_attributes = part.word;
        }
        span.events.push_back(found);
        break;
      }
      case 15: {
        const auto status = parse(field.bytes);
        if (!status) return std::nullopt;
        for (const Field& part : *status) {
          if (part.number == 2) span.status_message = part.bytes;
          if (part.number == 3) span.status_code = part.word;
        }
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return span;
}

SegmentFile::SegmentFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) throw std::runtime_error("cannot open segment '" + path + "'");
}

SegmentFile::~SegmentFile() {
  close(fd_);
}

std::string SegmentFile::read(std::uint64_t offset, std::uint64_t bytes) const {
  std::string out(bytes, '\0');
  if (pread(fd_, out.data(), bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes)) {
    throw std::runtime_error("short read of a segment");
  }
  return out;
}

std::uint64_t SegmentFile::u64(std::uint64_t offset) const {
  return word_at<std::uint64_t>(read(offset, 8), 0);
}
std::uint32_t SegmentFile::u32(std::uint64_t offset) const {
  return word_at<std::uint32_t>(read(offset, 4), 0);
}
std::uint32_t SegmentFile::u16(std::uint64_t offset) const {
  return word_at<std::uint16_t>(read(offset, 2), 0);
}

std::uint64_t SegmentFile::dropped_total() const {
  std::uint64_t total = 0;
  for (unsigned reason = 0; reason < 32; ++reason) total += dropped(reason);
  return total;
}

std::string SegmentFile::table_row(std::uint64_t row) const {
  return read(24576 + u32(row), u32(row + 4));
}
std::string SegmentFile::resource(std::uint32_t row) const {
  return table_row(16384 + 16 * row);
}
std::string SegmentFile::scope(std::uint32_t row) const {
  return table_row(20480 + 16 * row);
}
std::uint32_t SegmentFile::scope_resource(std::uint32_t row) const {
  return u16(20480 + 16 * row + 8);
}

std::string SegmentFile::ring(std::uint32_t lane, std::uint64_t position,
                              std::uint64_t bytes) const {
  const std::uint64_t size = area_bytes(lane);
  const std::uint64_t offset = position % size;
  const std::uint64_t first = std::min(bytes, size - offset);
  return read(area_offset(lane) + offset, first) + read(area_offset(lane), bytes - first);
}

std::optional<std::vector<Record>> SegmentFile::records(std::uint32_t lane, std::uint64_t from,
                                                        std::uint64_t sequence_before) const {
  std::vector<Record> found;
  const std::uint64_t end = tail(lane);
  if (end - from > area_bytes(lane)) return std::nullopt;
  const std::string bytes = ring(lane, from, end - from);
  for (std::uint64_t position = from; position < end;) {
    const std::size_t at = position - from;
    if (end - position < 80) return std::nullopt;
    Record record;
    record.position = position;
    record.size = word_at<std::uint32_t>(bytes, at);
    record.position_low = word_at<std::uint32_t>(bytes, at + 4);
    record.sequence = word_at<std::uint64_t>(bytes, at + 8);
    record.trace_id = bytes.substr(at + 16, 16);
    record.span_id = bytes.substr(at + 32, 8);
    record.duration = word_at<std::uint64_t>(bytes, at + 40);
    record.name_hash = word_at<std::uint64_t>(bytes, at + 48);
    record.threshold = word_at<std::uint64_t>(bytes, at + 56);
    record.scope_index = word_at<std::uint16_t>(bytes, at + 64);
    record.record_flags = word_at<std::uint16_t>(bytes, at + 66);
    record.span_flags = word_at<std::uint32_t>(bytes, at + 68);
    record.record_kind = static_cast<std::uint8_t>(bytes[at + 72]);
    record.span_kind = static_cast<std::uint8_t>(bytes[at + 73]);
    record.status_code = static_cast<std::uint8_t>(bytes[at + 74]);
    record.reserved = bytes.substr(at + 75, 5);
    const bool fits = record.size >= 80 && record.next() <= end &&
                      record.position_low == static_cast<std::uint32_t>(position) &&
                      record.sequence == ++sequence_before;
    if (!fits) return std::nullopt;
    record.body = bytes.substr(at + 80, record.size - 80);
    position = record.next();
    found.push_back(record);
  }
  return found;
}

std::vector<Span> SegmentFile::spans() const {
  std::vector<Span> found;
  for (std::uint32_t lane = 0; lane < lanes_open(); ++lane) {
    const auto all = records(lane);
    REQUIRE(all);
    for (const Record& record : *all) {
      const auto span = parse_span(record.body);
      REQUIRE(span);
      REQUIRE(span->trace_id == record.trace_id);
      REQUIRE(span->span_id == record.span_id);
      found.push_back(*span);
    }
  }
  return found;
}

std::string file_header(const std::string& magic, std::uint64_t bytes, const std::string& id) {
  std::string header(64, '\0');
  header.replace(0, 8, magic);
  put<std::uint16_t>(header, 8, 1);
  put<std::uint32_t>(header, 12, 64);
  put<std::uint64_t>(header, 16, bytes);
  header.replace(32, 16, id);
  return header;
}

void write_file(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + ".tmp";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  const bool good =
      fd >= 0 && write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (fd >= 0) close(fd);
  if (!good || rename(temporary.c_str(), path.c_str()) != 0) {
    throw std::runtime_error("cannot write " + path);
  }
}

DaemonFile::DaemonFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat stat = {};
  if (fd < 0 || fstat(fd, &stat) != 0) throw std::runtime_error("cannot open " + path);
  bytes_ = static_cast<std::uint64_t>(stat.st_size);
  void* base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (base == MAP_FAILED) throw std::runtime_error("cannot map " + path);
  base_ = static_cast<unsigned char*>(base);
}

DaemonFile::~DaemonFile() {
  munmap(base_, bytes_);
}

std::uint64_t DaemonFile::load64(std::uint64_t offset) const {
  return __atomic_load_n(reinterpret_cast<std::uint64_t*>(base_ + offset), __ATOMIC_ACQUIRE);
}
void DaemonFile::store64(std::uint64_t offset, std::uint64_t value) {
  __atomic_store_n(reinterpret_cast<std::uint64_t*>(base_ + offset), value, __ATOMIC_RELEASE);
}
void DaemonFile::store32(std::uint64_t offset, std::uint32_t value) {
  __atomic_store_n(reinterpret_cast<std::uint32_t*>(base_ + offset), value, __ATOMIC_RELEASE);
}
const std::uint32_t* DaemonFile::word(std::uint64_t offset) const {
  return reinterpret_cast<const std::uint32_t*>(base_ + offset);
}

StateFile::StateFile(const PrivateDirectory& directory)
    : DaemonFile(
          (write_file(directory.file("state"), file_header("OLSHMSTA", 4096, std::string(16, 's')) +
                                                   std::string(4096 - 64, '\0')),
           directory.file("state"))) {}

std::string AckFile::make(const std::string& segment_path) {
  const SegmentFile segment(segment_path);
  const std::uint64_t bytes =
      (4096 + 704 * std::uint64_t{segment.lane_count()} + 4095) / 4096 * 4096;
  std::string ack(bytes, '\0');
  ack.replace(0, 64, file_header("OLSHMACK", bytes, segment.read(32, 16)));
  put<std::uint32_t>(ack, 64, segment.lane_count());
  put<std::uint32_t>(ack, 128, 1);
  put<std::uint64_t>(ack, 512, 1);
  const std::string path = segment_path.substr(0, segment_path.size() - 4) + ".ack";
  write_file(path, ack);
  return path;
}

AckFile::AckFile(const std::string& segment_path) : DaemonFile(make(segment_path)) {}

void AckFile::settle(std::uint32_t lane, std::uint64_t release, std::uint64_t sequence,
                     std::uint64_t exported) {
  const std::uint64_t slot = 4096 + 704 * std::uint64_t{lane};
  const std::uint64_t selector = load64(slot);
  const std::uint64_t copy = slot + 64 + 320 * ((selector + 1) & 1);
  store64(copy, release);
  store64(copy + 8, sequence);
  store64(copy + 16, exported);
  store64(slot, selector + 1);
}

void AckFile::settle_all(const SegmentFile& segment) {
  for (std::uint32_t lane = 0; lane < segment.lanes_open(); ++lane) {
    settle(lane, segment.tail(lane), segment.sequence(lane), segment.sequence(lane));
  }
  for (unsigned reason = 0; reason < 32; ++reason) echo(reason, segment.dropped(reason));
}

}  // namespace otlpshm::library
