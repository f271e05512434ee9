// SPDX-License-Identifier: Apache-2.0
// grpc_call.cc: what gRPC is told, and what it answers.
#include "export/grpc_call.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/slice.h>

#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "export/response.h"

namespace otlpshm::exporting {

namespace {

constexpr char kUserAgent[] = "OTel-OTLP-Exporter-otlpshm/" OTLPSHM_VERSION;
constexpr int kResponseBytesMax = 4 << 20;
// gRPC turns an answer with longer metadata into RESOURCE_EXHAUSTED, which would drop the batch.
constexpr int kMetadataBytesMax = 64 << 10;

bool is_loopback(std::string_view target) {
  return target.starts_with("localhost:") || target.starts_with("127.") ||
         target.starts_with("[::1]:");
}

// Until a connection took a call, gRPC reports its target as its peer. No peer's address has this
// scheme, so the two cannot be mistaken for one another: see Attempt::has_left.
constexpr char kTargetScheme[] = "dns:///";

void release_batch(void* owner) {
  delete static_cast<std::shared_ptr<const model::Batch>*>(owner);
}

std::string flat_bytes(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

std::span<const std::uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

void check_headers(const GrpcOptions& options) {
  for (const auto& [name, value] : options.headers) {
    const grpc_slice key = grpc_slice_from_static_buffer(name.data(), name.size());
    const grpc_slice text = grpc_slice_from_static_buffer(value.data(), value.size());
    // gRPC aborts the process on metadata that it cannot send.
    if (grpc_header_key_is_legal(key) == 0 || name.starts_with("grpc-")) {
      throw std::invalid_argument("header name \"" + name +
                                  "\": gRPC takes lower case letters, digits, '-', '_' and '.', "
                                  "and keeps grpc-* for itself");
    }
    if (grpc_is_binary_header(key) == 0 && grpc_header_nonbin_value_is_legal(text) == 0) {
      throw std::invalid_argument("header \"" + name + "\": its value is not printable ASCII");
    }
  }
}

std::shared_ptr<grpc::Channel> make_channel(const GrpcOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix(kUserAgent);
  arguments.SetMaxSendMessageSize(-1);  // request_bytes_max is ours
  arguments.SetMaxReceiveMessageSize(kResponseBytesMax);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  // A resend by gRPC would be a duplicate that nobody counts.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Any keepalive also sets TCP_USER_TIMEOUT. Pings without a call would be taken for abuse by
  // servers with default settings (GOAWAY, too_many_pings).
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive_ms));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(options.keepalive_timeout_ms));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  // gRPC's own cap of 120 s would let lanes fill up after the backend is back.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, static_cast<int>(options.backoff.max_ms));
  // Channels with equal arguments otherwise share one connection, a re-created one too.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (is_loopback(options.target)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(kTargetScheme + options.target,
                                   grpc::InsecureChannelCredentials(), arguments);
}

grpc::ByteBuffer request_of(const std::shared_ptr<const model::Batch>& batch) {
  std::vector<grpc::Slice> slices;
  slices.reserve(batch->parts.size());
  grpc_slice owner = grpc_empty_slice();
  for (const std::span<const std::uint8_t> part : batch->parts) {
    if (part.size() <= GRPC_SLICE_INLINED_SIZE) {
      slices.emplace_back(
          grpc_slice_from_copied_buffer(reinterpret_cast<const char*>(part.data()), part.size()),
          grpc::Slice::STEAL_REF);
      continue;
    }
    auto* const bytes = const_cast<std::uint8_t*>(part.data());  // gRPC only reads
    if (owner.refcount == nullptr) {
      owner = grpc_slice_new_with_user_data(bytes, part.size(), release_batch,
                                            new std::shared_ptr<const model::Batch>(batch));
    }
    grpc_slice slice = grpc_slice_ref(owner);
    slice.data.refcounted.bytes = bytes;
    slice.data.refcounted.length = part.size();
    slices.emplace_back(slice, grpc::Slice::STEAL_REF);
  }
  grpc_slice_unref(owner);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

bool Attempt::has_left() const {
  return !context.peer().starts_with(kTargetScheme);
}

void Attempt::read_reply() {
  reply.code = static_cast<int>(status.error_code());
  if (!status.ok()) {
    reply.text = cut_backend_text(status.error_message());
    reply.retry_delay_ms = read_retry_delay_ms(as_bytes(status.error_details()));
    return;
  }
  const std::string bytes = flat_bytes(response);
  if (std::optional<ExportResponse> answer = read_export_response(as_bytes(bytes))) {
    reply.rejected_spans = answer->rejected_spans;
    reply.text = std::move(answer->error_message);
  } else {
    // OTLP says nothing of this case. The status is a definite OK, after which a resend could
    // only make duplicates, and nothing says that a span was refused.
    reply.text = "the response is not an ExportTraceServiceResponse; its status OK is taken";
  }
}

}  // namespace otlpshm::exporting
