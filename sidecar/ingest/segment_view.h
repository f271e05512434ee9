// SPDX-License-Identifier: Apache-2.0
// segment_view.h: one producer's file, as the daemon may look at it: read-only and in doubt.
//   Owns   the descriptor and a mapping of the control page and the lane controls.
//   Never  maps a lane, trusts a value, or dies when the file shrinks: lane and table bytes come by
//          pread, shared words under the SIGBUS guard.
//   Order  SYNC(commit), SYNC(open), SYNC(tables); the words of our own files use the same four
//          functions.   Layout docs/abi.md#segment.
#ifndef OTLPSHM_INGEST_SEGMENT_VIEW_H
#define OTLPSHM_INGEST_SEGMENT_VIEW_H

#include <array>
#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingest/descriptor.h"
#include "ingest/segment_id.h"
#include "otlpshm/layout.h"

namespace otlpshm::ingest {

// ---- shared words ------------------------------------------------------------------------------

template <typename Word>
Word load_acquire(const Word& word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}
template <typename Word>
Word load_relaxed(const Word& word) {
  return __atomic_load_n(&word, __ATOMIC_RELAXED);
}
template <typename Word>
void store_release(Word& word, Word value) {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}
template <typename Word>
void store_relaxed(Word& word, Word value) {
  __atomic_store_n(&word, value, __ATOMIC_RELAXED);
}
// Stores after it are not seen before stores that stand in front of it.
inline void release_fence() {
  __atomic_thread_fence(__ATOMIC_RELEASE);
}

// ---- a segment ---------------------------------------------------------------------------------

struct LaneArea {
  std::uint64_t offset;
  std::uint64_t bytes;
};

// The producer's words at one moment. The suffix says who could have lied.
struct ControlUntrusted {
  std::uint32_t lanes_open = 0;  // at most the segment's lane_count
  std::uint64_t flush_request = 0;
  std::array<std::uint64_t, OTLPSHM_LANES_MAX> tail;      // of the lanes below lanes_open
  std::array<std::uint64_t, OTLPSHM_LANES_MAX> sequence;  // likewise
};

enum class OpenFault {
  none,
  gone,      // the name is not there any more
  later,     // try again: a lease on the file, or we are out of descriptors or memory
  unfit,     // not a segment that its producer would have made; left alone
  abi_skew,  // of another version; left untouched
};

enum class RowRead { yes, absent, lost };

class SegmentView {
 public:
  // Null, with a fault and a sentence, if the file is not a segment that we read.
  static std::unique_ptr<SegmentView> open(int directory, const SegmentId& id, OpenFault* fault,
                                           std::string* why);

  [[nodiscard]] const SegmentId& id() const { return id_; }
  [[nodiscard]] const std::vector<LaneArea>& lanes() const { return lanes_; }
  [[nodiscard]] std::uint32_t producer_pid_untrusted() const { return producer_pid_; }

  // False if the file was truncated.
  [[nodiscard]] bool load_control(ControlUntrusted* control) const;
  [[nodiscard]] bool load_dropped(
      std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS>* dropped_untrusted) const;

  // Copies lane bytes from `position` on. False if the file was truncated.
  [[nodiscard]] bool read_lane(std::uint32_t lane, std::uint64_t position,
                               std::span<std::uint8_t> into) const;

  // The bytes of a scope's row and of its resource's.
  [[nodiscard]] RowRead read_scope(std::uint32_t index, std::vector<std::uint8_t>* resource,
                                   std::vector<std::uint8_t>* scope) const;

  // Whether a process still maps the file: its lock ends with its last mapping. True in doubt.
  [[nodiscard]] bool has_producer() const;
  // Whether the directory still names this very file.
  [[nodiscard]] bool has_name(int directory) const;

 private:
  SegmentView() = default;
  bool map(std::string* why);
  bool read_row(std::uint64_t table_offset, std::uint32_t index, otlpshm_table_entry* row,
                std::vector<std::uint8_t>* bytes) const;
  const otlpshm_control& control() const;
  const otlpshm_lane_control& lane_control(std::uint32_t lane) const;

  SegmentId id_;
  std::vector<LaneArea> lanes_;
  std::uint32_t producer_pid_ = 0;
  Descriptor fd_;
  boost::interprocess::mapped_region region_;
};

}  // namespace otlpshm::ingest

#endif
