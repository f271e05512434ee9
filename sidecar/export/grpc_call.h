// SPDX-License-Identifier: Apache-2.0
// grpc_call.h: one request of gRPC: its channel, its bytes and its answer.
//   Owns   an Attempt: the call until gRPC is done with it.
//   Never  decides what becomes of a batch: grpc_exporter does. Included by grpc_exporter alone.
//   Thread read_reply is the reply thread's; all else is the loop's.
#ifndef OTLPSHM_EXPORT_GRPC_CALL_H
#define OTLPSHM_EXPORT_GRPC_CALL_H

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "export/grpc_exporter.h"
#include "io/loop.h"
#include "model/batch.h"

namespace otlpshm::exporting {

// Throws std::invalid_argument for one that gRPC cannot send.
void check_headers(const GrpcOptions& options);

std::shared_ptr<grpc::Channel> make_channel(const GrpcOptions& options);

// Slices over the batch's own memory. All of them share one reference count, which holds the batch.
grpc::ByteBuffer request_of(const std::shared_ptr<const model::Batch>& batch);

struct Reply {
  int code = 0;
  std::string text;  // of the status, or of a partial success
  std::optional<std::uint64_t> retry_delay_ms;
  std::int64_t rejected_spans = 0;
};

// One request on its way.
struct Attempt {
  explicit Attempt(std::uint32_t slot_index) : slot(slot_index) {}

  // A request that found no connection has not left, and cannot have been received. gRPC forgets
  // the peer of a call that is cancelled: ask before.
  bool has_left() const;

  void read_reply();  // once it is there

  const std::uint32_t slot;
  io::TimerId deadline = 0;
  bool left_for_wire = false;
  bool timed_out = false;
  bool outcome_given = false;  // at the shutdown's deadline, before the reply
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  grpc::ByteBuffer response;
  grpc::Status status;
  Reply reply;
};

}  // namespace otlpshm::exporting

#endif
