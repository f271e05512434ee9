// SPDX-License-Identifier: Apache-2.0
// resync.h: finds the records of a segment again whose ack is lost, by their position echo.
//   Never  guesses: a chain of records must lead from the first one found exactly to tail.
//   Loses  the counts of what had settled: those sequences are counted as skipped.
#ifndef OTLPSHM_INGEST_RESYNC_H
#define OTLPSHM_INGEST_RESYNC_H

#include <cstdint>
#include <vector>

#include "ingest/release.h"
#include "ingest/segment_view.h"

namespace otlpshm::ingest {

// For an ack that was made anew. A lane in its first lap begins at 0; one that has wrapped gets the
// release of its oldest whole record. Returns LaneCursor::found_to of each lane. Where no record is
// found the lane stays at 0, and the drain sees a cursor that contradicts itself.
[[nodiscard]] std::vector<std::uint64_t> resync(const SegmentView& view, Ack& ack);

}  // namespace otlpshm::ingest

#endif
