// SPDX-License-Identifier: Apache-2.0
// null_receiver.cc: a cheap OTLP/gRPC backend for benches, in a process of its own.
//   Owns   the counts: spans by walking lengths, distinct ids, some spans decoded in full.
//   Never  answers before it has counted.
//   Prints "ready port=N" when it listens, and one line of JSON at SIGTERM or SIGINT.
//   Threads one for all requests, so that its cost is easy to know; main waits for the signal.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "model/wire.h"
#include "proto/otlp_trace.pb.h"
#include "telemetry/histogram.h"

namespace {

namespace model = otlpshm::model;
namespace proto = otlpshm::proto;
using Bytes = std::span<const std::uint8_t>;

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr int kCallsWaiting = 64;  // requests that can be taken at once

struct Options {
  int port = 0;
  bool distinct = false;
  bool latency = false;
  std::uint64_t decode_every = 0;  // 0: never
  int attributes = -1;             // that a decoded span must have; -1: any number
};

[[noreturn]] void fail(const std::string& sentence) {
  std::fprintf(stderr, "otlpshm-null-receiver: %s\n", sentence.c_str());
  std::exit(2);
}

std::uint64_t realtime_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// One field of a protobuf message: the number, and what is behind its tag.
struct Field {
  std::uint32_t number = 0;
  model::Wire wire = model::Wire::varint;
  Bytes bytes;  // of a length or fixed field
};

// Takes the first field off `rest`; false if that is not a field.
bool take_field(Bytes& rest, Field& field) {
  const std::uint8_t* const end = rest.data() + rest.size();
  std::uint32_t tag = 0;
  const std::uint8_t* at = model::get_varint32(rest.data(), end, &tag);
  if (at == nullptr) return false;
  field.number = tag >> 3;
  field.wire = static_cast<model::Wire>(tag & 7);
  std::uint32_t length = 0;
  std::uint64_t ignored = 0;
  switch (field.wire) {
    case model::Wire::varint:
      at = model::get_varint(at, end, &ignored);
      break;
    case model::Wire::fixed64:
      length = 8;
      break;
    case model::Wire::fixed32:
      length = 4;
      break;
    case model::Wire::length:
      at = model::get_varint32(at, end, &length);
      break;
    default:
      return false;
  }
  if (at == nullptr || length > static_cast<std::size_t>(end - at)) return false;
  field.bytes = {at, length};
  rest = {at + length, end};
  return true;
}

std::uint64_t load_u64(const std::uint8_t* at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The set of 64-bit keys seen: open addressing, at most half full. Two ids of a hundred million
// share a key with a chance of one in four thousand; then `distinct` is one too low.
class KeySet {
 public:
  void insert_all(const std::vector<std::uint64_t>& keys) {
    while ((size_ + keys.size()) * 2 > slots_.size()) grow();
    // Each insertion is a cache miss: start some of them ahead.
    constexpr std::size_t kAhead = 16;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i + kAhead < keys.size()) __builtin_prefetch(&slots_[slot_of(keys[i + kAhead])], 1);
      insert(keys[i]);
    }
  }

  std::uint64_t size() const { return size_; }

 private:
  static constexpr std::size_t kFirstSlots = std::size_t{1} << 22;

  std::size_t slot_of(std::uint64_t key) const { return key & (slots_.size() - 1); }

  void insert(std::uint64_t key) {
    key += key == 0 ? 1 : 0;  // 0 is an empty slot
    std::size_t slot = slot_of(key);
    while (slots_[slot] != 0 && slots_[slot] != key) slot = (slot + 1) & (slots_.size() - 1);
    size_ += slots_[slot] == 0 ? 1 : 0;
    slots_[slot] = key;
  }

  void grow() {
    std::vector<std::uint64_t> old(slots_.empty() ? kFirstSlots : slots_.size() * 2);
    old.swap(slots_);
    size_ = 0;
    for (const std::uint64_t key : old) {
      if (key != 0) insert(key);
    }
  }

  std::vector<std::uint64_t> slots_;
  std::uint64_t size_ = 0;
};

__extension__ typedef unsigned __int128 Wide;

// A key of 128 + 64 bits of ids, by multiplication: ids may be counters as well as random.
std::uint64_t key_of(Bytes trace_id, Bytes span_id) {
  const auto mixed = [](std::uint64_t a, std::uint64_t b) {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  const std::uint64_t high = load_u64(trace_id.data()) ^ 0x9e3779b97f4a7c15;
  const std::uint64_t low = load_u64(trace_id.data() + 8) ^ 0xbf58476d1ce4e5b9;
  const std::uint64_t span = load_u64(span_id.data()) ^ 0x94d049bb133111eb;
  return mixed(mixed(high, low) ^ span, 0xd6e8feb86659fd93);
}

class Receiver {
 public:
  explicit Receiver(const Options& options) : options_(options) {}

  // False if the bytes are not a request; what was before the fault is counted.
  bool receive(Bytes request) {
    requests_++;
    bytes_ += request.size();
    arrived_ns_ = options_.latency ? realtime_ns() : 0;
    keys_.clear();
    const bool whole = walk(request, 1, [this](Bytes resource_spans) {
      return walk(resource_spans, 2, [this](Bytes scope_spans) {
        return walk(scope_spans, 2, [this](Bytes span) { return receive_span(span); });
      });
    });
    malformed_ += whole ? 0 : 1;
    if (options_.distinct) distinct_.insert_all(keys_);
    return whole;
  }

  void print() const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    const auto count = [](const char* name, std::uint64_t value) {
      std::printf("\"%s\":%llu,", name, static_cast<unsigned long long>(value));
    };
    std::printf("{");
    count("spans", spans_);
    if (options_.distinct) count("distinct", distinct_.size());
    count("requests", requests_);
    count("bytes", bytes_);
    count("malformed", malformed_);
    count("decoded", decoded_);
    count("decode_errors", decode_errors_);
    if (options_.latency) {
      std::printf("\"latency_ms\":{");
      for (const auto& [name, share] : {std::pair{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}}) {
        std::printf("\"%s\":%.3f,", name, static_cast<double>(latency_.quantile_ns(share)) / 1e6);
      }
      std::printf("\"max\":%.3f},", static_cast<double>(latency_.greatest_ns()) / 1e6);
    }
    std::printf("\"cpu_s\":%.6f}\n", seconds(usage.ru_utime) + seconds(usage.ru_stime));
    std::fflush(stdout);
  }

 private:
  // Calls `visit` with each occurrence of the message field `number`.
  template <typename Visit>
  bool walk(Bytes rest, std::uint32_t number, Visit visit) {
    Field field;
    while (!rest.empty()) {
      if (!take_field(rest, field)) return false;
      if (field.number != number || field.wire != model::Wire::length) continue;
      if (!visit(field.bytes)) return false;
    }
    return true;
  }

  bool receive_span(Bytes span) {
    spans_++;
    if (options_.distinct || options_.latency) {
      if (!receive_fields(span)) return false;
    }
    if (options_.decode_every != 0 && spans_ % options_.decode_every == 0) decode(span);
    return true;
  }

  // Reads ids and end time, in whatever order they stand, and no further than needed.
  bool receive_fields(Bytes span) {
    Bytes trace_id;
    Bytes span_id;
    std::uint64_t end_ns = 0;
    Field field;
    while (!span.empty()) {
      if (!take_field(span, field)) return false;
      if (field.number == 1) trace_id = field.bytes;
      if (field.number == 2) span_id = field.bytes;
      if (field.number == 8 && field.bytes.size() == 8) end_ns = load_u64(field.bytes.data());
      if (!trace_id.empty() && !span_id.empty() && (end_ns != 0 || !options_.latency)) break;
    }
    if (trace_id.size() != 16 || span_id.size() != 8) return false;
    if (options_.distinct) keys_.push_back(key_of(trace_id, span_id));
    if (options_.latency) latency_.record(arrived_ns_ > end_ns ? arrived_ns_ - end_ns : 0);
    return true;
  }

  void decode(Bytes bytes) {
    decoded_++;
    proto::Span span;
    const bool fine = span.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
                      span.trace_id().size() == 16 && span.span_id().size() == 8 &&
                      !span.name().empty() && span.start_time_unix_nano() != 0 &&
                      span.end_time_unix_nano() >= span.start_time_unix_nano() &&
                      (options_.attributes < 0 || span.attributes_size() == options_.attributes);
    if (!fine) decode_errors_++;
  }

  const Options options_;
  std::uint64_t arrived_ns_ = 0;     // of the request under way
  std::vector<std::uint64_t> keys_;  // of the request under way
  std::uint64_t spans_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t malformed_ = 0;
  std::uint64_t decoded_ = 0;
  std::uint64_t decode_errors_ = 0;
  KeySet distinct_;
  otlpshm::telemetry::Histogram latency_;
};

// One call: asked for, read, answered, deleted.
class Call {
 public:
  Call(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue, Receiver& receiver)
      : service_(service), queue_(queue), receiver_(receiver), stream_(&context_) {
    service_.RequestCall(&context_, &stream_, &queue_, &queue_, this);
  }

  void proceed(bool ok) {
    switch (std::exchange(step_, step_ == Step::asked ? Step::reading : Step::answering)) {
      case Step::asked:
        if (!ok) break;  // the server stops
        new Call(service_, queue_, receiver_);
        return stream_.Read(&request_, this);
      case Step::reading:
        return answer(ok);
      case Step::answering:
        break;
    }
    delete this;
  }

 private:
  enum class Step { asked, reading, answering };

  void answer(bool ok) {
    if (context_.method() != kMethod) {
      return stream_.Finish({grpc::StatusCode::UNIMPLEMENTED, "only TraceService/Export"}, this);
    }
    if (!ok) return stream_.Finish({grpc::StatusCode::CANCELLED, "no request"}, this);
    // Copied to one piece: a span may stand across slices.
    grpc::Slice request;
    if (!request_.TrySingleSlice(&request).ok()) (void)request_.DumpToSingleSlice(&request);
    if (!receiver_.receive({request.begin(), request.size()})) {
      return stream_.Finish({grpc::StatusCode::INVALID_ARGUMENT, "not OTLP"}, this);
    }
    request_.Clear();
    const grpc::Slice empty;
    response_ = grpc::ByteBuffer(&empty, 1);
    stream_.WriteAndFinish(response_, grpc::WriteOptions(), grpc::Status::OK, this);
  }

  grpc::AsyncGenericService& service_;
  grpc::ServerCompletionQueue& queue_;
  Receiver& receiver_;
  Step step_ = Step::asked;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

std::uint64_t number_from(const char* text) {
  char* end = nullptr;
  const unsigned long long number = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0') fail(std::string("not a number: ") + text);
  return number;
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&] {
      if (i + 1 >= argc) fail(name + " needs a number");
      return number_from(argv[++i]);
    };
    if (name == "--distinct") {
      options.distinct = true;
    } else if (name == "--latency") {
      options.latency = true;
    } else if (name == "--port") {
      options.port = static_cast<int>(value());
    } else if (name == "--decode-every") {
      options.decode_every = value();
    } else if (name == "--attributes") {
      options.attributes = static_cast<int>(value());
    } else {
      fail("unknown argument " + name +
           "; known are --port N, --distinct, --latency, --decode-every N, --attributes N");
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);  // before gRPC starts threads

  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(options.port),
                           grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterAsyncGenericService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) fail("cannot listen on port " + std::to_string(options.port));

  Receiver receiver(options);
  for (int i = 0; i < kCallsWaiting; ++i) new Call(service, *queue, receiver);
  std::thread thread([&queue] {
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) static_cast<Call*>(tag)->proceed(ok);
  });
  std::printf("ready port=%d\n", port);
  std::fflush(stdout);

  int signo = 0;
  sigwait(&stop, &signo);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  queue->Shutdown();
  thread.join();
  receiver.print();
  return 0;
}
