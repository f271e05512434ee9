// SPDX-License-Identifier: Apache-2.0
// options.h: the one table of options, and the typed values that it fills.
//   Owns   every option's key, type, unit, bounds, default, environment names and sentence.
//   Never  is repeated: YAML, environment, --set, --print-config and docs/configuration.md read it.
//   New    option = one member of Config and one row in options.cc.
#ifndef OTLPSHM_CONFIG_OPTIONS_H
#define OTLPSHM_CONFIG_OPTIONS_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/value.h"

namespace otlpshm::config {

// The enumerators stand in the order of their row's `choices`.
enum class LoopChoice { automatic, io_uring, epoll };
enum class ClockChoice { automatic, on, off };
enum class LogLevel { trace, debug, info, warn, error };
enum class LogFormat { automatic, text, json };
enum class ExporterChoice { otlp, console };
enum class ShutdownMode { fast };

// Filled by load(); a Config made in any other way holds no defaults.
struct Config {
  std::string dir;
  LoopChoice loop{};
  ClockChoice clock{};
  LogLevel log_level{};
  LogFormat log_format{};
  HostPort admin_listen;
  ExporterChoice export_exporter{};
  HostPort export_endpoint;
  Headers export_headers;
  std::uint64_t export_timeout_ms = 0;
  std::uint64_t export_requests_in_flight_max = 0;
  std::uint64_t export_retry_initial_ms = 0;
  std::uint64_t export_retry_max_ms = 0;
  std::uint64_t batch_spans_max = 0;
  std::uint64_t batch_bytes_max = 0;
  std::uint64_t batch_age_ms_max = 0;
  std::uint64_t drain_bytes_per_turn_max = 0;
  std::uint64_t drain_scan_interval_ms = 0;
  std::uint64_t memory_slab_bytes_max = 0;
  double head_sampling_ratio = 0;
  ShutdownMode shutdown_mode{};
  std::uint64_t shutdown_timeout_ms = 0;
};

// How an option's text is read. The type of its member follows from it.
enum class Type { text, choice, number, ratio, bytes, endpoint, listen, headers };

using Member = std::variant<std::string Config::*, std::uint64_t Config::*, double Config::*,
                            HostPort Config::*, Headers Config::*, LoopChoice Config::*,
                            ClockChoice Config::*, LogLevel Config::*, LogFormat Config::*,
                            ExporterChoice Config::*, ShutdownMode Config::*>;

// A choice that users will look for and that this version does not have.
struct AbsentChoice {
  std::string_view name;
  std::string_view why;  // completes "name ...", and ends with the remedy
};

struct Option {
  std::string_view key = {};  // dotted
  Type type = Type::text;
  std::string_view unit = {};  // of a number
  std::uint64_t lower = 0;     // inclusive; of the number, or of the length of a text in bytes
  std::uint64_t upper = 0;
  std::vector<std::string_view> choices = {};
  std::vector<AbsentChoice> absent_choices = {};
  std::string_view default_text = {};
  bool reload = false;                                  // a change needs no restart
  std::vector<std::string_view> otel_environment = {};  // the first that is set wins
  std::string_view flag = {};                           // a command-line shorthand for --set
  std::string_view doc = {};
  Member member;
};

// In the order of the documentation; the options of a section stand together.
const std::vector<Option>& options();

// OTLPSHM_ and the key in upper case, dots as underscores.
std::string environment_name(const Option& option);

// What is wrong with a value, and the remedy; nothing when it was taken.
using Complaint = std::optional<std::string>;

// Parses `text` by the option's row into its member of `config`; on a complaint `config` keeps its
// value. Headers are read in their list form, name=value,name=value.
[[nodiscard]] Complaint set_value(Config& config, const Option& option, std::string_view text);

// The same for headers that are a list already.
[[nodiscard]] Complaint set_headers(Config& config, const Option& option, const Headers& headers);

// The value as text that set_value reads back. Headers in full: redact before showing it.
std::string value_text(const Config& config, const Option& option);

// What the option takes, such as "a whole number of ms, 1 to 60000".
std::string expected_text(const Option& option);

// The default of every row.
Config default_config();

}  // namespace otlpshm::config

#endif
