// SPDX-License-Identifier: Apache-2.0
// traceparent: the input is the value of a traceparent header.
#include <cstring>

#include "fuzz.h"

namespace otlpshm::fuzz {
namespace {

bool is_equal(const otlpshm_context& one, const otlpshm_context& other) {
  return std::memcmp(&one, &other, sizeof one) == 0;
}

std::string_view trim(std::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return value;
}

void check_accepted(std::string_view value, const otlpshm_context& context) {
  char out[2][OTLPSHM_TRACEPARENT_BYTES + 1];
  const otlpshm_context both[] = {context, context};
  demand(otlpshm_traceparent_inject_batch(both, 2, out) == OTLPSHM_OK, "what is read is written");
  demand(std::strlen(out[0]) == OTLPSHM_TRACEPARENT_BYTES, "a traceparent has 55 characters");
  demand(std::memcmp(out[0], out[1], sizeof out[0]) == 0, "a batch writes each alike");
  demand(std::memcmp(out[0], "00-", 3) == 0, "version 00 is written");
  demand(std::string_view(out[0]).substr(3, 50) == trim(value).substr(3, 50),
         "the ids are written as they were read");
  otlpshm_context again;
  demand(otlpshm_traceparent_extract(out[0], OTLPSHM_TRACEPARENT_BYTES, &again) == OTLPSHM_OK,
         "what is written is read");
  demand(is_equal(context, again), "what is read again is the same");
}

void check(std::string_view value) {
  otlpshm_context context;
  std::memset(&context, 0xa5, sizeof context);
  const int status = otlpshm_traceparent_extract(value.data(), value.size(), &context);
  if (status == OTLPSHM_OK) {
    check_accepted(value, context);
  } else {
    demand(is_equal(context, otlpshm_context{}), "what is refused leaves no context");
  }

  Room<OTLPSHM_TRACESTATE_BYTES + 1> room;
  const otlpshm_text values[] = {text(value), text(value)};
  const otlpshm_text none[] = {text("")};
  otlpshm_context other;
  const otlpshm_w3c_headers one{values, 1, none, 1};
  demand(otlpshm_w3c_extract(&one, room.get(), &other) == status, "one header is read alike");
  demand(is_equal(context, other), "one header gives the same context");
  const otlpshm_w3c_headers two{values, 2, none, 1};
  demand(otlpshm_w3c_extract(&two, room.get(), &other) != OTLPSHM_OK, "two headers are refused");
  demand(is_equal(other, otlpshm_context{}), "two headers leave no context");
}

}  // namespace
}  // namespace otlpshm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (bytes != nullptr) otlpshm::fuzz::check(otlpshm::fuzz::input(bytes, size));
  return 0;
}
