// SPDX-License-Identifier: Apache-2.0
#include "admin/health.h"

#include "http_client.h"

using namespace otlpshm;
using namespace otlpshm::admin;

namespace {

std::string ask(Server& server, const std::string& target) {
  Client client(server.loop.get(), server.http->port());
  client.say(get(target));
  return client.response();
}

}  // namespace

TEST_CASE("health: livez and its other names are 200 while the loop turns") {
  Server server(health_routes({[] {
                                 return std::vector<Check>{{"directory", false, "gone"}};
                               },
                               [] { return std::string(); }}));
  for (const char* target : {"/livez", "/healthz", "/health", "/livez?x"}) {
    const std::string response = ask(server, target);
    CHECK(status(response) == 200);
    CHECK(body(response) == "ok\n");
  }
}

TEST_CASE("health: readyz is 503 with the reasons until every check holds") {
  std::vector<Check> checks = {{"directory", true, ""},
                               {"exporter", false, "not connected to 127.0.0.1:4317"}};
  Server server(health_routes({[&] { return checks; }, [] { return std::string(); }}));
  for (const char* target : {"/readyz", "/ready"}) {
    const std::string response = ask(server, target);
    CHECK(status(response) == 503);
    CHECK(body(response) == "not ready\n[-] exporter: not connected to 127.0.0.1:4317\n");
  }
  for (const char* target : {"/readyz?verbose", "/readyz?verbose=1", "/readyz?a=b&verbose"})
    CHECK(body(ask(server, target)) ==
          "not ready\n[+] directory\n[-] exporter: not connected to 127.0.0.1:4317\n");
  checks[1] = {"exporter", true, "connected"};
  CHECK(status(ask(server, "/readyz")) == 200);
  CHECK(body(ask(server, "/readyz?nonverbose")) == "ready\n");
  CHECK(body(ask(server, "/readyz?verbose")) == "ready\n[+] directory\n[+] exporter: connected\n");
}

TEST_CASE("health: a reason from outside cannot forge a line") {
  Server server(health_routes(
      {[] {
         return std::vector<Check>{{"files", false, "cannot read a\n[+] exporter\x1b[2J"}};
       },
       [] { return std::string(); }}));
  CHECK(body(ask(server, "/readyz")) ==
        "not ready\n[-] files: cannot read a\\n[+] exporter\\x1b[2J\n");
}

TEST_CASE("health: metrics are the text given, as Prometheus wants it called") {
  int scrapes = 0;
  Server server(health_routes({[] { return std::vector<Check>{}; },
                               [&] { return "m " + std::to_string(++scrapes) + "\n"; }}));
  const std::string response = ask(server, "/metrics");
  CHECK(status(response) == 200);
  CHECK(has(response, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  CHECK(body(response) == "m 1\n");
  CHECK(body(ask(server, "/metrics")) == "m 2\n");
}
