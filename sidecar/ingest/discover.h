// SPDX-License-Identifier: Apache-2.0
// discover.h: which segments are there: a scan is the truth, inotify is a hint.
//   Owns   the directory's descriptor, its lock, and the watch, which is older than the first scan.
//   Never  opens a segment (segment_view does), works on an unbounded directory in one go, or
//          shares the directory with another daemon.
//   Loses  nothing: a hint that was lost is found by the next scan.
#ifndef OTLPSHM_INGEST_DISCOVER_H
#define OTLPSHM_INGEST_DISCOVER_H

#include <dirent.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ingest/descriptor.h"
#include "ingest/segment_id.h"

namespace otlpshm::ingest {

class Discover {
 public:
  // Null, with a sentence that names the remedy.
  static std::unique_ptr<Discover> open(const std::string& path, std::string* error);
  ~Discover();
  Discover(const Discover&) = delete;
  Discover& operator=(const Discover&) = delete;

  [[nodiscard]] int directory() const { return directory_.get(); }
  [[nodiscard]] int inotify() const { return inotify_.get(); }  // readable: call read_hints

  struct Events {
    std::function<void(const SegmentId&)> there;   // a segment has this name, known or not
    std::function<void(const SegmentId&)> closed;  // somebody let go of it: perhaps its producer
    std::function<void(const SegmentId&)> unnamed;
    // An ack has this name; if its segment has none and is not being drained, it is an orphan.
    std::function<void(const SegmentId&)> ack;
    std::function<void()> overflow;  // hints were lost: scan now
  };
  void read_hints(const Events& events);

  // Looks at the next `entries_max` names. True when the end of the directory was reached, which
  // completes a scan; the next call begins another.
  [[nodiscard]] bool scan(std::size_t entries_max, const Events& events);

 private:
  Discover() = default;
  void sweep(const char* name) const;

  Descriptor lock_;
  Descriptor directory_;
  Descriptor inotify_;
  DIR* listing_ = nullptr;  // of the scan under way
};

}  // namespace otlpshm::ingest

#endif
