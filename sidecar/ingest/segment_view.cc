// SPDX-License-Identifier: Apache-2.0
// segment_view.cc: everything a hostile file can be is decided at open; what it can become later
// is an answer of each read.
#include "ingest/segment_view.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/interprocess/exceptions.hpp>
#include <cerrno>
#include <cstring>

#include "ingest/sigbus_guard.h"

namespace otlpshm::ingest {

namespace {

namespace interprocess = boost::interprocess;

// Lets Boost map a descriptor that we opened with our own flags and checks.
struct OpenFile {
  int fd;
  [[nodiscard]] interprocess::mapping_handle_t get_mapping_handle() const {
    return interprocess::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

// All of `into`, or false: the file ends before it.
bool pread_all(int fd, std::uint64_t offset, std::span<std::uint8_t> into) {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

template <typename Struct>
bool pread_struct(int fd, std::uint64_t offset, Struct* into) {
  return pread_all(fd, offset, {reinterpret_cast<std::uint8_t*>(into), sizeof *into});
}

OpenFault fault_of(int error) {
  switch (error) {
    case ENOENT:
      return OpenFault::gone;
    case EAGAIN:  // the owner holds a lease on it
    case EINTR:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return OpenFault::later;
    default:
      return OpenFault::unfit;  // ELOOP: a symbolic link; ENXIO: a socket; EACCES: not ours
  }
}

// Empty if the lanes are as docs/abi.md#segment wants them.
const char* fault_in_lanes(const otlpshm_segment_header& header) {
  if (header.lane_count < 1 || header.lane_count > OTLPSHM_LANES_MAX) {
    return "its lane_count is not 1 to 64";
  }
  const auto lanes = std::span(header.lanes).first(header.lane_count);
  for (const otlpshm_lane_entry& lane : lanes) {
    if (lane.area_bytes == 0 || lane.area_bytes % OTLPSHM_LANE_ALIGNMENT != 0 ||
        lane.area_bytes > OTLPSHM_LANE_BYTES_MAX || lane.area_bytes > lanes[0].area_bytes) {
      return "a lane has a size that is not allowed";
    }
    if (lane.area_offset < OTLPSHM_LANE_AREAS_OFFSET ||
        lane.area_offset % OTLPSHM_LANE_ALIGNMENT != 0 ||
        lane.area_offset > header.file.file_bytes ||
        lane.area_bytes > header.file.file_bytes - lane.area_offset) {
      return "a lane lies outside of the file";
    }
    for (const otlpshm_lane_entry& other : lanes) {
      if (&other != &lane && other.area_offset < lane.area_offset + lane.area_bytes &&
          lane.area_offset < other.area_offset + other.area_bytes) {
        return "two lanes overlap";
      }
    }
  }
  return "";
}

}  // namespace

std::unique_ptr<SegmentView> SegmentView::open(int directory, const SegmentId& id, OpenFault* fault,
                                               std::string* why) {
  const auto refuse = [&](OpenFault kind, std::string sentence) {
    *fault = kind;
    *why = std::move(sentence);
    return nullptr;
  };
  Descriptor fd(::openat(directory, id.segment_name().c_str(),
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return refuse(fault_of(errno), std::strerror(errno));
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) return refuse(OpenFault::unfit, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return refuse(OpenFault::unfit, "it is not a regular file");
  if (status.st_nlink == 0) return refuse(OpenFault::gone, "it was unlinked");
  if (status.st_nlink != 1) return refuse(OpenFault::unfit, "it has more than one name");

  otlpshm_segment_header header;
  if (!pread_struct(fd.get(), OTLPSHM_SEGMENT_HEADER_OFFSET, &header)) {
    return refuse(OpenFault::unfit, "it is shorter than a header");
  }
  if (header.file.magic != OTLPSHM_SEGMENT_MAGIC) {
    return refuse(OpenFault::unfit, "it does not begin as a segment");
  }
  if (header.file.major != OTLPSHM_ABI_MAJOR || header.file.features_required != 0) {
    return refuse(OpenFault::abi_skew, "its format is " + std::to_string(header.file.major) + "." +
                                           std::to_string(header.file.minor) +
                                           " with required features " +
                                           std::to_string(header.file.features_required) +
                                           "; this daemon reads 1.x without any");
  }
  if (header.file.header_bytes != sizeof(otlpshm_file_header) ||
      !std::equal(id.bytes.begin(), id.bytes.end(), header.file.id)) {
    return refuse(OpenFault::unfit, "its header does not carry its name");
  }
  if (header.file.file_bytes != static_cast<std::uint64_t>(status.st_size)) {
    return refuse(OpenFault::unfit, "its size is not the one that its header declares");
  }
  if (const char* sentence = fault_in_lanes(header); *sentence != '\0') {
    return refuse(OpenFault::unfit, sentence);
  }

  std::unique_ptr<SegmentView> view(new SegmentView());
  view->id_ = id;
  view->producer_pid_ = header.producer_pid;
  for (const otlpshm_lane_entry& lane : std::span(header.lanes).first(header.lane_count)) {
    view->lanes_.push_back({lane.area_offset, lane.area_bytes});
  }
  view->fd_ = std::move(fd);
  if (!view->map(why)) {
    *fault = OpenFault::later;
    return nullptr;
  }
  *fault = OpenFault::none;
  return view;
}

bool SegmentView::map(std::string* why) {
  try {
    region_ = interprocess::mapped_region(OpenFile{fd_.get()}, interprocess::read_only,
                                          OTLPSHM_CONTROL_OFFSET, OTLPSHM_CONTROL_MAP_BYTES);
    return true;
  } catch (const interprocess::interprocess_exception& failure) {
    *why = std::string("its control page cannot be mapped: ") + failure.what();
    return false;
  }
}

const otlpshm_control& SegmentView::control() const {
  return *static_cast<const otlpshm_control*>(region_.get_address());
}

const otlpshm_lane_control& SegmentView::lane_control(std::uint32_t lane) const {
  const auto* const start = static_cast<const std::uint8_t*>(region_.get_address());
  return reinterpret_cast<const otlpshm_lane_control*>(
      start + (OTLPSHM_LANE_CONTROLS_OFFSET - OTLPSHM_CONTROL_OFFSET))[lane];
}

bool SegmentView::load_control(ControlUntrusted* into) const {
  return guarded([this, into] {
    const auto lane_count = static_cast<std::uint32_t>(lanes_.size());
    into->lanes_open = std::min(load_acquire(control().lanes_open), lane_count);  // SYNC(open)
    into->flush_request = load_relaxed(control().flush_request);
    for (std::uint32_t lane = 0; lane < into->lanes_open; ++lane) {
      // The sequence first: it never leads tail, so what it counts lies below the tail we load.
      into->sequence[lane] = load_acquire(lane_control(lane).sequence);
      into->tail[lane] = load_acquire(lane_control(lane).tail);  // SYNC(commit)
    }
  });
}

bool SegmentView::load_dropped(
    std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS>* dropped_untrusted) const {
  return guarded([this, dropped_untrusted] {
    for (std::size_t reason = 0; reason < OTLPSHM_PRODUCER_REASONS; ++reason) {
      (*dropped_untrusted)[reason] = load_relaxed(control().dropped[reason]);
    }
  });
}

bool SegmentView::read_lane(std::uint32_t lane, std::uint64_t position,
                            std::span<std::uint8_t> into) const {
  const LaneArea& area = lanes_[lane];
  const std::uint64_t at = position % area.bytes;
  const auto before_wrap =
      static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), area.bytes - at));
  return pread_all(fd_.get(), area.offset + at, into.first(before_wrap)) &&
         pread_all(fd_.get(), area.offset, into.subspan(before_wrap));
}

bool SegmentView::read_row(std::uint64_t table_offset, std::uint32_t index,
                           otlpshm_table_entry* row, std::vector<std::uint8_t>* bytes) const {
  if (!pread_struct(fd_.get(), table_offset + index * sizeof *row, row)) return false;
  if (row->offset > OTLPSHM_TABLE_BYTES_MAX || row->bytes > OTLPSHM_TABLE_BYTES_MAX - row->offset) {
    bytes->assign(1, 0);  // no protobuf field: the row will be found invalid, like any other
    return true;
  }
  bytes->resize(row->bytes);
  return pread_all(fd_.get(), OTLPSHM_TABLE_BYTES_OFFSET + row->offset, *bytes);
}

RowRead SegmentView::read_scope(std::uint32_t index, std::vector<std::uint8_t>* resource,
                                std::vector<std::uint8_t>* scope) const {
  std::uint32_t resource_count = 0;
  std::uint32_t scope_count = 0;
  const bool there = guarded([&] {
    scope_count = load_acquire(control().scope_count);        // SYNC(tables)
    resource_count = load_acquire(control().resource_count);  // SYNC(tables)
  });
  if (!there) return RowRead::lost;
  if (index >= std::min(scope_count, OTLPSHM_SCOPES_MAX)) return RowRead::absent;
  otlpshm_table_entry row;
  if (!read_row(OTLPSHM_SCOPE_TABLE_OFFSET, index, &row, scope)) return RowRead::lost;
  const std::uint32_t resource_index = row.resource_index;
  if (resource_index >= std::min(resource_count, OTLPSHM_RESOURCES_MAX)) return RowRead::absent;
  if (!read_row(OTLPSHM_RESOURCE_TABLE_OFFSET, resource_index, &row, resource)) {
    return RowRead::lost;
  }
  return RowRead::yes;
}

bool SegmentView::has_producer() const {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return ::fcntl(fd_.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

bool SegmentView::has_name(int directory) const {
  struct stat ours = {};
  struct stat named = {};
  return ::fstat(fd_.get(), &ours) == 0 &&
         ::fstatat(directory, id_.segment_name().c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace otlpshm::ingest
