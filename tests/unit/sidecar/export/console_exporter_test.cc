// SPDX-License-Identifier: Apache-2.0
// console_exporter_test.cc: when traces are printed, and what a batch is told.
#include "export/console_exporter.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>

#include "export_rig.h"
#include "proto/otlp_trace.pb.h"

using namespace otlpshm;
using namespace otlpshm::exporting;

namespace {

struct SpanIs {
  std::string trace;
  std::string id;
  std::string parent;
  std::string name;
};

std::shared_ptr<model::Batch> spans(std::uint64_t id, const std::vector<SpanIs>& all) {
  proto::ExportTraceServiceRequest request;
  auto* const resource = request.add_resource_spans();
  auto* const service = resource->mutable_resource()->add_attributes();
  service->set_key("service.name");
  service->mutable_value()->set_string_value("shop");
  auto* const scope = resource->add_scope_spans();
  for (const SpanIs& one : all) {
    auto* const span = scope->add_spans();
    span->set_trace_id(one.trace);
    span->set_span_id(one.id);
    span->set_parent_span_id(one.parent);
    span->set_name(one.name);
  }
  const std::string bytes = request.SerializeAsString();
  // In parts that split fields.
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < bytes.size(); at += 7) parts.push_back(bytes.substr(at, 7));
  return batch_of(id, static_cast<std::uint32_t>(all.size()), parts);
}

struct ConsoleRig : Rig {
  ConsoleRig() {
    signal(SIGPIPE, SIG_IGN);
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    options.fd = ends[1];
    options.quiet_ms = 40;
    options.wait_ms_max = 300;
  }
  ~ConsoleRig() {
    exporter.reset();
    for (const int fd : ends) {
      if (fd >= 0) close(fd);
    }
  }
  ConsoleRig(const ConsoleRig&) = delete;
  ConsoleRig& operator=(const ConsoleRig&) = delete;

  void make() { exporter = make_console_exporter(*loop, options, on_outcome()); }

  // All that was printed since the rig was made.
  const std::string& printed() {
    char bytes[65536];
    for (ssize_t count; (count = read(ends[0], bytes, sizeof bytes)) > 0;) {
      text.append(bytes, static_cast<std::size_t>(count));
    }
    return text;
  }

  std::size_t times(const std::string& what) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = printed().find(what, at)) != std::string::npos; ++at) ++count;
    return count;
  }

  int ends[2] = {-1, -1};
  std::string text;
  ConsoleOptions options;
};

}  // namespace

TEST_CASE("console exporter: a trace is printed as one tree, and then its batches are settled") {
  ConsoleRig rig;
  rig.make();
  rig.submit(spans(1, {{"T", "b", "a", "child"}}));
  rig.submit(spans(2, {{"T", "a", "", "root"}}));
  CHECK(rig.exporter->counts().in_flight == 2);
  REQUIRE(rig.run_until_outcomes(2));
  CHECK(rig.printed().starts_with("trace 54  2 spans"));
  CHECK(rig.printed().find("└─ shop  root") != std::string::npos);
  CHECK(rig.printed().find("   └─ shop  child") != std::string::npos);
  for (const model::ExportOutcome& outcome : rig.outcomes) {
    CHECK(outcome.status == Status::acknowledged);
    CHECK(outcome.rejected_spans == 0);
    CHECK(outcome.sends == 1);
  }
  CHECK(rig.exporter->counts().in_flight == 0);
}

TEST_CASE("console exporter: a trace waits for quiet after its root") {
  ConsoleRig rig;
  rig.options.quiet_ms = 150;
  rig.make();
  rig.submit(spans(1, {{"T", "a", "", "root"}}));
  rig.run_for_ms(60);
  CHECK(rig.printed().empty());
  CHECK(rig.outcomes.empty());
  rig.submit(spans(2, {{"T", "b", "a", "late"}}));
  REQUIRE(rig.run_until_outcomes(2));
  CHECK(rig.times("trace 54") == 1);
}

TEST_CASE("console exporter: a trace without a root is printed after the longest wait") {
  ConsoleRig rig;
  rig.make();
  const std::uint64_t start_ns = io::monotonic_ns();
  rig.submit(spans(1, {{"T", "b", "a", "child"}}));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(io::monotonic_ns() - start_ns >= 299'000'000);
  CHECK(rig.times("(parent 61 not seen)") == 1);
}

TEST_CASE("console exporter: two traces are two trees, and one batch of both waits for both") {
  ConsoleRig rig;
  rig.make();
  rig.submit(spans(1, {{"T", "a", "", "first"}, {"U", "a", "x", "second"}}));
  REQUIRE(rig.run_until([&] { return rig.times("first") == 1; }));
  CHECK(rig.outcomes.empty());
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.times("trace 54  1 span") == 1);
  CHECK(rig.times("trace 55  1 span") == 1);
}

TEST_CASE("console exporter: a span that comes twice is printed once, before and after printing") {
  ConsoleRig rig;
  rig.make();
  rig.submit(spans(1, {{"T", "a", "", "root"}}));
  rig.submit(spans(2, {{"T", "a", "", "root"}, {"T", "b", "a", "child"}}));
  REQUIRE(rig.run_until_outcomes(2));
  rig.submit(spans(3, {{"T", "a", "", "root"}, {"T", "b", "a", "child"}}));
  REQUIRE(rig.run_until_outcomes(3));
  CHECK(rig.outcomes[2].status == Status::acknowledged);
  CHECK(rig.times("root") == 1);
  CHECK(rig.times("child") == 1);
}

TEST_CASE("console exporter: a batch without spans is settled") {
  ConsoleRig rig;
  rig.make();
  rig.submit(spans(1, {}));
  rig.submit(batch_of(2, 0, {}));
  REQUIRE(rig.run_until_outcomes(2));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.outcomes[1].status == Status::acknowledged);
}

TEST_CASE("console exporter: a batch that is no request is dropped, and no other with it") {
  ConsoleRig rig;
  rig.make();
  rig.submit(batch_of(1, 3, {"\xff\xff\xff"}));
  rig.submit(spans(2, {{"T", "a", "", "root"}}));
  REQUIRE(rig.run_until_outcomes(2));
  CHECK(rig.outcomes[0].batch_id == 1);
  CHECK(rig.outcomes[0].status == Status::dropped);
  CHECK(rig.outcomes[0].reason == model::Reason::export_rejected);
  CHECK(rig.outcomes[1].status == Status::acknowledged);
}

TEST_CASE("console exporter: beyond its bounds the oldest trace is printed early") {
  ConsoleRig rig;
  rig.options.wait_ms_max = 60'000;
  SECTION("of traces") {
    rig.options.traces_max = 3;
  }
  SECTION("of spans") {
    rig.options.spans_max = 3;
  }
  SECTION("of batches") {
    rig.options.batches_max = 4;
  }
  rig.make();
  for (int i = 0; i < 4; ++i) {
    rig.submit(spans(static_cast<std::uint64_t>(i), {{std::string(1, static_cast<char>('A' + i)),
                                                      "b", "a", "n" + std::to_string(i)}}));
  }
  REQUIRE(rig.run_until_outcomes(1));
  rig.run_for_ms(50);
  REQUIRE(rig.outcomes.size() == 1);
  CHECK(rig.outcomes[0].batch_id == 0);
  CHECK(rig.times("n0") == 1);
  CHECK(rig.times("n1") == 0);
  CHECK(rig.exporter->ready());
}

TEST_CASE("console exporter: a reader that does not read holds up batches, not the loop") {
  ConsoleRig rig;
  rig.options.quiet_ms = 1;
  rig.make();
  std::uint64_t id = 0;
  const auto submit_trace = [&] {
    ++id;
    rig.submit(spans(id, {{std::to_string(id), "a", "", std::string(4000, 'x')}}));
  };
  REQUIRE(rig.run_until([&] {
    if (!rig.exporter->ready()) return true;
    submit_trace();
    rig.loop->run_once(0);
    return false;
  }));
  const std::size_t settled = rig.outcomes.size();
  CHECK(settled < id);
  CHECK(id <= settled + rig.options.batches_max);
  rig.run_for_ms(50);
  CHECK(rig.outcomes.size() == settled);
  REQUIRE(rig.run_until([&] {
    (void)rig.printed();
    return rig.outcomes.size() == id;
  }));
  CHECK(rig.times("trace ") == id);
}

TEST_CASE("console exporter: a reader that is gone drops the batches, this one and the next") {
  ConsoleRig rig;
  rig.make();
  close(std::exchange(rig.ends[0], -1));
  for (std::uint64_t id = 1; id <= 2; ++id) {
    rig.submit(spans(id, {{std::to_string(id), "a", "", "root"}}));
    REQUIRE(rig.run_until_outcomes(id));
    CHECK(rig.outcomes.back().status == Status::dropped);
    CHECK(rig.outcomes.back().message == "cannot write traces: Broken pipe");
  }
}

TEST_CASE("console exporter: a full disk is waited for") {
  ConsoleRig rig;
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  rig.options.fd = full;
  rig.make();
  rig.submit(spans(1, {{"T", "a", "", "root"}}));
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().failures_retryable >= 1; }));
  CHECK(rig.outcomes.empty());
  REQUIRE(dup2(rig.ends[1], full) == full);
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.times("root") == 1);
  close(full);
}

TEST_CASE("console exporter: shutdown prints what is open and acknowledges it") {
  ConsoleRig rig;
  rig.options.wait_ms_max = 60'000;
  rig.make();
  rig.submit(spans(1, {{"T", "b", "a", "child"}}));
  rig.shutdown(20'000);
  CHECK_FALSE(rig.exporter->ready());
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.times("child") == 1);
}

TEST_CASE("console exporter: shutdown abandons by its deadline what nobody reads") {
  ConsoleRig rig;
  rig.options.quiet_ms = 1;
  rig.make();
  for (std::uint64_t id = 1; id <= 100; ++id) {
    rig.submit(spans(id, {{std::to_string(id), "a", "", std::string(120, 'x')},
                          {std::to_string(id), "b", "a", std::string(120, 'y')},
                          {std::to_string(id), "c", "a", std::string(120, 'z')},
                          {std::to_string(id), "d", "a", std::string(120, 'z')},
                          {std::to_string(id), "e", "a", std::string(120, 'z')}}));
  }
  rig.shutdown(100);
  REQUIRE(rig.run_until_outcomes(100));
  CHECK(rig.outcomes.front().status == Status::acknowledged);
  CHECK(rig.outcomes.back().status == Status::abandoned);
  CHECK(rig.exporter->counts().in_flight == 0);
}

TEST_CASE("console exporter: a pipe gets no colour unless asked") {
  for (const auto color : {ConsoleOptions::Color::automatic, ConsoleOptions::Color::always}) {
    ConsoleRig rig;
    rig.options.color = color;
    rig.make();
    proto::ExportTraceServiceRequest request;
    auto* const span = request.add_resource_spans()->add_scope_spans()->add_spans();
    span->mutable_status()->set_code(proto::Status::STATUS_CODE_ERROR);
    rig.submit(batch_of(1, 1, {request.SerializeAsString()}));
    REQUIRE(rig.run_until_outcomes(1));
    CHECK((rig.times("\x1b[31m") == 1) == (color == ConsoleOptions::Color::always));
  }
}
