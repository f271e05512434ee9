// SPDX-License-Identifier: Apache-2.0
// segment_writer.h: a producer for tests: writes segments byte by byte from layout.h, also wrong
// ones.
//   Owns   its private directory and its files; both are gone with it.
//   Never  uses libotlpshm: what a producer may do, and must not, is decided by the test.
#ifndef OTLPSHM_TESTS_SEGMENT_WRITER_H
#define OTLPSHM_TESTS_SEGMENT_WRITER_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "ingest/segment_id.h"
#include "otlpshm/layout.h"
#include "support/span_bytes.h"

namespace otlpshm::tests {

// A directory on tmpfs.
class SharedDirectory {
 public:
  SharedDirectory() {
    const char* const base = std::getenv("OTLPSHM_TEST_SHM");
    path_ = std::string(base != nullptr ? base : "/dev/shm") + "/otlpshm-unit-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
    fd_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~SharedDirectory() {
    ::close(fd_);
    std::filesystem::remove_all(path_);
  }
  SharedDirectory(const SharedDirectory&) = delete;
  SharedDirectory& operator=(const SharedDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool has(const std::string& name) const {
    return std::filesystem::exists(std::filesystem::symlink_status(path_ + "/" + name));
  }

 private:
  std::string path_;
  int fd_;
};

class SegmentWriter {
 public:
  explicit SegmentWriter(const SharedDirectory& directory, std::uint8_t number = 1,
                         const std::vector<std::uint64_t>& lanes = {1 << 20, 1 << 16})
      : directory_(directory) {
    id_.bytes.fill(number);
    auto& header = this->header();
    header.file.magic = OTLPSHM_SEGMENT_MAGIC;
    header.file.major = OTLPSHM_ABI_MAJOR;
    header.file.header_bytes = sizeof(otlpshm_file_header);
    std::memcpy(header.file.id, id_.bytes.data(), 16);
    header.lane_count = static_cast<std::uint32_t>(lanes.size());
    std::uint64_t offset = OTLPSHM_LANE_AREAS_OFFSET;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      header.lanes[lane] = {offset, lanes[lane]};
      offset += lanes[lane];
    }
    header.file.file_bytes = offset;
    position_.resize(lanes.size());
    sequence_.resize(lanes.size());
  }
  ~SegmentWriter() { die(); }
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  // Change it before publish().
  otlpshm_segment_header& header() {
    return *reinterpret_cast<otlpshm_segment_header*>(first_page_);
  }

  // The recipe of docs/abi.md: temporary name, allocation, lock, mapping, rename.
  void publish(std::uint64_t file_bytes = 0) {
    if (file_bytes == 0) file_bytes = header().file.file_bytes;
    const std::string temporary = "." + id_.segment_name() + ".tmp";
    fd_ = ::openat(directory_.fd(), temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    check(fd_ >= 0 && ::ftruncate(fd_, static_cast<off_t>(file_bytes)) == 0 &&
          ::pwrite(fd_, first_page_, sizeof first_page_, 0) > 0);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    check(::fcntl(fd_, F_OFD_SETLK, &lock) == 0);
    bytes_ = file_bytes;
    void* const address = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    check(address != MAP_FAILED);
    map_ = static_cast<std::uint8_t*>(address);
    check(::renameat(directory_.fd(), temporary.c_str(), directory_.fd(),
                     id_.segment_name().c_str()) == 0);
    if (bytes_ >= OTLPSHM_LANE_AREAS_OFFSET) control().lanes_open = header().lane_count;
  }

  // The process is gone: no mapping, no descriptor, no lock.
  void die() {
    if (map_ != nullptr) ::munmap(map_, bytes_);
    if (fd_ >= 0) ::close(fd_);
    map_ = nullptr;
    fd_ = -1;
  }

  void truncate(std::uint64_t bytes) { check(::ftruncate(fd_, static_cast<off_t>(bytes)) == 0); }
  void punch(std::uint64_t offset, std::uint64_t bytes) {
    check(::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                      static_cast<off_t>(bytes)) == 0);
  }

  // Adds one resource and one scope of it; returns the scope's row.
  std::uint16_t add_scope(const std::string& resource, const std::string& scope) {
    const auto resource_index = static_cast<std::uint16_t>(control().resource_count);
    const auto scope_index = static_cast<std::uint16_t>(control().scope_count);
    put_row(OTLPSHM_RESOURCE_TABLE_OFFSET, resource_index, resource, 0);
    control().resource_count = resource_index + 1u;
    put_row(OTLPSHM_SCOPE_TABLE_OFFSET, scope_index, scope, resource_index);
    control().scope_count = scope_index + 1u;
    return scope_index;
  }

  // Commits a record; what the header says of place and size is filled in where it is 0.
  void commit(std::uint32_t lane, const std::string& body,
              otlpshm_record_header record = header_for(1)) {
    if (record.size == 0) record.size = static_cast<std::uint32_t>(sizeof record + body.size());
    if (record.position_low == 0) {
      record.position_low = static_cast<std::uint32_t>(position_[lane]);
    }
    if (record.sequence == 0) record.sequence = sequence_[lane] + 1;
    put(lane, position_[lane], &record, sizeof record);
    put(lane, position_[lane] + sizeof record, body.data(), body.size());
    advance(lane, (sizeof record + body.size() + 7) & ~std::uint64_t{7});
  }
  // Moves tail and sequence without writing a record.
  void advance(std::uint32_t lane, std::uint64_t bytes) {
    position_[lane] += bytes;
    ++sequence_[lane];
    store(lane);
  }
  void store(std::uint32_t lane) {
    __atomic_store_n(&lane_control(lane).tail, position_[lane], __ATOMIC_RELEASE);
    __atomic_store_n(&lane_control(lane).sequence, sequence_[lane], __ATOMIC_RELEASE);
  }

  [[nodiscard]] const ingest::SegmentId& id() const { return id_; }
  [[nodiscard]] std::uint64_t position(std::uint32_t lane) const { return position_[lane]; }
  [[nodiscard]] std::uint64_t sequence(std::uint32_t lane) const { return sequence_[lane]; }
  otlpshm_control& control() {
    return *reinterpret_cast<otlpshm_control*>(map_ + OTLPSHM_CONTROL_OFFSET);
  }
  otlpshm_lane_control& lane_control(std::uint32_t lane) {
    return reinterpret_cast<otlpshm_lane_control*>(map_ + OTLPSHM_LANE_CONTROLS_OFFSET)[lane];
  }
  std::uint8_t* bytes() { return map_; }
  // A record's place is counted from here on, as if the lane had been used for long.
  void start_at(std::uint32_t lane, std::uint64_t position, std::uint64_t sequence) {
    position_[lane] = position;
    sequence_[lane] = sequence;
    store(lane);
  }

 private:
  static void check(bool done) {
    if (!done) throw std::runtime_error("segment_writer: the test cannot set its stage");
  }
  void put(std::uint32_t lane, std::uint64_t position, const void* from, std::size_t bytes) {
    const otlpshm_lane_entry& area = header().lanes[lane];
    for (std::size_t i = 0; i < bytes; ++i) {
      map_[area.area_offset + (position + i) % area.area_bytes] =
          static_cast<const std::uint8_t*>(from)[i];
    }
  }
  void put_row(std::uint64_t table, std::uint32_t index, const std::string& bytes,
               std::uint16_t resource_index) {
    auto& row = reinterpret_cast<otlpshm_table_entry*>(map_ + table)[index];
    row = {table_used_, static_cast<std::uint32_t>(bytes.size()), resource_index, {}};
    std::memcpy(map_ + OTLPSHM_TABLE_BYTES_OFFSET + table_used_, bytes.data(), bytes.size());
    table_used_ += static_cast<std::uint32_t>(bytes.size());
  }

  const SharedDirectory& directory_;
  ingest::SegmentId id_;
  alignas(4096) std::uint8_t first_page_[4096] = {};
  int fd_ = -1;
  std::uint8_t* map_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::uint32_t table_used_ = 0;
  std::vector<std::uint64_t> position_;
  std::vector<std::uint64_t> sequence_;
};

}  // namespace otlpshm::tests

#endif
