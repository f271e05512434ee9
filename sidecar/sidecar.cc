// SPDX-License-Identifier: Apache-2.0
// sidecar.cc: the composition root, the only file that knows every station.

// Memory at worst, beside the program itself:
//   batches        memory.slab_bytes_max, and 256 KiB for envelopes  (pipeline/slabs.h)
//   drain          4 MiB, of which 128 KiB are touched by records up to that size
//   segments       12 KiB of page tables' worth, 4 KiB + 704 B x lanes of ack, 1 KiB x lanes of
//                  cursors and books: below 128 KiB each, at most kSegmentsMax of them
//   scopes         64 KiB of table bytes for each segment, less what equal ones share
//   refused names  kRefusedMax x 80 B
//   admin          32 connections x 16 KiB, and one page of metrics
//   exporter       its own bound: requests_in_flight_max batches, counted above
#include "sidecar.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "ingest/resync.h"
#include "io/clock.h"
#include "io/tsc.h"
#include "metrics_page.h"
#include "telemetry/log.h"

namespace otlpshm {

using ingest::Drain;
using ingest::Segment;
using ingest::SegmentId;
using ingest::SegmentState;
using telemetry::LogLevel;

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kPollNs = kMs;
// After the last record, lanes are looked at each millisecond for so long: to sleep and be woken
// costs a producer a system call.
constexpr std::uint64_t kPollingNs = 20 * kMs;
// A young batch waits for company, even when nothing else is under way.
constexpr std::uint64_t kLingerNs = 2 * kMs;
// With every batch under way, an outcome ends the wait; this only bounds it.
constexpr std::uint64_t kBlockedNs = 50 * kMs;
constexpr std::uint64_t kHeartbeatMs = 1000;

constexpr std::size_t kSegmentsMax = 16384;
constexpr std::size_t kRefusedMax = 4096;
constexpr std::size_t kScanEntriesPerTurn = 512;
// What is kept stops the drain when all batches are out; what is dropped does not. Timers and the
// admin port wait no longer than it takes to read so much, and one share.
constexpr std::uint64_t kDrainBytesPerTurn = 32 << 20;
constexpr std::uint64_t kResyncNsMax = 50 * kMs;  // then what is new waits for the next turn

}  // namespace

// ---- construction ------------------------------------------------------------------------------

Sidecar::Sidecar(const config::Config& config, std::unique_ptr<io::Loop> loop)
    : config_(config),
      loop_(std::move(loop)),
      drain_(config.drain_bytes_per_turn_max, kDrainBytesPerTurn),
      path_(config) {}

Sidecar::~Sidecar() {
  if (discover_ != nullptr) loop_->unwatch(discover_->inotify());
}

std::unique_ptr<Sidecar> Sidecar::make(const config::Config& config, std::unique_ptr<io::Loop> loop,
                                       const MakeExporter& make_exporter, std::string* error) {
  std::unique_ptr<Sidecar> sidecar(new Sidecar(config, std::move(loop)));
  if (!sidecar->start(make_exporter, error)) return nullptr;
  return sidecar;
}

bool Sidecar::start(const MakeExporter& make_exporter, std::string* error) {
  discover_ = ingest::Discover::open(config_.dir, error);
  if (discover_ == nullptr) return false;
  exporter_ = make_exporter(
      *loop_, [this](const model::ExportOutcome& outcome) { path_.on_outcome(outcome); }, error);
  if (exporter_ == nullptr) return false;
  path_.connect(exporter_.get());
  reap_ = std::make_unique<ingest::Reap>(discover_->directory());
  admin_ = admin::HttpServer::listen(
      loop_.get(), config_.admin_listen.text(),
      admin::health_routes({[this] { return readiness(); }, [this] { return metrics(); }}), error);
  if (admin_ == nullptr) return false;

  events_.there = [this](const SegmentId& id) { take_up(id); };
  events_.closed = [this](const SegmentId& id) {
    const auto found = by_id_.find(id);
    if (found != by_id_.end()) reap_->suspect(found->second->serial, io::monotonic_ns());
  };
  events_.unnamed = [this](const SegmentId& id) {
    unfit_.erase(id);
    abi_skew_.erase(id);
    const auto found = by_id_.find(id);
    if (found != by_id_.end()) lose_name(*found->second);
  };
  events_.ack = [this](const SegmentId& id) { sweep_ack(id); };
  events_.overflow = [this] { scan_wanted_ = true; };
  if (!loop_->watch(discover_->inotify(), io::Interest::read,
                    [this] { discover_->read_hints(events_); })) {
    *error = "the loop cannot watch the directory " + config_.dir;
    return false;
  }
  // Last: from here on producers count on a daemon.
  state_ = ingest::StateFile::open(discover_->directory(), error);
  if (state_ == nullptr) {
    *error = "directory " + config_.dir + ": " + *error;
    return false;
  }
  state_->publish_head_ratio(config_.head_sampling_ratio);
  publish_clock();
  doorbell_ = std::make_unique<ingest::Doorbell>(*loop_, *state_);
  loop_->every(kHeartbeatMs, [this] { beat(); });
  loop_->every(config_.drain_scan_interval_ms, [this] { tick(); });
  return true;
}

std::string Sidecar::ready_line() const {
  const std::string listen = config_.admin_listen.text();
  return "otlpshmd ready dir=" + config_.dir + " admin=" + listen.substr(0, listen.rfind(':')) +
         ":" + std::to_string(admin_->port()) + " loop=" + loop_->name() +
         " pid=" + std::to_string(::getpid());
}

// ---- turns -------------------------------------------------------------------------------------

void Sidecar::run() {
  std::uint64_t wait = 0;
  while (!stopping_) {
    loop_->run_once(wait);
    ++turns_;
    wait = turn();
  }
  // Intake is over. What is in the open batch was copied, not taken: if the exporter is busy it
  // stays in its lanes.
  path_.send();
  exporter_->shutdown(static_cast<std::uint32_t>(config_.shutdown_timeout_ms));
  const std::uint64_t deadline_ns = io::monotonic_ns() + (config_.shutdown_timeout_ms + 500) * kMs;
  while (exporter_->counts().in_flight > 0 && io::monotonic_ns() < deadline_ns) {
    loop_->run_once(10 * kMs);
  }
  for (Segment* segment : std::vector<Segment*>(segments_)) {
    auto& source = static_cast<Source&>(*segment);
    echo(source);
    finish_if_over(source);
  }
}

void Sidecar::stop() {
  stopping_ = true;
}

std::uint64_t Sidecar::turn() {
  const std::uint64_t now_ns = io::monotonic_ns();
  resync_ns_ = 0;
  scan_some();
  look_at_suspects(now_ns);
  const Drain::Found found =
      path_.can_take() ? drain_.turn(segments_, path_) : Drain::Found::not_now;
  for (Segment* segment : segments_) tend(static_cast<Source&>(*segment));
  for (Source* source : std::exchange(over_, {})) forget(*source);
  send_if_due(found, now_ns);
  return wait_ns(found, now_ns);
}

void Sidecar::scan_some() {
  if (scan_wanted_ && !scanning_) {
    scan_wanted_ = false;
    scanning_ = true;
  }
  if (scanning_ && discover_->scan(kScanEntriesPerTurn, events_)) {
    scanning_ = false;
    scanned_ = true;
  }
}

void Sidecar::look_at_suspects(std::uint64_t now_ns) {
  while (const std::uint64_t serial = reap_->take_due(now_ns)) {
    if (Source* const source = path_.find(serial)) ingest::Reap::look(*source);
  }
}

// What a segment needs after the drain was there.
void Sidecar::tend(Source& source) {
  if (source.state == SegmentState::quarantined && source.ack->state() == otlpshm_ack_live) {
    quarantine(source);
  }
  if (source.state == SegmentState::lost) {
    Drain::give_up(source, path_);
  } else if (source.control.flush_request != source.ack->flush_echo() &&
             source.state == SegmentState::live) {
    flush_wanted_ = true;
    if (ingest::is_drained(source) && !source.ack->echo_flush(source.control.flush_request)) {
      source.state = SegmentState::lost;
    }
  }
  if (source.producer_gone || source.state == SegmentState::lost) finish_if_over(source);
}

void Sidecar::send_if_due(Drain::Found found, std::uint64_t now_ns) {
  if (!path_.batch_open()) {
    batch_opened_ns_ = 0;
    flush_wanted_ = false;
    return;
  }
  if (batch_opened_ns_ == 0) batch_opened_ns_ = now_ns;
  const std::uint64_t age_ns = now_ns - batch_opened_ns_;
  const bool alone =
      found == Drain::Found::nothing && exporter_->counts().in_flight == 0 && age_ns >= kLingerNs;
  if (alone || flush_wanted_ || age_ns >= config_.batch_age_ms_max * kMs) {
    if (path_.send()) {
      batch_opened_ns_ = 0;
      flush_wanted_ = false;
    }
  }
}

std::uint64_t Sidecar::wait_ns(Drain::Found found, std::uint64_t now_ns) {
  if (found == Drain::Found::not_now) {
    doorbell_->wake();
    return kBlockedNs;
  }
  if (found == Drain::Found::records || scanning_) {
    doorbell_->wake();
    worked_ns_ = now_ns;
    return 0;
  }
  if (path_.batch_open() && exporter_->ready()) return kPollNs;
  if (now_ns - worked_ns_ < kPollingNs) return kPollNs;
  const std::uint64_t rest_ns = doorbell_->rest(now_ns);
  if (rest_ns > kPollNs) path_.trim();
  const std::uint64_t look_ns = reap_->due_ns();
  return look_ns > now_ns ? std::min(rest_ns, look_ns - now_ns) : 0;
}

// ---- segments ----------------------------------------------------------------------------------

void Sidecar::take_up(const SegmentId& id) {
  if (by_id_.contains(id) || unfit_.contains(id) || abi_skew_.contains(id)) return;
  if (resync_ns_ > kResyncNsMax) {
    scan_wanted_ = true;
    return;
  }
  if (segments_.size() >= kSegmentsMax) {
    telemetry::log(LogLevel::error, "more segments than one daemon takes: some are not drained",
                   {{"limit", kSegmentsMax}});
    return;
  }
  ingest::OpenFault fault = ingest::OpenFault::none;
  std::string why;
  auto view = ingest::SegmentView::open(discover_->directory(), id, &fault, &why);
  switch (fault) {
    case ingest::OpenFault::none:
      break;
    case ingest::OpenFault::gone:
      return;
    case ingest::OpenFault::later:
      telemetry::log(LogLevel::warning, "a segment cannot be opened now: the next scan tries again",
                     {{"segment", id.hex()}, {"why", why}});
      return;
    case ingest::OpenFault::unfit:
      if (unfit_.size() < kRefusedMax) unfit_.insert(id);
      telemetry::log(LogLevel::warning, "a file has a segment's name and is none: it is left alone",
                     {{"segment", id.hex()}, {"why", why}});
      return;
    case ingest::OpenFault::abi_skew:
      if (abi_skew_.size() < kRefusedMax) abi_skew_.insert(id);
      telemetry::log(LogLevel::error, "a segment has a format that this daemon does not read",
                     {{"segment", id.hex()},
                      {"why", why},
                      {"remedy", "run a daemon and a library of the same major version"}});
      return;
  }
  auto ack = ingest::Ack::open(discover_->directory(), id,
                               static_cast<std::uint32_t>(view->lanes().size()), &why);
  if (ack == nullptr) {
    telemetry::log(LogLevel::error, "a segment gets no ack and is not drained",
                   {{"segment", id.hex()}, {"why", why}});
    return;
  }
  const std::uint64_t began_ns = io::monotonic_ns();
  const std::vector<std::uint64_t> found_to = ingest::resync(*view, *ack);
  resync_ns_ += io::monotonic_ns() - began_ns;
  telemetry::log(LogLevel::info, "a producer is there",
                 {{"segment", id.hex()},
                  {"pid", view->producer_pid_untrusted()},
                  {"lanes", view->lanes().size()},
                  {"adoptions", ack->adoptions()}});
  Source& source = path_.add(std::move(view), std::move(ack));
  for (std::uint32_t lane = 0; lane < source.lane_count(); ++lane) {
    source.cursors[lane].found_to = found_to[lane];
  }
  by_id_[id] = &source;
  segments_.push_back(&source);
  worked_ns_ = io::monotonic_ns();
  // It may have died before we came.
  ingest::Reap::look(source);
}

// The daemon's last word to a producer whose file has no name any more; it is drained all the same.
// What it drops from here on it adds to its next segment.
void Sidecar::lose_name(Source& source) {
  if (!source.has_name || source.view->has_name(discover_->directory())) return;
  source.has_name = false;
  reap_->suspect(source.serial, io::monotonic_ns());
  echo(source);
  if (!source.ack->set_state(otlpshm_ack_reaped)) source.state = SegmentState::lost;
}

void Sidecar::quarantine(Source& source) {
  telemetry::log(
      LogLevel::error, "a producer's cursors contradict themselves: it is not read on",
      {{"segment", source.view->id().hex()}, {"pid", source.view->producer_pid_untrusted()}});
  if (!source.ack->set_state(otlpshm_ack_quarantined)) source.state = SegmentState::lost;
}

void Sidecar::finish_if_over(Source& source) {
  echo(source);
  if (source.state != SegmentState::live && !source.given_up) {
    if (!source.view->load_control(&source.control)) source.state = SegmentState::lost;
    Drain::give_up(source, path_);
  }
  if (reap_->finish(source)) over_.push_back(&source);
}

void Sidecar::forget(Source& source) {
  const SegmentId id = source.view->id();
  telemetry::log(LogLevel::info, "a producer is gone, and its spans have settled",
                 {{"segment", id.hex()}, {"pid", source.view->producer_pid_untrusted()}});
  MetricsPage::add(source, &ended_);
  by_id_.erase(id);
  std::erase(segments_, &source);
  path_.remove(source.serial);
}

// Takes over what the producer dropped itself, and tells it so; not after the last word.
void Sidecar::echo(Source& source) {
  std::array<std::uint64_t, OTLPSHM_PRODUCER_REASONS> dropped_untrusted{};
  if (source.state == SegmentState::lost || source.ack->state() == otlpshm_ack_reaped) return;
  if (!source.view->load_dropped(&dropped_untrusted)) {
    source.state = SegmentState::lost;
    return;
  }
  bool grown = false;
  for (std::size_t reason = 0; reason < dropped_untrusted.size(); ++reason) {
    if (dropped_untrusted[reason] > source.dropped_by_producer[reason]) {
      source.dropped_by_producer[reason] = dropped_untrusted[reason];
      grown = true;
    }
  }
  if (grown && !source.ack->echo_dropped(source.dropped_by_producer)) {
    source.state = SegmentState::lost;
  }
}

// An ack whose segment is neither here nor on disk is of no use to anybody.
void Sidecar::sweep_ack(const SegmentId& id) {
  if (by_id_.contains(id)) return;
  if (::faccessat(discover_->directory(), id.segment_name().c_str(), F_OK, AT_SYMLINK_NOFOLLOW) ==
          0 ||
      errno != ENOENT) {
    return;
  }
  ::unlinkat(discover_->directory(), id.ack_name().c_str(), 0);
}

void Sidecar::tick() {
  scan_wanted_ = true;
  for (Segment* segment : segments_) {
    auto& source = static_cast<Source&>(*segment);
    echo(source);
    lose_name(source);
    ingest::Reap::look(source);
  }
}

// ---- what producers are told -------------------------------------------------------------------

void Sidecar::beat() {
  state_->beat();
  publish_clock();
}

bool Sidecar::may_publish_clock() const {
  switch (config_.clock) {
    case config::ClockChoice::automatic:
      return io::tsc_is_invariant() && io::kernel_keeps_time_by_tsc();
    case config::ClockChoice::on:
      return io::tsc_is_invariant();
    case config::ClockChoice::off:
      break;
  }
  return false;
}

void Sidecar::publish_clock() {
  const bool was_published = state_->clock_published();
  if (!may_publish_clock()) {
    baseline_ = {};
    state_->withdraw_clock();
  } else if (const auto sample = io::sample_tsc()) {
    if (const auto calibration = baseline_.add(*sample)) {
      state_->publish_clock(*calibration);
    } else {
      state_->withdraw_clock();
    }
  }  // else what is published is good for some seconds more
  if (state_->clock_published() == was_published) return;
  telemetry::log(LogLevel::info, was_published
                                     ? "applications ask the kernel for the time again"
                                     : "applications may tell the time by the calibrated TSC");
}

// ---- the admin port ----------------------------------------------------------------------------

std::vector<admin::Check> Sidecar::readiness() const {
  return {{"directory", scanned_, "the first scan of " + config_.dir + " is not done yet"}};
}

std::string Sidecar::metrics() {
  return MetricsPage(*this).text();
}

}  // namespace otlpshm
