// SPDX-License-Identifier: Apache-2.0
// load_test.cc: precedence, origins, every kind of broken input, and hostile files.
#include "config/load.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "broken_files.h"
#include "config/source_text.h"
#include "config/yaml.h"
#include "scratch_directory.h"

namespace otlpshm::config {
namespace {

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : "\n") + text;
  return out;
}

std::string origin(const Result& result, std::string_view key) {
  for (std::size_t index = 0; index < options().size(); ++index) {
    if (options()[index].key == key) return result.origins.at(index);
  }
  return "no such key";
}

Result load_file(const std::string& bytes, Environment environment = {}) {
  const ScratchDirectory scratch;
  return load(
      {.file = scratch.write("otlpshmd.yaml", bytes), .environment = std::move(environment)});
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

// ---- nominal ----------------------------------------------------------------------------------

TEST_CASE("config: with no source at all every option has its default") {
  const Result result = load({});
  REQUIRE(result.ok());
  CHECK(result.warnings.empty());
  const Config& config = result.config;
  CHECK(config.dir == "/run/otlpshm");
  CHECK(config.loop == LoopChoice::automatic);
  CHECK(config.log_level == LogLevel::info);
  CHECK(config.log_format == LogFormat::automatic);
  CHECK(config.admin_listen == HostPort{"127.0.0.1", 8888});
  CHECK(config.export_exporter == ExporterChoice::otlp);
  CHECK(config.export_endpoint == HostPort{"localhost", 4317});
  CHECK(config.export_headers.empty());
  CHECK(config.export_timeout_ms == 10000);
  CHECK(config.export_requests_in_flight_max == 4);
  CHECK(config.export_retry_initial_ms == 100);
  CHECK(config.export_retry_max_ms == 5000);
  CHECK(config.batch_spans_max == 8192);
  CHECK(config.batch_bytes_max == 3u << 20);
  CHECK(config.batch_age_ms_max == 20);
  CHECK(config.drain_bytes_per_turn_max == 1u << 20);
  CHECK(config.drain_scan_interval_ms == 1000);
  CHECK(config.memory_slab_bytes_max == 64u << 20);
  CHECK(config.shutdown_mode == ShutdownMode::fast);
  CHECK(config.shutdown_timeout_ms == 5000);
  for (const std::string& text : result.origins) CHECK(text == "default");
}

TEST_CASE("config: a file sets every option, whatever its style") {
  const Result result = load_file(R"(
dir: '/srv/spans'
loop: epoll
log: {level: debug, format: "json"}
admin:
  listen: "[::1]:0"
export:
  exporter: console
  endpoint: http://[2001:db8::1]:14317/
  headers: {Authorization: "Bearer ${env:TOKEN}", x-scope: "a,b"}
  timeout_ms: "2500"
  requests_in_flight_max: 64
  retry: {initial_ms: 50, max_ms: 60}
batch: {spans_max: 1, bytes_max: 512KiB, age_ms_max: 60000}
drain: {bytes_per_turn_max: 65536, scan_interval_ms: 10}
memory: {slab_bytes_max: 8MiB}
shutdown: {mode: fast, timeout_ms: 1}
clock: off
head_sampling: {ratio: 0.25}
)",
                                  {{"TOKEN", "t: [x] ${env:TOKEN}"}});
  REQUIRE(joined(result.errors).empty());
  const Config& config = result.config;
  CHECK(config.dir == "/srv/spans");
  CHECK(config.loop == LoopChoice::epoll);
  CHECK(config.log_level == LogLevel::debug);
  CHECK(config.log_format == LogFormat::json);
  CHECK(config.admin_listen == HostPort{"::1", 0});
  CHECK(config.export_exporter == ExporterChoice::console);
  CHECK(config.export_endpoint == HostPort{"2001:db8::1", 14317});
  CHECK(config.export_headers ==
        Headers{{"authorization", "Bearer t: [x] ${env:TOKEN}"}, {"x-scope", "a,b"}});
  CHECK(config.export_timeout_ms == 2500);
  CHECK(config.export_requests_in_flight_max == 64);
  CHECK(config.export_retry_initial_ms == 50);
  CHECK(config.export_retry_max_ms == 60);
  CHECK(config.batch_spans_max == 1);
  CHECK(config.batch_bytes_max == 512u << 10);
  CHECK(config.batch_age_ms_max == 60000);
  CHECK(config.drain_bytes_per_turn_max == 65536);
  CHECK(config.drain_scan_interval_ms == 10);
  CHECK(config.memory_slab_bytes_max == 8u << 20);
  CHECK(config.shutdown_timeout_ms == 1);
  CHECK(config.clock == ClockChoice::off);
  CHECK(config.head_sampling_ratio == 0.25);
  for (const std::string& text : result.origins) CHECK(text.starts_with("file otlpshmd.yaml:"));
  CHECK(origin(result, "dir") == "file otlpshmd.yaml:2:6");
  CHECK(origin(result, "log.format") == "file otlpshmd.yaml:4:29");
}

TEST_CASE("config: each source wins over the one before it, and the origin names it") {
  const ScratchDirectory scratch;
  Sources sources;
  const auto endpoint = [&] {
    const Result result = load(sources);
    REQUIRE(joined(result.errors).empty());
    return result.config.export_endpoint.host + " from " + origin(result, "export.endpoint");
  };
  CHECK(endpoint() == "localhost from default");
  sources.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://general:1";
  CHECK(endpoint() == "general from environment OTEL_EXPORTER_OTLP_ENDPOINT");
  sources.environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://traces:1";
  CHECK(endpoint() == "traces from environment OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  sources.file = scratch.write("my.yaml", "export:\n  endpoint: http://file:1\n");
  CHECK(endpoint() == "file from file my.yaml:2:13");
  sources.environment["OTLPSHM_EXPORT_ENDPOINT"] = "http://own:1";
  CHECK(endpoint() == "own from environment OTLPSHM_EXPORT_ENDPOINT");
  sources.sets = {"export.endpoint=http://set:1"};
  CHECK(endpoint() == "set from --set");
  sources.sets.emplace_back("export.endpoint=http://last:1");
  CHECK(endpoint() == "last from --set");
}

TEST_CASE("config: every option can be set by its variable and by --set") {
  const Result defaults = load({});
  for (const Option& option : options()) {
    const std::string text = value_text(defaults.config, option);
    INFO(option.key);
    const std::string key(option.key);
    CHECK(origin(load({.sets = {key + '=' + text}}), key) == "--set");
    const std::string name = environment_name(option);
    const std::string wanted = text.empty() ? "default" : "environment " + name;
    CHECK(origin(load({.environment = {{name, text}}}), key) == wanted);
  }
}

TEST_CASE("config: headers from a variable are percent-decoded") {
  const Result result =
      load({.environment = {{"OTEL_EXPORTER_OTLP_HEADERS", "general=1"},
                            {"OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                             " Authorization = Basic%20dTpw== ,x-a=1%2C2 3,, y="}}});
  REQUIRE(joined(result.errors).empty());
  CHECK(result.warnings.empty());
  CHECK(result.config.export_headers ==
        Headers{{"authorization", "Basic dTpw=="}, {"x-a", "1,2 3"}, {"y", ""}});
}

TEST_CASE("config: an empty file, a comment, a byte order mark and an empty section are fine") {
  for (const char* yaml : {"", "# only a comment\n", "\xef\xbb\xbf", "---\n", "export:\n",
                           "export: {}\n", "export:\n  headers: {}\n", "\r\n\r\n", "---\n...\n"}) {
    INFO(yaml);
    CHECK(joined(load_file(yaml).errors).empty());
  }
}

TEST_CASE("config: a byte order mark moves no column") {
  CHECK(joined(load_file("\xef\xbb\xbf"
                         "dri: x\n")
                   .errors) ==
        "error: otlpshmd.yaml:1:1: dri: unknown key\n"
        "    1 | dri: x\n"
        "      | ^^^ did you mean \"dir\"?");
}

TEST_CASE("config: an alias stands for its value") {
  const Result result = load_file("batch:\n  age_ms_max: &ms 70\nexport:\n  timeout_ms: *ms\n");
  REQUIRE(joined(result.errors).empty());
  CHECK(result.config.export_timeout_ms == 70);
}

TEST_CASE("config: references are resolved once, in values only") {
  const Environment environment = {{"A", "/a"}, {"EMPTY", ""}, {"LOOP", "${env:A}$$"}};
  const auto dir = [&](const std::string& scalar) {
    const Result result = load_file("dir: '" + scalar + "'\n", environment);
    return result.ok() ? result.config.dir : result.errors.front().substr(0, 40);
  };
  CHECK(dir("${env:A}") == "/a");
  CHECK(dir("x${env:A}${env:A}y") == "x/a/ay");
  CHECK(dir("${env:NOPE:-/d}") == "/d");
  CHECK(dir("${env:EMPTY:-/d}") == "/d");
  CHECK(dir("${env:A:-/d}") == "/a");
  CHECK(dir("/x${env:NOPE:-}") == "/x");
  CHECK(dir("${env:LOOP}") == "${env:A}$$");
  CHECK(dir("$${env:A}") == "${env:A}");
  CHECK(dir("$a$") == "$a$");
  CHECK_FALSE(load_file("'${env:A}': x\n", environment).ok());
}

// ---- broken -----------------------------------------------------------------------------------

TEST_CASE("config: a broken file is reported with place, line, caret and remedy") {
  static_assert(std::size(broken_files) >= 40);
  std::set<std::string> names;
  for (const BrokenFile& broken : broken_files) {
    INFO(broken.name);
    CHECK(names.insert(broken.name).second);
    const Result result =
        load_file(broken.yaml, {{"SET", "v"}, {"EMPTY", ""}, {"MULTI", "a: b\nc: d"}});
    CHECK_FALSE(result.ok());
    CHECK(joined(result.errors) == broken.errors);
    CHECK(joined(result.errors).find("hunter2") == std::string::npos);
  }
}

TEST_CASE("config: errors stand in the order of the file, whichever was found first") {
  const Result result = load_file("dri: 1\nloop: !!str epoll\n");
  REQUIRE(result.errors.size() == 2);
  CHECK(result.errors[0].starts_with("error: otlpshmd.yaml:1:1: dri: unknown key\n"));
  CHECK(result.errors[1].starts_with("error: otlpshmd.yaml:2:7: tags are not supported"));
}

TEST_CASE("config: a broken --set is one clear line") {
  const auto error = [](const std::string& set) { return joined(load({.sets = {set}}).errors); };
  CHECK(error("x") == "error: --set \"x\": has no =; write --set key=value");
  CHECK(error("batch.span_max=1") ==
        "error: --set batch.span_max: unknown key; did you mean \"batch.spans_max\"?");
  CHECK(error("zzz=1") == "error: --set zzz: unknown key; --print-config lists all keys");
  CHECK(error("=1") == "error: --set : unknown key; --print-config lists all keys");
  CHECK(error("export.retry=1") ==
        "error: --set export.retry: is a section, not an option; it has initial_ms, max_ms");
  CHECK(error("batch.spans_max=0") ==
        "error: --set: batch.spans_max: expected a whole number of spans, 1 to 65536; got \"0\"");
  CHECK(error("dir=") == "error: --set: dir: expected text of 1 to 3840 bytes; got 0 bytes");
  CHECK(error("dir=\x1b[2J") ==
        "error: --set: dir: has a control character or a byte that is not UTF-8, at byte 1");
  CHECK(error("k\x1b\xff=1") ==
        "error: --set k\\x1b\\xff: unknown key; --print-config lists all keys");
  CHECK(error("export.headers=hunter2") ==
        "error: --set: export.headers: header 1 has no =: write name=value,name=value");
  CHECK(error("export.headers=a=1,b=hunter2%z") ==
        "error: --set: export.headers: header 2 has a % without two hex digits: write %25");
  CHECK(error("export.headers=a=hunter2;b") ==
        "error: --set: export.headers: header 1 has a property after ;: remove it, or write %3B");
  CHECK(error("export.headers=a=x%0aevil: y") ==
        "error: --set: export.headers: the value of the header \"a\" must be printable ASCII");
}

TEST_CASE("config: a broken OTLPSHM_ variable is an error, an unknown one a warning") {
  const Result result = load({.environment = {{"OTLPSHM_BATCH_AGE_MS_MAX", "no"},
                                              {"OTLPSHM_EXPORT_ENDPONT", "http://a:1"},
                                              {"OTLPSHM_QQQQQQQQQQQQQQQQQQ", "1"},
                                              {"OTLPSHM_DIR", ""},
                                              {"OTLPSHMX", "1"}}});
  CHECK(joined(result.errors) ==
        "error: environment OTLPSHM_BATCH_AGE_MS_MAX: batch.age_ms_max: expected a whole number "
        "of ms, 1 to 60000; got \"no\"");
  CHECK(joined(result.warnings) ==
        "warning: environment OTLPSHM_EXPORT_ENDPONT: no option has this name; did you mean "
        "OTLPSHM_EXPORT_ENDPOINT?\n"
        "warning: environment OTLPSHM_QQQQQQQQQQQQQQQQQQ: no option has this name; it is ignored");
}

TEST_CASE("config: a bad number or header list of OpenTelemetry's is a warning and unset") {
  const Result result = load({.environment = {{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"},
                                              {"OTEL_EXPORTER_OTLP_TIMEOUT", "300"},
                                              {"OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%"}}});
  REQUIRE(result.ok());
  CHECK(result.config.export_timeout_ms == 300);
  CHECK(result.config.export_headers.empty());
  CHECK(joined(result.warnings) ==
        "warning: environment OTEL_EXPORTER_OTLP_HEADERS: header 1 has a % without two hex "
        "digits: write %25; the variable is ignored\n"
        "warning: environment OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: expected a whole number of ms, 1 "
        "to 600000; got \"0\"; the variable is ignored");
}

TEST_CASE("config: an https endpoint of OpenTelemetry's stops the start, unless it is replaced") {
  Sources sources = {.environment = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://backend:4317"}}};
  CHECK(joined(load(sources).errors) ==
        "error: environment OTEL_EXPORTER_OTLP_ENDPOINT: https:// needs TLS, which this version "
        "does not have: write http:// and the address of a collector on this machine");
  sources.sets = {"export.endpoint=http://localhost:4317"};
  CHECK(load(sources).ok());
}

TEST_CASE("config: two values that contradict each other are named with their sources") {
  const Result result = load({.environment = {{"OTLPSHM_EXPORT_RETRY_INITIAL_MS", "9000"}}});
  CHECK(joined(result.errors) ==
        "error: environment OTLPSHM_EXPORT_RETRY_INITIAL_MS: export.retry.initial_ms: 9000 ms is "
        "above export.retry.max_ms, 5000 ms (default): change one of them");
}

TEST_CASE("config: the port of OTLP over HTTP is warned of") {
  CHECK(joined(load({.sets = {"export.endpoint=http://a:4318"}}).warnings) ==
        "warning: --set: export.endpoint: port 4318 is usually OTLP over HTTP, and this is OTLP "
        "over gRPC, usually 4317");
}

TEST_CASE("config: a file that cannot be read is one line with the remedy") {
  const ScratchDirectory scratch;
  const auto error = [](const std::string& path) { return joined(load({.file = path}).errors); };
  CHECK(error("nope.yaml") ==
        "error: cannot read the configuration file \"nope.yaml\": it does not exist; check the "
        "path after --config");
  CHECK(error(".") ==
        "error: cannot read the configuration file \".\": it is a directory; name the file in it");
  CHECK(error("") ==
        "error: cannot read the configuration file \"\": that is no file name; give --config the "
        "path of a YAML file");
  REQUIRE(mkfifo("fifo", 0600) == 0);
  CHECK(error("fifo") ==
        "error: cannot read the configuration file \"fifo\": it is not a regular file; copy it "
        "into one");
  REQUIRE(symlink("loop.yaml", "loop.yaml") == 0);
  CHECK(error("loop.yaml") ==
        "error: cannot read the configuration file \"loop.yaml\": Too many levels of symbolic "
        "links");
  scratch.write("large.yaml", std::string(file_bytes_max + 1, '#'));
  CHECK(error("large.yaml") ==
        "error: cannot read the configuration file \"large.yaml\": it is larger than 1 MiB, which "
        "no configuration needs");
  scratch.write("full.yaml", std::string(file_bytes_max, '#'));
  CHECK(error("full.yaml").empty());
  scratch.write("secret.yaml", "dir: /x\n");
  REQUIRE(chmod("secret.yaml", 0) == 0);
  // Root may read everything.
  if (geteuid() != 0) {
    CHECK(error("secret.yaml") ==
          "error: cannot read the configuration file \"secret.yaml\": permission denied; let uid " +
              std::to_string(geteuid()) + " read it");
  }
}

// ---- hostile ----------------------------------------------------------------------------------

TEST_CASE("config: bytes that are no text are refused where they stand") {
  const auto first_line = [](const std::string& yaml) {
    const std::string errors = joined(load_file(yaml).errors);
    return errors.substr(0, errors.find('\n'));
  };
  const std::string control = ": a control character, which YAML does not allow: remove it";
  const std::string broken = ": the file is not UTF-8 here: save it as UTF-8";
  using namespace std::string_literals;
  CHECK(first_line("dir: a\0b\n"s) == "error: otlpshmd.yaml:1:7" + control);
  // yaml-cpp takes a \x04 for the end of the file, and would not see what follows.
  CHECK(first_line("dir: /a\n\x04\nbad"s) == "error: otlpshmd.yaml:2:1" + control);
  CHECK(first_line("dir: \x1b[2J\n"s) == "error: otlpshmd.yaml:1:6" + control);
  CHECK(first_line("dir: \xc2\x9b\n"s) == "error: otlpshmd.yaml:1:6" + control);
  CHECK(first_line("dir: \xff\n"s) == "error: otlpshmd.yaml:1:6" + broken);
  CHECK(first_line("dir: é\xc3\n"s) == "error: otlpshmd.yaml:1:7" + broken);
  CHECK(first_line("dir: \xc0\x80\n"s) == "error: otlpshmd.yaml:1:6" + broken);
  CHECK(first_line("dir: \xed\xa0\x80\n"s) == "error: otlpshmd.yaml:1:6" + broken);
  CHECK(first_line("dir: \xf4\x90\x80\x80\n"s) == "error: otlpshmd.yaml:1:6" + broken);
  CHECK(first_line("\xff\xfe"
                   "d\0i\0r\0"s) == "error: otlpshmd.yaml:1:1" + broken);
}

TEST_CASE("config: deep, wide, long and recursive files are refused") {
  CHECK(joined(load_file(std::string(200000, '[')).errors).find("nested too deeply") !=
        std::string::npos);
  CHECK(joined(load_file(std::string(200000, '{')).errors).find("nested too deeply") !=
        std::string::npos);
  CHECK(joined(load_file(repeated("- ", 300000)).errors).find("nested too deeply") !=
        std::string::npos);
  CHECK(joined(load_file(repeated("? ", 300000)).errors).find("nested too deeply") !=
        std::string::npos);
  CHECK(joined(load_file("a: [" + repeated("1,", 20000) + "]\n").errors).find("10000 values") !=
        std::string::npos);
  CHECK(
      joined(load_file("dir: " + std::string(100000, 'x') + "\n").errors)
          .starts_with("error: otlpshmd.yaml:1:6: dir: is longer than 65536 bytes: shorten it\n"));
  CHECK_FALSE(load_file("dir: \"" + std::string(1000000, '\n')).ok());
  CHECK_FALSE(load_file(std::string(1000000, '"')).ok());
  CHECK_FALSE(load_file("\"" + std::string(1000000, '\\')).ok());
  CHECK_FALSE(load_file(std::string(1000000, '-')).ok());
  CHECK_FALSE(load_file("? " + std::string(1000000, 'k')).ok());
}

TEST_CASE("config: aliases of aliases are not copied, and count as values") {
  std::string laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char name = 'b'; name <= 'z'; ++name) {
    laughs += std::string(1, name) + ": &" + name + " [" +
              repeated("*" + std::string(1, static_cast<char>(name - 1)) + ",", 9) + "]\n";
  }
  CHECK(load_file(laughs).errors.size() == 26);
  const std::string many = "a: &a [x]\nb: [" + repeated("*a,", 10000) + "]\n";
  CHECK(joined(load_file(many).errors).find("more than 10000 values") != std::string::npos);
}

TEST_CASE("config: a variable cannot grow a value without bound") {
  const Result result = load_file("dir: '" + repeated("${env:BIG}", 20000) + "'\n",
                                  {{"BIG", std::string(100000, 'x')}});
  CHECK(
      joined(result.errors)
          .starts_with("error: otlpshmd.yaml:1:6: dir: is longer than 65536 bytes: shorten it\n"));
}

TEST_CASE("config: the errors of a hopeless file are bounded in number and length") {
  std::string yaml;
  for (int i = 0; i < 4000; ++i) yaml += "key" + std::to_string(i) + ": 1\n";
  yaml += std::string(900, 'k') + ": 1\n";
  const Result result = load_file(yaml);
  CHECK(result.errors.size() == errors_shown_max + 1);
  CHECK(result.errors.back() == "error: more errors follow: correct these first");
  const Result wide = load_file(std::string(900, 'k') + ": " + std::string(90000, 'v') + "\n");
  REQUIRE(wide.errors.size() == 1);
  CHECK(wide.errors.front().size() < 1000);
}

TEST_CASE("config: no prefix of a good file crashes or hangs") {
  const std::string yaml =
      "dir: \"/a\"\nexport: {endpoint: 'http://a:1', headers: {a: hunter2}}\nbatch: &b\n"
      "  bytes_max: 3MiB # c\nlog:\n  level: ${env:X:-info}\n";
  for (std::size_t bytes = 0; bytes <= yaml.size(); ++bytes) {
    INFO(bytes);
    CHECK(joined(load_file(yaml.substr(0, bytes)).errors).find("hunter2") == std::string::npos);
  }
}

TEST_CASE("config: any byte in any place gives a value or an error, and no secret") {
  const std::string yaml =
      "dir: \"/a\"\nexport:\n  headers:\n    a: \"hunter2\"\n  endpoint: http://a:1\nlog: {}\n";
  const ScratchDirectory scratch;
  for (std::size_t at = 0; at < yaml.size(); ++at) {
    // The word that says where the secrets are, and the secret, stay whole.
    const bool spared = at >= yaml.find("  headers") && at < yaml.find("  endpoint");
    if (spared) continue;
    for (int byte = 0; byte < 256; byte += 3) {
      std::string mutant = yaml;
      mutant[at] = static_cast<char>(byte);
      const Result result = load({.file = scratch.write("m.yaml", mutant)});
      INFO(at << ' ' << byte);
      REQUIRE(joined(result.errors).find("hunter2") == std::string::npos);
    }
  }
}

TEST_CASE("config: an environment is copied, and the first of equal names counts") {
  const char* const raw[] = {"A=1", "A=2", "B=", "C", "=D=1", "E=x=y", nullptr};
  CHECK(environment_from(raw) == Environment{{"A", "1"}, {"B", ""}, {"", "D=1"}, {"E", "x=y"}});
  CHECK(environment_from(nullptr).empty());
}

}  // namespace otlpshm::config
