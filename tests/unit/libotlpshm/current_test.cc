// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <catch2/catch.hpp>
#include <thread>

#include "in_child.h"
#include "otlpshm/context.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

otlpshm_context context_of(const otlpshm_span* span) {
  otlpshm_context context;
  otlpshm_span_get_context(span, &context);
  return context;
}

bool is_trace_of(const Span& span, const otlpshm_context& context) {
  return span.trace_id == std::string(reinterpret_cast<const char*>(context.trace_id), 16);
}

otlpshm_span span_of_handler;

void on_signal(int) {
  otlpshm_span* before = otlpshm_span_make_current(&span_of_handler);
  (void)otlpshm_span_make_current(before);
}

}  // namespace

TEST_CASE("current: a thread has none until it makes one, and puts back what was before") {
  otlpshm_span outer{}, inner{};
  CHECK(otlpshm_span_current() == nullptr);
  CHECK(otlpshm_span_make_current(&outer) == nullptr);
  CHECK(otlpshm_span_current() == &outer);
  otlpshm_span* before = otlpshm_span_make_current(&inner);
  CHECK(before == &outer);
  CHECK(otlpshm_span_current() == &inner);
  CHECK(otlpshm_span_make_current(before) == &inner);
  CHECK(otlpshm_span_current() == &outer);
  CHECK(otlpshm_span_make_current(nullptr) == &outer);
  CHECK(otlpshm_span_current() == nullptr);
}

TEST_CASE("current: each thread has its own") {
  otlpshm_span mine{}, theirs{};
  (void)otlpshm_span_make_current(&mine);
  otlpshm_span *at_start = &mine, *at_end = nullptr;
  std::thread([&] {
    at_start = otlpshm_span_current();
    (void)otlpshm_span_make_current(&theirs);
    at_end = otlpshm_span_current();
  }).join();
  CHECK(at_start == nullptr);
  CHECK(at_end == &theirs);
  CHECK(otlpshm_span_make_current(nullptr) == &mine);
}

TEST_CASE("current: it is the parent of those who ask, and nothing to those who ask too late") {
  in_child([] {
    const PrivateDirectory directory;
    otlpshm_writer* writer = open_writer(directory.path(), kSmall);
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "outer", nullptr);
    (void)otlpshm_span_make_current(&span);
    const otlpshm_context context = context_of(otlpshm_span_current());
    otlpshm_start_options options{};
    options.size = sizeof options;
    options.parent = &context;
    REQUIRE(is_trace_of(span_of(
                            writer, directory, [](otlpshm_span*) {}, &options),
                        context));

    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(otlpshm_span_current() == &span);
    REQUIRE(otlpshm_span_is_recording(otlpshm_span_current()) == 0);
    otlpshm_span_set_int_cstr(otlpshm_span_current(), "late", 1);
    REQUIRE(otlpshm_span_end(otlpshm_span_current()) == OTLPSHM_OK);
    const otlpshm_context after = context_of(otlpshm_span_current());
    options.parent = &after;
    REQUIRE(!is_trace_of(span_of(
                             writer, directory, [](otlpshm_span*) {}, &options),
                         context));
    (void)otlpshm_span_make_current(nullptr);
    otlpshm_shutdown(writer, 0);
  });
}

TEST_CASE("current: none is a no-op everywhere") {
  REQUIRE(otlpshm_span_current() == nullptr);
  otlpshm_span_set_int_cstr(otlpshm_span_current(), "k", 1);
  CHECK(otlpshm_span_is_recording(otlpshm_span_current()) == 0);
  CHECK(otlpshm_span_end(otlpshm_span_current()) == OTLPSHM_OK);
  CHECK(context_of(otlpshm_span_current()).trace_id[0] == 0);
}

TEST_CASE("current: a handler that puts back what it found is not noticed") {
  in_child([] {
    struct sigaction action = {};
    action.sa_handler = on_signal;
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
    otlpshm_span span{};
    (void)otlpshm_span_make_current(&span);
    for (int i = 0; i < 1000; ++i) {
      REQUIRE(raise(SIGUSR1) == 0);
      REQUIRE(otlpshm_span_current() == &span);
    }
  });
}

}  // namespace otlpshm::library
