// SPDX-License-Identifier: Apache-2.0
// http.cc: the admin port; the only includer of Boost.Beast, which parses and serialises.
//   A connection serves one request a turn, pipelined ones too: a client cannot hold the loop.
#include "admin/http.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

#include "io/clock.h"

namespace otlpshm::admin {
namespace {

namespace http = boost::beast::http;

constexpr size_t kConnectionsMax = 32;
constexpr uint32_t kHeaderBytesMax = 8192;
constexpr size_t kInputBytesMax = 2 * kHeaderBytesMax;
constexpr size_t kDrainBytesMax = 256 * 1024;
constexpr uint64_t kDeadlineMs = 5000;
constexpr uint64_t kAcceptAgainMs = 100;

// ---- addresses -----------------------------------------------------------------------------

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
};

std::optional<Address> parse_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return {};
  std::string host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  uint16_t number = 0;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || parsed.ec != std::errc() || parsed.ptr != port.data() + port.size())
    return {};

  Address address;
  if (host.front() == '[' && host.back() == ']') {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(number);
    address.bytes = sizeof *v6;
    host = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) != 1) return {};
    return address;
  }
  if (host == "localhost") host = "127.0.0.1";
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(number);
  address.bytes = sizeof *v4;
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) != 1) return {};
  return address;
}

uint16_t bound_port(int fd) {
  Address address;
  address.bytes = sizeof address.storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.bytes);
  return ntohs(address.storage.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);
}

std::string cannot_listen(const std::string& address, int error) {
  std::string text = "admin: cannot listen on " + address + ": " + std::strerror(error);
  if (error == EADDRINUSE) return text + "; choose another port, or 0 for any free one";
  if (error == EACCES) return text + "; choose a port from 1024 on";
  if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
    return text + "; choose an address of this machine, such as 127.0.0.1";
  if (error == EMFILE || error == ENFILE)
    return text + "; raise the limit of open files (LimitNOFILE=, ulimit -n)";
  return text;
}

// ---- requests and responses ----------------------------------------------------------------

struct Request {
  std::string target;
  bool head = false;
  bool method_allowed = false;
  bool keep_alive = false;
  unsigned refused_status = 0;  // 0: a whole request, for a route to answer
  size_t bytes = 0;
};

unsigned status_of(const boost::system::error_code& error) {
  if (error == http::error::header_limit) return 431;
  if (error == http::error::bad_version) return 505;
  return 400;
}

Request refused(unsigned status, bool head) {
  Request request;
  request.head = head;
  request.refused_status = status;
  return request;
}

// Nothing while the header is not all there.
std::optional<Request> parse_request(const std::string& input) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kHeaderBytesMax);
  parser.body_limit(boost::none);  // no body is ever read: a request that has one is refused
  boost::system::error_code error;
  const size_t bytes = parser.put(boost::asio::buffer(input), error);
  if (error == http::error::need_more) return {};
  if (error) return refused(status_of(error), false);
  const auto& message = parser.get();
  const bool head = message.method() == http::verb::head;
  if (message.version() >= 11 && message.count(http::field::host) != 1) return refused(400, head);
  const bool body = parser.chunked() || parser.content_length().value_or(0) > 0;
  Request request;
  request.target = std::string(message.target());
  request.head = head;
  request.method_allowed = head || message.method() == http::verb::get;
  if (body && request.method_allowed) return refused(413, head);
  // What follows a body that is not read cannot be told from it.
  request.keep_alive = message.keep_alive() && !body;
  request.bytes = bytes;
  return request;
}

std::string http_date() {
  const auto now = static_cast<time_t>(io::realtime_ns() / 1'000'000'000);
  tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 40> text{};
  strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return text.data();
}

std::string serialise(Response response, const Request& request, bool last) {
  http::response<http::string_body> message;
  message.version(11);
  message.result(response.status);
  message.set(http::field::date, http_date());
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  if (response.status == 405) message.set(http::field::allow, "GET, HEAD");
  message.keep_alive(!last);
  message.content_length(response.body.size());
  if (!request.head) message.body() = std::move(response.body);

  std::string bytes;
  http::serializer<false, http::string_body> serializer(message);
  boost::system::error_code error;
  do {
    serializer.next(error, [&](const boost::system::error_code&, const auto& buffers) {
      size_t count = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer piece = *it;
        bytes.append(static_cast<const char*>(piece.data()), piece.size());
        count += piece.size();
      }
      serializer.consume(count);
    });
  } while (!error && !serializer.is_done());
  return bytes;
}

Response plain(unsigned status) {
  Response response;
  response.status = status;
  response.body = std::to_string(status) + ' ' +
                  std::string(http::obsolete_reason(http::int_to_status(status))) + '\n';
  return response;
}

}  // namespace

// ---- listening -----------------------------------------------------------------------------

std::unique_ptr<HttpServer> HttpServer::listen(io::Loop* loop, const std::string& address,
                                               std::vector<Route> routes, std::string* error) {
  const auto parsed = parse_address(address);
  if (!parsed) {
    *error = "admin: cannot listen on \"" + address +
             "\": not an address; write host:port with a numeric host, such as 127.0.0.1:8888 or "
             "[::1]:0";
    return nullptr;
  }
  const int fd = socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    *error = cannot_listen(address, errno);
    return nullptr;
  }
  const int on = 1;  // a restarted daemon takes its port over from connections in TIME_WAIT
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->bytes) != 0 ||
      ::listen(fd, kConnectionsMax) != 0) {
    *error = cannot_listen(address, errno);
    close(fd);
    return nullptr;
  }
  std::unique_ptr<HttpServer> server(new HttpServer(loop, fd, bound_port(fd), std::move(routes)));
  if (!server->watch_listener()) {
    *error = cannot_listen(address, errno);
    return nullptr;
  }
  return server;
}

HttpServer::HttpServer(io::Loop* loop, int listen_fd, uint16_t port, std::vector<Route> routes)
    : loop_(loop), listen_fd_(listen_fd), port_(port), routes_(std::move(routes)) {}

HttpServer::~HttpServer() {
  loop_->cancel(accept_again_);
  loop_->unwatch(listen_fd_);
  close(listen_fd_);
  while (!connections_.empty()) close_connection(connections_.begin()->first);
}

bool HttpServer::watch_listener() {
  return loop_->watch(listen_fd_, io::Interest::read, [this] { accept_waiting(); });
}

void HttpServer::accept_waiting() {
  for (size_t i = 0; i < kConnectionsMax; ++i) {
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      add_connection(fd);
      continue;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    // No descriptor or no memory: the listener stays ready, so looking away keeps the loop idle.
    loop_->unwatch(listen_fd_);
    accept_again_ = loop_->after(kAcceptAgainMs, [this] { resume_accepting(); });
    return;
  }
}

void HttpServer::resume_accepting() {
  if (!watch_listener())
    accept_again_ = loop_->after(kAcceptAgainMs, [this] { resume_accepting(); });
}

// ---- connections ---------------------------------------------------------------------------

void HttpServer::add_connection(int fd) {
  if (connections_.size() >= kConnectionsMax) close_nearest_deadline();
  if (!loop_->watch(fd, io::Interest::read, [this, fd] { turn(fd); })) {
    close(fd);
    return;
  }
  set_deadline(fd, &connections_[fd]);
}

void HttpServer::close_connection(int fd) {
  const auto found = connections_.find(fd);
  loop_->cancel(found->second.deadline);
  loop_->unwatch(fd);
  connections_.erase(found);
  close(fd);
}

void HttpServer::close_nearest_deadline() {
  const auto nearest = std::min_element(
      connections_.begin(), connections_.end(),
      [](const auto& a, const auto& b) { return a.second.deadline_ns < b.second.deadline_ns; });
  close_connection(nearest->first);
}

// Set when a state begins and not renewed by progress within it: a byte a second earns no time.
void HttpServer::set_deadline(int fd, Connection* connection) {
  loop_->cancel(connection->deadline);
  connection->deadline_ns = io::monotonic_ns() + kDeadlineMs * 1'000'000;
  connection->deadline = loop_->after(kDeadlineMs, [this, fd] { close_connection(fd); });
}

// False, and the connection is gone, if the kernel refuses.
bool HttpServer::set_interest(int fd, Connection* connection, io::Interest interest) {
  if (connection->interest == interest) return true;
  connection->interest = interest;
  if (loop_->watch(fd, interest, [this, fd] { turn(fd); })) return true;
  close_connection(fd);
  return false;
}

void HttpServer::turn(int fd) {
  Connection* connection = &connections_.at(fd);
  switch (connection->state) {
    case State::reading:
      return read_input(fd, connection);
    case State::writing:
      return write_output(fd, connection);
    case State::draining:
      return drain(fd, connection);
  }
}

void HttpServer::read_input(int fd, Connection* connection) {
  // What is here already was pipelined, and is served before more is read.
  if (connection->interest == io::Interest::read) {
    std::array<char, kInputBytesMax> block;
    const size_t room = kInputBytesMax - connection->input.size();  // parse_request leaves half
    const ssize_t count = recv(fd, block.data(), room, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return close_connection(fd);  // a request cut off is not answered
    connection->input.append(block.data(), static_cast<size_t>(count));
  }
  serve(fd, connection);
}

void HttpServer::serve(int fd, Connection* connection) {
  const auto request = parse_request(connection->input);
  if (!request) {
    set_interest(fd, connection, io::Interest::read);
    return;
  }
  connection->last = !request->keep_alive;
  connection->input.erase(0, request->bytes);
  if (connection->last) connection->input = {};
  Response response = request->refused_status != 0
                          ? plain(request->refused_status)
                          : respond(request->target, request->method_allowed);
  connection->output = serialise(std::move(response), *request, connection->last);
  connection->written_bytes = 0;
  connection->state = State::writing;
  set_deadline(fd, connection);
  write_output(fd, connection);
}

void HttpServer::write_output(int fd, Connection* connection) {
  const std::string_view rest =
      std::string_view(connection->output).substr(connection->written_bytes);
  const ssize_t count = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) return close_connection(fd);
  if (count > 0) connection->written_bytes += static_cast<size_t>(count);
  if (connection->written_bytes < connection->output.size()) {
    set_interest(fd, connection, io::Interest::write);
    return;
  }
  connection->output = {};  // gives its memory back: a page of metrics may be large
  set_deadline(fd, connection);
  if (connection->last) {
    shutdown(fd, SHUT_WR);
    connection->state = State::draining;
    set_interest(fd, connection, io::Interest::read);
    return;
  }
  connection->state = State::reading;
  // Interest in writing, which is possible, brings the next turn for what was pipelined.
  set_interest(fd, connection,
               connection->input.empty() ? io::Interest::read : io::Interest::write);
}

void HttpServer::drain(int fd, Connection* connection) {
  std::array<char, kInputBytesMax> block;
  const ssize_t count = recv(fd, block.data(), block.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) connection->drained_bytes += static_cast<size_t>(count);
  if (count <= 0 || connection->drained_bytes > kDrainBytesMax) close_connection(fd);
}

Response HttpServer::respond(std::string_view target, bool method_allowed) const {
  const size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  const std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  for (const Route& route : routes_)
    if (route.path == path) return method_allowed ? route.respond(query) : plain(405);
  return plain(404);
}

}  // namespace otlpshm::admin
