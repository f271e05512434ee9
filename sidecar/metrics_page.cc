// SPDX-License-Identifier: Apache-2.0
// metrics_page.cc: one function for each group of metrics.
#include "metrics_page.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "telemetry/log.h"

namespace otlpshm {

using ingest::Segment;
using ingest::SegmentState;
using telemetry::MetricType;

namespace {

std::uint64_t resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long size = 0;
  unsigned long long resident = 0;
  const int read = std::fscanf(file, "%llu %llu", &size, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Committed records of a lane: by its word, and at least those that were read.
std::uint64_t committed(const Source& source, std::uint32_t lane) {
  return source.cursors[lane].sequence + ingest::claimed(source, lane);
}

}  // namespace

void MetricsPage::add(const Source& source, Ended* sum) {
  for (std::uint32_t lane = 0; lane < source.lane_count(); ++lane) {
    const model::LaneSettled& settled = source.ledgers[lane]->settled();
    sum->ended += committed(source, lane);
    sum->exported += settled.exported;
    for (std::size_t i = 0; i < settled.dropped.size(); ++i) {
      sum->dropped[OTLPSHM_DAEMON_REASON_FIRST + i] += settled.dropped[i];
    }
  }
  for (std::size_t reason = 0; reason < source.dropped_by_producer.size(); ++reason) {
    sum->ended += source.dropped_by_producer[reason];
    sum->dropped[reason] += source.dropped_by_producer[reason];
  }
}

std::string MetricsPage::text() {
  spans();
  exports();
  segments();
  published();
  process();
  return page_.take();
}

void MetricsPage::counter(const char* name, std::uint64_t value, const char* help) {
  page_.family(name, MetricType::counter, help);
  page_.series(value);
}

void MetricsPage::gauge(const char* name, std::uint64_t value, const char* help) {
  page_.family(name, MetricType::gauge, help);
  page_.series(value);
}

void MetricsPage::spans() {
  Ended sum = sidecar_.ended_;
  std::uint64_t in_flight = 0;
  for (Segment* segment : sidecar_.segments_) {
    auto& source = static_cast<Source&>(*segment);
    sidecar_.echo(source);
    if (source.state != SegmentState::lost && !source.given_up &&
        !source.view->load_control(&source.control)) {
      source.state = SegmentState::lost;
    }
    add(source, &sum);
    for (std::uint32_t lane = 0; lane < source.lane_count(); ++lane) {
      in_flight += ingest::claimed(source, lane) + source.ledgers[lane]->unsettled();
    }
  }
  counter("otlpshm_spans_ended_total", sum.ended,
          "Spans that ended in applications: committed to a lane, or dropped there.");
  counter("otlpshm_spans_exported_total", sum.exported, "Spans that a backend has acknowledged.");
  page_.family("otlpshm_spans_dropped_total", MetricType::counter,
               "Spans that ended without an export, by reason (docs/abi.md).");
  for (const model::ReasonText& row : model::kReasons) {
    page_.series(sum.dropped[model::number(row.reason)], {{"reason", std::string(row.name)}});
  }
  gauge("otlpshm_spans_in_flight", in_flight,
        "Spans in lanes or batches, neither exported nor dropped yet.");
  counter("otlpshm_spans_drained_total", sidecar_.path_.drained(),
          "Spans that this daemon took out of lanes.");
  page_.family("otlpshm_export_latency_seconds", MetricType::histogram,
               "From the end of a span to its acknowledgement.");
  page_.series(sidecar_.path_.latency());
  page_.family("otlpshm_export_latency_quantile_seconds", MetricType::gauge,
               "The same since the start, finer than its buckets: at most 1/16 too high.");
  if (sidecar_.path_.latency().count() > 0) {
    for (const char* quantile : {"0.5", "0.99"}) {
      const std::uint64_t ns = sidecar_.path_.latency().quantile_ns(std::strtod(quantile, nullptr));
      page_.series(static_cast<double>(ns) / 1e9, {{"quantile", quantile}});
    }
  }
}

void MetricsPage::exports() {
  const exporting::ExporterCounts counts = sidecar_.exporter_->counts();
  counter("otlpshm_export_requests_total", counts.requests, "Requests sent, resends included.");
  counter("otlpshm_export_resends_total", counts.resends, "Requests that were sent before.");
  counter("otlpshm_export_resent_spans_total", counts.resent_spans, "Spans in resends.");
  page_.family("otlpshm_export_failures_total", MetricType::counter,
               "Requests that failed; retryable ones are sent again.");
  page_.series(counts.failures_retryable, {{"kind", "retryable"}});
  page_.series(counts.failures_permanent, {{"kind", "permanent"}});
  counter("otlpshm_export_bytes_total", counts.bytes, "Bytes of requests, before compression.");
  gauge("otlpshm_export_batches_in_flight", counts.in_flight, "Batches without an outcome yet.");
  gauge("otlpshm_slab_bytes", sidecar_.path_.slab_bytes(), "Memory of batches in use.");
}

void MetricsPage::segments() {
  std::uint64_t live = 0;
  std::uint64_t dead = 0;
  std::uint64_t quarantined = 0;
  for (const Segment* segment : sidecar_.segments_) {
    if (segment->state == SegmentState::quarantined) {
      ++quarantined;
    } else if (segment->producer_gone || segment->state == SegmentState::lost) {
      ++dead;
    } else {
      ++live;
    }
  }
  page_.family("otlpshm_segments", MetricType::gauge,
               "Segments by state; a dead one is being drained and settled.");
  page_.series(live, {{"state", "live"}});
  page_.series(dead, {{"state", "dead"}});
  page_.series(quarantined, {{"state", "quarantined"}});
  gauge("otlpshm_abi_skew_files", sidecar_.abi_skew_.size(),
        "Segments of a format that this daemon does not read.");
  gauge("otlpshm_unfit_files", sidecar_.unfit_.size(),
        "Files with a segment's name that are no segments.");
}

void MetricsPage::published() {
  page_.family("otlpshm_head_sampling_ratio", MetricType::gauge,
               "The part of new traces that producers are told to record.");
  page_.series(sidecar_.config_.head_sampling_ratio);
  gauge("otlpshm_clock_published", sidecar_.state_->clock_published() ? 1 : 0,
        "1 while producers may tell the time by the calibrated TSC.");
}

void MetricsPage::process() {
  page_.family("otlpshm_build_info", MetricType::gauge, "1; the version is in the label.");
  page_.series(std::uint64_t{1}, {{"version", OTLPSHM_VERSION}});
  page_.family("otlpshm_loop_info", MetricType::gauge, "1; the event loop is in the label.");
  page_.series(std::uint64_t{1}, {{"loop", sidecar_.loop_->name()}});
  counter("otlpshm_wakeups_total", sidecar_.turns_, "Turns of the event loop.");
  counter("otlpshm_log_suppressed_total", telemetry::log_suppressed(),
          "Log lines kept back by the rate limit.");
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  page_.family("process_cpu_seconds_total", MetricType::counter, "CPU time of all threads.");
  page_.series(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  gauge("process_resident_memory_bytes", resident_bytes(), "Resident memory.");
}

}  // namespace otlpshm
