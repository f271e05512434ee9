// SPDX-License-Identifier: Apache-2.0
// options.cc: the rows, and what can be done with one row.
//   Owns   nothing at run time but the constant table.
//   Never  names a source of values: files, variables and flags are load.cc's.
#include "config/options.h"

#include <cassert>
#include <type_traits>

#include "config/quote.h"

namespace otlpshm::config {

namespace {

constexpr std::uint64_t KiB = 1024;
constexpr std::uint64_t MiB = 1024 * KiB;
constexpr std::uint64_t GiB = 1024 * MiB;

std::vector<Option> table() {
  return {
      {.key = "dir",
       .lower = 1,
       .upper = 3840,  // PATH_MAX less the longest file name in the directory
       .default_text = "/run/otlpshm",
       .flag = "--dir",
       .doc = "The shared directory: a tmpfs that applications and the daemon both can write.",
       .member = &Config::dir},
      {.key = "loop",
       .type = Type::choice,
       .choices = {"auto", "io_uring", "epoll"},
       .default_text = "auto",
       .doc = "The kernel interface of the event loop; `auto` takes io_uring where it is allowed.",
       .member = &Config::loop},
      {.key = "clock",
       .type = Type::choice,
       .choices = {"auto", "on", "off"},
       .default_text = "auto",
       .doc = "Whether applications may tell the time by the processor's invariant time stamp "
              "counter, calibrated by the daemon; `auto` is where the kernel's clock does so too.",
       .member = &Config::clock},

      {.key = "log.level",
       .type = Type::choice,
       .choices = {"trace", "debug", "info", "warn", "error"},
       .default_text = "info",
       .doc = "The least severe log line that is written.",
       .member = &Config::log_level},
      {.key = "log.format",
       .type = Type::choice,
       .choices = {"auto", "text", "json"},
       .default_text = "auto",
       .doc = "The form of log lines; `auto` is text on a terminal and JSON elsewhere.",
       .member = &Config::log_format},

      {.key = "admin.listen",
       .type = Type::listen,
       .default_text = "127.0.0.1:8888",
       .doc = "Where /metrics, /livez and /readyz are served; port 0 takes a free one.",
       .member = &Config::admin_listen},

      {.key = "export.exporter",
       .type = Type::choice,
       .choices = {"otlp", "console"},
       .default_text = "otlp",
       .doc = "Where spans go: OTLP over gRPC, or trace trees on standard output.",
       .member = &Config::export_exporter},
      {.key = "export.endpoint",
       .type = Type::endpoint,
       .default_text = "http://localhost:4317",
       .otel_environment = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"},
       .doc = "The OTLP/gRPC receiver; https:// is refused, this version has no TLS.",
       .member = &Config::export_endpoint},
      {.key = "export.headers",
       .type = Type::headers,
       .upper = 8 * KiB,  // what gRPC servers take by default, for all metadata together
       .otel_environment = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"},
       .doc = "gRPC metadata sent with every request; values are never shown.",
       .member = &Config::export_headers},
      {.key = "export.timeout_ms",
       .type = Type::number,
       .unit = "ms",
       .lower = 1,
       .upper = 600000,
       .default_text = "10000",
       .otel_environment = {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"},
       .doc = "How long one request may take before it counts as failed and is retried.",
       .member = &Config::export_timeout_ms},
      {.key = "export.requests_in_flight_max",
       .type = Type::number,
       .unit = "requests",
       .lower = 1,
       .upper = 64,
       .default_text = "4",
       .doc = "How many requests may wait for an answer at once.",
       .member = &Config::export_requests_in_flight_max},
      {.key = "export.retry.initial_ms",
       .type = Type::number,
       .unit = "ms",
       .lower = 1,
       .upper = 60000,
       .default_text = "100",
       .doc = "The backoff before the first retry; it doubles, with jitter.",
       .member = &Config::export_retry_initial_ms},
      {.key = "export.retry.max_ms",
       .type = Type::number,
       .unit = "ms",
       .lower = 1,
       .upper = 600000,
       .default_text = "5000",
       .doc = "The longest backoff; not below `export.retry.initial_ms`.",
       .member = &Config::export_retry_max_ms},

      {.key = "batch.spans_max",
       .type = Type::number,
       .unit = "spans",
       .lower = 1,
       .upper = 65536,
       .default_text = "8192",
       .doc = "A batch closes at this many spans.",
       .member = &Config::batch_spans_max},
      {.key = "batch.bytes_max",
       .type = Type::bytes,
       .lower = 4 * KiB,
       .upper = 64 * MiB,
       .default_text = "3MiB",
       .doc = "A batch closes at this size; gRPC receivers refuse messages over 4 MiB by default.",
       .member = &Config::batch_bytes_max},
      {.key = "batch.age_ms_max",
       .type = Type::number,
       .unit = "ms",
       .lower = 1,
       .upper = 60000,
       .default_text = "20",
       .doc = "A batch closes at this age, full or not.",
       .member = &Config::batch_age_ms_max},

      {.key = "drain.bytes_per_turn_max",
       .type = Type::bytes,
       .lower = 64 * KiB,
       .upper = 64 * MiB,
       .default_text = "1MiB",
       .doc =
           "What one segment may give in one turn, before the next has its turn: records, and what "
           "their resources and scopes add to a batch.",
       .member = &Config::drain_bytes_per_turn_max},
      {.key = "drain.scan_interval_ms",
       .type = Type::number,
       .unit = "ms",
       .lower = 10,
       .upper = 10000,
       .default_text = "1000",
       .doc = "The longest time between two scans of the directory for new and dead producers.",
       .member = &Config::drain_scan_interval_ms},

      {.key = "memory.slab_bytes_max",
       .type = Type::bytes,
       .lower = 8 * MiB,
       .upper = 16 * GiB,
       .default_text = "64MiB",
       .doc = "Memory for batches; when it is used up, spans wait in the applications' segments.",
       .member = &Config::memory_slab_bytes_max},

      {.key = "head_sampling.ratio",
       .type = Type::ratio,
       .default_text = "1",
       .doc = "The part of new traces that applications record, chosen by trace id; an "
              "application's own sampler may keep less. With 1 it decides alone.",
       .member = &Config::head_sampling_ratio},

      {.key = "shutdown.mode",
       .type = Type::choice,
       .choices = {"fast"},
       .absent_choices = {{"last_out", "is not available in this version: use fast"}},
       .default_text = "fast",
       .doc =
           "`fast`: stop intake, flush, exit; the rest stays in the segments for the next daemon.",
       .member = &Config::shutdown_mode},
      {.key = "shutdown.timeout_ms",
       .type = Type::number,
       .unit = "ms",
       .lower = 1,
       .upper = 600000,
       .default_text = "5000",
       .doc = "How long a stop may take before what is not acknowledged is left in the segments.",
       .member = &Config::shutdown_timeout_ms},
  };
}

template <typename T>
Complaint take(Config& config, T Config::*member, Parsed<T>&& parsed) {
  if (!parsed.value) return std::move(parsed.complaint);
  config.*member = std::move(*parsed.value);
  return std::nullopt;
}

Complaint take_text(Config& config, const Option& option, std::string Config::*member,
                    std::string_view text) {
  if (text.size() < option.lower || text.size() > option.upper) {
    return "expected " + expected_text(option) + "; got " + std::to_string(text.size()) + " bytes";
  }
  config.*member = text;
  return std::nullopt;
}

Complaint take_number(Config& config, const Option& option, std::uint64_t Config::*member,
                      std::string_view text) {
  const auto number = option.type == Type::bytes ? bytes_from(text) : number_from(text);
  if (!number || *number < option.lower || *number > option.upper) {
    return "expected " + expected_text(option) + "; got " + quoted(text);
  }
  config.*member = *number;
  return std::nullopt;
}

Complaint take_ratio(Config& config, const Option& option, double Config::*member,
                     std::string_view text) {
  const auto ratio = ratio_from(text);
  if (!ratio) return "expected " + expected_text(option) + "; got " + quoted(text);
  config.*member = *ratio;
  return std::nullopt;
}

template <typename Enum>
Complaint take_choice(Config& config, const Option& option, Enum Config::*member,
                      std::string_view text) {
  for (std::size_t index = 0; index < option.choices.size(); ++index) {
    if (text == option.choices[index]) {
      config.*member = static_cast<Enum>(index);
      return std::nullopt;
    }
  }
  for (const AbsentChoice& absent : option.absent_choices) {
    if (text == absent.name) return std::string(absent.name) + " " + std::string(absent.why);
  }
  return "expected " + expected_text(option) + "; got " + quoted(text);
}

std::string headers_text(const Headers& headers) {
  std::string text;
  for (const Header& header : headers) {
    if (!text.empty()) text += ',';
    text += header.name + '=' + percent_encoded(header.value);
  }
  return text;
}

}  // namespace

const std::vector<Option>& options() {
  static const std::vector<Option> rows = table();
  return rows;
}

std::string environment_name(const Option& option) {
  std::string name = "OTLPSHM_";
  for (const char c : option.key) {
    name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

Complaint set_value(Config& config, const Option& option, std::string_view text) {
  if (text.size() > value_bytes_max) {
    return "is longer than " + std::to_string(value_bytes_max) + " bytes: shorten it";
  }
  if (const auto byte = first_unprintable(text)) {
    return "has a control character or a byte that is not UTF-8, at byte " +
           std::to_string(*byte + 1);
  }
  return std::visit(
      [&](auto member) -> Complaint {
        using Value = std::remove_reference_t<decltype(config.*member)>;
        if constexpr (std::is_same_v<Value, std::string>) {
          return take_text(config, option, member, text);
        } else if constexpr (std::is_same_v<Value, std::uint64_t>) {
          return take_number(config, option, member, text);
        } else if constexpr (std::is_same_v<Value, double>) {
          return take_ratio(config, option, member, text);
        } else if constexpr (std::is_same_v<Value, HostPort>) {
          return take(config, member,
                      option.type == Type::endpoint ? endpoint_from(text) : listen_from(text));
        } else if constexpr (std::is_same_v<Value, Headers>) {
          Parsed<Headers> parsed = headers_from(text);
          if (!parsed.value) return std::move(parsed.complaint);
          return set_headers(config, option, *parsed.value);
        } else {
          return take_choice(config, option, member, text);
        }
      },
      option.member);
}

Complaint set_headers(Config& config, const Option& option, const Headers& headers) {
  assert(option.type == Type::headers);
  Parsed<Headers> checked = checked_headers(headers, option.upper);
  return take(config, std::get<Headers Config::*>(option.member), std::move(checked));
}

std::string value_text(const Config& config, const Option& option) {
  return std::visit(
      [&](auto member) -> std::string {
        using Value = std::remove_cvref_t<decltype(config.*member)>;
        const Value& value = config.*member;
        if constexpr (std::is_same_v<Value, std::string>) {
          return value;
        } else if constexpr (std::is_same_v<Value, std::uint64_t>) {
          return option.type == Type::bytes ? bytes_text(value) : std::to_string(value);
        } else if constexpr (std::is_same_v<Value, double>) {
          return ratio_text(value);
        } else if constexpr (std::is_same_v<Value, HostPort>) {
          return (option.type == Type::endpoint ? "http://" : "") + value.text();
        } else if constexpr (std::is_same_v<Value, Headers>) {
          return headers_text(value);
        } else {
          return std::string(option.choices.at(static_cast<std::size_t>(value)));
        }
      },
      option.member);
}

std::string expected_text(const Option& option) {
  const auto range = [&](auto text) { return text(option.lower) + " to " + text(option.upper); };
  const auto decimal = [](std::uint64_t number) { return std::to_string(number); };
  switch (option.type) {
    case Type::text:
      return "text of " + range(decimal) + " bytes";
    case Type::number:
      return "a whole number of " + std::string(option.unit) + ", " + range(decimal);
    case Type::ratio:
      return "a decimal number, 0 to 1";
    case Type::bytes:
      return "bytes, " + range(bytes_text);
    case Type::endpoint:
      return "http://host:port";
    case Type::listen:
      return "address:port";
    case Type::headers:
      return "header names and values, " + bytes_text(option.upper) + " at most";
    case Type::choice:
      break;
  }
  std::string text = option.choices.size() > 1 ? "one of " : "";
  for (std::size_t index = 0; index < option.choices.size(); ++index) {
    if (index > 0) text += ", ";
    text += option.choices[index];
  }
  return text;
}

Config default_config() {
  Config config;
  for (const Option& option : options()) {
    const Complaint complaint = set_value(config, option, option.default_text);
    assert(!complaint);
    (void)complaint;
  }
  return config;
}

}  // namespace otlpshm::config
