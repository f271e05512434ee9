// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>
#include <string>

#include "text_room.h"

namespace otlpshm::library {
namespace {

const std::string kTrace = "80f198ee56343ba864fe8b2a57d3eff7";
const std::string kSpan = "e457b5a2e4d86bd1";
const std::string kParent = "05e3ac9a4f6e3b90";
const std::string kShortTrace = "64fe8b2a57d3eff7";

struct Extracted {
  int status = 1;
  otlpshm_context context;
  int sampling = 77;
};

Extracted extract(const otlpshm_b3_headers& headers) {
  Extracted extracted;
  std::memset(&extracted.context, 0xaa, sizeof extracted.context);
  extracted.status = otlpshm_b3_extract(&headers, &extracted.context, &extracted.sampling);
  return extracted;
}

Extracted single(const std::string& value) {
  otlpshm_b3_headers headers{};
  headers.b3 = text(value);
  return extract(headers);
}

otlpshm_b3_headers ids() {
  otlpshm_b3_headers headers{};
  headers.x_b3_trace_id = text(kTrace);
  headers.x_b3_span_id = text(kSpan);
  return headers;
}

Extracted sampled(const char* value) {
  otlpshm_b3_headers headers = ids();
  headers.x_b3_sampled = text(value);
  return extract(headers);
}

std::string inject(const Extracted& extracted) {
  char out[OTLPSHM_B3_BYTES + 1];
  const int status = otlpshm_b3_inject(&extracted.context, extracted.sampling, out);
  CHECK((status == OTLPSHM_OK) == (out[0] != '\0'));
  return out;
}

bool is_nothing(const Extracted& extracted) {
  const otlpshm_context nothing{};
  return std::memcmp(&extracted.context, &nothing, sizeof nothing) == 0 &&
         extracted.sampling == OTLPSHM_B3_DEFERRED;
}

bool is_sampled(const Extracted& extracted) {
  return extracted.context.trace_flags == OTLPSHM_TRACE_FLAG_SAMPLED;
}

}  // namespace

TEST_CASE("b3: a single header that is extracted is injected again, without its parent") {
  const Extracted accepted = single(kTrace + "-" + kSpan + "-1-" + kParent);
  REQUIRE(accepted.status == OTLPSHM_OK);
  CHECK(accepted.context.trace_id[0] == 0x80);
  CHECK(accepted.context.span_id[7] == 0xd1);
  CHECK(accepted.context.is_remote == 1);
  CHECK(is_sampled(accepted));
  CHECK(accepted.sampling == OTLPSHM_B3_BY_FLAG);
  CHECK(inject(accepted) == kTrace + "-" + kSpan + "-1");
}

TEST_CASE("b3: each sampling state is kept") {
  const Extracted denied = single(kTrace + "-" + kSpan + "-0");
  CHECK(denied.sampling == OTLPSHM_B3_BY_FLAG);
  CHECK(!is_sampled(denied));
  CHECK(inject(denied) == kTrace + "-" + kSpan + "-0");
  const Extracted debug = single(kTrace + "-" + kSpan + "-d");
  CHECK(debug.sampling == OTLPSHM_B3_DEBUG);
  CHECK(is_sampled(debug));
  CHECK(inject(debug) == kTrace + "-" + kSpan + "-d");
  const Extracted deferred = single(kTrace + "-" + kSpan);
  CHECK(deferred.sampling == OTLPSHM_B3_DEFERRED);
  CHECK(!is_sampled(deferred));
  CHECK(inject(deferred) == kTrace + "-" + kSpan);
}

TEST_CASE("b3: a trace id of 64 bits gets zeros to its left") {
  const Extracted extracted = single(kShortTrace + "-" + kSpan + "-1");
  REQUIRE(extracted.status == OTLPSHM_OK);
  CHECK(inject(extracted) == std::string(16, '0') + kShortTrace + "-" + kSpan + "-1");
  otlpshm_b3_headers headers = ids();
  headers.x_b3_trace_id = text(kShortTrace);
  CHECK(inject(extract(headers)) == std::string(16, '0') + kShortTrace + "-" + kSpan);
}

TEST_CASE("b3: a decision may come without ids") {
  const Extracted denied = single("0");
  CHECK(denied.status == OTLPSHM_OK);
  CHECK(denied.sampling == OTLPSHM_B3_BY_FLAG);
  CHECK(!is_sampled(denied));
  CHECK(denied.context.is_remote == 0);
  CHECK(inject(denied).empty());
  CHECK(is_sampled(single("1")));
  CHECK(single("d").sampling == OTLPSHM_B3_DEBUG);
  otlpshm_b3_headers headers{};
  headers.x_b3_sampled = text("0");
  const Extracted multi = extract(headers);
  CHECK(multi.status == OTLPSHM_OK);
  CHECK(multi.sampling == OTLPSHM_B3_BY_FLAG);
  CHECK(!is_sampled(multi));
}

TEST_CASE("b3: many headers say the same as one") {
  CHECK(inject(sampled("1")) == kTrace + "-" + kSpan + "-1");
  CHECK(inject(sampled("true")) == kTrace + "-" + kSpan + "-1");
  CHECK(inject(sampled("0")) == kTrace + "-" + kSpan + "-0");
  CHECK(inject(sampled("false")) == kTrace + "-" + kSpan + "-0");
  CHECK(inject(sampled(" 1\t")) == kTrace + "-" + kSpan + "-1");
  CHECK(inject(extract(ids())) == kTrace + "-" + kSpan);
  otlpshm_b3_headers headers = ids();
  headers.x_b3_flags = text("1");
  CHECK(inject(extract(headers)) == kTrace + "-" + kSpan + "-d");
  CHECK(is_sampled(extract(headers)));
  headers.x_b3_sampled = text("0");
  CHECK(inject(extract(headers)) == kTrace + "-" + kSpan + "-d");
  headers.x_b3_flags = text("0");
  CHECK(inject(extract(headers)) == kTrace + "-" + kSpan + "-0");
}

TEST_CASE("b3: the single header goes before the others, when it is well-formed") {
  otlpshm_b3_headers headers = ids();
  headers.x_b3_sampled = text("1");
  const std::string other = kTrace + "-" + kParent + "-0";
  headers.b3 = text(other);
  CHECK(inject(extract(headers)) == other);
  headers.b3 = text("nonsense");
  CHECK(inject(extract(headers)) == kTrace + "-" + kSpan + "-1");
  headers.b3 = text("0");
  const Extracted denied = extract(headers);
  CHECK(denied.status == OTLPSHM_OK);
  CHECK(inject(denied).empty());
}

TEST_CASE("b3: many headers are injected as they are sent") {
  otlpshm_b3_multi out;
  Extracted extracted = single(kTrace + "-" + kSpan + "-1");
  REQUIRE(otlpshm_b3_multi_inject(&extracted.context, extracted.sampling, &out) == OTLPSHM_OK);
  CHECK(out.x_b3_trace_id == kTrace);
  CHECK(out.x_b3_span_id == kSpan);
  CHECK(std::string(out.x_b3_sampled) == "1");
  CHECK(std::string(out.x_b3_flags).empty());
  REQUIRE(otlpshm_b3_multi_inject(&extracted.context, OTLPSHM_B3_DEBUG, &out) == OTLPSHM_OK);
  CHECK(std::string(out.x_b3_sampled).empty());
  CHECK(std::string(out.x_b3_flags) == "1");
  REQUIRE(otlpshm_b3_multi_inject(&extracted.context, OTLPSHM_B3_DEFERRED, &out) == OTLPSHM_OK);
  CHECK(std::string(out.x_b3_sampled).empty());
  CHECK(std::string(out.x_b3_flags).empty());
  extracted.context.trace_flags = OTLPSHM_TRACE_FLAG_RANDOM;
  REQUIRE(otlpshm_b3_multi_inject(&extracted.context, OTLPSHM_B3_BY_FLAG, &out) == OTLPSHM_OK);
  CHECK(std::string(out.x_b3_sampled) == "0");
}

TEST_CASE("b3: no header is no context, and no error") {
  const Extracted extracted = extract({});
  CHECK(extracted.status == OTLPSHM_OK);
  CHECK(is_nothing(extracted));
}

TEST_CASE("b3: a single header that is wrong anywhere gives no context at all") {
  const std::string good = kTrace + "-" + kSpan;
  for (const std::string& value : {std::string(),
                                   std::string("2"),
                                   std::string("D"),
                                   std::string("-"),
                                   kTrace,
                                   kTrace + "-",
                                   good + "-",
                                   good + "-2",
                                   good + "-D",
                                   good + "-true",
                                   good + "-11",
                                   good + "-1-",
                                   good + "-1-" + kParent.substr(1),
                                   good + "-1-" + std::string(16, '0'),
                                   good + "-1-" + kParent + "-",
                                   good + "-1-" + kParent + "-1",
                                   good + " -1",
                                   good + "- 1",
                                   good.substr(1),
                                   good.substr(0, 48),
                                   "G" + good.substr(1),
                                   "A" + good.substr(1),
                                   std::string(32, '0') + "-" + kSpan,
                                   std::string(16, '0') + "-" + kSpan,
                                   kTrace + "-" + std::string(16, '0'),
                                   kTrace + "_" + kSpan,
                                   good + std::string("\0", 1)}) {
    INFO(value);
    const Extracted extracted = single(value);
    CHECK(extracted.status == OTLPSHM_ERROR_INVALID_ARGUMENT);
    CHECK(is_nothing(extracted));
  }
  CHECK(single(" \t" + good + "-1 ").status == OTLPSHM_OK);
}

TEST_CASE("b3: many headers of which one is wrong give no context at all") {
  for (const char* value : {"", "2", "d", "TRUE", "yes", "01"}) {
    CHECK(sampled(value).status == OTLPSHM_ERROR_INVALID_ARGUMENT);
    CHECK(is_nothing(sampled(value)));
  }
  otlpshm_b3_headers headers = ids();
  headers.x_b3_span_id = {};
  CHECK(is_nothing(extract(headers)));
  CHECK(extract(headers).status == OTLPSHM_ERROR_INVALID_ARGUMENT);
  headers = ids();
  headers.x_b3_trace_id = {};
  CHECK(extract(headers).status == OTLPSHM_ERROR_INVALID_ARGUMENT);
  headers = ids();
  headers.x_b3_trace_id = text("80f198ee56343ba8");
  CHECK(extract(headers).status == OTLPSHM_OK);
  headers.x_b3_trace_id = text("80f198ee56343ba");
  CHECK(extract(headers).status == OTLPSHM_ERROR_INVALID_ARGUMENT);
  headers = ids();
  headers.x_b3_span_id = text("0000000000000000");
  CHECK(extract(headers).status == OTLPSHM_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("b3: null pointers, contexts without ids and unknown states are refused") {
  const otlpshm_b3_headers headers = ids();
  Extracted extracted;
  CHECK(otlpshm_b3_extract(nullptr, &extracted.context, &extracted.sampling) != OTLPSHM_OK);
  CHECK(is_nothing(extracted));
  CHECK(otlpshm_b3_extract(&headers, nullptr, &extracted.sampling) != OTLPSHM_OK);
  CHECK(otlpshm_b3_extract(&headers, &extracted.context, nullptr) != OTLPSHM_OK);
  char out[OTLPSHM_B3_BYTES + 1] = "x";
  otlpshm_b3_multi multi;
  CHECK(otlpshm_b3_inject(nullptr, 0, out) != OTLPSHM_OK);
  CHECK(std::string(out).empty());
  extracted = extract(headers);
  CHECK(otlpshm_b3_inject(&extracted.context, 0, nullptr) != OTLPSHM_OK);
  CHECK(otlpshm_b3_multi_inject(&extracted.context, 0, nullptr) != OTLPSHM_OK);
  for (const int sampling : {-1, 3}) {
    CHECK(otlpshm_b3_inject(&extracted.context, sampling, out) != OTLPSHM_OK);
    CHECK(otlpshm_b3_multi_inject(&extracted.context, sampling, &multi) != OTLPSHM_OK);
    CHECK(std::string(multi.x_b3_trace_id).empty());
  }
  std::memset(extracted.context.span_id, 0, sizeof extracted.context.span_id);
  CHECK(otlpshm_b3_inject(&extracted.context, 0, out) != OTLPSHM_OK);
  CHECK(otlpshm_b3_multi_inject(&extracted.context, 0, &multi) != OTLPSHM_OK);
}

}  // namespace otlpshm::library
