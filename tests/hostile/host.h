// SPDX-License-Identifier: Apache-2.0
// host.h: an application as the cases of this suite see it: a writer, its spans, and its books.
//   Rule   the public API alone, through the library as it is shipped; what is in shared memory is
//          read with shared_files.h, which knows docs/abi.md and nothing of layout.h.
//   Checks errno around every call that it makes; the books of a case hold only when none changed.
#ifndef OTLPSHM_TESTS_HOSTILE_HOST_H
#define OTLPSHM_TESTS_HOSTILE_HOST_H

#include <sys/types.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "in_child.h"
#include "otlpshm/otlpshm.h"
#include "shared_files.h"

namespace otlpshm::hostile {

using library::AckFile;
using library::file_header;
using library::in_child;
using library::kBodySeconds;
using library::PrivateDirectory;
using library::SegmentFile;
using library::StateFile;
using library::status_of_child;
using library::write_file;

// Numbers of docs/abi.md#drop-reasons.
inline constexpr unsigned kLaneFull = 1;
inline constexpr unsigned kLanesBusy = 2;
inline constexpr unsigned kRecordTooLarge = 3;
inline constexpr unsigned kForked = 4;
inline constexpr unsigned kNoSegment = 5;

inline constexpr std::uint64_t kOneLane = 65536;
inline constexpr std::uint64_t kRoomy = std::uint64_t{64} << 20;

// ---- the application ----

otlpshm_writer_options options_of(const std::string& directory, std::uint64_t lane_bytes = 0);
otlpshm_writer* open_writer(const std::string& directory, std::uint64_t lane_bytes = 0);

// Starts a span with an attribute and ends it; returns what end returned, or kNoOp. Callable from
// any thread, from a child of a raw clone, and with OTLPSHM_SPAN_SIGNAL_SAFE in a signal handler.
inline constexpr int kNoOp =
    1;  // nothing was recorded: counted as dropped at its start, or nowhere
int write_span(otlpshm_writer* writer, const char* name = "span", unsigned flags = 0);
// How many of `count` spans were kept.
std::uint64_t write_spans(otlpshm_writer* writer, std::uint64_t count, const char* name = "span");
// Calls that came back with another errno, in this process.
extern std::atomic<std::uint64_t> errno_changes;

// ---- its books ----

otlpshm_stats stats_of(otlpshm_writer* writer);
std::uint64_t dropped_of(const otlpshm_stats& stats);  // by the library, for whatever reason

// Requires ended = committed + dropped, once by the statistics and once by the segments: each lane
// is read from its first record to its tail, without a gap or a repeat in its sequence, without a
// torn record and without an id that occurs twice. Only for lanes in their first lap. Where a
// writer stopped between tail and sequence, the statistics may lag by that record.
otlpshm_stats check_books(otlpshm_writer* writer, const std::vector<std::string>& segments);
// The same of all segments that are in the directory.
otlpshm_stats check_books(otlpshm_writer* writer, const PrivateDirectory& directory);
// The records of a segment, checked as above; *lag is what its sequence words do not count yet.
std::uint64_t check_records(const SegmentFile& segment, std::uint64_t* lag = nullptr);

std::vector<std::string> segments_of(const PrivateDirectory& directory);  // paths
bool is_locked(const std::string& segment);                               // its producer lives

// ---- the machine ----

int wait_for(pid_t pid);  // 128 + signal, or the exit status
std::vector<std::string> open_descriptors();
std::string program(const std::string& name);  // a path beside this test program
void say_skipped(const std::string& why);      // loudly: on the case's output

// A mount namespace of its own for this process; false, and loudly, where that is not allowed.
// A tmpfs that is mounted in it goes with the process.
bool enter_mount_namespace();
void mount_tmpfs(const std::string& path, const std::string& options);

}  // namespace otlpshm::hostile

#endif
