// SPDX-License-Identifier: Apache-2.0
// scenarios.cc: what the ring promises, each with the fewest threads and steps that could break it.
//   Runs   the library's own lane.c, segment.c, attach*.c and doorbell.h; the daemon's half is the
//          sequence of accesses of sidecar/ingest, written out here.
//   Sizes  a lane holds two records, so the third wraps onto the first.
#include "scenarios.h"

#include <cstring>
#include <initializer_list>

#include "kernel.h"
#include "library.h"

namespace otlpshm::model {
namespace {

constexpr std::uint32_t kRecordBytes = sizeof(otlpshm_record_header) + 8;
constexpr std::uint64_t kLaneBytes = std::uint64_t{2} * kRecordBytes;
constexpr unsigned kLanesMax = 2;

// ---- the world: one attachment, one segment, the daemon's two files -----------------------------

struct File {
  alignas(4096) std::uint8_t bytes[OTLPSHM_LANE_AREAS_OFFSET + kLanesMax * kLaneBytes];
} segment_file;
struct alignas(4096) {
  otlpshm_ack_header header;
  otlpshm_ack_slot slots[kLanesMax];
} ack_file;
otlpshm_state state_file;
otlpshm_attachment attachment;

otlpshm_segment& segment() {
  return attachment.segments[0];
}
otlpshm_control& control() {
  return *reinterpret_cast<otlpshm_control*>(segment_file.bytes + OTLPSHM_CONTROL_OFFSET);
}
otlpshm_lane_control& lane_control(unsigned lane) {
  return reinterpret_cast<otlpshm_lane_control*>(segment_file.bytes +
                                                 OTLPSHM_LANE_CONTROLS_OFFSET)[lane];
}
std::uint8_t* area(unsigned lane) {
  return segment_file.bytes + OTLPSHM_LANE_AREAS_OFFSET + lane * kLaneBytes;
}

// As attach.c leaves it, with `lanes` in the plan and `open` of them open.
void build_world(unsigned lanes, unsigned open) {
  ack_to_find = nullptr;
  std::memset(&segment_file, 0, sizeof segment_file);
  std::memset(&ack_file, 0, sizeof ack_file);
  std::memset(&state_file, 0, sizeof state_file);
  std::memset(&attachment, 0, sizeof attachment);
  track("segment file", &segment_file, sizeof segment_file);
  track("ack", &ack_file, sizeof ack_file);
  track("state", &state_file, sizeof state_file);
  track("attachment", &attachment, sizeof attachment);

  ack_file.header.state = otlpshm_ack_live;
  attachment.used = true;
  attachment.writers = 1;
  attachment.directory_there = 1;
  attachment.tick_at = UINT64_MAX;
  attachment.look_again_at = UINT64_MAX;
  attachment.lane_count = lanes;
  attachment.record_bytes_any = attachment.record_bytes_max = kLaneBytes / 2;
  attachment.current = &segment();
  segment().phase = otlpshm_segment_live;
  segment().lane_count = lanes;
  segment().lanes_open = open;
  segment().base = segment_file.bytes;
  segment().bytes = sizeof segment_file;
  segment().control = &control();
  segment().ack = &ack_file.header;
  segment().ack_bytes = sizeof ack_file;
  control().lanes_open = open;
  for (unsigned lane = 0; lane < lanes; ++lane) {
    attachment.lane_bytes[lane] = kLaneBytes;
    otlpshm_lane& own = segment().lanes[lane];
    own.lease = lane < open ? OTLPSHM_LEASE_FREE : OTLPSHM_LEASE_CLOSED;
    own.bytes = own.populated = own.limit = kLaneBytes;
    own.area = area(lane);
    own.control = &lane_control(lane);
  }
}

// ---- a writer ----------------------------------------------------------------------------------

// What a thread's n-th record says.
std::uint64_t tag_of(unsigned thread, unsigned n) {
  return 0x1111111100000000u + (std::uint64_t{thread} << 8) + n;
}

bool commit(unsigned thread, unsigned n) {
  std::uint8_t bytes[kRecordBytes] = {};
  const std::uint64_t tag = tag_of(thread, n);
  std::memcpy(bytes + sizeof(otlpshm_record_header), &tag, sizeof tag);
  return otlpshm_lane_commit(&attachment, bytes, kRecordBytes, nullptr, 0, false) == OTLPSHM_OK;
}

// ---- the daemon: sidecar/ingest's accesses
// ---------------------------------------------------------

struct Cursor {
  std::uint64_t position = 0;
  std::uint64_t sequence = 0;
  std::uint64_t tags[4] = {};
} cursors[kLanesMax];

struct Copied {
  std::uint8_t bytes[kRecordBytes];
};

Copied copy_record(unsigned lane, std::uint64_t position, bool checked) {
  Copied copied;
  const std::uint64_t at = position % kLaneBytes;  // a record never wraps in these lanes
  if (checked) {
    read_bytes(copied.bytes, area(lane) + at, kRecordBytes);
  } else {
    std::memcpy(copied.bytes, area(lane) + at, kRecordBytes);
  }
  return copied;
}

void take_records(unsigned lane, std::uint64_t tail, bool checked) {
  Cursor& cursor = cursors[lane];
  require(tail % kRecordBytes == 0, "tail stands between two records");
  require(tail >= cursor.position, "tail fell");
  while (cursor.position < tail) {
    const Copied copied = copy_record(lane, cursor.position, checked);
    otlpshm_record_header header;
    std::memcpy(&header, copied.bytes, sizeof header);
    require(header.size == kRecordBytes, "a record has another record's size");
    require(header.position_low == static_cast<std::uint32_t>(cursor.position),
            "a record says that it stands elsewhere");
    require(header.sequence == cursor.sequence + 1, "a sequence is missing or repeated");
    require(cursor.sequence < 4, "more records than were written");
    std::memcpy(&cursor.tags[cursor.sequence], copied.bytes + sizeof header, 8);
    cursor.position += kRecordBytes;
    ++cursor.sequence;
  }
}

// SegmentView::load_control and Drain, of one lane.
void drain(unsigned lane) {
  const std::uint64_t sequence =
      load("daemon sequence", &lane_control(lane).sequence, __ATOMIC_ACQUIRE);
  const std::uint64_t tail =
      load("daemon SYNC(commit) tail", &lane_control(lane).tail, __ATOMIC_ACQUIRE);
  require(sequence * kRecordBytes <= tail, "sequence leads tail");
  take_records(lane, tail, true);
}

// Ack::release.
void settle(unsigned lane, std::uint64_t selector) {
  otlpshm_ack_slot& slot = ack_file.slots[lane];
  otlpshm_ack_copy& idle = slot.copies[selector & 1];
  fence("daemon SYNC(release) fence", __ATOMIC_RELEASE);
  store("daemon copy", &idle.release, cursors[lane].position, __ATOMIC_RELAXED);
  store("daemon copy", &idle.sequence, cursors[lane].sequence, __ATOMIC_RELAXED);
  store("daemon copy", &idle.exported, cursors[lane].sequence, __ATOMIC_RELAXED);
  store("daemon SYNC(release) selector", &slot.selector, selector, __ATOMIC_RELEASE);
}

void start_world() {
  for (Cursor& cursor : cursors) cursor = {};
  reset_kernel();
}

// After an execution: the rest of each lane, as the next daemon would read it.
void drain_rest(unsigned lanes) {
  for (unsigned lane = 0; lane < lanes; ++lane) {
    take_records(lane, lane_control(lane).tail, false);
    require(lane_control(lane).sequence == cursors[lane].sequence,
            "the lane's sequence is not its last record's");
  }
}

unsigned times_found(std::uint64_t tag) {
  unsigned times = 0;
  for (const Cursor& cursor : cursors) {
    for (const std::uint64_t each : cursor.tags) times += each == tag ? 1 : 0;
  }
  return times;
}

// ---- commit and drain --------------------------------------------------------------------------

const Scenario commit_and_drain = {
    "commit",
    "a tail that is seen has its records' bytes behind it, and no sequence leads it",
    2,
    [] { build_world(1, 1); },
    start_world,
    [](unsigned thread) {
      if (thread == 0) {
        require(commit(0, 1) && commit(0, 2), "a record that fits was dropped");
      } else {
        drain(0);
        drain(0);
      }
    },
    [] {
      drain_rest(1);
      require(times_found(tag_of(0, 1)) == 1 && times_found(tag_of(0, 2)) == 1,
              "a committed record is lost");
    }};

// ---- two writers, one reader
// ---------------------------------------------------------------------

const Scenario two_writers = {
    "lease",
    "two writers of a lane never meet in it, and each record is there once",
    3,
    [] { build_world(1, 1); },
    start_world,
    [](unsigned thread) {
      if (thread < 2) {
        require(commit(thread, 1), "a record that fits was dropped");
      } else {
        drain(0);
      }
    },
    [] {
      drain_rest(1);
      require(times_found(tag_of(0, 1)) == 1 && times_found(tag_of(1, 1)) == 1,
              "a committed record is lost or doubled");
    }};

// ---- release and reuse -------------------------------------------------------------------------

bool third_kept;

const Scenario release_and_reuse = {
    "release",
    "bytes are overwritten only after they were released, and then they are read new",
    2,
    [] { build_world(1, 1); },
    [] {
      start_world();
      third_kept = false;
    },
    [](unsigned thread) {
      if (thread == 0) {
        require(commit(0, 1) && commit(0, 2), "a record that fits was dropped");
        third_kept = commit(0, 3);
      } else {
        drain(0);
        settle(0, 1);
        drain(0);
      }
    },
    [] {
      drain_rest(1);
      require(times_found(tag_of(0, 1)) == 1 && times_found(tag_of(0, 2)) == 1 &&
                  times_found(tag_of(0, 3)) == (third_kept ? 1 : 0),
              "a committed record is lost");
      require(third_kept || control().dropped[otlpshm_drop_lane_full] == 1,
              "a dropped record is not counted");
    }};

// ---- the ack's two copies
// ------------------------------------------------------------------------

const Scenario ack_copies = {
    "ack",
    "position and counts of an ack slot are of one moment, and never go back",
    2,
    [] { build_world(1, 1); },
    start_world,
    [](unsigned thread) {
      if (thread == 0) {
        std::uint64_t last = 0;
        for (int i = 0; i < 2; ++i) {
          otlpshm_ack_copy copy;
          if (!otlpshm_segment_read_ack(&segment(), 0, &copy)) continue;
          require(copy.release == copy.sequence * kRecordBytes, "a position has other counts");
          require(copy.exported == copy.sequence, "a sequence has another count of exported");
          require(copy.sequence >= last, "an ack goes back");
          last = copy.sequence;
        }
      } else {
        for (std::uint64_t selector = 1; selector <= 2; ++selector) {
          cursors[0].position += kRecordBytes;
          ++cursors[0].sequence;
          settle(0, selector);
        }
      }
    },
    [] {}};

// ---- a lane opens under the scan
// -------------------------------------------------------------------

// Both of lane 0's records are there, and not released.
void fill_lane_0() {
  segment().lanes[0].tail = lane_control(0).tail = kLaneBytes;
  segment().lanes[0].sequence = lane_control(0).sequence = 2;
}

bool kept[2];

void start_with_full_lane_0() {
  start_world();
  cursors[0].position = kLaneBytes;
  cursors[0].sequence = 2;
  kept[0] = kept[1] = false;
}

void build_with_full_lane_0() {
  build_world(2, 1);
  fill_lane_0();
}

void check_opened(unsigned writers) {
  drain_rest(2);
  require(control().lanes_open == 2, "a lane holds a record and is not open");
  for (unsigned thread = 0; thread < writers; ++thread) {
    require(kept[thread], "a record was dropped though a lane was left to open");
    require(times_found(tag_of(thread, 1)) == 1, "a committed record is lost");
  }
}

const Scenario opening = {"open",
                          "two that open a lane at once open it once, and never meet in it",
                          2,
                          build_with_full_lane_0,
                          start_with_full_lane_0,
                          [](unsigned thread) { kept[thread] = commit(thread, 1); },
                          [] { check_opened(2); },
                          1};

const Scenario opening_and_scan = {"open-scan",
                                   "a scan that sees a lane open finds only whole records in it",
                                   2,
                                   build_with_full_lane_0,
                                   start_with_full_lane_0,
                                   [](unsigned thread) {
                                     if (thread == 0) {
                                       kept[0] = commit(0, 1);
                                       return;
                                     }
                                     const std::uint32_t open =
                                         load("daemon SYNC(open) lanes_open", &control().lanes_open,
                                              __ATOMIC_ACQUIRE);
                                     require(open <= 2, "more lanes are open than there are");
                                     for (std::uint32_t lane = 1; lane < open; ++lane) drain(lane);
                                   },
                                   [] { check_opened(1); }};

// ---- rows of the tables
// ----------------------------------------------------------------------------

const Scenario tables = {
    "tables",
    "a row that is counted is whole, with its bytes",
    2,
    [] { build_world(1, 1); },
    start_world,
    [](unsigned thread) {
      static const std::uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
      if (thread == 0) {
        (void)otlpshm_attach_resource(&attachment, bytes, 4);
        (void)otlpshm_attach_scope(&attachment, bytes + 4, 4, 0);
      } else {
        const std::uint32_t scopes =
            load("daemon SYNC(tables) scope_count", &control().scope_count, __ATOMIC_ACQUIRE);
        const std::uint32_t resources =
            load("daemon SYNC(tables) resource_count", &control().resource_count, __ATOMIC_ACQUIRE);
        require(scopes <= resources, "a scope is counted before its resource");
        for (std::uint32_t i = 0; i < scopes + resources; ++i) {
          const bool is_scope = i < scopes;
          otlpshm_table_entry row;
          read_bytes(&row,
                     segment_file.bytes +
                         (is_scope ? OTLPSHM_SCOPE_TABLE_OFFSET : OTLPSHM_RESOURCE_TABLE_OFFSET),
                     sizeof row);
          require(row.bytes == 4, "a row is not whole");
          std::uint8_t found[4];
          read_bytes(found, segment_file.bytes + OTLPSHM_TABLE_BYTES_OFFSET + row.offset, 4);
          require(std::memcmp(found, bytes + (is_scope ? 4 : 0), 4) == 0,
                  "a row names other bytes than its own");
        }
      }
    },
    [] {}};

// ---- the segment goes under its writers
// ------------------------------------------------------------

bool late_kept;

const Scenario closing = {
    "close",
    "a segment is unmapped when no lease can be taken any more, under no late writer",
    2,
    [] { build_world(1, 1); },
    [] {
      start_world();
      late_kept = false;
    },
    [](unsigned thread) {
      if (thread == 0) {
        late_kept = commit(0, 1);
      } else {
        otlpshm_attach_close(&attachment);
      }
    },
    [] {
      drain_rest(1);
      require(times_found(tag_of(0, 1)) == (late_kept ? 1 : 0), "a late record is lost or a ghost");
      unsigned long dropped = 0;
      for (const unsigned reason : {otlpshm_drop_no_segment, otlpshm_drop_lanes_busy}) {
        dropped += attachment.pending[reason] + control().dropped[reason];
      }
      require(dropped == (late_kept ? 0 : 1), "a dropped record is not counted, or twice");
    }};

const Scenario users = {
    "users",
    "a segment is unmapped when nobody counts in it, and no count is lost",
    2,
    [] { build_world(1, 1); },
    start_world,
    [](unsigned thread) {
      if (thread == 0) {
        (void)otlpshm_attach_drop(&attachment, otlpshm_drop_forked);
      } else {
        otlpshm_attach_close(&attachment);
      }
    },
    [] {
      require(attachment.pending[otlpshm_drop_forked] + control().dropped[otlpshm_drop_forked] == 1,
              "a drop is not counted, or twice");
    }};

const Scenario reaped = {
    "reaped",
    "a writer that sees its segment reaped leaves it, and what it keeps was not late",
    3,
    [] { build_world(1, 1); },
    [] {
      start_world();
      late_kept = false;
    },
    [](unsigned thread) {
      if (thread == 0) {
        late_kept = commit(0, 1);
      } else if (thread == 1) {
        (void)otlpshm_attach_again(&attachment, &segment());
      } else {
        store("daemon SYNC(reaped) state", &ack_file.header.state, otlpshm_ack_reaped,
              __ATOMIC_RELEASE);
      }
    },
    [] {
      drain_rest(1);
      require(times_found(tag_of(0, 1)) == (late_kept ? 1 : 0), "a late record is lost or a ghost");
    }};

// ---- a segment begins under a thread that knew its struct from another life
// -----------------------

const Scenario starting = {"start",
                           "who takes a lease sees the segment that it is of",
                           2,
                           [] {
                             build_world(1, 1);
                             segment().lanes[0].lease = OTLPSHM_LEASE_CLOSED;
                           },
                           [] {
                             start_world();
                             late_kept = false;
                           },
                           [](unsigned thread) {
                             if (thread == 0) {
                               late_kept = commit(0, 1);
                             } else {  // fill_lanes of segment.c
                               std::uint64_t zeros[2] = {};
                               write_bytes(&segment().lanes[0].tail, zeros, sizeof zeros);
                               otlpshm_segment_start(&segment());
                             }
                           },
                           [] {
                             drain_rest(1);
                             require(times_found(tag_of(0, 1)) == (late_kept ? 1 : 0),
                                     "a late record is lost or a ghost");
                           }};

// ---- the ack comes later than the segment
// ----------------------------------------------------------

const Scenario ack_appears = {
    "ack-appears",
    "a thread reads an ack that another has mapped only after it was mapped",
    2,
    [] {
      build_world(1, 1);
      fill_lane_0();
      segment().ack = nullptr;
      segment().ack_bytes = 0;
      ack_file.slots[0].copies[0].release = kLaneBytes;
      ack_to_find = &ack_file;
    },
    [] {
      start_world();
      cursors[0].position = kLaneBytes;
      cursors[0].sequence = 2;
      late_kept = false;
    },
    [](unsigned thread) {
      if (thread == 0) {
        late_kept = commit(0, 1);
      } else {
        otlpshm_attach_look(&attachment, 1, true);
      }
    },
    [] {
      drain_rest(1);
      require(times_found(tag_of(0, 1)) == (late_kept ? 1 : 0), "a record is lost or a ghost");
    }};

const Scenario ack_appears_at_close = {"ack-closes",
                                       "the last writer looks into an ack only after it was mapped",
                                       2,
                                       ack_appears.build,
                                       start_world,
                                       [](unsigned thread) {
                                         if (thread == 0) {
                                           otlpshm_attach_close(&attachment);
                                         } else {
                                           otlpshm_attach_look(&attachment, 1, true);
                                         }
                                       },
                                       [] {}};

// ---- a thread that dies with a lease
// ----------------------------------------------------------------

unsigned ended_before_death;
bool heir_kept;

const Scenario reclaim = {
    "reclaim",
    "who takes a dead thread's lane goes on where it stopped: no sequence twice, none missing",
    2,
    [] { build_world(1, 1); },
    [] {
      start_world();
      ended_before_death = 0;
      heir_kept = false;
    },
    [](unsigned thread) {
      if (thread == 0) {
        if (commit(0, 1)) ++ended_before_death;
      } else {
        otlpshm_lane_reclaim(&segment(), kFirstTid + 1);
        heir_kept = commit(1, 1);
      }
    },
    [] {
      take_records(0, lane_control(0).tail, false);
      require(times_found(tag_of(0, 1)) >= ended_before_death, "a record that was ended is lost");
      require(times_found(tag_of(0, 1)) <= 1, "a dead thread's record is there twice");
      require(times_found(tag_of(1, 1)) == (heir_kept ? 1 : 0), "the heir's record is lost");
    },
    0,
    0};

// ---- the daemon's heartbeat
// -------------------------------------------------------------------------

const Scenario look = {"look",
                       "one thread at a time looks at the daemon's files",
                       2,
                       [] {
                         build_world(1, 1);
                         attachment.state = &state_file;
                       },
                       start_world,
                       [](unsigned thread) { otlpshm_attach_look(&attachment, 1, thread == 0); },
                       [] {}};

// ---- the doorbell
// ------------------------------------------------------------------------------------

bool is_asleep;

void fall_asleep(unsigned lanes) {
  // The futex wait is armed: from here on, a ring ends the sleep.
  if (does("daemon publishes that it sleeps")) {
    store("daemon SYNC(sleep) epoch", &state_file.sleep_epoch, 1, __ATOMIC_RELAXED);
  }
  fence("daemon SYNC(sleep) membarrier", __ATOMIC_SEQ_CST);
  if (does("daemon scans again before it sleeps")) {
    for (unsigned lane = 0; lane < lanes; ++lane) drain(lane);
  }
  is_asleep = true;
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (cursors[lane].position != 0) is_asleep = false;
  }
}

void build_with_state() {
  build_world(1, 1);
  attachment.state = &state_file;
}

const Scenario doorbell = {"doorbell",
                           "no record waits for a daemon that sleeps and that nobody has rung",
                           2,
                           build_with_state,
                           [] {
                             start_world();
                             is_asleep = false;
                           },
                           [](unsigned thread) {
                             if (thread == 0) {
                               require(commit(0, 1), "a record that fits was dropped");
                             } else {
                               fall_asleep(1);
                             }
                           },
                           [] {
                             require(!is_asleep || rings > 0, "a lost wake-up");
                             require(rings <= 1, "an epoch was rung twice");
                           }};

const Scenario doorbell_of_two = {"doorbell-two",
                                  "two writers ring once an epoch, and not too rarely",
                                  3,
                                  build_with_state,
                                  [] {
                                    start_world();
                                    is_asleep = false;
                                  },
                                  [](unsigned thread) {
                                    if (thread < 2) {
                                      require(commit(thread, 1), "a record that fits was dropped");
                                    } else {
                                      fall_asleep(1);
                                    }
                                  },
                                  [] {
                                    require(!is_asleep || rings > 0, "a lost wake-up");
                                    require(rings <= 1, "an epoch was rung twice");
                                  }};

const Scenario* const all[] = {
    &commit_and_drain,
    &two_writers,
    &release_and_reuse,
    &ack_copies,
    &opening,
    &opening_and_scan,
    &tables,
    &closing,
    &users,
    &reaped,
    &starting,
    &ack_appears,
    &ack_appears_at_close,
    &reclaim,
    &look,
    &doorbell,
    &doorbell_of_two,
};

}  // namespace

const Scenario* const* scenarios(std::size_t* count) {
  *count = sizeof all / sizeof *all;
  return all;
}

}  // namespace otlpshm::model
