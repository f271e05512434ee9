// SPDX-License-Identifier: Apache-2.0
// drain.cc: deficit round robin over segments; within one, its lanes in turn.
#include "ingest/drain.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace otlpshm::ingest {

namespace {

// Large enough that a pread's fixed cost is small, small enough to stay in the second-level cache.
constexpr std::size_t kReadBytes = 128 * 1024;
// A record needs more than its header.
constexpr std::uint64_t kRecordBytesMin = sizeof(otlpshm_record_header) + OTLPSHM_RECORD_ALIGNMENT;

constexpr std::uint64_t padded(std::uint64_t bytes) {
  return (bytes + OTLPSHM_RECORD_ALIGNMENT - 1) & ~std::uint64_t{OTLPSHM_RECORD_ALIGNMENT - 1};
}

// Tail and cursor of one lane agree with each other and with what was released. A producer whose
// ack was lost may be a lap ahead, until what was found without one has settled.
bool is_cursor_sound(const Segment& segment, std::uint32_t lane) {
  const LaneCursor& cursor = segment.cursors[lane];
  const std::uint64_t tail = segment.control.tail[lane];
  const std::uint64_t release = segment.ack->settled(lane).release;
  const std::uint64_t lap = segment.view->lanes()[lane].bytes;
  if (tail % OTLPSHM_RECORD_ALIGNMENT != 0 || tail < cursor.position) return false;
  if (release >= cursor.found_to) return tail - release <= lap;
  return tail - release <= 2 * lap && tail - std::max(cursor.position, cursor.found_to) <= lap;
}

bool is_overwritten(const Segment& segment, std::uint32_t lane, std::uint64_t tail) {
  const LaneCursor& cursor = segment.cursors[lane];
  return cursor.position < cursor.found_to && tail > cursor.position &&
         tail - cursor.position > segment.view->lanes()[lane].bytes;
}

// A size that a record at this place can have, and the place itself: then the next one can be
// found.
bool is_frame(const otlpshm_record_header& header, std::uint64_t position, std::uint64_t available,
              std::uint64_t lane_bytes) {
  return header.size > sizeof header && header.size <= OTLPSHM_RECORD_BYTES_MAX &&
         header.size <= lane_bytes && padded(header.size) <= available &&
         header.position_low == static_cast<std::uint32_t>(position);
}

void skip_to_tail(Segment& segment, std::uint32_t lane, RecordSink& sink) {
  LaneCursor& cursor = segment.cursors[lane];
  const std::uint64_t tail = segment.control.tail[lane];
  const std::uint64_t count = claimed(segment, lane);
  cursor.gap_max = (tail - cursor.position) / kRecordBytesMin - count;
  cursor.position = tail;
  cursor.sequence += count;
  sink.drop(model::Reason::skipped, count);
}

// Brings the cursor to the record's sequence if skipped bytes explain the difference.
bool is_next(const otlpshm_record_header& header, LaneCursor& cursor, RecordSink& sink) {
  const std::uint64_t gap = header.sequence - cursor.sequence - 1;
  if (gap > cursor.gap_max) return false;
  cursor.gap_max = 0;
  if (gap > 0) {
    cursor.sequence += gap;
    sink.drop(model::Reason::skipped, gap);
  }
  return true;
}

}  // namespace

std::uint64_t claimed(const Segment& segment, std::uint32_t lane) {
  if (segment.given_up || lane >= segment.control.lanes_open) return 0;
  const LaneCursor& cursor = segment.cursors[lane];
  const std::uint64_t sequence = segment.control.sequence[lane];
  const std::uint64_t tail = segment.control.tail[lane];
  if (sequence <= cursor.sequence || tail <= cursor.position) return 0;
  const std::uint64_t bytes = std::min(tail - cursor.position, segment.view->lanes()[lane].bytes);
  return std::min(sequence - cursor.sequence, bytes / kRecordBytesMin);
}

bool is_drained(const Segment& segment) {
  for (std::uint32_t lane = 0; lane < segment.control.lanes_open; ++lane) {
    if (segment.control.tail[lane] != segment.cursors[lane].position) return false;
  }
  return true;
}

Drain::Drain(std::uint64_t segment_bytes_per_turn, std::uint64_t bytes_per_turn)
    : segment_bytes_per_turn_(segment_bytes_per_turn),
      bytes_per_turn_(bytes_per_turn),
      // Only what is used of it is ever touched.
      buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(OTLPSHM_RECORD_BYTES_MAX)) {}

Drain::Found Drain::turn(const std::vector<Segment*>& segments, RecordSink& sink) {
  Found found = Found::nothing;
  turn_bytes_ = 0;
  const std::size_t first = next_segment_;
  std::size_t next = first + 1;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::size_t index = (first + i) % segments.size();
    switch (visit_segment(*segments[index], sink)) {
      case Found::nothing:
        break;
      case Found::records:
        found = Found::records;
        break;
      case Found::not_now:
        next_segment_ = index;
        stopped_serial_ = segments[index]->serial;
        return Found::not_now;
    }
    if (turn_bytes_ >= bytes_per_turn_) {
      next = index + 1;
      break;
    }
  }
  next_segment_ = segments.empty() ? 0 : next % segments.size();
  return found;
}

void Drain::give_share(Segment& segment) {
  const bool was_stopped = segment.serial == std::exchange(stopped_serial_, 0);
  if (was_stopped && segment.credit_bytes > 0) return;
  const auto share = static_cast<std::int64_t>(segment_bytes_per_turn_);
  segment.credit_bytes = std::min(segment.credit_bytes + share, share);
}

Drain::Found Drain::visit_segment(Segment& segment, RecordSink& sink) {
  if (segment.state != SegmentState::live) return Found::nothing;
  if (!segment.view->load_control(&segment.control)) {
    segment.state = SegmentState::lost;
    return Found::nothing;
  }
  give_share(segment);
  Found found = Found::nothing;
  const std::uint32_t lanes = segment.control.lanes_open;
  for (std::uint32_t i = 0; i < lanes && segment.state == SegmentState::live; ++i) {
    const std::uint32_t lane = (segment.next_lane + i) % lanes;
    if (segment.control.tail[lane] == segment.cursors[lane].position) continue;
    if (!is_cursor_sound(segment, lane)) {
      segment.state = SegmentState::quarantined;
      return found;
    }
    found = Found::records;
    if (segment.credit_bytes <= 0) {
      segment.next_lane = lane;
      return found;
    }
    if (visit_lane(segment, lane, sink) == Found::not_now) {
      segment.next_lane = lane;
      return Found::not_now;
    }
  }
  return found;
}

Drain::Found Drain::visit_lane(Segment& segment, std::uint32_t lane, RecordSink& sink) {
  LaneCursor& cursor = segment.cursors[lane];
  const std::uint64_t tail = segment.control.tail[lane];
  sink.begin(segment, lane);
  bool not_now = false;
  std::size_t bytes_needed = 0;  // by a record that did not fit the last read
  if (is_overwritten(segment, lane, tail)) skip_to_tail(segment, lane, sink);
  while (cursor.position < tail && !not_now && segment.credit_bytes > 0) {
    const std::uint64_t share =
        std::min<std::uint64_t>(kReadBytes, static_cast<std::uint64_t>(segment.credit_bytes));
    const auto bytes = static_cast<std::size_t>(
        std::min(tail - cursor.position, std::max<std::uint64_t>(share, bytes_needed)));
    if (!segment.view->read_lane(lane, cursor.position, {buffer_.get(), bytes})) {
      segment.state = SegmentState::lost;
      break;
    }
    if (cursor.position < cursor.found_to) {
      ControlUntrusted control;
      if (!segment.view->load_control(&control)) {
        segment.state = SegmentState::lost;
        break;
      }
      if (lane < control.lanes_open && is_overwritten(segment, lane, control.tail[lane])) {
        skip_to_tail(segment, lane, sink);
        break;
      }
    }
    const Parsed parsed = parse(segment, lane, bytes, sink);
    segment.credit_bytes -= static_cast<std::int64_t>(parsed.bytes);
    turn_bytes_ += parsed.bytes;
    bytes_needed = parsed.bytes_needed;
    not_now = parsed.not_now;
  }
  sink.end(cursor);
  return not_now ? Found::not_now : Found::records;
}

Drain::Parsed Drain::parse(Segment& segment, std::uint32_t lane, std::size_t bytes,
                           RecordSink& sink) {
  LaneCursor& cursor = segment.cursors[lane];
  const std::uint64_t tail = segment.control.tail[lane];
  const std::uint64_t lane_bytes = segment.view->lanes()[lane].bytes;
  std::size_t at = 0;
  while (at < bytes) {
    const std::uint64_t available = tail - cursor.position;
    if (available < kRecordBytesMin) {
      skip_to_tail(segment, lane, sink);
      return {bytes, 0, false};
    }
    if (bytes - at < sizeof(otlpshm_record_header)) return {at, kRecordBytesMin, false};
    model::Record record;
    std::memcpy(&record.header, buffer_.get() + at, sizeof record.header);
    if (!is_frame(record.header, cursor.position, available, lane_bytes)) {
      skip_to_tail(segment, lane, sink);
      return {bytes, 0, false};
    }
    const auto record_bytes = static_cast<std::size_t>(padded(record.header.size));
    if (record_bytes > bytes - at) return {at, record_bytes, false};
    record.body = {buffer_.get() + at + sizeof record.header,
                   record.header.size - sizeof record.header};
    if (!is_next(record.header, cursor, sink)) {
      sink.drop(model::Reason::invalid_header, 1);
    } else if (sink.record(cursor, record) == RecordSink::Taken::not_now) {
      return {at, 0, true};
    }
    cursor.position += record_bytes;
    ++cursor.sequence;
    at += record_bytes;
    if (segment.credit_bytes <= static_cast<std::int64_t>(at)) break;  // the sink charged more
  }
  return {at, 0, false};
}

void Drain::give_up(Segment& segment, RecordSink& sink) {
  if (segment.given_up) return;
  const model::Reason reason = segment.state == SegmentState::lost ? model::Reason::segment_lost
                                                                   : model::Reason::quarantined;
  for (std::uint32_t lane = 0; lane < segment.lane_count(); ++lane) {
    const std::uint64_t count = claimed(segment, lane);
    if (count == 0) continue;
    sink.begin(segment, lane);
    sink.drop(reason, count);
    segment.cursors[lane].sequence += count;
    sink.end(segment.cursors[lane]);
  }
  segment.given_up = true;
}

}  // namespace otlpshm::ingest
