// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "producer.h"

namespace otlpshm::library {
namespace {

const std::string kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

int extract(const std::string& value, otlpshm_context* context) {
  std::memset(context, 0xaa, sizeof *context);
  return otlpshm_traceparent_extract(value.data(), value.size(), context);
}

bool is_nothing(const otlpshm_context& context) {
  const otlpshm_context nothing{};
  return std::memcmp(&context, &nothing, sizeof nothing) == 0;
}

}  // namespace

TEST_CASE("context: a traceparent that is extracted is injected again as it was") {
  otlpshm_context context;
  REQUIRE(extract(kGood, &context) == OTLPSHM_OK);
  CHECK(context.trace_id[0] == 0x4b);
  CHECK(context.trace_id[15] == 0x36);
  CHECK(context.span_id[1] == 0xf0);
  CHECK(context.trace_flags == OTLPSHM_TRACE_FLAG_SAMPLED);
  CHECK(context.is_remote == 1);
  char out[OTLPSHM_TRACEPARENT_BYTES + 1];
  REQUIRE(otlpshm_traceparent_inject(&context, out) == OTLPSHM_OK);
  CHECK(out == kGood);
}

TEST_CASE("context: blanks around a header's value do not count") {
  otlpshm_context context;
  CHECK(extract(" \t" + kGood + "\t ", &context) == OTLPSHM_OK);
}

TEST_CASE("context: flags that nobody knows are not passed on") {
  otlpshm_context context;
  REQUIRE(extract(kGood.substr(0, 53) + "ff", &context) == OTLPSHM_OK);
  CHECK(context.trace_flags == (OTLPSHM_TRACE_FLAG_SAMPLED | OTLPSHM_TRACE_FLAG_RANDOM));
  context.trace_flags = 0xf0;
  char out[OTLPSHM_TRACEPARENT_BYTES + 1];
  REQUIRE(otlpshm_traceparent_inject(&context, out) == OTLPSHM_OK);
  CHECK(std::string(out).substr(53) == "00");
}

TEST_CASE("context: a later version is read as far as it is known") {
  otlpshm_context context;
  const std::string later = "cc" + kGood.substr(2);
  CHECK(extract(later, &context) == OTLPSHM_OK);
  CHECK(extract(later + "-what-the-future-will-be-like", &context) == OTLPSHM_OK);
  CHECK(extract(later + ".what-the-future-will-be-like", &context) != OTLPSHM_OK);
}

TEST_CASE("context: a header that is wrong anywhere gives no context at all") {
  std::vector<std::string> wrong = {"",
                                    "00",
                                    kGood.substr(0, 54),
                                    kGood + "-",
                                    kGood + "-00",
                                    kGood + "0",
                                    "ff" + kGood.substr(2),
                                    "0" + kGood,
                                    "00-" + std::string(32, '0') + kGood.substr(35),
                                    kGood.substr(0, 36) + std::string(16, '0') + "-01",
                                    "0g" + kGood.substr(2)};
  for (const std::size_t at : {0u, 2u, 3u, 20u, 34u, 35u, 36u, 51u, 52u, 53u, 54u}) {
    for (const char c : {'.', 'G', 'A', '\0', '\xff'}) {
      std::string broken = kGood;
      broken[at] = c;
      wrong.push_back(broken);
    }
  }
  for (const std::string& value : wrong) {
    otlpshm_context context;
    INFO(value);
    CHECK(extract(value, &context) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    CHECK(is_nothing(context));
  }
}

TEST_CASE("context: null pointers and contexts without ids are refused") {
  otlpshm_context context{};
  char out[OTLPSHM_TRACEPARENT_BYTES + 1] = "x";
  CHECK(otlpshm_traceparent_extract(nullptr, 55, &context) != OTLPSHM_OK);
  CHECK(otlpshm_traceparent_extract(kGood.data(), 55, nullptr) != OTLPSHM_OK);
  CHECK(otlpshm_traceparent_inject(nullptr, out) != OTLPSHM_OK);
  CHECK(std::string(out).empty());
  CHECK(otlpshm_traceparent_inject(&context, nullptr) != OTLPSHM_OK);
  context.trace_id[3] = 1;
  CHECK(otlpshm_traceparent_inject(&context, out) != OTLPSHM_OK);
  context = {};
  context.span_id[3] = 1;
  CHECK(otlpshm_traceparent_inject(&context, out) != OTLPSHM_OK);
}

}  // namespace otlpshm::library
