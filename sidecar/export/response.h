// SPDX-License-Identifier: Apache-2.0
// response.h: reads what a backend answers, from untrusted bytes.
//   Owns   nothing; every string is a copy, cut to kBackendTextBytesMax.
//   Never  recurses, allocates by a length it was told, or fails on an unknown field.
#ifndef OTLPSHM_EXPORT_RESPONSE_H
#define OTLPSHM_EXPORT_RESPONSE_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace otlpshm::exporting {

// What we keep of any text of a backend.
inline constexpr std::size_t kBackendTextBytesMax = 1024;
// A longer grpc-status-details-bin is not read; its status then has no RetryInfo.
inline constexpr std::size_t kStatusDetailsBytesMax = 64 * 1024;

// ExportTraceServiceResponse.
struct ExportResponse {
  std::int64_t rejected_spans = 0;  // as told: may be negative, or more than were sent
  std::string error_message;
};

// Nothing if the bytes are not a message.
[[nodiscard]] std::optional<ExportResponse> read_export_response(std::span<const std::uint8_t>);

// The RetryInfo in a google.rpc.Status: milliseconds, rounded up, negative as 0.
// Nothing if it is absent or the bytes are not a message.
[[nodiscard]] std::optional<std::uint64_t> read_retry_delay_ms(std::span<const std::uint8_t>);

// Cut to kBackendTextBytesMax, between code points. Still untrusted.
[[nodiscard]] std::string cut_backend_text(std::string_view text);

}  // namespace otlpshm::exporting

#endif
