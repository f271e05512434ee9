// SPDX-License-Identifier: Apache-2.0
// b3: the input is lines: b3, X-B3-TraceId, X-B3-SpanId, X-B3-Sampled, X-B3-Flags. A line that is
// "-" is a header that is absent.
#include <cstring>

#include "fuzz.h"

namespace otlpshm::fuzz {
namespace {

otlpshm_text take_header(std::string_view* input) {
  const otlpshm_text line = take_line(input);
  return view(line) == "-" ? otlpshm_text{} : line;
}

struct Extracted {
  explicit Extracted(const otlpshm_b3_headers& headers) {
    std::memset(&context, 0xa5, sizeof context);
    status = otlpshm_b3_extract(&headers, &context, &sampling);
  }
  bool operator==(const Extracted& other) const {
    return status == other.status && sampling == other.sampling &&
           std::memcmp(&context, &other.context, sizeof context) == 0;
  }

  int status = 1;
  int sampling = -1;
  otlpshm_context context;
};

void check_ids(const Extracted& extracted) {
  char single[OTLPSHM_B3_BYTES + 1];
  demand(otlpshm_b3_inject(&extracted.context, extracted.sampling, single) == OTLPSHM_OK,
         "what is read is written");
  otlpshm_b3_headers headers{};
  headers.b3 = {single, std::strlen(single)};
  demand(Extracted(headers) == extracted, "one header says what was read");

  otlpshm_b3_multi multi;
  demand(otlpshm_b3_multi_inject(&extracted.context, extracted.sampling, &multi) == OTLPSHM_OK,
         "what is read is written as many headers");
  const auto sent = [](const char* value) {
    return *value == '\0' ? otlpshm_text{} : otlpshm_text{value, std::strlen(value)};
  };
  headers = {{},
             sent(multi.x_b3_trace_id),
             sent(multi.x_b3_span_id),
             sent(multi.x_b3_sampled),
             sent(multi.x_b3_flags)};
  demand(Extracted(headers) == extracted, "many headers say what was read");
}

void check(std::string_view input) {
  otlpshm_b3_headers headers{};
  for (otlpshm_text* header : {&headers.b3, &headers.x_b3_trace_id, &headers.x_b3_span_id,
                               &headers.x_b3_sampled, &headers.x_b3_flags}) {
    *header = take_header(&input);
  }
  const Extracted extracted(headers);
  const otlpshm_context& context = extracted.context;
  demand(extracted.sampling >= OTLPSHM_B3_BY_FLAG && extracted.sampling <= OTLPSHM_B3_DEBUG,
         "the sampling is one of three");
  if (extracted.sampling == OTLPSHM_B3_DEFERRED) {
    demand(context.trace_flags == 0, "what is deferred is not sampled yet");
  }
  if (extracted.sampling == OTLPSHM_B3_DEBUG) {
    demand(context.trace_flags == OTLPSHM_TRACE_FLAG_SAMPLED, "debug is sampled");
  }
  if (context.is_remote) {
    demand(extracted.status == OTLPSHM_OK, "what is refused leaves no context");
    check_ids(extracted);
    return;
  }
  otlpshm_context nothing{};
  if (extracted.status == OTLPSHM_OK) nothing.trace_flags = context.trace_flags;
  demand(std::memcmp(&context, &nothing, sizeof nothing) == 0, "without ids there is no context");
}

}  // namespace
}  // namespace otlpshm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (bytes != nullptr) otlpshm::fuzz::check(otlpshm::fuzz::input(bytes, size));
  return 0;
}
