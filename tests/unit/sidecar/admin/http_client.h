// SPDX-License-Identifier: Apache-2.0
// http_client.h: a client that says exactly the bytes it is told, beside a server on the same loop.
#ifndef OTLPSHM_TEST_HTTP_CLIENT_H
#define OTLPSHM_TEST_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "admin/http.h"
#include "test_loop.h"

namespace otlpshm::admin {

class Client {
 public:
  Client(io::Loop* loop, uint16_t port, int receive_buffer_bytes = 0) : loop_(loop) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd_ >= 0);
    if (receive_buffer_bytes > 0)
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(fcntl(fd_, F_SETFL, O_NONBLOCK) == 0);
  }
  ~Client() { close_now(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // False once the server does not take it any more.
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) return false;
      if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
      loop_->run_once(count > 0 ? 0 : io::kMs);
    }
    return true;
  }
  void half_close() { shutdown(fd_, SHUT_WR); }
  void close_now() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  void close_with_reset() {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close_now();
  }

  const std::string& heard() {
    std::array<char, 65536> block;
    ssize_t count = 0;
    while ((count = recv(fd_, block.data(), block.size(), 0)) > 0)
      heard_.append(block.data(), static_cast<size_t>(count));
    if (count == 0) closed_ = true;
    if (count < 0 && errno != EAGAIN) closed_ = reset_ = true;
    return heard_;
  }
  bool closed() {
    heard();
    return closed_;
  }
  bool was_reset() const { return reset_; }

  // What was heard once the server has closed.
  std::string until_closed() {
    REQUIRE(run_until(*loop_, [&] { return closed(); }));
    return heard_;
  }
  // One response, taken out of what was heard; HEAD's has no body.
  std::string response(bool head = false) {
    std::string taken;
    REQUIRE(run_until(*loop_, [&] { return take_response(head, &taken); }));
    return taken;
  }

 private:
  bool take_response(bool head, std::string* taken) {
    heard();
    const size_t end = heard_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    size_t bytes = end + 4;
    const std::string name = "\r\nContent-Length: ";
    const size_t length = heard_.find(name);
    if (!head && length < end) bytes += std::stoul(heard_.substr(length + name.size()));
    if (heard_.size() < bytes) return false;
    *taken = heard_.substr(0, bytes);
    heard_.erase(0, bytes);
    return true;
  }

  io::Loop* loop_;
  int fd_ = -1;
  std::string heard_;
  bool closed_ = false;
  bool reset_ = false;
};

inline std::string get(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: test\r\n\r\n";
}
inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
inline int status(const std::string& response) {
  return response.rfind("HTTP/1.1 ", 0) == 0 ? std::stoi(response.substr(9)) : 0;
}
inline std::string body(const std::string& response) {
  const size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

struct Server {
  explicit Server(std::vector<Route> routes) : loop(io::make_test_loop()) {
    std::string error;
    http = HttpServer::listen(loop.get(), "127.0.0.1:0", std::move(routes), &error);
    INFO(error);
    REQUIRE(http != nullptr);
    REQUIRE(http->port() != 0);
  }
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<HttpServer> http;
};

inline std::vector<Route> test_routes() {
  const auto text = [](std::string content) {
    return [content](std::string_view) {
      Response response;
      response.body = content;
      return response;
    };
  };
  return {{"/hello", text("hello\n")},
          {"/empty", text("")},
          {"/large", text(std::string(size_t{8} << 20, 'x'))},
          {"/query", [](std::string_view query) {
             Response response;
             response.body = std::string(query);
             return response;
           }}};
}

}  // namespace otlpshm::admin

#endif  // OTLPSHM_TEST_HTTP_CLIENT_H
