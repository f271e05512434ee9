// SPDX-License-Identifier: Apache-2.0
// http_client.cc: see http_client.h.
#include "cli/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>

#include "cli/failure.h"

namespace otlpshm::cli {

namespace {

using Clock = std::chrono::steady_clock;

class Socket {
 public:
  Socket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

std::optional<sockaddr_in> parsed(const std::string& address) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::uint16_t port = 0;
  const char* end = address.data() + address.size();
  const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, port);
  if (error != std::errc{} || stop != end) return std::nullopt;
  if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &result.sin_addr) != 1) {
    return std::nullopt;
  }
  result.sin_port = htons(port);
  return result;
}

bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd one{.fd = fd, .events = events, .revents = 0};
    const int count = left > 0 ? poll(&one, 1, static_cast<int>(left)) : 0;
    if (count >= 0 || errno != EINTR) return count > 0;
  }
}

// Text of what went wrong, or "".
std::string exchange(int fd, const sockaddr_in& to, const std::string& request, std::string& reply,
                     Clock::time_point deadline) {
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    if (errno != EINPROGRESS) return error_text(errno);
    if (!wait_for(fd, POLLOUT, deadline)) return "no connection in time";
    int error = 0;
    socklen_t error_bytes = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
    if (error != 0) return error_text(error);
  }
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN) {
      return error_text(errno);
    } else if (!wait_for(fd, POLLOUT, deadline)) {
      return "the request was not taken in time";
    }
  }
  char bytes[16384];
  while (reply.size() < kHttpBytesMax) {
    const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got == 0) return "";
    if (got > 0) {
      reply.append(bytes, static_cast<std::size_t>(got));
    } else if (errno != EAGAIN) {
      return error_text(errno);
    } else if (!wait_for(fd, POLLIN, deadline)) {
      return "no whole reply in time";
    }
  }
  return "the reply is too long";
}

}  // namespace

HttpReply http_request(const std::string& method, const std::string& address,
                       const std::string& target, int timeout_ms) {
  const std::optional<sockaddr_in> to = parsed(address);
  if (!to) return {.status = 0, .body = "", .error = "not an IPv4 address and port: " + address};
  const Socket socket;
  const std::string request = method + " " + target + " HTTP/1.1\r\nHost: " + address +
                              "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  std::string text;
  const std::string error = exchange(socket.fd(), *to, request, text,
                                     Clock::now() + std::chrono::milliseconds(timeout_ms));
  if (!error.empty()) return {.status = 0, .body = "", .error = error};

  HttpReply reply;
  const std::size_t body = text.find("\r\n\r\n");
  const std::size_t space = text.find(' ');
  if (text.rfind("HTTP/1.", 0) != 0 || body == std::string::npos ||
      std::from_chars(text.data() + space + 1, text.data() + body, reply.status).ec !=
          std::errc{}) {
    return {.status = 0, .body = "", .error = "the reply is not HTTP"};
  }
  reply.body = text.substr(body + 4);
  return reply;
}

}  // namespace otlpshm::cli
