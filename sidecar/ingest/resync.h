// SPDX-License-Identifier: Apache-2.0
// resync.h: finds the records of a segment again whose ack is lost, by their position echo.
//   Bound  the first record of a lane is looked for in as many bytes as a record may have, and all
//          lanes' chains have two million records.
//   Never  guesses: a chain of records must lead from the first one found exactly to tail.
//   Loses  the counts of what had settled: those sequences are counted as skipped.
#ifndef OTLPSHM_INGEST_RESYNC_H
#define OTLPSHM_INGEST_RESYNC_H

#include <cstdint>
#include <vector>

#include "ingest/release.h"
#include "ingest/segment_view.h"

namespace otlpshm::ingest {

// For an ack that was made anew, and for one whose daemon died before its producer had caught up
// with it. A lane in its first lap begins at 0; one whose release is more than a lap behind gets
// that of its oldest whole record. Returns LaneCursor::found_to of each lane. Where no record is
// found the lane stays as it is, and the drain sees a cursor that contradicts itself.
[[nodiscard]] std::vector<std::uint64_t> resync(const SegmentView& view, Ack& ack);

}  // namespace otlpshm::ingest

#endif
