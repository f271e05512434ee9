// SPDX-License-Identifier: Apache-2.0
#include "admin/http.h"

#include "http_client.h"

using namespace otlpshm;
using namespace otlpshm::admin;

TEST_CASE("http: GET is answered with the route's body and what clients need") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port());
  client.say(get("/hello"));
  const std::string response = client.response();
  CHECK(status(response) == 200);
  CHECK(body(response) == "hello\n");
  CHECK(has(response, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
  CHECK(has(response, "\r\nContent-Length: 6\r\n"));
  CHECK(has(response, "\r\nCache-Control: no-store\r\n"));
  CHECK(has(response, " GMT\r\n"));
}

TEST_CASE("http: HEAD is GET without the body") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port());
  client.say("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n");
  const std::string response = client.response(true);
  CHECK(status(response) == 200);
  CHECK(has(response, "\r\nContent-Length: 6\r\n"));
  CHECK(body(response).empty());
  client.say(get("/hello"));  // and the connection is still in step: nothing stands before
  const std::string next = client.response();
  CHECK(status(next) == 200);
  CHECK(body(next) == "hello\n");
}

TEST_CASE("http: an unknown path is 404, a method other than GET and HEAD is 405") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port());
  client.say(get("/nothing"));
  CHECK(status(client.response()) == 404);
  client.say(get("/hello/"));
  CHECK(status(client.response()) == 404);
  for (const char* method : {"POST", "DELETE", "OPTIONS", "BREW"}) {
    client.say(std::string(method) + " /hello HTTP/1.1\r\nHost: test\r\n\r\n");
    const std::string response = client.response();
    CHECK(status(response) == 405);
    CHECK(has(response, "\r\nAllow: GET, HEAD\r\n"));
  }
  client.say("POST /nothing HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(status(client.response()) == 404);
}

TEST_CASE("http: the query is what stands after the question mark") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port());
  client.say(get("/query?verbose&a=%20b?c"));
  CHECK(body(client.response()) == "verbose&a=%20b?c");
  client.say(get("/query"));
  CHECK(body(client.response()).empty());
}

TEST_CASE("http: a connection is kept as HTTP/1.1 and HTTP/1.0 say") {
  Server server(test_routes());
  Client kept(server.loop.get(), server.http->port());
  for (int i = 0; i < 10; ++i) {
    kept.say(get("/hello"));
    CHECK(has(kept.response(), "200 OK"));
  }
  kept.say("GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  const std::string last = kept.until_closed();
  CHECK(status(last) == 200);
  CHECK(has(last, "\r\nConnection: close\r\n"));
  CHECK_FALSE(kept.was_reset());
  Client old(server.loop.get(), server.http->port());
  old.say("GET /hello HTTP/1.0\r\n\r\n");
  CHECK(body(old.until_closed()) == "hello\n");
}

TEST_CASE("http: a response larger than every buffer arrives whole") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port(), 4096);
  client.say(get("/large"));
  const std::string response = client.response();
  CHECK(body(response) == std::string(size_t{8} << 20, 'x'));
  client.say(get("/empty"));
  CHECK(body(client.response()).empty());
}

TEST_CASE("http: a request may come byte by byte") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port());
  const std::string request = get("/hello");
  for (const char byte : request) client.say(std::string_view(&byte, 1));
  CHECK(body(client.response()) == "hello\n");
}

TEST_CASE("http: many clients at once are each answered") {
  Server server(test_routes());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 32; ++i)
    clients.push_back(std::make_unique<Client>(server.loop.get(), server.http->port()));
  for (int i = 0; i < 32; ++i)
    clients[static_cast<size_t>(i)]->say(get("/query?" + std::to_string(i)));
  for (int i = 0; i < 32; ++i)
    CHECK(body(clients[static_cast<size_t>(i)]->response()) == std::to_string(i));
}

TEST_CASE("http: a server may be destroyed with connections in every state") {
  Server server(test_routes());
  Client idle(server.loop.get(), server.http->port());
  Client partial(server.loop.get(), server.http->port());
  Client writing(server.loop.get(), server.http->port(), 4096);
  Client draining(server.loop.get(), server.http->port());
  partial.say("GET /hel");
  writing.say(get("/large"));
  draining.say("nonsense\r\n\r\n");
  REQUIRE(run_until(*server.loop, [&] { return has(draining.heard(), "400"); }));
  CHECK(server.http->connections() == 4);
  server.http.reset();
  CHECK(idle.closed());
  server.loop->run_once(10 * io::kMs);
}

TEST_CASE("http: where it cannot listen, the error names address, reason and remedy") {
  Server server(test_routes());
  std::string error;
  const std::string taken = "127.0.0.1:" + std::to_string(server.http->port());
  CHECK(HttpServer::listen(server.loop.get(), taken, {}, &error) == nullptr);
  CHECK(has(error, taken));
  CHECK(has(error, "in use"));
  CHECK(has(error, "another port"));
  CHECK(HttpServer::listen(server.loop.get(), "192.0.2.1:0", {}, &error) == nullptr);
  CHECK(has(error, "192.0.2.1:0"));
  CHECK(has(error, "127.0.0.1"));
  for (const char* address :
       {"", ":", ":80", "8888", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1:80 ", "example.org:80", "[::1", "[::1]", "[]:0", "[:0"}) {
    INFO(address);
    CHECK(HttpServer::listen(server.loop.get(), address, {}, &error) == nullptr);
    CHECK(has(error, std::string("\"") + address + "\""));
    CHECK(has(error, "host:port"));
  }
}

TEST_CASE("http: localhost and IPv6 are addresses too") {
  auto loop = io::make_test_loop();
  std::string error;
  const auto named = HttpServer::listen(loop.get(), "localhost:0", test_routes(), &error);
  REQUIRE(named != nullptr);
  Client client(loop.get(), named->port());
  client.say(get("/hello"));
  CHECK(status(client.response()) == 200);
  const auto v6 = HttpServer::listen(loop.get(), "[::1]:0", test_routes(), &error);
  if (v6 == nullptr) CHECK(has(error, "choose an address of this machine"));  // no IPv6 here
}
