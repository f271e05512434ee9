// SPDX-License-Identifier: Apache-2.0
// sidecar.h: the daemon: every station, wired in the order of a span's path, and the loop's turns.
//   Owns   everything that main.cc does not: loop, directory, path, exporter, admin port.
//   Never  waits without a timeout, or for one producer longer than for another.
//   Loses  nothing at a stop: what is not acknowledged stays in the segments for the next daemon.
#ifndef OTLPSHM_SIDECAR_H
#define OTLPSHM_SIDECAR_H

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "admin/health.h"
#include "admin/http.h"
#include "config/options.h"
#include "export/exporter.h"
#include "ingest/calibration.h"
#include "ingest/discover.h"
#include "ingest/doorbell.h"
#include "ingest/drain.h"
#include "ingest/reap.h"
#include "ingest/state_file.h"
#include "io/loop.h"
#include "path.h"

namespace otlpshm {

// What counts on past the segments that it came from.
struct Ended {
  std::uint64_t ended = 0;
  std::uint64_t exported = 0;
  model::DropCounts dropped{};
};

class Sidecar {
 public:
  // Takes the loop, and where outcomes go; null, with a sentence, if it cannot be made.
  using MakeExporter = std::function<std::unique_ptr<exporting::Exporter>(
      io::Loop&, exporting::Exporter::OnOutcome, std::string* error)>;

  // Null, with a sentence that names the thing and the remedy.
  static std::unique_ptr<Sidecar> make(const config::Config& config, std::unique_ptr<io::Loop> loop,
                                       const MakeExporter& make_exporter, std::string* error);
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  // "otlpshmd ready dir=... admin=... loop=... pid=..."
  [[nodiscard]] std::string ready_line() const;

  // Turns until stop() and until what was under way has settled, or shutdown.timeout_ms is over.
  void run();
  // Stops the intake. Call it on the loop's thread.
  void stop();

 private:
  friend class MetricsPage;

  Sidecar(const config::Config& config, std::unique_ptr<io::Loop> loop);
  bool start(const MakeExporter& make_exporter, std::string* error);

  // One turn; returns how long the loop may wait before the next.
  std::uint64_t turn();
  void scan_some();
  void look_at_suspects(std::uint64_t now_ns);
  void tend(Source& source);
  void send_if_due(ingest::Drain::Found found, std::uint64_t now_ns);
  std::uint64_t wait_ns(ingest::Drain::Found found, std::uint64_t now_ns);

  void take_up(const ingest::SegmentId& id);
  void lose_name(Source& source);
  void finish_if_over(Source& source);
  void forget(Source& source);
  void sweep_ack(const ingest::SegmentId& id);
  void quarantine(Source& source);
  void echo(Source& source);
  void tick();
  void beat();
  [[nodiscard]] bool may_publish_clock() const;
  void publish_clock();

  [[nodiscard]] std::vector<admin::Check> readiness() const;
  [[nodiscard]] std::string metrics();

  const config::Config config_;
  // In the order of construction, which is the order of a span's path.
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<ingest::Discover> discover_;
  std::unique_ptr<ingest::StateFile> state_;
  ingest::Baseline baseline_;
  std::unique_ptr<ingest::Doorbell> doorbell_;
  ingest::Drain drain_;
  Path path_;
  std::unique_ptr<exporting::Exporter> exporter_;
  std::unique_ptr<ingest::Reap> reap_;
  std::unique_ptr<admin::HttpServer> admin_;

  ingest::Discover::Events events_;
  std::map<ingest::SegmentId, Source*> by_id_;
  std::vector<ingest::Segment*> segments_;  // the same, for the drain
  std::vector<Source*> over_;               // of this turn: their files are gone
  // Files that are no segments of ours, so that each is named once in the log.
  std::set<ingest::SegmentId> unfit_;
  std::set<ingest::SegmentId> abi_skew_;

  bool scan_wanted_ = true;
  bool scanning_ = false;
  bool scanned_ = false;  // once, to the end
  bool flush_wanted_ = false;
  std::uint64_t batch_opened_ns_ = 0;  // 0: no batch is open
  std::uint64_t worked_ns_ = 0;
  std::uint64_t resync_ns_ = 0;  // of this turn
  bool stopping_ = false;
  std::uint64_t turns_ = 0;
  Ended ended_;  // of segments that are over
};

}  // namespace otlpshm

#endif
