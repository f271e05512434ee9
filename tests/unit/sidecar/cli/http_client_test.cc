// SPDX-License-Identifier: Apache-2.0
// http_client_test.cc: one request against servers that behave, and that do not.
#include "cli/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

using otlpshm::cli::http_request;
using otlpshm::cli::HttpReply;

namespace {

// Takes one connection, reads what comes first, says `reply`, and then hangs up unless `hold`.
class OneAnswer {
 public:
  OneAnswer(std::string reply, bool hold) : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes) == 0);
    REQUIRE(listen(listener_, 1) == 0);
    REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, reply = std::move(reply), hold] {
      pollfd one{.fd = listener_, .events = POLLIN, .revents = 0};
      if (poll(&one, 1, 5000) != 1) return;
      const int fd = accept(listener_, nullptr, nullptr);
      char bytes_read[1024];
      const ssize_t count = recv(fd, bytes_read, sizeof bytes_read, 0);
      request_.assign(bytes_read, count > 0 ? static_cast<std::size_t>(count) : 0);
      for (std::size_t sent = 0; sent < reply.size();) {
        const ssize_t more = send(fd, reply.data() + sent, reply.size() - sent, MSG_NOSIGNAL);
        if (more <= 0) break;
        sent += static_cast<std::size_t>(more);
      }
      if (hold) (void)recv(fd, bytes_read, sizeof bytes_read, 0);  // until the client gives up
      close(fd);
    });
  }
  ~OneAnswer() { request(); }
  OneAnswer(const OneAnswer&) = delete;
  OneAnswer& operator=(const OneAnswer&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  const std::string& request() {
    if (thread_.joinable()) {
      thread_.join();
      close(listener_);
    }
    return request_;
  }

 private:
  int listener_;
  unsigned port_ = 0;
  std::string request_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("cli: a request is HTTP, and its reply is read to the end") {
  const std::string body(200000, 'x');
  OneAnswer server("HTTP/1.1 402 Payment Required\r\nContent-Type: text/plain\r\n\r\n" + body,
                   false);
  const HttpReply reply = http_request("POST", server.address(), "/orders?id=1", 5000);
  CHECK(reply.status == 402);
  CHECK(reply.body == body);
  CHECK(reply.error.empty());
  CHECK(server.request().rfind("POST /orders?id=1 HTTP/1.1\r\nHost: " + server.address(), 0) == 0);
}

TEST_CASE("cli: a reply that is not HTTP is none") {
  for (const char* text : {"", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1\r\n\r\n"}) {
    OneAnswer server(text, false);
    const HttpReply reply = http_request("GET", server.address(), "/", 5000);
    CHECK(reply.status == 0);
    CHECK(reply.error == "the reply is not HTTP");
  }
}

TEST_CASE("cli: a server that hangs is given up") {
  OneAnswer server("HTTP/1.1 200 OK\r\n\r\nhalf", true);
  const HttpReply reply = http_request("GET", server.address(), "/", 100);
  CHECK(reply.status == 0);
  CHECK(reply.error == "no whole reply in time");
}

TEST_CASE("cli: an address that is none, or where nobody listens, is told") {
  CHECK(http_request("GET", "127.0.0.1", "/", 100).error.find("127.0.0.1") != std::string::npos);
  CHECK(http_request("GET", "127.0.0.1:x", "/", 100).status == 0);
  CHECK(http_request("GET", "127.0.0.1:99999", "/", 100).status == 0);
  CHECK(http_request("GET", "", "/", 100).status == 0);
  CHECK(http_request("GET", "127.0.0.1:1", "/", 1000).error == "Connection refused");
}
