// SPDX-License-Identifier: Apache-2.0
// reap.h: what happens to a segment whose producer is gone.
//   Owns   the times at which a suspected death is looked at again.
//   Never  takes time for a proof of death: only a free lock is, and a tail that moves refutes it.
//   Order  confirm that the lock is free; load tails; drain; settle; store reaped; unlink the
//          segment; unlink the ack. A kill between any two leaves the rest to the next daemon.
#ifndef OTLPSHM_INGEST_REAP_H
#define OTLPSHM_INGEST_REAP_H

#include <cstdint>
#include <map>

#include "ingest/segment.h"

namespace otlpshm::ingest {

class Reap {
 public:
  explicit Reap(int directory) : directory_(directory) {}

  // Something closed the segment. The kernel tells so before it drops the lock, so the lock is
  // looked at now, after 10 ms and after 100 ms; and in every scan, whatever was heard.
  void suspect(std::uint64_t serial, std::uint64_t now_ns);
  // When the next look is due; UINT64_MAX: none is.
  [[nodiscard]] std::uint64_t due_ns() const;
  // The serial of a segment whose look is due, taken off the list; 0: none is due.
  [[nodiscard]] std::uint64_t take_due(std::uint64_t now_ns);

  // Looks at the lock.
  static void look(Segment& segment);
  // Does the last steps if all before them are done: true when the segment is over, and its files
  // are gone.
  [[nodiscard]] bool finish(Segment& segment) const;

 private:
  const int directory_;
  std::multimap<std::uint64_t, std::uint64_t> looks_;  // due time -> serial
};

}  // namespace otlpshm::ingest

#endif
