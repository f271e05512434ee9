// SPDX-License-Identifier: Apache-2.0
// fake_backend.cc: see fake_backend.h.
#include "fake_backend.h"

#include <arpa/inet.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cassert>
#include <chrono>
#include <stdexcept>

#include "io/clock.h"

namespace {

class Call final : public grpc::ServerGenericBidiReactor {
 public:
  Call(FakeBackend& backend, grpc::GenericCallbackServerContext& context) : backend_(backend) {
    received_.method = context.method();
    received_.peer = context.peer();
    for (const auto& [name, value] : context.client_metadata()) {
      received_.metadata.emplace(std::string(name.data(), name.size()),
                                 std::string(value.data(), value.size()));
    }
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return finish(grpc::Status(grpc::StatusCode::CANCELLED, "no request"));
    std::vector<grpc::Slice> slices;
    if (request_.Dump(&slices).ok()) {
      for (const grpc::Slice& slice : slices) {
        received_.bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      }
    }
    const Answer answer = backend_.answer(std::move(received_));
    if (answer.hang) return;
    if (answer.code != 0) {
      return finish(
          grpc::Status(static_cast<grpc::StatusCode>(answer.code), answer.text, answer.details));
    }
    grpc::Slice slice(answer.response);
    response_ = grpc::ByteBuffer(&slice, 1);
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void OnCancel() override { finish(grpc::Status(grpc::StatusCode::CANCELLED, "gone")); }
  void OnDone() override { delete this; }

 private:
  void finish(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    Finish(status);
  }

  FakeBackend& backend_;
  Received received_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::mutex mutex_;
  bool finished_ = false;
};

}  // namespace

class FakeBackend::Service final : public grpc::CallbackGenericService {
 public:
  explicit Service(FakeBackend& backend) : backend_(backend) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Call(backend_, *context);
  }

 private:
  FakeBackend& backend_;
};

FakeBackend::FakeBackend(Answering answering, int port, int connection_age_ms)
    : answering_(std::move(answering)), service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(service_.get());
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 256 << 10);
  if (connection_age_ms > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, connection_age_ms);
  }
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  server_ = builder.BuildAndStart();
  if (!server_ || port_ == 0) throw std::runtime_error("the fake backend cannot listen");
}

FakeBackend::~FakeBackend() {
  server_->Shutdown(std::chrono::system_clock::now());
}

std::vector<Received> FakeBackend::received() {
  const std::lock_guard lock(mutex_);
  return received_;
}

std::size_t FakeBackend::received_count() {
  const std::lock_guard lock(mutex_);
  return received_.size();
}

Answer FakeBackend::answer(Received received) {
  const std::lock_guard lock(mutex_);
  received.at_ms = otlpshm::io::monotonic_ns() / 1'000'000;
  received_.push_back(std::move(received));
  return answering_(received_.size() - 1, received_.back());
}

int refused_port() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(socket_fd, generic, bytes) != 0 || getsockname(socket_fd, generic, &bytes) != 0) {
    throw std::runtime_error("no free port");
  }
  close(socket_fd);
  return ntohs(address.sin_port);
}
