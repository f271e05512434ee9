// SPDX-License-Identifier: Apache-2.0
// resync.cc: from the oldest position that can still hold a record, eight bytes at a time.
#include "ingest/resync.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "model/outcome.h"

namespace otlpshm::ingest {

namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
// Of all lanes together: a walk of about a second.
constexpr std::uint64_t kStepsMax = 1 << 21;

class Search {
 public:
  Search(const SegmentView& view, std::uint32_t lane, std::uint64_t tail, std::uint64_t* steps_left)
      : view_(view),
        lane_(lane),
        lane_bytes_(view.lanes()[lane].bytes),
        tail_(tail),
        steps_left_(*steps_left) {}

  struct Found {
    std::uint64_t position;
    std::uint64_t sequence;
  };

  // The oldest whole record: it begins no further from the oldest byte than a record is long.
  std::optional<Found> run() {
    std::vector<std::uint8_t> bytes(kReadBytes);
    std::uint64_t start = tail_ - lane_bytes_;
    const std::uint64_t end =
        start + std::min<std::uint64_t>(lane_bytes_, OTLPSHM_RECORD_BYTES_MAX);
    while (start < end && tail_ - start > sizeof(otlpshm_record_header)) {
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, tail_ - start));
      if (!view_.read_lane(lane_, start, {bytes.data(), count})) return std::nullopt;
      std::size_t at = 0;
      for (; at + sizeof(otlpshm_record_header) <= count; at += OTLPSHM_RECORD_ALIGNMENT) {
        otlpshm_record_header header;
        std::memcpy(&header, bytes.data() + at, sizeof header);
        if (is_frame(header, start + at) && leads_to_tail(header, start + at)) {
          return Found{start + at, header.sequence};
        }
        if (steps_left_ == 0) return std::nullopt;
      }
      start += at;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] bool is_frame(const otlpshm_record_header& header, std::uint64_t position) const {
    return header.size > sizeof header && header.size <= OTLPSHM_RECORD_BYTES_MAX &&
           header.position_low == static_cast<std::uint32_t>(position) && header.sequence > 0 &&
           next(header, position) <= tail_;
  }
  static std::uint64_t next(const otlpshm_record_header& header, std::uint64_t position) {
    constexpr std::uint64_t kMask = OTLPSHM_RECORD_ALIGNMENT - 1;
    return position + ((header.size + kMask) & ~kMask);
  }
  // A producer can lay out false starts.
  bool leads_to_tail(otlpshm_record_header header, std::uint64_t position) {
    for (;;) {
      if (steps_left_ == 0) return false;
      --steps_left_;
      const std::uint64_t sequence = header.sequence;
      position = next(header, position);
      if (position == tail_) return true;
      if (tail_ - position < sizeof header ||
          !view_.read_lane(lane_, position,
                           {reinterpret_cast<std::uint8_t*>(&header), sizeof header}) ||
          !is_frame(header, position) || header.sequence != sequence + 1) {
        return false;
      }
    }
  }
  const SegmentView& view_;
  const std::uint32_t lane_;
  const std::uint64_t lane_bytes_;
  const std::uint64_t tail_;
  std::uint64_t& steps_left_;
};

}  // namespace

std::vector<std::uint64_t> resync(const SegmentView& view, Ack& ack) {
  std::vector<std::uint64_t> found_to(view.lanes().size());
  ControlUntrusted control;
  if (!view.load_control(&control)) return found_to;  // the drain finds it lost
  std::uint64_t steps_left = kStepsMax;
  for (std::uint32_t lane = 0; lane < control.lanes_open; ++lane) {
    const std::uint64_t tail = control.tail[lane];
    model::LaneSettled settled = ack.settled(lane);
    if (tail % OTLPSHM_RECORD_ALIGNMENT != 0 || tail < settled.release) continue;
    const bool is_lost = tail - settled.release > view.lanes()[lane].bytes;
    if (ack.adopted() && !is_lost) continue;
    if (is_lost) {
      const auto oldest = Search(view, lane, tail, &steps_left).run();
      if (!oldest || oldest->sequence <= settled.sequence) continue;
      settled.dropped_for(model::Reason::skipped) += oldest->sequence - 1 - settled.sequence;
      settled.release = oldest->position;
      settled.sequence = oldest->sequence - 1;
      // A truncated ack shows at the next release.
      [[maybe_unused]] const bool told = ack.release(lane, settled);
    }
    found_to[lane] = tail;
  }
  return found_to;
}

}  // namespace otlpshm::ingest
