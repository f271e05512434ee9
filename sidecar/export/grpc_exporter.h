// SPDX-License-Identifier: Apache-2.0
// grpc_exporter.h: station 9: batches leave as OTLP over gRPC. This header is free of gRPC.
//   Owns   one connection, one thread that waits for answers, and every batch until its outcome.
//   Never  sends a batch again after an answer that was definite, or lets gRPC retry by itself.
//   Loses  what the backend refuses for good (export_rejected); all else is retried until shutdown.
#ifndef OTLPSHM_EXPORT_GRPC_EXPORTER_H
#define OTLPSHM_EXPORT_GRPC_EXPORTER_H

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "export/exporter.h"
#include "export/retry.h"

namespace otlpshm::io {
class Loop;
}

namespace otlpshm::exporting {

struct GrpcOptions {
  std::string target = "127.0.0.1:4317";                      // host:port
  std::vector<std::pair<std::string, std::string>> headers;   // names in lower case
  std::uint32_t timeout_ms = 10'000;                          // of one attempt
  std::uint32_t requests_in_flight_max = 8;                   // the bound on batches held here
  std::uint64_t request_bytes_max = std::uint64_t{64} << 20;  // larger: dropped, export_too_large
  BackoffLimits backoff;
  // A silent connection with requests on it is pinged after the first, and dead after the second.
  std::uint32_t keepalive_ms = 30'000;
  std::uint32_t keepalive_timeout_ms = 10'000;
  // Without a word from the backend for so long, the next attempt takes a new channel: gRPC can
  // stay on a stale address or a half-open link.
  std::uint32_t reconnect_after_ms = 60'000;
};

// Throws std::invalid_argument, naming what is wrong, for options that gRPC cannot take.
// Make it after signals are blocked: gRPC's own threads inherit the mask. The loop must outlive it.
// Outcomes come from callbacks of the loop, never from inside submit or shutdown.
[[nodiscard]] std::unique_ptr<Exporter> make_grpc_exporter(io::Loop& loop, GrpcOptions options,
                                                           Exporter::OnOutcome on_outcome);

}  // namespace otlpshm::exporting

#endif
