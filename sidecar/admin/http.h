// SPDX-License-Identifier: Apache-2.0
// http.h: the admin port: a small HTTP/1.1 server on the daemon's loop, for GET and HEAD.
//   Owns   its listening socket and at most 32 connections; each holds at most 16 KiB of input
//          and one response.
//   Never  takes a body, blocks the loop, or waits for a client longer than five seconds.
//   Loses  when full, the connection that is nearest to its deadline, for a new one.
#ifndef OTLPSHM_ADMIN_HTTP_H
#define OTLPSHM_ADMIN_HTTP_H

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/loop.h"

namespace otlpshm::admin {

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

struct Route {
  std::string path;  // exactly what stands before '?' in the request
  // Runs on the loop; `query` is what stands after '?', as it came.
  std::function<Response(std::string_view query)> respond;
};

class HttpServer {
 public:
  // `address` is host:port with a numeric host or localhost: 127.0.0.1:8888, [::1]:0, localhost:0.
  // Port 0 lets the kernel choose. Null, and a sentence in `error`, if it cannot listen there.
  static std::unique_ptr<HttpServer> listen(io::Loop* loop, const std::string& address,
                                            std::vector<Route> routes, std::string* error);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  size_t connections() const { return connections_.size(); }

 private:
  enum class State {
    reading,   // accept, or write of a response that keeps the connection, leads here
    writing,   // a whole request, or one that cannot be served, leads here
    draining,  // the last response is written: what the client still sends is thrown away, so
               // that closing does not reset the connection before the client has read
  };
  struct Connection {
    State state = State::reading;
    io::Interest interest = io::Interest::read;
    io::TimerId deadline = 0;
    uint64_t deadline_ns = 0;
    std::string input;
    std::string output;
    size_t written_bytes = 0;
    size_t drained_bytes = 0;
    bool last = false;  // close after this response
  };

  HttpServer(io::Loop* loop, int listen_fd, uint16_t port, std::vector<Route> routes);

  bool watch_listener();
  void accept_waiting();
  void resume_accepting();
  void add_connection(int fd);
  void close_connection(int fd);
  void close_nearest_deadline();
  void set_deadline(int fd, Connection* connection);
  bool set_interest(int fd, Connection* connection, io::Interest interest);
  void turn(int fd);
  void read_input(int fd, Connection* connection);
  void serve(int fd, Connection* connection);
  void write_output(int fd, Connection* connection);
  void drain(int fd, Connection* connection);
  Response respond(std::string_view target, bool method_allowed) const;

  io::Loop* loop_;
  int listen_fd_;
  uint16_t port_;
  std::vector<Route> routes_;
  io::TimerId accept_again_ = 0;
  std::map<int, Connection> connections_;
};

}  // namespace otlpshm::admin

#endif  // OTLPSHM_ADMIN_HTTP_H
