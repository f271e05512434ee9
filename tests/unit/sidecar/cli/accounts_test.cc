// SPDX-License-Identifier: Apache-2.0
// accounts_test.cc: the law, kept and broken, and the forms in which it is shown.
#include "cli/accounts.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using otlpshm::cli::Accounts;

namespace {

Accounts some() {
  Accounts accounts;
  accounts.ended = 100;
  accounts.exported = 90;
  accounts.dropped = {{"lane_full", 4}, {"export_rejected", 5}};
  accounts.in_flight = 1;
  accounts.orders = 10;
  accounts.declined = 1;
  accounts.loop = "epoll";
  return accounts;
}

}  // namespace

TEST_CASE("cli: accounts that add up keep the law") {
  CHECK(some().broken_law().empty());
  CHECK(Accounts().broken_law().empty());
}

TEST_CASE("cli: one span too few or too many breaks the law, wherever it is") {
  for (const int change : {-1, 1}) {
    Accounts exported = some();
    exported.exported += change;
    CHECK(exported.broken_law().find("otlpshmd accounts for " + std::to_string(100 + change)) !=
          std::string::npos);
    Accounts ended = some();
    ended.ended += change;
    CHECK_FALSE(ended.broken_law().empty());
    Accounts dropped = some();
    dropped.dropped["lane_full"] += change;
    CHECK_FALSE(dropped.broken_law().empty());
    Accounts in_flight = some();
    in_flight.in_flight += change;
    CHECK_FALSE(in_flight.broken_law().empty());
  }
}

TEST_CASE("cli: accounts are settled when nothing is in flight and nothing is missing") {
  Accounts accounts = some();
  CHECK_FALSE(accounts.all_settled());
  accounts.in_flight = 0;
  CHECK_FALSE(accounts.all_settled());  // one is not seen yet
  ++accounts.exported;
  CHECK(accounts.all_settled());
}

TEST_CASE("cli: accounts are one JSON object on one line") {
  Accounts accounts = some();
  accounts.p50_ms = 1.5;
  const std::string line = accounts.json();
  CHECK(line.find('\n') == line.size() - 1);
  CHECK(nlohmann::json::parse(line) == nlohmann::json::parse(R"({
    "ended": 100, "exported": 90, "dropped": {"lane_full": 4, "export_rejected": 5},
    "in_flight": 1, "p50_ms": 1.5, "p99_ms": null, "orders": 10, "declined": 1, "loop": "epoll"})"));
}

TEST_CASE("cli: accounts for people name every reason") {
  const std::string text = some().text();
  CHECK(text.find("ended           100 spans") != std::string::npos);
  CHECK(text.find("dropped           9\n") != std::string::npos);
  CHECK(text.find("4 lane_full") != std::string::npos);
  CHECK(text.find("5 export_rejected") != std::string::npos);
  CHECK(text.find("p50 -") != std::string::npos);
}
