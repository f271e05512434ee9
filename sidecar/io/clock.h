// SPDX-License-Identifier: Apache-2.0
// clock.h: the two clocks of the daemon, in nanoseconds. Any thread; never fails.
#ifndef OTLPSHM_IO_CLOCK_H
#define OTLPSHM_IO_CLOCK_H

#include <cstdint>

namespace otlpshm::io {

// For durations and deadlines. Does not count suspended time, and differs between time namespaces.
uint64_t monotonic_ns();

// Since 1970-01-01 UTC. For timestamps only: it jumps.
uint64_t realtime_ns();

}  // namespace otlpshm::io

#endif  // OTLPSHM_IO_CLOCK_H
