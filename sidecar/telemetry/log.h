// SPDX-License-Identifier: Apache-2.0
// log.h: the daemon's log on stderr: one event a line, as text or as a JSON object.
//   Owns   the format and the rate limit of the process.     Thread  any.
//   Never  lets a field from outside end a line, colour a terminal or break the JSON.
//   Loses  repeats of a message within ten seconds; log_suppressed() counts them.
#ifndef OTLPSHM_TELEMETRY_LOG_H
#define OTLPSHM_TELEMETRY_LOG_H

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <variant>

namespace otlpshm::telemetry {

enum class LogLevel { debug, info, warning, error };
enum class LogFormat { automatic, text, json };  // automatic: text on a terminal, else JSON

std::optional<LogLevel> log_level_from(std::string_view name);    // "debug" … "error"
std::optional<LogFormat> log_format_from(std::string_view name);  // "auto", "text", "json"

// Call it once, before the threads start. Before it, the log is text from `info` on.
void log_init(LogLevel level, LogFormat format);

// A field's key is ours: lower case and underscores. Its value may be anything.
class LogField {
 public:
  using Value = std::variant<std::string_view, int64_t, uint64_t, double, bool>;

  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), value_(value) {}
  LogField(std::string_view key, double value) : key_(key), value_(value) {}
  template <std::signed_integral Number>
  LogField(std::string_view key, Number value) : key_(key), value_(int64_t{value}) {}
  template <std::unsigned_integral Number>
  LogField(std::string_view key, Number value) : key_(key), value_(uint64_t{value}) {}

  std::string_view key() const { return key_; }
  const Value& value() const { return value_; }

 private:
  std::string_view key_;
  Value value_;
};

// `message` is a fixed sentence: it is what the rate limit goes by, so what varies is a field.
// "suppressed" is added as a field when repeats were kept back since it was last written.
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// Events kept back by the rate limit since the start, for /metrics.
uint64_t log_suppressed();

}  // namespace otlpshm::telemetry

#endif  // OTLPSHM_TELEMETRY_LOG_H
