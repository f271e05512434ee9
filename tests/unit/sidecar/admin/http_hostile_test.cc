// SPDX-License-Identifier: Apache-2.0
// Clients that mean harm, or know no better.
#include <sys/resource.h>

#include <random>

#include "http_client.h"

using namespace otlpshm;
using namespace otlpshm::admin;
using namespace std::string_literals;

TEST_CASE("http hostile: a header beyond 8 KiB is 431, ended or endless") {
  Server server(test_routes());
  const std::string start = "GET /hello HTTP/1.1\r\nHost: test\r\n";
  const std::string field = "X-Field: " + std::string(500, 'x') + "\r\n";
  std::string many = start;
  for (int i = 0; i < 40; ++i) many += field;
  for (const std::string& request :
       {many + "\r\n", many, start + "X: " + std::string(20'000, 'y'), std::string(20'000, 'z'),
        "GET /" + std::string(9000, 'p') + " HTTP/1.1\r\nHost: test\r\n\r\n"}) {
    Client client(server.loop.get(), server.http->port());
    client.say(request);
    client.half_close();
    const std::string response = client.until_closed();
    CHECK(status(response) == 431);
    CHECK(has(response, "\r\nConnection: close\r\n"));
    CHECK_FALSE(client.was_reset());
  }
  Client client(server.loop.get(), server.http->port());  // just under the limit is served
  client.say(start + "X: " + std::string(8000, 'y') + "\r\n\r\n");
  CHECK(status(client.response()) == 200);
}

TEST_CASE("http hostile: what is no HTTP is 400, and the connection ends") {
  Server server(test_routes());
  for (const std::string& request :
       {"\r\n\r\n\r\n\r\n"s, "nonsense\r\n\r\n"s, "GET\r\n\r\n"s, "GET /hello\r\n\r\n"s,
        "GET /hello HTTP/1.1\r\nbad field\r\n\r\n"s, "GET /hello HTTP/1.1\r\nHost : test\r\n\r\n"s,
        "GET /hello HTTP/1.1\r\n\r\n"s, "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"s,
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n"s,
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"s,
        "GET /he\0llo HTTP/1.1\r\nHost: a\r\n\r\n"s,
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"s}) {
    Client client(server.loop.get(), server.http->port());
    client.say(request);
    const std::string response = client.response();
    INFO(request);
    CHECK(status(response) == 400);
    client.half_close();
    client.until_closed();
  }
}

TEST_CASE("http hostile: bodies and other versions are refused") {
  Server server(test_routes());
  const auto refused = [&](const std::string& request) {
    Client client(server.loop.get(), server.http->port());
    client.say(request);
    client.half_close();
    return status(client.until_closed());
  };
  CHECK(refused("GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") == 413);
  CHECK(refused("GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") ==
        413);
  CHECK(refused("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") == 405);
  CHECK(refused("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
  CHECK(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505);
}

TEST_CASE("http hostile: a body of a refused request is not taken for the next request") {
  Server server(test_routes());
  const std::string smuggled = get("/hello");
  Client client(server.loop.get(), server.http->port());
  client.say("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: " +
             std::to_string(smuggled.size()) + "\r\n\r\n" + smuggled);
  client.half_close();
  const std::string heard = client.until_closed();
  CHECK(status(heard) == 405);
  CHECK_FALSE(has(heard, "200 OK"));
}

TEST_CASE("http hostile: pipelined requests are answered in order, one a turn") {
  Server server(test_routes());
  Client client(server.loop.get(), server.http->port());
  std::string requests;
  for (int i = 0; i < 500; ++i) requests += get("/query?" + std::to_string(i));
  client.say(requests.substr(0, 12'000));
  client.say(requests.substr(12'000));
  for (int i = 0; i < 500; ++i) REQUIRE(body(client.response()) == std::to_string(i));
}

TEST_CASE("http hostile: pipelined large responses are made one at a time") {
  int made = 0;
  Server server({{"/large", [&](std::string_view) {
                    ++made;
                    Response response;
                    response.body.assign(size_t{8} << 20, 'x');
                    return response;
                  }}});
  Client client(server.loop.get(), server.http->port(), 4096);
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += get("/large");
  client.say(requests);
  io::run_for(*server.loop, 100 * io::kMs);
  CHECK(made == 1);
}

TEST_CASE("http hostile: half-closing after a request still brings the response") {
  Server server(test_routes());
  for (const char* target : {"/hello", "/large"}) {
    Client client(server.loop.get(), server.http->port());
    client.say(get(target));
    client.half_close();
    const std::string response = client.until_closed();
    CHECK(status(response) == 200);
    CHECK_FALSE(body(response).empty());
    CHECK_FALSE(client.was_reset());
  }
  Client cut_off(server.loop.get(), server.http->port());
  cut_off.say("GET /hello HTT");
  cut_off.half_close();
  CHECK(cut_off.until_closed().empty());
  CHECK(run_until(*server.loop, [&] { return server.http->connections() == 0; }));
}

TEST_CASE("http hostile: clients that vanish leave nothing behind") {
  Server server(test_routes());
  for (int i = 0; i < 100; ++i) {
    Client client(server.loop.get(), server.http->port(), 4096);
    if (i % 3 == 0) client.say("GET /lar");
    if (i % 3 == 1) client.say(get("/large"));
    if (i % 2 == 0)
      client.close_now();
    else
      client.close_with_reset();
  }
  CHECK(run_until(*server.loop, [&] { return server.http->connections() == 0; }));
}

TEST_CASE("http hostile: random bytes never stop it") {
  Server server(test_routes());
  std::mt19937 random(11);
  const std::string seed =
      "GET /hello?x HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
  for (int i = 0; i < 300; ++i) {
    std::string bytes = seed + seed;
    const unsigned changes = 1 + random() % 8;
    for (unsigned c = 0; c < changes; ++c) bytes[random() % bytes.size()] = char(random());
    Client client(server.loop.get(), server.http->port());
    client.say(bytes);
    client.half_close();
    client.until_closed();
  }
  Client client(server.loop.get(), server.http->port());
  client.say(get("/hello"));
  CHECK(status(client.response()) == 200);
}

TEST_CASE("http hostile: when full it serves the newest and lets the nearest to its end go") {
  Server server(test_routes());
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 40; ++i) {
    idle.push_back(std::make_unique<Client>(server.loop.get(), server.http->port()));
    idle.back()->say("GET /");
  }
  CHECK(server.http->connections() == 32);
  Client client(server.loop.get(), server.http->port());
  client.say(get("/hello"));
  CHECK(status(client.response()) == 200);
  CHECK(server.http->connections() == 32);
  CHECK(idle[0]->closed());
  CHECK_FALSE(idle[39]->closed());
}

TEST_CASE("http hostile: out of descriptors it waits without a busy loop, and goes on") {
  Server server(test_routes());
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  Client client(server.loop.get(), server.http->port());
  const rlimit none{3, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const uint64_t end_ns = io::monotonic_ns() + 300 * io::kMs;
  int turns = 0;
  for (; io::monotonic_ns() < end_ns; ++turns) server.loop->run_once(50 * io::kMs);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(server.http->connections() == 0);
  CHECK(turns <= 20);
  client.say(get("/hello"));
  CHECK(status(client.response()) == 200);
}

TEST_CASE("http hostile: idle, slow and unread connections end after five seconds") {
  Server server(test_routes());
  Client idle(server.loop.get(), server.http->port());
  Client dripping(server.loop.get(), server.http->port());
  Client unread(server.loop.get(), server.http->port(), 4096);
  Client lingering(server.loop.get(), server.http->port());
  unread.say(get("/large"));
  lingering.say("nonsense\r\n\r\n");  // and does not close its side
  dripping.say("GET /hello HTTP/1.1\r\n");
  const uint64_t start_ns = io::monotonic_ns();
  uint64_t first_gone_ns = 0;
  while (server.http->connections() > 0 && io::monotonic_ns() - start_ns < 20'000 * io::kMs) {
    server.loop->run_once(50 * io::kMs);
    dripping.say("X");  // progress of a kind
    if (server.http->connections() < 4 && first_gone_ns == 0) first_gone_ns = io::monotonic_ns();
  }
  CHECK(server.http->connections() == 0);
  CHECK(first_gone_ns - start_ns >= 4500 * io::kMs);
  CHECK(idle.closed());
  CHECK(dripping.closed());
  CHECK(lingering.closed());
}
