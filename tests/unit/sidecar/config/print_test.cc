// SPDX-License-Identifier: Apache-2.0
// print_test.cc: the views of the table, and the rules that its rows keep.
#include "config/print.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "scratch_directory.h"

namespace otlpshm::config {

TEST_CASE("config: every row of the table is complete, and its default is in its bounds") {
  std::set<std::string_view> keys;
  std::set<std::string> names;
  for (const Option& option : options()) {
    INFO(option.key);
    CHECK(keys.insert(option.key).second);
    CHECK(names.insert(environment_name(option)).second);
    CHECK(option.doc.ends_with('.'));
    CHECK(option.doc.find('|') == std::string_view::npos);
    CHECK(option.lower <= option.upper);
    CHECK((option.type == Type::choice) == !option.choices.empty());
    CHECK((option.type == Type::number) == !option.unit.empty());
    Config config;
    CHECK_FALSE(set_value(config, option, option.default_text));
    CHECK(value_text(config, option) == option.default_text);
    for (const std::string_view choice : option.choices) {
      CHECK_FALSE(set_value(config, option, choice));
      CHECK(value_text(config, option) == choice);
    }
  }
}

TEST_CASE("config: both bounds of every number are inclusive") {
  for (const Option& option : options()) {
    if (option.type != Type::number && option.type != Type::bytes) continue;
    INFO(option.key);
    Config config;
    CHECK_FALSE(set_value(config, option, std::to_string(option.lower)));
    CHECK_FALSE(set_value(config, option, std::to_string(option.upper)));
    CHECK(set_value(config, option, std::to_string(option.lower - 1)));
    CHECK(set_value(config, option, std::to_string(option.upper + 1)));
    CHECK(value_text(config, option) ==
          (option.type == Type::bytes ? bytes_text(option.upper) : std::to_string(option.upper)));
  }
}

TEST_CASE("config: the names in the environment follow from the keys") {
  CHECK(environment_name(options().front()) == "OTLPSHM_DIR");
  const auto row = std::find_if(options().begin(), options().end(), [](const Option& option) {
    return option.key == "export.requests_in_flight_max";
  });
  REQUIRE(row != options().end());
  CHECK(environment_name(*row) == "OTLPSHM_EXPORT_REQUESTS_IN_FLIGHT_MAX");
}

TEST_CASE("config: the effective configuration is shown with origins and without secrets") {
  const Result result = load({.environment = {{"OTLPSHM_LOG_LEVEL", "debug"}},
                              .sets = {"export.headers=authorization=hunter2", "dir=/a $\"b\\"}});
  REQUIRE(result.ok());
  CHECK(effective_config(result) == R"~(dir: "/a $$\"b\\"                    # --set
loop: auto                           # default
clock: auto                          # default
log:
  level: debug                       # environment OTLPSHM_LOG_LEVEL
  format: auto                       # default
admin:
  listen: "127.0.0.1:8888"           # default
export:
  exporter: otlp                     # default
  endpoint: "http://localhost:4317"  # default
  headers:                           # --set
    "authorization": "***"
  timeout_ms: 10000                  # default
  requests_in_flight_max: 4          # default
  retry:
    initial_ms: 100                  # default
    max_ms: 5000                     # default
batch:
  spans_max: 8192                    # default
  bytes_max: 3MiB                    # default
  age_ms_max: 20                     # default
drain:
  bytes_per_turn_max: 1MiB           # default
  scan_interval_ms: 1000             # default
memory:
  slab_bytes_max: 64MiB              # default
head_sampling:
  ratio: 1                           # default
shutdown:
  mode: fast                         # default
  timeout_ms: 5000                   # default
)~");
}

TEST_CASE("config: the effective configuration is read back as it was") {
  const Result before =
      load({.sets = {"dir=/a ${env:X}: #\"b\\'", "batch.bytes_max=65537", "admin.listen=[::1]:0",
                     "loop=epoll", "clock=off", "head_sampling.ratio=0.1"}});
  REQUIRE(before.ok());
  const ScratchDirectory scratch;
  const Result after = load({.file = scratch.write("again.yaml", effective_config(before))});
  REQUIRE(after.ok());
  for (const Option& option : options()) {
    CHECK(value_text(after.config, option) == value_text(before.config, option));
  }
}

TEST_CASE("config: docs/configuration.md is what the table generates") {
  std::ifstream file(OTLPSHM_CONFIGURATION_MD, std::ios::binary);
  REQUIRE(file);
  std::ostringstream committed;
  committed << file.rdbuf();
  CHECK(committed.str() == options_markdown());
}

}  // namespace otlpshm::config
