// SPDX-License-Identifier: Apache-2.0
// console_exporter.h: station 9 for people: batches leave as trace trees on a descriptor.
//   Owns   spans until their trace is drawn, and every batch until its last span is written:
//          printing is the delivery.
//   Never  blocks on a reader that does not read, or prints one span twice.
//   Loses  what cannot be parsed or written (export_rejected).
#ifndef OTLPSHM_EXPORT_CONSOLE_EXPORTER_H
#define OTLPSHM_EXPORT_CONSOLE_EXPORTER_H

#include <cstddef>
#include <cstdint>
#include <memory>

#include "export/exporter.h"

namespace otlpshm::io {
class Loop;
}

namespace otlpshm::exporting {

struct ConsoleOptions {
  enum class Color : std::uint8_t { automatic, never, always };

  int fd = 1;                      // stays the caller's
  Color color = Color::automatic;  // on a terminal, unless NO_COLOR is set
  // A trace is drawn when its root has come and this long no other span of it ...
  std::uint32_t quiet_ms = 250;
  // ... or this long after its first span (its root, if that came), complete or not.
  std::uint32_t wait_ms_max = 2000;
  // Beyond these the oldest traces are drawn early.
  std::size_t traces_max = 1024;
  std::size_t spans_max = 16'384;
  std::size_t batches_max = 256;
  // Ids of drawn spans that are remembered, so that a second delivery is not drawn.
  std::size_t drawn_ids_max = 65'536;
};

// The process must ignore SIGPIPE. The loop must outlive the exporter. Outcomes come from callbacks
// of the loop, never from inside submit or shutdown.
[[nodiscard]] std::unique_ptr<Exporter> make_console_exporter(io::Loop& loop,
                                                              ConsoleOptions options,
                                                              Exporter::OnOutcome on_outcome);

}  // namespace otlpshm::exporting

#endif
