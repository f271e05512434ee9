// SPDX-License-Identifier: Apache-2.0
// fake_backend.h: a real gRPC server that answers each request as a test says.
//   Owns   its port, its threads and every request it received.
//   Thread the answer function runs on gRPC's threads, one call at a time.
#ifndef OTLPSHM_TEST_FAKE_BACKEND_H
#define OTLPSHM_TEST_FAKE_BACKEND_H

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct Received {
  std::string method;
  std::string bytes;
  std::string peer;
  std::multimap<std::string, std::string> metadata;
  std::uint64_t at_ms = 0;
};

struct Answer {
  bool hang = false;  // until the client goes away
  int code = 0;
  std::string text;
  std::string details;   // grpc-status-details-bin
  std::string response;  // with code 0
};

class FakeBackend {
 public:
  // The number of the request, from 0, and the request.
  using Answering = std::function<Answer(std::size_t, const Received&)>;

  // Listens on 127.0.0.1; port 0 takes a free one.
  explicit FakeBackend(Answering answering, int port = 0, int connection_age_ms = 0);
  ~FakeBackend();  // breaks the calls under way

  int port() const { return port_; }
  std::string target() const { return "127.0.0.1:" + std::to_string(port_); }
  std::vector<Received> received();
  std::size_t received_count();

  Answer answer(Received received);  // for the service

 private:
  class Service;

  const Answering answering_;
  std::mutex mutex_;
  std::vector<Received> received_;  // guarded by mutex_
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

// A port on which nothing listens.
int refused_port();

#endif
