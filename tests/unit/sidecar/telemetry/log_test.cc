// SPDX-License-Identifier: Apache-2.0
#include "telemetry/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace otlpshm::telemetry;

namespace {

// What `write` puts on standard error.
std::string stderr_of(const std::function<void()>& write) {
  std::fflush(stderr);
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  const int before = dup(STDERR_FILENO);
  REQUIRE(dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
  write();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::string text;
  std::array<char, 4096> block{};
  std::rewind(file);
  for (size_t n = 0; (n = std::fread(block.data(), 1, block.size(), file)) > 0;)
    text.append(block.data(), n);
  std::fclose(file);
  return text;
}

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("log: a JSON line has ts, level, msg and the fields, typed and in order") {
  const std::string text = stderr_of([] {
    log_init(LogLevel::info, LogFormat::json);
    log(LogLevel::warning, "json: typed",
        {{"s", "x"}, {"i", -5}, {"u", UINT64_MAX}, {"d", 1.5}, {"b", true}});
  });
  REQUIRE(lines(text) == 1);
  const auto event = nlohmann::ordered_json::parse(text);
  CHECK(event["level"] == "warning");
  CHECK(event["msg"] == "json: typed");
  CHECK(event["s"] == "x");
  CHECK(event["i"] == -5);
  CHECK(event["u"] == UINT64_MAX);
  CHECK(event["d"] == 1.5);
  CHECK(event["b"] == true);
  CHECK(event.begin().key() == "ts");
  const std::string ts = event["ts"];
  CHECK(ts.size() == 24);  // 2024-01-01T00:00:00.000Z
  CHECK(ts[10] == 'T');
  CHECK(ts.back() == 'Z');
}

TEST_CASE("log: a text line is time, level, message and key=value") {
  const std::string text = stderr_of([] {
    log_init(LogLevel::info, LogFormat::text);
    log(LogLevel::info, "text: fields",
        {{"plain", "x"}, {"spaced", "a b"}, {"quoted", "a\"b"}, {"none", ""}, {"n", 7}});
  });
  CHECK(
      text.find(" info    text: fields plain=x spaced=\"a b\" quoted=\"a\\\"b\" none=\"\" n=7\n") ==
      24);
  CHECK(lines(text) == 1);
}

TEST_CASE("log: automatic is JSON where standard error is no terminal") {
  const std::string text = stderr_of([] {
    log_init(LogLevel::info, LogFormat::automatic);
    log(LogLevel::info, "automatic: json");
  });
  CHECK(nlohmann::json::parse(text)["msg"] == "automatic: json");
}

TEST_CASE("log: below the level nothing is written") {
  const std::string text = stderr_of([] {
    log_init(LogLevel::warning, LogFormat::text);
    log(LogLevel::debug, "level: too low");
    log(LogLevel::info, "level: too low");
    log(LogLevel::error, "level: high enough");
  });
  CHECK(lines(text) == 1);
}

TEST_CASE("log: a repeated message is kept back and counted") {
  const uint64_t before = log_suppressed();
  const std::string text = stderr_of([] {
    log_init(LogLevel::info, LogFormat::text);
    for (int i = 0; i < 100; ++i) log(LogLevel::info, "repeat: same", {{"i", i}});
    log(LogLevel::info, "repeat: another");
  });
  CHECK(lines(text) == 2);
  CHECK(log_suppressed() - before == 99);
}

TEST_CASE("log: hostile fields neither end a line nor reach a terminal, in both formats") {
  const std::vector<std::string> hostile = {"a\nlevel=error forged",
                                            "\x1b]0;title\x07",
                                            std::string("nul\0", 4),
                                            "\xff\xfe",
                                            "\"},{\"level\":\"error",
                                            "{0} %v %s %n",
                                            "\xc2\x9b"
                                            "31m",
                                            "\xe2\x80\xae"};
  for (const LogFormat format : {LogFormat::json, LogFormat::text}) {
    for (size_t i = 0; i < hostile.size(); ++i) {
      const std::string message =
          "hostile " + std::to_string(i) + (format == LogFormat::json ? "j" : "t");
      const std::string text = stderr_of([&] {
        log_init(LogLevel::info, format);
        log(LogLevel::info, message, {{"name", hostile[i]}});
      });
      CHECK(lines(text) == 1);
      const bool clean = std::none_of(text.begin(), text.end() - 1, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte >= 0x7f;
      });
      CHECK(clean);
      if (format == LogFormat::json) {
        const auto event = nlohmann::json::parse(text);
        CHECK(event["level"] == "info");
        CHECK(event.size() == 4);
      }
    }
  }
}

TEST_CASE("log: numbers that JSON cannot hold do not break the line") {
  const std::string text = stderr_of([] {
    log_init(LogLevel::info, LogFormat::json);
    log(LogLevel::info, "json: nan", {{"d", std::numeric_limits<double>::quiet_NaN()}});
  });
  CHECK(nlohmann::json::parse(text)["d"].is_null());
}

TEST_CASE("log: lines of four threads do not mix") {
  const std::string text = stderr_of([] {
    log_init(LogLevel::info, LogFormat::json);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([t] {
        for (int i = 0; i < 25; ++i)
          log(LogLevel::info, "thread " + std::to_string(t) + " " + std::to_string(i));
      });
    for (std::thread& thread : threads) thread.join();
  });
  REQUIRE(lines(text) == 100);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    CHECK(nlohmann::json::accept(text.substr(at, end - at)));
    at = end + 1;
  }
}

TEST_CASE("log: names of levels and formats") {
  CHECK(log_level_from("debug") == LogLevel::debug);
  CHECK(log_level_from("error") == LogLevel::error);
  CHECK_FALSE(log_level_from("loud"));
  CHECK(log_format_from("auto") == LogFormat::automatic);
  CHECK(log_format_from("json") == LogFormat::json);
  CHECK_FALSE(log_format_from("xml"));
}
