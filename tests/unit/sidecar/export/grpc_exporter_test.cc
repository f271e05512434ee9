// SPDX-License-Identifier: Apache-2.0
// grpc_exporter_test.cc: the gRPC exporter against real gRPC servers, kind and unkind.
#include "export/grpc_exporter.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

#include "export_rig.h"
#include "fake_backend.h"

using namespace otlpshm;
using namespace otlpshm::exporting;

namespace {

struct GrpcRig : Rig {
  explicit GrpcRig(const std::string& target) {
    options.target = target;
    options.backoff = {5, 20};
  }

  void make() { exporter = make_grpc_exporter(*loop, options, on_outcome()); }

  GrpcOptions options;
};

Answer status(int code, std::string text = "as the test says") {
  Answer answer;
  answer.code = code;
  answer.text = std::move(text);
  return answer;
}

Answer response(std::string bytes) {
  Answer answer;
  answer.response = std::move(bytes);
  return answer;
}

Answer hang() {
  Answer answer;
  answer.hang = true;
  return answer;
}

// google.rpc.Status with one RetryInfo of `ms` < 1000.
Answer retry_info(int code, unsigned ms) {
  std::string duration = "\x10";
  for (std::uint64_t nanos = ms * 1'000'000ull; nanos != 0; nanos >>= 7) {
    duration += static_cast<char>((nanos & 0x7f) | (nanos >= 0x80 ? 0x80 : 0));
  }
  if (ms == 0) duration += '\0';
  const std::string info = "\x0a" + std::string(1, static_cast<char>(duration.size())) + duration;
  const std::string type = "type.googleapis.com/google.rpc.RetryInfo";
  const std::string any = "\x0a" + std::string(1, static_cast<char>(type.size())) + type + "\x12" +
                          std::string(1, static_cast<char>(info.size())) + info;
  Answer answer = status(code);
  answer.details = "\x1a" + std::string(1, static_cast<char>(any.size())) + any;
  return answer;
}

FakeBackend::Answering first_then_ok(const Answer& first) {
  return [first](std::size_t number, const Received&) { return number == 0 ? first : Answer{}; };
}

}  // namespace

TEST_CASE("grpc exporter: a batch arrives whole, at the right method, and is acknowledged") {
  FakeBackend backend([](std::size_t, const Received&) { return Answer{}; });
  GrpcRig rig(backend.target());
  rig.options.headers = {{"authorization", "Bearer x"},
                         {"x-tenant-bin", std::string("\x00\xff", 2)}};
  rig.make();
  const auto batch = batch_of(7, 10);
  rig.submit(batch);
  CHECK(rig.exporter->counts().in_flight == 1);
  REQUIRE(rig.run_until_outcomes(1));
  const model::ExportOutcome& outcome = rig.outcomes[0];
  CHECK(outcome.batch_id == 7);
  CHECK(outcome.status == Status::acknowledged);
  CHECK(outcome.rejected_spans == 0);
  CHECK(outcome.sends == 1);
  CHECK(outcome.message.empty());

  const Received received = backend.received().at(0);
  CHECK(received.method == "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
  CHECK(received.bytes == "the bytes of batch 7");
  CHECK(received.metadata.find("authorization")->second == "Bearer x");
  CHECK(received.metadata.find("x-tenant-bin")->second == std::string("\x00\xff", 2));
  CHECK(received.metadata.find("user-agent")->second.starts_with("OTel-OTLP-Exporter-otlpshm/"));

  const ExporterCounts counts = rig.exporter->counts();
  CHECK(counts.requests == 1);
  CHECK(counts.resends == 0);
  CHECK(counts.bytes == batch->bytes);
  CHECK(counts.in_flight == 0);
}

TEST_CASE("grpc exporter: what is received is the parts, one behind the other") {
  FakeBackend backend([](std::size_t, const Received&) { return Answer{}; });
  GrpcRig rig(backend.target());
  rig.make();
  std::minstd_rand random(3);
  std::vector<std::vector<std::string>> batches = {
      {}, {""}, {"", "x", ""}, {std::string(23, 'a'), std::string(24, 'b')}};
  for (int i = 0; i < 40; ++i) {
    auto& parts = batches.emplace_back();
    for (unsigned count = random() % 300; count > 0; --count) {
      std::string part(random() % (random() % 8 == 0 ? 100'000 : 60), '\0');
      for (char& c : part) c = static_cast<char>(random());
      parts.push_back(std::move(part));
    }
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    std::weak_ptr<const model::Batch> weak;
    {
      const auto batch = batch_of(i, 1, batches[i]);
      weak = batch;
      rig.submit(batch);
    }
    REQUIRE(rig.run_until_outcomes(i + 1));
    std::string whole;
    for (const std::string& part : batches[i]) whole += part;
    CHECK(backend.received().at(i).bytes == whole);
    CHECK(rig.run_until([&] { return weak.expired(); }));
  }
}

TEST_CASE("grpc exporter: each code is retried or not, as OTLP says") {
  const std::set<int> retryable = {1, 4, 10, 11, 14, 15};
  for (int code = 1; code <= 16; ++code) {
    CAPTURE(code);
    FakeBackend backend(first_then_ok(status(code)));
    GrpcRig rig(backend.target());
    rig.make();
    rig.submit(batch_of(1, 10));
    REQUIRE(rig.run_until_outcomes(1));
    const ExporterCounts counts = rig.exporter->counts();
    if (retryable.contains(code)) {
      CHECK(rig.outcomes[0].status == Status::acknowledged);
      CHECK(rig.outcomes[0].sends == 2);
      CHECK(backend.received_count() == 2);
      CHECK(counts.requests == 2);
      CHECK(counts.resends == 1);
      CHECK(counts.resent_spans == 10);
      CHECK(counts.failures_retryable == 1);
      CHECK(counts.failures_permanent == 0);
    } else {
      CHECK(rig.outcomes[0].status == Status::dropped);
      CHECK(rig.outcomes[0].reason == model::Reason::export_rejected);
      CHECK(rig.outcomes[0].message.ends_with(": as the test says"));
      CHECK(rig.outcomes[0].sends == 1);
      CHECK(backend.received_count() == 1);
      CHECK(counts.resends == 0);
      CHECK(counts.failures_permanent == 1);
    }
  }
}

TEST_CASE("grpc exporter: RESOURCE_EXHAUSTED with RetryInfo is retried, not before the delay") {
  FakeBackend backend(first_then_ok(retry_info(8, 400)));
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  const auto received = backend.received();
  REQUIRE(received.size() == 2);
  CHECK(received[1].at_ms - received[0].at_ms >= 399);
}

TEST_CASE("grpc exporter: RetryInfo of zero makes RESOURCE_EXHAUSTED retryable") {
  FakeBackend backend(first_then_ok(retry_info(8, 0)));
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
}

TEST_CASE("grpc exporter: RetryInfo does not make INVALID_ARGUMENT retryable") {
  FakeBackend backend(first_then_ok(retry_info(3, 10)));
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::dropped);
}

TEST_CASE("grpc exporter: a delay asked of one request holds the others back") {
  FakeBackend backend(first_then_ok(retry_info(14, 400)));
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().failures_retryable == 1; }));
  for (std::uint64_t id = 2; id <= 5; ++id) rig.submit(batch_of(id));
  REQUIRE(rig.run_until_outcomes(5));
  const auto received = backend.received();
  REQUIRE(received.size() == 6);
  for (std::size_t i = 1; i < received.size(); ++i) {
    CHECK(received[i].at_ms - received[0].at_ms >= 399);
  }
}

TEST_CASE("grpc exporter: a partial success is not retried and its count is clamped") {
  struct Row {
    std::string bytes;
    std::uint64_t rejected;
    std::string message;
  };
  const Row rows[] = {
      {std::string("\x0a\x02\x08\x03", 4), 3, ""},
      {std::string("\x0a\x06\x08\x03\x12\x02no", 8), 3, "no"},
      {std::string("\x0a\x02\x08\x63", 4), 10, ""},                                      // 99 of 10
      {std::string("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13), 0, ""},  // -1
      {std::string("\x0a\x04\x12\x02hm", 6), 0, "hm"},  // a warning
      {std::string("\x0a\x00", 2), 0, ""},
  };
  for (const Row& row : rows) {
    FakeBackend backend([&](std::size_t, const Received&) { return response(row.bytes); });
    GrpcRig rig(backend.target());
    rig.make();
    rig.submit(batch_of(1, 10));
    REQUIRE(rig.run_until_outcomes(1));
    CHECK(rig.outcomes[0].status == Status::acknowledged);
    CHECK(rig.outcomes[0].rejected_spans == row.rejected);
    CHECK(rig.outcomes[0].message == row.message);
    CHECK(backend.received_count() == 1);
  }
}

TEST_CASE("grpc exporter: OK with a response that cannot be parsed is an acknowledgement") {
  FakeBackend backend([](std::size_t, const Received&) { return response("\xff\xff garbage"); });
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.outcomes[0].rejected_spans == 0);
  CHECK_FALSE(rig.outcomes[0].message.empty());
}

TEST_CASE("grpc exporter: a response over 4 MiB is permanent") {
  FakeBackend backend(
      [](std::size_t, const Received&) { return response(std::string(5 << 20, 'x')); });
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::dropped);
  CHECK(backend.received_count() == 1);
}

TEST_CASE("grpc exporter: a long text of the backend is cut, in a failure and in a warning") {
  const std::string text(20'000, 'y');
  FakeBackend backend(first_then_ok(status(13, text)));
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::dropped);
  CHECK(rig.outcomes[0].message.size() < 1100);
  CHECK(rig.outcomes[0].message.starts_with("INTERNAL: yyy"));
}

TEST_CASE("grpc exporter: a retryable failure with a long text stays retryable") {
  FakeBackend backend(first_then_ok(status(14, std::string(20'000, 'y'))));
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
}

TEST_CASE("grpc exporter: a request over the limit is not sent") {
  FakeBackend backend([](std::size_t, const Received&) { return Answer{}; });
  GrpcRig rig(backend.target());
  rig.options.request_bytes_max = 100;
  rig.make();
  rig.submit(batch_of(1, 10, {std::string(100, 'x')}));
  rig.submit(batch_of(2, 10, {std::string(100, 'x'), "y"}));
  REQUIRE(rig.run_until_outcomes(2));
  std::sort(rig.outcomes.begin(), rig.outcomes.end(),
            [](const auto& a, const auto& b) { return a.batch_id < b.batch_id; });
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.outcomes[1].status == Status::dropped);
  CHECK(rig.outcomes[1].reason == model::Reason::export_too_large);
  CHECK(rig.outcomes[1].sends == 0);
  CHECK(backend.received_count() == 1);
}

TEST_CASE("grpc exporter: a server that hangs costs one deadline, then a resend") {
  FakeBackend backend(first_then_ok(hang()));
  GrpcRig rig(backend.target());
  rig.options.timeout_ms = 200;
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.outcomes[0].sends == 2);
  const auto received = backend.received();
  CHECK(received[1].at_ms - received[0].at_ms >= 150);
}

TEST_CASE("grpc exporter: ready is false when every slot waits, and only then") {
  bool up = false;
  FakeBackend backend([&](std::size_t, const Received&) { return up ? Answer{} : status(14); });
  GrpcRig rig(backend.target());
  rig.options.requests_in_flight_max = 3;
  rig.make();
  for (std::uint64_t id = 1; id <= 3; ++id) rig.submit(batch_of(id));
  CHECK_FALSE(rig.exporter->ready());
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().failures_retryable >= 6; }));
  CHECK_FALSE(rig.exporter->ready());
  CHECK(rig.outcomes.empty());
  CHECK(rig.exporter->counts().in_flight == 3);
}

TEST_CASE("grpc exporter: refused connections are retried and count as nothing sent") {
  const int port = refused_port();
  GrpcRig rig("127.0.0.1:" + std::to_string(port));
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().failures_retryable >= 3; }));
  CHECK(rig.outcomes.empty());
  CHECK(rig.exporter->counts().requests == 0);

  FakeBackend backend([](std::size_t, const Received&) { return Answer{}; }, port);
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.outcomes[0].sends == 1);
  CHECK(rig.exporter->counts().requests == 1);
  CHECK(rig.exporter->counts().resends == 0);
  CHECK(backend.received_count() == 1);
}

TEST_CASE("grpc exporter: a server killed during a call gets the batch again when it is back") {
  auto backend = std::make_unique<FakeBackend>([](std::size_t, const Received&) { return hang(); });
  const int port = backend->port();
  GrpcRig rig(backend->target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until([&] { return backend->received_count() == 1; }));
  backend.reset();
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().failures_retryable >= 2; }));

  FakeBackend again([](std::size_t, const Received&) { return Answer{}; }, port);
  REQUIRE(rig.run_until_outcomes(1));
  CHECK(rig.outcomes[0].status == Status::acknowledged);
  CHECK(rig.outcomes[0].sends == 2);
  CHECK(rig.exporter->counts().resends == 1);
}

TEST_CASE("grpc exporter: a server that ends its connections by age loses and doubles nothing") {
  FakeBackend backend([](std::size_t, const Received&) { return Answer{}; }, 0, 150);
  GrpcRig rig(backend.target());
  rig.make();
  std::uint64_t id = 0;
  std::set<std::string> peers;
  REQUIRE(rig.run_until([&] {
    while (rig.exporter->ready()) rig.submit(batch_of(++id));
    if (id % 64 == 0) {
      for (const Received& received : backend.received()) peers.insert(received.peer);
    }
    return peers.size() >= 4;
  }));
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().in_flight == 0; }));
  CHECK(rig.outcomes.size() == id);
  std::uint64_t sends = 0;
  for (const model::ExportOutcome& outcome : rig.outcomes) {
    CHECK(outcome.status == Status::acknowledged);
    sends += outcome.sends;
  }
  CHECK(sends == rig.exporter->counts().requests);
  CHECK(backend.received_count() >= id);
  CHECK(backend.received_count() <= sends);
}

TEST_CASE("grpc exporter: a backend that never answers gets a new connection after a while") {
  FakeBackend backend([](std::size_t, const Received&) { return hang(); });
  GrpcRig rig(backend.target());
  rig.options.timeout_ms = 50;
  rig.options.reconnect_after_ms = 200;
  rig.make();
  rig.submit(batch_of(1));
  std::set<std::string> peers;
  CHECK(rig.run_until([&] {
    for (const Received& received : backend.received()) peers.insert(received.peer);
    return peers.size() >= 3;
  }));
}

TEST_CASE("grpc exporter: a backend that answers keeps its connection, whatever it answers") {
  FakeBackend backend([](std::size_t, const Received&) { return status(14); });
  GrpcRig rig(backend.target());
  rig.options.reconnect_after_ms = 50;
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until([&] { return backend.received_count() >= 20; }));
  std::set<std::string> peers;
  for (const Received& received : backend.received()) peers.insert(received.peer);
  CHECK(peers.size() == 1);
}

TEST_CASE("grpc exporter: a word from the backend between two silences keeps the connection") {
  FakeBackend backend([](std::size_t number, const Received&) {
    return number == 0 || number == 2 ? hang() : Answer{};
  });
  GrpcRig rig(backend.target());
  rig.options.timeout_ms = 50;
  rig.options.reconnect_after_ms = 100;
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until_outcomes(1));
  rig.run_for_ms(100);
  rig.submit(batch_of(2));
  REQUIRE(rig.run_until_outcomes(2));
  const auto received = backend.received();
  REQUIRE(received.size() == 4);
  CHECK(received[3].peer == received[0].peer);
}

TEST_CASE("grpc exporter: shutdown with a hung server ends by its deadline, abandoned") {
  FakeBackend backend([](std::size_t, const Received&) { return hang(); });
  GrpcRig rig(backend.target());
  rig.make();
  for (std::uint64_t id = 1; id <= 3; ++id) rig.submit(batch_of(id));
  REQUIRE(rig.run_until([&] { return backend.received_count() == 3; }));
  const std::uint64_t start_ns = io::monotonic_ns();
  rig.shutdown(100);
  CHECK_FALSE(rig.exporter->ready());
  REQUIRE(rig.run_until_outcomes(3));
  CHECK(io::monotonic_ns() - start_ns >= 99'000'000);
  CHECK(rig.exporter->counts().in_flight == 0);
  CHECK(rig.exporter->counts().requests == 3);
  for (const model::ExportOutcome& outcome : rig.outcomes) {
    CHECK(outcome.status == Status::abandoned);
    CHECK(outcome.sends == 1);
  }
  rig.run_for_ms(50);
  CHECK(rig.outcomes.size() == 3);
  rig.exporter.reset();
  rig.run_for_ms(10);
  CHECK(rig.outcomes.size() == 3);
}

TEST_CASE("grpc exporter: shutdown abandons at once what waits for its retry") {
  FakeBackend backend([](std::size_t, const Received&) { return retry_info(14, 999); });
  GrpcRig rig(backend.target());
  rig.make();
  rig.submit(batch_of(1));
  REQUIRE(rig.run_until([&] { return rig.exporter->counts().failures_retryable == 1; }));
  rig.submit(batch_of(2));  // held back
  rig.shutdown(20'000);
  REQUIRE(rig.run_until_outcomes(2));
  CHECK(rig.outcomes[0].status == Status::abandoned);
  CHECK(rig.outcomes[1].status == Status::abandoned);
  CHECK(backend.received_count() == 1);
}

TEST_CASE("grpc exporter: shutdown lets a call that is under way finish, and does not retry it") {
  for (const int code : {0, 14, 3}) {
    CAPTURE(code);
    FakeBackend backend([&](std::size_t, const Received&) { return status(code); });
    GrpcRig rig(backend.target());
    rig.options.backoff = {120'000, 120'000};  // a retry, as the deadline, outlasts the watchdog
    rig.make();
    rig.submit(batch_of(1));
    rig.shutdown(120'000);
    REQUIRE(rig.run_until_outcomes(1));
    const Status expected = code == 0    ? Status::acknowledged
                            : code == 14 ? Status::abandoned
                                         : Status::dropped;
    CHECK(rig.outcomes[0].status == expected);
    CHECK(backend.received_count() == 1);
  }
}

TEST_CASE("grpc exporter: it can be destroyed with calls under way, and gives no outcome then") {
  FakeBackend backend([](std::size_t, const Received&) { return hang(); });
  GrpcRig rig(backend.target());
  rig.make();
  std::weak_ptr<const model::Batch> weak;
  {
    const auto batch = batch_of(1);
    weak = batch;
    rig.submit(batch);
  }
  REQUIRE(rig.run_until([&] { return backend.received_count() == 1; }));
  rig.exporter.reset();
  rig.run_for_ms(20);
  CHECK(rig.outcomes.empty());
  CHECK(rig.run_until([&] { return weak.expired(); }));
}

TEST_CASE("grpc exporter: headers that gRPC would abort on are refused with their name") {
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"Upper", "x"},
                                                        {"with space", "x"},
                                                        {"", "x"},
                                                        {":path", "/"},
                                                        {"grpc-timeout", "1S"},
                                                        {"x-text", "line\nbreak"},
                                                        {"x-text", "\x80"}}) {
    GrpcRig rig("127.0.0.1:1");
    rig.options.headers = {{name, value}};
    CHECK_THROWS_AS(rig.make(), std::invalid_argument);
  }
}

TEST_CASE("grpc exporter: 1000 batches and random answers: one outcome each, every send counted") {
  std::mutex mutex;
  std::minstd_rand random(11);
  std::map<std::string, std::uint64_t> received_of;
  FakeBackend backend([&](std::size_t, const Received& received) {
    const std::lock_guard lock(mutex);
    received_of[received.bytes]++;
    switch (random() % 8) {
      case 0:
        return status(static_cast<int>(1 + random() % 16));
      case 1:
        return status(14);
      case 2:
        return retry_info(8, random() % 3);
      case 3:
        return random() % 4 == 0 ? hang() : Answer{};
      default:
        return Answer{};
    }
  });
  GrpcRig rig(backend.target());
  rig.options.timeout_ms = 300;
  rig.options.requests_in_flight_max = 16;
  rig.make();
  std::uint64_t id = 0;
  REQUIRE(rig.run_until([&] {
    while (id < 1000 && rig.exporter->ready()) {
      ++id;
      rig.submit(batch_of(id, static_cast<std::uint32_t>(id % 7)));
    }
    return rig.outcomes.size() >= 1000;
  }));
  rig.run_for_ms(50);
  REQUIRE(rig.outcomes.size() == 1000);

  const std::lock_guard lock(mutex);
  std::set<std::uint64_t> ids;
  std::uint64_t sends = 0;
  std::uint64_t resent_spans = 0;
  for (const model::ExportOutcome& outcome : rig.outcomes) {
    CHECK(ids.insert(outcome.batch_id).second);
    CHECK(outcome.status != Status::abandoned);
    CHECK(outcome.sends == received_of["the bytes of batch " + std::to_string(outcome.batch_id)]);
    sends += outcome.sends;
    resent_spans += (outcome.sends - 1) * (outcome.batch_id % 7);
  }
  const ExporterCounts counts = rig.exporter->counts();
  CHECK(counts.requests == sends);
  CHECK(counts.requests == backend.received_count());
  CHECK(counts.resends == sends - 1000);
  CHECK(counts.resent_spans == resent_spans);
  CHECK(counts.in_flight == 0);
}
