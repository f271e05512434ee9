// SPDX-License-Identifier: Apache-2.0
// console_exporter.cc: see console_exporter.h.
//   A span is held in an open trace until that trace is drawn; its text then waits in text_ until
//   the descriptor takes it; its batch is acknowledged when the text of its last span is written.
#include "export/console_exporter.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "export/trace_tree.h"
#include "io/clock.h"
#include "io/loop.h"
#include "proto/otlp_trace.pb.h"
#include "telemetry/log.h"

namespace otlpshm::exporting {
namespace {

// A pipe that polls as writable takes this much at once, even if it is in blocking mode.
constexpr std::size_t kWriteBytes = 4096;
constexpr std::size_t kWriteBytesPerTurn = 256 << 10;
// More text than this waits for a slow reader: no further batch is taken.
constexpr std::size_t kTextBytesMax = 1 << 20;
constexpr std::uint64_t kWriteAgainMs = 10;
constexpr std::uint64_t kDiskFullAgainMs = 1000;

std::uint64_t now_ms() {
  return io::monotonic_ns() / 1'000'000;
}

bool wants_color(const ConsoleOptions& options) {
  if (options.color != ConsoleOptions::Color::automatic) {
    return options.color == ConsoleOptions::Color::always;
  }
  const char* const no_color = std::getenv("NO_COLOR");
  return isatty(options.fd) == 1 && (no_color == nullptr || *no_color == '\0');
}

std::string flat_bytes(const model::Batch& batch) {
  std::string bytes;
  bytes.reserve(batch.bytes);
  for (const std::span<const std::uint8_t> part : batch.parts) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  }
  return bytes;
}

class ConsoleExporter final : public Exporter {
 public:
  ConsoleExporter(io::Loop& loop, ConsoleOptions options, OnOutcome on_outcome);
  ~ConsoleExporter() override;

  bool ready() const override;
  void submit(std::shared_ptr<const model::Batch> batch) override;
  void shutdown(std::uint32_t deadline_ms) override;
  ExporterCounts counts() const override;

 private:
  using BatchKey = std::uint64_t;  // order of submission
  using TraceKey = std::uint64_t;  // order of first spans

  struct HeldBatch {
    std::shared_ptr<const model::Batch> batch;
    std::size_t undrawn = 0;     // spans in open traces
    std::uint64_t text_end = 0;  // in the text of all times: the end of its last drawn span
    bool readable = true;
  };

  struct OpenTrace {
    std::string id;
    std::vector<TreeSpan> spans;
    std::unordered_set<std::string> span_ids;
    std::vector<BatchKey> holders;  // one for each span, repeated ones too
    std::uint64_t first_ms = 0;     // of the first span; of the root, once it is there
    std::uint64_t last_ms = 0;
    bool has_root = false;
  };

  void add(const proto::Span& span, std::string_view service, BatchKey key);
  std::uint64_t due_ms(const OpenTrace& trace) const;
  std::uint64_t text_end() const { return written_ + text_.size() - text_at_; }
  void make_room();
  void draw_due(std::uint64_t now);
  void draw_oldest();
  void draw(std::map<TraceKey, OpenTrace>::iterator at);
  void remember(std::string id);
  void wake_in(std::uint64_t delay_ms);
  void turn();
  void write_text(std::uint64_t now);
  void settle_written();
  void settle_all(model::ExportOutcome::Status status, const std::string& text);
  void settle(BatchKey key, model::ExportOutcome::Status status, std::string text);

  io::Loop& loop_;
  const ConsoleOptions options_;
  const OnOutcome on_outcome_;
  const bool color_;

  std::map<BatchKey, HeldBatch> batches_;
  BatchKey last_batch_ = 0;
  std::map<TraceKey, OpenTrace> traces_;
  std::unordered_map<std::string, TraceKey> trace_keys_;  // by trace id
  TraceKey last_trace_ = 0;
  std::size_t open_spans_ = 0;  // repeated ones too

  std::unordered_set<std::string> drawn_ids_;  // trace id and span id
  std::deque<std::string> drawn_order_;

  std::string text_;
  std::size_t text_at_ = 0;           // written of text_
  std::uint64_t written_ = 0;         // of the text of all times
  std::uint64_t write_after_ms_ = 0;  // the descriptor took nothing: not before this
  int write_error_ = 0;               // it will never take anything again

  ExporterCounts counts_;
  bool stopping_ = false;
  io::TimerId wake_ = 0;
  std::uint64_t wake_ms_ = 0;
  io::TimerId stop_deadline_ = 0;
};

ConsoleExporter::ConsoleExporter(io::Loop& loop, ConsoleOptions options, OnOutcome on_outcome)
    : loop_(loop),
      options_(std::move(options)),
      on_outcome_(std::move(on_outcome)),
      color_(wants_color(options_)) {}

ConsoleExporter::~ConsoleExporter() {
  loop_.cancel(wake_);
  loop_.cancel(stop_deadline_);
}

bool ConsoleExporter::ready() const {
  return !stopping_ && batches_.size() < options_.batches_max &&
         text_.size() - text_at_ < kTextBytesMax;
}

void ConsoleExporter::submit(std::shared_ptr<const model::Batch> batch) {
  assert(ready());
  assert(batch != nullptr);
  const BatchKey key = ++last_batch_;
  counts_.requests++;
  counts_.bytes += batch->bytes;
  counts_.in_flight++;
  const std::string bytes = flat_bytes(*batch);
  HeldBatch& held = batches_[key];
  held.batch = std::move(batch);

  proto::ExportTraceServiceRequest request;
  held.readable = request.ParseFromString(bytes);
  if (!held.readable) return wake_in(0);
  for (const proto::ResourceSpans& resource : request.resource_spans()) {
    const std::string service = service_name_of(resource.resource());
    for (const proto::ScopeSpans& scope : resource.scope_spans()) {
      for (const proto::Span& span : scope.spans()) add(span, service, key);
    }
  }
  make_room();
  wake_in(0);
}

void ConsoleExporter::add(const proto::Span& span, std::string_view service, BatchKey key) {
  HeldBatch& held = batches_.at(key);
  if (drawn_ids_.contains(span.trace_id() + span.span_id())) {
    held.text_end = text_end();  // the first one's text may still wait
    return;
  }
  const auto [at, is_new] = trace_keys_.try_emplace(span.trace_id(), last_trace_ + 1);
  OpenTrace& trace = traces_[at->second];
  trace.last_ms = now_ms();
  if (is_new) {
    last_trace_++;
    trace.id = span.trace_id();
    trace.first_ms = trace.last_ms;
  }
  trace.holders.push_back(key);
  held.undrawn++;
  open_spans_++;
  if (!trace.span_ids.insert(span.span_id()).second) return;
  trace.spans.push_back(tree_span_from(span, service));
  if (trace.spans.back().parent_id.empty() && !trace.has_root) {
    trace.has_root = true;
    trace.first_ms = trace.last_ms;
  }
}

std::uint64_t ConsoleExporter::due_ms(const OpenTrace& trace) const {
  const std::uint64_t latest = trace.first_ms + options_.wait_ms_max;
  return trace.has_root ? std::min(trace.last_ms + options_.quiet_ms, latest) : latest;
}

void ConsoleExporter::make_room() {
  while (traces_.size() > options_.traces_max || open_spans_ > options_.spans_max) draw_oldest();
  // Full of batches: the oldest goes first.
  if (batches_.size() < options_.batches_max) return;
  while (batches_.begin()->second.undrawn > 0) draw_oldest();
}

void ConsoleExporter::draw_due(std::uint64_t now) {
  for (auto at = traces_.begin(); at != traces_.end();) {
    const auto next = std::next(at);
    if (stopping_ || due_ms(at->second) <= now) draw(at);
    at = next;
  }
}

void ConsoleExporter::draw_oldest() {
  assert(!traces_.empty());
  draw(traces_.begin());
}

void ConsoleExporter::draw(std::map<TraceKey, OpenTrace>::iterator at) {
  OpenTrace& trace = at->second;
  for (const std::string& span_id : trace.span_ids) remember(trace.id + span_id);
  text_ += draw_trace(trace.id, std::move(trace.spans), color_);
  for (const BatchKey key : trace.holders) {
    HeldBatch& held = batches_.at(key);
    held.undrawn--;
    held.text_end = text_end();
  }
  open_spans_ -= trace.holders.size();
  trace_keys_.erase(trace.id);
  traces_.erase(at);
}

void ConsoleExporter::remember(std::string id) {
  if (drawn_order_.size() >= options_.drawn_ids_max) {
    drawn_ids_.erase(drawn_order_.front());
    drawn_order_.pop_front();
  }
  drawn_ids_.insert(id);
  drawn_order_.push_back(std::move(id));
}

// Runs turn() in `delay_ms` or earlier.
void ConsoleExporter::wake_in(std::uint64_t delay_ms) {
  const std::uint64_t at_ms = now_ms() + delay_ms;
  if (wake_ != 0 && wake_ms_ <= at_ms) return;
  loop_.cancel(wake_);
  wake_ms_ = at_ms;
  wake_ = loop_.after(delay_ms, [this] {
    wake_ = 0;
    turn();
  });
}

void ConsoleExporter::turn() {
  const std::uint64_t now = now_ms();
  draw_due(now);
  write_text(now);
  settle_written();  // may submit, and so wake

  std::uint64_t next_ms = UINT64_MAX;
  for (const auto& [key, trace] : traces_) next_ms = std::min(next_ms, due_ms(trace));
  if (text_at_ < text_.size()) next_ms = std::min(next_ms, std::max(write_after_ms_, now));
  if (next_ms != UINT64_MAX) wake_in(next_ms > now ? next_ms - now : 0);
}

// The descriptor may be a terminal that others share, so it stays in its mode: it is asked before
// each write whether it takes something.
void ConsoleExporter::write_text(std::uint64_t now) {
  if (now < write_after_ms_) return;
  const std::size_t stop = std::min(text_.size(), text_at_ + kWriteBytesPerTurn);
  while (text_at_ < stop && write_error_ == 0) {
    pollfd writable{options_.fd, POLLOUT, 0};
    if (poll(&writable, 1, 0) <= 0) {
      write_after_ms_ = now + kWriteAgainMs;
      return;
    }
    const ssize_t count =
        write(options_.fd, text_.data() + text_at_, std::min(stop - text_at_, kWriteBytes));
    if (count >= 0) {
      text_at_ += static_cast<std::size_t>(count);
      written_ += static_cast<std::uint64_t>(count);
    } else if (errno == EAGAIN || errno == EINTR) {
      write_after_ms_ = now + kWriteAgainMs;
      return;
    } else if (errno == ENOSPC || errno == EDQUOT) {
      counts_.failures_retryable++;
      telemetry::log(telemetry::LogLevel::warning, "no space to write traces; trying again");
      write_after_ms_ = now + kDiskFullAgainMs;
      return;
    } else {
      write_error_ = errno;
    }
  }
  if (text_at_ == text_.size()) {
    text_.clear();
    text_at_ = 0;
  } else if (text_at_ >= kTextBytesMax) {
    text_.erase(0, std::exchange(text_at_, 0));
  }
}

void ConsoleExporter::settle_written() {
  using Status = model::ExportOutcome::Status;
  if (write_error_ != 0) {
    return settle_all(Status::dropped,
                      std::string("cannot write traces: ") + std::strerror(write_error_));
  }
  std::vector<BatchKey> settled;
  for (const auto& [key, held] : batches_) {
    if (held.undrawn == 0 && held.text_end <= written_) settled.push_back(key);
  }
  for (const BatchKey key : settled) {
    if (batches_.at(key).readable) {
      settle(key, Status::acknowledged, "");
    } else {
      settle(key, Status::dropped, "the batch is not an ExportTraceServiceRequest");
    }
  }
}

// Every batch gets the same end; nothing more of them is drawn or written.
void ConsoleExporter::settle_all(model::ExportOutcome::Status status, const std::string& text) {
  traces_.clear();
  trace_keys_.clear();
  open_spans_ = 0;
  text_.clear();
  text_at_ = 0;
  std::vector<BatchKey> keys;
  for (const auto& [key, held] : batches_) keys.push_back(key);
  for (const BatchKey key : keys) settle(key, status, text);
}

void ConsoleExporter::settle(BatchKey key, model::ExportOutcome::Status status, std::string text) {
  const auto at = batches_.find(key);
  model::ExportOutcome outcome;
  outcome.batch_id = at->second.batch->id;
  outcome.status = status;
  outcome.sends = 1;
  if (status == model::ExportOutcome::Status::dropped) {
    outcome.reason = model::Reason::export_rejected;
    counts_.failures_permanent++;
    telemetry::log(telemetry::LogLevel::error, "the console exporter dropped a batch",
                   {{"reason", text}, {"spans", at->second.batch->span_count}});
  }
  outcome.message = std::move(text);
  batches_.erase(at);
  counts_.in_flight--;
  on_outcome_(std::move(outcome));  // may submit
}

void ConsoleExporter::shutdown(std::uint32_t deadline_ms) {
  if (stopping_) return;
  stopping_ = true;
  wake_in(0);  // draws all that is open
  stop_deadline_ =
      loop_.after(deadline_ms, [this] { settle_all(model::ExportOutcome::Status::abandoned, ""); });
}

ExporterCounts ConsoleExporter::counts() const {
  return counts_;
}

}  // namespace

std::unique_ptr<Exporter> make_console_exporter(io::Loop& loop, ConsoleOptions options,
                                                Exporter::OnOutcome on_outcome) {
  return std::make_unique<ConsoleExporter>(loop, std::move(options), std::move(on_outcome));
}

}  // namespace otlpshm::exporting
