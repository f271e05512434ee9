// SPDX-License-Identifier: Apache-2.0
// release.cc: two copies and a selector for each lane.
#include "ingest/release.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingest/segment_view.h"
#include "ingest/sigbus_guard.h"
#include "io/clock.h"

namespace otlpshm::ingest {

namespace {

bool is_fit_header(const otlpshm_ack_header& header, const SegmentId& id,
                   std::uint32_t lane_count) {
  return header.file.magic == OTLPSHM_ACK_MAGIC && header.file.major == OTLPSHM_ABI_MAJOR &&
         header.file.header_bytes == sizeof(otlpshm_file_header) &&
         header.file.file_bytes == OTLPSHM_ACK_FILE_BYTES(lane_count) &&
         header.file.features_required == 0 &&
         std::equal(id.bytes.begin(), id.bytes.end(), header.file.id) &&
         header.lane_count == lane_count;
}

void fill_header(otlpshm_ack_header* header, const SegmentId& id, std::uint32_t lane_count) {
  header->file.magic = OTLPSHM_ACK_MAGIC;
  header->file.major = OTLPSHM_ABI_MAJOR;
  header->file.minor = OTLPSHM_ABI_MINOR;
  header->file.header_bytes = sizeof(otlpshm_file_header);
  header->file.file_bytes = OTLPSHM_ACK_FILE_BYTES(lane_count);
  std::copy(id.bytes.begin(), id.bytes.end(), header->file.id);
  header->file.created_unix_nano = io::realtime_ns();
  header->lane_count = lane_count;
  header->state = otlpshm_ack_live;
}

}  // namespace

Ack::Ack(std::unique_ptr<OwnFile> file, std::uint32_t lane_count, bool adopted)
    : file_(std::move(file)), adopted_(adopted), selectors_(lane_count, 0), settled_(lane_count) {}

std::unique_ptr<Ack> Ack::open(int directory, const SegmentId& id, std::uint32_t lane_count,
                               std::string* error) {
  const std::string name = id.ack_name();
  const auto bytes = static_cast<std::size_t>(OTLPSHM_ACK_FILE_BYTES(lane_count));
  std::unique_ptr<OwnFile> file =
      OwnFile::adopt(directory, name, bytes, [&](const std::uint8_t* start) {
        return is_fit_header(*reinterpret_cast<const otlpshm_ack_header*>(start), id, lane_count);
      });
  std::unique_ptr<Ack> ack;
  if (file != nullptr) {
    ack.reset(new Ack(std::move(file), lane_count, true));
    if (!ack->load_slots()) ack.reset();
  }
  if (ack == nullptr) {
    file = OwnFile::create(
        directory, name, bytes,
        [&](std::uint8_t* start) {
          fill_header(reinterpret_cast<otlpshm_ack_header*>(start), id, lane_count);
        },
        error);
    if (file == nullptr) return nullptr;
    ack.reset(new Ack(std::move(file), lane_count, false));
  }
  ack->file_->close_descriptor();
  ++ack->adoptions_;
  Ack* const bare = ack.get();
  if (!guarded([bare] { store_relaxed(bare->header().adoptions, bare->adoptions_); })) {
    *error = name + " was truncated while it was opened";
    return nullptr;
  }
  return ack;
}

// False if the slots cannot have been written by a daemon.
bool Ack::load_slots() {
  const bool loaded = guarded([this] {
    for (std::uint32_t lane = 0; lane < settled_.size(); ++lane) {
      selectors_[lane] = slot(lane).selector;
      const otlpshm_ack_copy& copy = slot(lane).copies[selectors_[lane] & 1];
      model::LaneSettled& settled = settled_[lane];
      settled.release = copy.release;
      settled.sequence = copy.sequence;
      settled.exported = copy.exported;
      settled.attempts = copy.attempts;
      std::copy(std::begin(copy.dropped), std::end(copy.dropped), settled.dropped.begin());
    }
    std::copy(std::begin(header().dropped_echo), std::end(header().dropped_echo),
              dropped_echo_.begin());
    flush_echo_ = header().flush_echo;
    adoptions_ = header().adoptions;
    state_ = static_cast<otlpshm_ack_state>(header().state);
  });
  if (!loaded) return false;
  return std::all_of(settled_.begin(), settled_.end(), [](const model::LaneSettled& lane) {
    std::uint64_t sum = lane.exported;
    for (const std::uint64_t count : lane.dropped) sum += count;
    return sum == lane.sequence && lane.release % OTLPSHM_RECORD_ALIGNMENT == 0;
  });
}

otlpshm_ack_header& Ack::header() const {
  return *reinterpret_cast<otlpshm_ack_header*>(file_->bytes());
}

otlpshm_ack_slot& Ack::slot(std::uint32_t lane) const {
  return reinterpret_cast<otlpshm_ack_slot*>(file_->bytes() + OTLPSHM_ACK_SLOTS_OFFSET)[lane];
}

std::uint64_t Ack::adoptions() const {
  return adoptions_;
}

std::uint64_t Ack::flush_echo() const {
  return flush_echo_;
}

std::uint64_t Ack::dropped_echo(std::size_t reason) const {
  return dropped_echo_[reason];
}

bool Ack::release(std::uint32_t lane, const model::LaneSettled& settled) {
  settled_[lane] = settled;
  const std::uint64_t next = ++selectors_[lane];
  return guarded([this, lane, next, &settled] {
    otlpshm_ack_slot& target = slot(lane);
    otlpshm_ack_copy& idle = target.copies[next & 1];
    // A reader that still holds the copy before last sees the selector move before its words do.
    release_fence();
    store_relaxed(idle.release, settled.release);
    store_relaxed(idle.sequence, settled.sequence);
    store_relaxed(idle.exported, settled.exported);
    store_relaxed(idle.attempts, settled.attempts);
    for (std::size_t i = 0; i < settled.dropped.size(); ++i) {
      store_relaxed(idle.dropped[i], settled.dropped[i]);
    }
    store_release(target.selector, next);  // SYNC(release)
  });
}

bool Ack::set_state(otlpshm_ack_state state) {
  state_ = state;
  return guarded([this] {
    store_release(header().state, static_cast<std::uint32_t>(state_));  // SYNC(reaped)
  });
}

bool Ack::echo_flush(std::uint64_t flush_request) {
  flush_echo_ = flush_request;
  return guarded([this] { store_relaxed(header().flush_echo, flush_echo_); });
}

bool Ack::echo_dropped(const std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS>& dropped) {
  dropped_echo_ = dropped;
  return guarded([this] {
    for (std::size_t reason = 0; reason < dropped_echo_.size(); ++reason) {
      store_relaxed(header().dropped_echo[reason], dropped_echo_[reason]);
    }
  });
}

}  // namespace otlpshm::ingest
