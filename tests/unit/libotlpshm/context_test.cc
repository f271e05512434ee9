// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "allocations.h"
#include "text_room.h"

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

// Both headers of a request, each as often as it is there.
struct Headers {
  std::vector<std::string> traceparent, tracestate;

  int extract(Room& room, otlpshm_context* context) const {
    std::vector<otlpshm_text> parents, states;
    for (const std::string& value : traceparent) parents.push_back(text(value));
    for (const std::string& value : tracestate) states.push_back(text(value));
    const otlpshm_w3c_headers headers{parents.data(), parents.size(), states.data(), states.size()};
    std::memset(context, 0xaa, sizeof *context);
    return otlpshm_w3c_extract(&headers, room.get(), context);
  }
};

std::string trace_state(const otlpshm_context& context) {
  return string({context.trace_state, context.trace_state_bytes});
}

// Every function of context.h once, with what is well-formed. The number of calls that failed.
int use_everything() {
  int failed = 0;
  const auto expect = [&](bool holds) { failed += holds ? 0 : 1; };
  char bytes[2][OTLPSHM_TRACESTATE_BYTES + 1];
  otlpshm_text_room room{bytes[0], sizeof bytes[0], 0};
  otlpshm_text_room other{bytes[1], sizeof bytes[1], 0};
  const otlpshm_text parent = text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  const otlpshm_text states[] = {text("a=1,b=2"), text("c=3")};
  const otlpshm_w3c_headers headers{&parent, 1, states, 2};
  otlpshm_context context;
  char traceparents[1][OTLPSHM_TRACEPARENT_BYTES + 1];
  expect(otlpshm_w3c_extract(&headers, &room, &context) == OTLPSHM_OK);
  const otlpshm_text list{room.text, room.bytes};
  expect(otlpshm_traceparent_inject_batch(&context, 1, traceparents) == OTLPSHM_OK);
  expect(otlpshm_tracestate_inject(&context, &other) == OTLPSHM_OK);
  expect(otlpshm_tracestate_get(list, text("b")).bytes == 1);
  expect(otlpshm_tracestate_set(list, text("b"), text("9"), &other) == OTLPSHM_OK);
  expect(otlpshm_tracestate_remove(list, text("b"), &other) == OTLPSHM_OK);

  std::size_t offset = 0;
  otlpshm_baggage_member member;
  expect(otlpshm_baggage_next(text("k=%C3%A4;p"), &offset, &member) == 1);
  expect(otlpshm_baggage_decode(member.value, &other) == OTLPSHM_OK);
  room.bytes = 0;
  expect(otlpshm_baggage_append(&room, member.key, text("\xc3\xa4"), member.properties) ==
         OTLPSHM_OK);
  expect(otlpshm_baggage_append_member(&room, &member) == OTLPSHM_OK);

  int sampling;
  char single[OTLPSHM_B3_BYTES + 1];
  otlpshm_b3_multi multi;
  otlpshm_b3_headers b3{};
  b3.b3 = text("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d");
  expect(otlpshm_b3_extract(&b3, &context, &sampling) == OTLPSHM_OK);
  expect(otlpshm_b3_inject(&context, sampling, single) == OTLPSHM_OK);
  expect(otlpshm_b3_multi_inject(&context, sampling, &multi) == OTLPSHM_OK);

  otlpshm_span span{};
  otlpshm_span* const before = otlpshm_span_make_current(&span);
  expect(otlpshm_span_current() == &span);
  expect(otlpshm_span_make_current(before) == &span);
  return failed;
}

int failed_in_handler = -1;

void on_signal(int) {
  failed_in_handler = use_everything();
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

TEST_CASE("context: tracestate headers are joined in their order, into the caller's room") {
  Room room;
  otlpshm_context context;
  REQUIRE(Headers{{kGood}, {"a=1 , b=2", "", "c=3"}}.extract(room, &context) == OTLPSHM_OK);
  CHECK(trace_state(context) == "a=1,b=2,c=3");
  CHECK(context.trace_state == room.get()->text);
  Room sent;
  REQUIRE(otlpshm_tracestate_inject(&context, sent.get()) == OTLPSHM_OK);
  CHECK(sent.text() == "a=1,b=2,c=3");
}

TEST_CASE("context: a tracestate that is malformed is dropped, and its traceparent kept") {
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
           {"a=1,B"}, {"a=1", "a=2"}, {"a=1", "b"}, {"=", "a=1"}}) {
    Room room;
    otlpshm_context context;
    CHECK(Headers{{kGood}, wrong}.extract(room, &context) == OTLPSHM_OK);
    CHECK(context.trace_id[0] == 0x4b);
    CHECK(trace_state(context) == "(absent)");
    CHECK(room.text().empty());
  }
}

TEST_CASE("context: without a traceparent there is no tracestate either") {
  Room room;
  otlpshm_context context;
  CHECK(Headers{{}, {"a=1"}}.extract(room, &context) == OTLPSHM_OK);
  CHECK(is_nothing(context));
  CHECK(Headers{{"nonsense"}, {"a=1"}}.extract(room, &context) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(is_nothing(context));
  CHECK(Headers{{kGood, kGood}, {"a=1"}}.extract(room, &context) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(is_nothing(context));
  CHECK(room.text().empty());
}

TEST_CASE("context: a header that was looked up in vain is no header") {
  const otlpshm_text parents[] = {{nullptr, 5}, text(kGood), {nullptr, 0}};
  const otlpshm_text states[] = {{nullptr, 3}, text("a=1")};
  const otlpshm_w3c_headers headers{parents, 3, states, 2};
  Room room;
  otlpshm_context context;
  CHECK(otlpshm_w3c_extract(&headers, room.get(), &context) == OTLPSHM_OK);
  CHECK(trace_state(context) == "a=1");
}

TEST_CASE("context: a tracestate that is larger than its room loses whole members") {
  const std::string value(100, 'v');
  const std::string list = "a=" + value + ",b=" + value + ",c=" + value + ",d=" + value;
  Room room, sent;
  otlpshm_context context;
  REQUIRE(Headers{{kGood}, {list, "e=" + value + ",f=1"}}.extract(room, &context) == OTLPSHM_OK);
  CHECK(trace_state(context) == list);
  const std::string more = list + ",e=" + value;
  context.trace_state = more.data();
  context.trace_state_bytes = static_cast<std::uint32_t>(more.size());
  REQUIRE(otlpshm_tracestate_inject(&context, sent.get()) == OTLPSHM_OK);
  CHECK(sent.text() == list);
}

TEST_CASE("context: a tracestate is sent only with ids, and only when it is well-formed") {
  Room room;
  otlpshm_context context;
  REQUIRE(extract(kGood, &context) == OTLPSHM_OK);
  CHECK(otlpshm_tracestate_inject(&context, room.get()) == OTLPSHM_OK);
  CHECK(room.text().empty());
  context.trace_state = "a=1\r\nX-Evil: 1";
  context.trace_state_bytes = 14;
  CHECK(otlpshm_tracestate_inject(&context, room.get()) == OTLPSHM_OK);
  CHECK(room.text().empty());
  context.trace_state = "a=1";
  context.trace_state_bytes = 3;
  std::memset(context.span_id, 0, sizeof context.span_id);
  CHECK(otlpshm_tracestate_inject(&context, room.get()) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(room.text().empty());
}

TEST_CASE("context: a batch of contexts becomes as many traceparents") {
  std::vector<otlpshm_context> contexts(100);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    REQUIRE(extract(kGood, &contexts[i]) == OTLPSHM_OK);
    contexts[i].span_id[7] = static_cast<std::uint8_t>(i);
  }
  std::vector<std::array<char, OTLPSHM_TRACEPARENT_BYTES + 1>> out(contexts.size());
  const auto rows = reinterpret_cast<char(*)[OTLPSHM_TRACEPARENT_BYTES + 1]>(out.data());
  REQUIRE(otlpshm_traceparent_inject_batch(contexts.data(), contexts.size(), rows) == OTLPSHM_OK);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    char alone[OTLPSHM_TRACEPARENT_BYTES + 1];
    REQUIRE(otlpshm_traceparent_inject(&contexts[i], alone) == OTLPSHM_OK);
    CHECK(std::string(rows[i]) == alone);
  }
  contexts[50] = {};
  CHECK(otlpshm_traceparent_inject_batch(contexts.data(), contexts.size(), rows) ==
        OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(rows[50]).empty());
  CHECK(std::string(rows[99]).size() == OTLPSHM_TRACEPARENT_BYTES);
  CHECK(otlpshm_traceparent_inject_batch(nullptr, 0, nullptr) == OTLPSHM_OK);
  CHECK(otlpshm_traceparent_inject_batch(nullptr, 1, rows) != OTLPSHM_OK);
  CHECK(otlpshm_traceparent_inject_batch(contexts.data(), 1, nullptr) != OTLPSHM_OK);
}

TEST_CASE("context: nothing allocates or touches errno, in a signal handler or out of one") {
  const std::uint64_t before = allocations();
  errno = 77;
  const int failed = use_everything();
  const int errno_after = errno;
  struct sigaction action = {}, old = {};
  action.sa_handler = on_signal;
  sigaction(SIGUSR2, &action, &old);
  raise(SIGUSR2);
  sigaction(SIGUSR2, &old, nullptr);
  const std::uint64_t after = allocations();
  CHECK(failed == 0);
  CHECK(failed_in_handler == 0);
  CHECK(errno_after == 77);
  CHECK(after == before);
}

TEST_CASE("context: null pointers and small rooms give no context") {
  Room room, small(OTLPSHM_TRACESTATE_BYTES);
  otlpshm_context context;
  const otlpshm_text parent = text(kGood);
  const otlpshm_w3c_headers headers{&parent, 1, nullptr, 0};
  const otlpshm_w3c_headers no_parents{nullptr, 1, nullptr, 0};
  const otlpshm_w3c_headers no_states{&parent, 1, nullptr, 1};
  CHECK(otlpshm_w3c_extract(&headers, room.get(), &context) == OTLPSHM_OK);
  CHECK(otlpshm_tracestate_inject(&context, small.get()) != OTLPSHM_OK);
  CHECK(otlpshm_tracestate_inject(&context, nullptr) != OTLPSHM_OK);
  CHECK(otlpshm_tracestate_inject(nullptr, room.get()) != OTLPSHM_OK);
  CHECK(otlpshm_w3c_extract(&headers, room.get(), nullptr) != OTLPSHM_OK);
  for (const otlpshm_w3c_headers* each :
       {(const otlpshm_w3c_headers*)nullptr, &no_parents, &no_states}) {
    std::memset(&context, 0xaa, sizeof context);
    CHECK(otlpshm_w3c_extract(each, room.get(), &context) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    CHECK(is_nothing(context));
  }
  for (otlpshm_text_room* each : {(otlpshm_text_room*)nullptr, small.get()}) {
    std::memset(&context, 0xaa, sizeof context);
    CHECK(otlpshm_w3c_extract(&headers, each, &context) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    CHECK(is_nothing(context));
  }
}

}  // namespace otlpshm::library
