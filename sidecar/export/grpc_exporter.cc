// SPDX-License-Identifier: Apache-2.0
// grpc_exporter.cc: see grpc_exporter.h. What becomes of each batch; gRPC's ways are grpc_call's.
//   Thread everything runs on the loop's thread, but Attempt::read_reply and wait_for_replies.
//   Order  an Attempt belongs to gRPC and the reply thread from send() until its post(); its batch
//          stays alive until gRPC has let go of every slice, which may be after the outcome.
#include "export/grpc_exporter.h"

#include <grpc/support/time.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <cassert>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "export/grpc_call.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/quiet_thread.h"
#include "telemetry/log.h"

namespace otlpshm::exporting {
namespace {

using telemetry::log;
using telemetry::LogLevel;

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
// gRPC's own deadline comes later than ours: see time_out().
constexpr std::uint64_t kDeadlineSlackMs = 5000;

std::uint64_t now_ms() {
  return io::monotonic_ns() / 1'000'000;
}

class GrpcExporter final : public Exporter {
 public:
  GrpcExporter(io::Loop& loop, GrpcOptions options, OnOutcome on_outcome);
  ~GrpcExporter() override;

  bool ready() const override { return !stopping_ && !free_slots_.empty(); }
  void submit(std::shared_ptr<const model::Batch> batch) override;
  void shutdown(std::uint32_t deadline_ms) override;
  ExporterCounts counts() const override;

 private:
  // Holds a batch from submit to its outcome, and its attempt until gRPC is done with it.
  struct Slot {
    std::shared_ptr<const model::Batch> batch;
    std::optional<Backoff> backoff;
    std::uint64_t sends = 0;
    io::TimerId wait = 0;  // until the next attempt
    std::unique_ptr<Attempt> attempt;
  };

  void start(std::uint32_t index);
  void send(std::uint32_t index);
  void time_out(std::uint32_t index);
  void finished(std::uint32_t index);
  void acknowledged(std::uint32_t index, Reply reply);
  void failed(std::uint32_t index, Reply reply);
  void wait_then_start(std::uint32_t index, std::uint64_t delay_ms);
  void abandon(std::uint32_t index);
  void give_outcome(std::uint32_t index, model::ExportOutcome outcome);
  model::ExportOutcome outcome_of(const Slot& slot, model::ExportOutcome::Status status) const;
  void count(Slot& slot);
  void note_reachable(bool heard, std::uint64_t now);
  void wait_for_replies();

  io::Loop& loop_;
  const GrpcOptions options_;
  const OnOutcome on_outcome_;
  // Posted calls hold it weakly: they may run after this object is gone.
  const std::shared_ptr<GrpcExporter*> self_ = std::make_shared<GrpcExporter*>(this);

  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::CompletionQueue replies_;
  std::minstd_rand random_{std::random_device{}()};

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  ExporterCounts counts_;
  std::uint64_t hold_until_ms_ = 0;  // a backend's RetryInfo holds for all requests to it
  std::optional<std::uint64_t> silent_since_ms_;  // no attempt heard from the backend since
  bool stopping_ = false;
  io::TimerId stop_deadline_ = 0;

  std::thread reply_thread_;  // last: it uses the members above
};

GrpcExporter::GrpcExporter(io::Loop& loop, GrpcOptions options, OnOutcome on_outcome)
    : loop_(loop),
      options_(std::move(options)),
      on_outcome_(std::move(on_outcome)),
      stub_(std::make_unique<grpc::GenericStub>(make_channel(options_))),
      slots_(std::max(options_.requests_in_flight_max, 1u)) {
  for (std::uint32_t index = static_cast<std::uint32_t>(slots_.size()); index-- > 0;) {
    free_slots_.push_back(index);
  }
  reply_thread_ = io::start_quiet_thread("export-replies", [this] { wait_for_replies(); });
}

GrpcExporter::~GrpcExporter() {
  loop_.cancel(stop_deadline_);
  for (Slot& slot : slots_) {
    loop_.cancel(slot.wait);
    if (!slot.attempt) continue;
    loop_.cancel(slot.attempt->deadline);
    slot.attempt->context.TryCancel();
  }
  replies_.Shutdown();
  reply_thread_.join();  // bounded: cancelled calls end without the peer
}

void GrpcExporter::submit(std::shared_ptr<const model::Batch> batch) {
  assert(ready());
  assert(batch != nullptr);
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.batch = std::move(batch);
  slot.backoff.emplace(options_.backoff, [this] {
    return std::uniform_real_distribution<double>(0.0, 1.0)(random_);
  });
  slot.sends = 0;
  counts_.in_flight++;
  if (slot.batch->bytes > options_.request_bytes_max) {
    wait_then_start(index, 0);  // start() refuses it, in a turn of its own
  } else {
    start(index);
  }
}

void GrpcExporter::start(std::uint32_t index) {
  Slot& slot = slots_[index];
  if (stopping_) return abandon(index);
  if (slot.batch->bytes > options_.request_bytes_max) {
    model::ExportOutcome outcome = outcome_of(slot, model::ExportOutcome::Status::dropped);
    outcome.reason = model::Reason::export_too_large;
    outcome.message = "the request is larger than the limit";
    counts_.failures_permanent++;
    log(LogLevel::error, "dropped spans: the request is larger than the limit",
        {{"spans", slot.batch->span_count},
         {"bytes", slot.batch->bytes},
         {"limit_bytes", options_.request_bytes_max}});
    return give_outcome(index, std::move(outcome));
  }
  const std::uint64_t now = now_ms();
  if (now < hold_until_ms_) {
    // All that wait for the same moment are spread over a first step of backoff.
    const std::uint64_t spread = random_() % (options_.backoff.initial_ms + 1);
    return wait_then_start(index, hold_until_ms_ - now + spread);
  }
  send(index);
}

void GrpcExporter::send(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.attempt = std::make_unique<Attempt>(index);
  Attempt& attempt = *slot.attempt;
  for (const auto& [name, value] : options_.headers) attempt.context.AddMetadata(name, value);
  attempt.context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                   gpr_time_from_millis(options_.timeout_ms + kDeadlineSlackMs, GPR_TIMESPAN)));
  attempt.deadline = loop_.after(options_.timeout_ms, [this, index] { time_out(index); });
  attempt.call =
      stub_->PrepareUnaryCall(&attempt.context, kMethod, request_of(slot.batch), &replies_);
  attempt.call->StartCall();
  attempt.call->Finish(&attempt.response, &attempt.status, &attempt);
}

// Our own deadline and not gRPC's, because only here can be known whether the request had left.
void GrpcExporter::time_out(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.attempt->deadline = 0;
  slot.attempt->timed_out = true;
  count(slot);
  slot.attempt->context.TryCancel();
}

// The reply thread. Each attempt posts once, so the loop's queue is bounded by the slots.
void GrpcExporter::wait_for_replies() {
  void* tag = nullptr;
  bool ok = false;  // Finish is always ok: what went wrong is in the status
  // Without a timeout: every attempt has a deadline, and Shutdown() ends the wait.
  while (replies_.Next(&tag, &ok)) {
    auto* const attempt = static_cast<Attempt*>(tag);
    attempt->read_reply();
    loop_.post([weak = std::weak_ptr(self_), index = attempt->slot] {
      if (const auto self = weak.lock()) (*self)->finished(index);
    });
  }
}

void GrpcExporter::finished(std::uint32_t index) {
  Slot& slot = slots_[index];
  loop_.cancel(slot.attempt->deadline);
  if (slot.attempt->outcome_given) {
    slot.attempt.reset();
    free_slots_.push_back(index);
    return;
  }
  count(slot);
  const std::unique_ptr<Attempt> attempt = std::move(slot.attempt);
  if (attempt->timed_out && attempt->reply.code == grpc::StatusCode::CANCELLED) {
    attempt->reply.code = grpc::StatusCode::DEADLINE_EXCEEDED;
    attempt->reply.text = "no answer within " + std::to_string(options_.timeout_ms) + " ms";
  }
  note_reachable(attempt->left_for_wire && !attempt->timed_out, now_ms());
  if (attempt->status.ok()) {
    acknowledged(index, std::move(attempt->reply));
  } else {
    failed(index, std::move(attempt->reply));
  }
}

void GrpcExporter::acknowledged(std::uint32_t index, Reply reply) {
  const Slot& slot = slots_[index];
  model::ExportOutcome outcome = outcome_of(slot, model::ExportOutcome::Status::acknowledged);
  outcome.rejected_spans = static_cast<std::uint64_t>(
      std::clamp<std::int64_t>(reply.rejected_spans, 0, slot.batch->span_count));
  if (outcome.rejected_spans != 0) {
    log(LogLevel::warning, "the backend rejected some spans of a request",
        {{"endpoint", options_.target},
         {"rejected", outcome.rejected_spans},
         {"spans", slot.batch->span_count},
         {"reason", reply.text}});
  } else if (!reply.text.empty()) {
    log(LogLevel::warning, "the backend took a request, with a warning",
        {{"endpoint", options_.target}, {"warning", reply.text}});
  }
  outcome.message = std::move(reply.text);
  give_outcome(index, std::move(outcome));
}

void GrpcExporter::failed(std::uint32_t index, Reply reply) {
  Slot& slot = slots_[index];
  const bool retryable =
      verdict_of(reply.code, reply.retry_delay_ms.has_value()) == Verdict::retryable;
  (retryable ? counts_.failures_retryable : counts_.failures_permanent)++;
  if (!retryable) {
    log(LogLevel::error, "dropped spans: the backend refused the request for good",
        {{"endpoint", options_.target},
         {"code", code_name(reply.code)},
         {"reason", reply.text},
         {"spans", slot.batch->span_count}});
    model::ExportOutcome outcome = outcome_of(slot, model::ExportOutcome::Status::dropped);
    outcome.reason = model::Reason::export_rejected;
    outcome.message = std::string(code_name(reply.code)) + ": " + reply.text;
    return give_outcome(index, std::move(outcome));
  }
  if (reply.retry_delay_ms) {
    const std::uint64_t delay_ms = std::min(*reply.retry_delay_ms, kServerDelayMsMax);
    hold_until_ms_ = std::max(hold_until_ms_, now_ms() + delay_ms);
  }
  if (stopping_) return abandon(index);
  const std::uint64_t delay_ms = slot.backoff->next_ms(reply.retry_delay_ms);
  log(LogLevel::warning, "export failed; trying again, the spans wait in their lanes",
      {{"endpoint", options_.target},
       {"code", code_name(reply.code)},
       {"reason", reply.text},
       {"wait_ms", delay_ms}});
  wait_then_start(index, delay_ms);
}

void GrpcExporter::wait_then_start(std::uint32_t index, std::uint64_t delay_ms) {
  slots_[index].wait = loop_.after(delay_ms, [this, index] {
    slots_[index].wait = 0;
    start(index);
  });
}

void GrpcExporter::shutdown(std::uint32_t deadline_ms) {
  if (stopping_) return;
  stopping_ = true;
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (slot.wait == 0) continue;
    loop_.cancel(slot.wait);
    wait_then_start(index, 0);  // which abandons it
  }
  stop_deadline_ = loop_.after(deadline_ms, [this] {
    for (std::uint32_t index = 0; index < slots_.size(); ++index) {
      if (slots_[index].batch) abandon(index);
    }
  });
}

void GrpcExporter::abandon(std::uint32_t index) {
  Slot& slot = slots_[index];
  loop_.cancel(std::exchange(slot.wait, 0));
  if (slot.attempt) {
    count(slot);
    slot.attempt->outcome_given = true;
    loop_.cancel(std::exchange(slot.attempt->deadline, 0));
    slot.attempt->context.TryCancel();
  }
  give_outcome(index, outcome_of(slot, model::ExportOutcome::Status::abandoned));
}

model::ExportOutcome GrpcExporter::outcome_of(const Slot& slot,
                                              model::ExportOutcome::Status status) const {
  model::ExportOutcome outcome;
  outcome.batch_id = slot.batch->id;
  outcome.status = status;
  outcome.sends = slot.sends;
  return outcome;
}

void GrpcExporter::give_outcome(std::uint32_t index, model::ExportOutcome outcome) {
  Slot& slot = slots_[index];
  slot.batch.reset();
  counts_.in_flight--;
  if (!slot.attempt) free_slots_.push_back(index);
  on_outcome_(std::move(outcome));  // may submit
}

// Requests are counted when they end, for only then is it known whether they left.
void GrpcExporter::count(Slot& slot) {
  Attempt& attempt = *slot.attempt;
  if (attempt.left_for_wire || !attempt.has_left()) return;
  attempt.left_for_wire = true;
  counts_.requests++;
  counts_.bytes += slot.batch->bytes;
  if (slot.sends++ > 0) {
    counts_.resends++;
    counts_.resent_spans += slot.batch->span_count;
  }
}

void GrpcExporter::note_reachable(bool heard, std::uint64_t now) {
  if (heard) {
    silent_since_ms_.reset();
  } else if (!silent_since_ms_) {
    silent_since_ms_ = now;
  } else if (now - *silent_since_ms_ >= options_.reconnect_after_ms) {
    silent_since_ms_ = now;
    log(LogLevel::warning, "no word from the backend; opening a new channel",
        {{"endpoint", options_.target}});
    stub_ = std::make_unique<grpc::GenericStub>(make_channel(options_));
  }
}

ExporterCounts GrpcExporter::counts() const {
  return counts_;
}

}  // namespace

std::unique_ptr<Exporter> make_grpc_exporter(io::Loop& loop, GrpcOptions options,
                                             Exporter::OnOutcome on_outcome) {
  check_headers(options);
  return std::make_unique<GrpcExporter>(loop, std::move(options), std::move(on_outcome));
}

}  // namespace otlpshm::exporting
