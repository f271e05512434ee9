// SPDX-License-Identifier: Apache-2.0
// log.cc: the daemon's log on stderr; the only includer of spdlog, which writes the lines.
#include "telemetry/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "telemetry/escape.h"
#include "telemetry/rate_limit.h"

namespace otlpshm::telemetry {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %v";
constexpr const char* kJsonPattern = R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

spdlog::level::level_enum spdlog_level(LogLevel level) {
  constexpr std::array levels = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                 spdlog::level::err};
  return levels[static_cast<size_t>(level)];
}

std::unique_ptr<spdlog::logger> make_logger(LogLevel level, bool json) {
  spdlog::sink_ptr sink;
  if (json)
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  else
    sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();  // colours on a terminal only
  auto logger = std::make_unique<spdlog::logger>("otlpshmd", std::move(sink));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      json ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc));
  logger->set_level(spdlog_level(level));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

struct Log {
  std::mutex mutex;
  RateLimit repeats;  // guarded by mutex
  bool json = false;
  std::unique_ptr<spdlog::logger> logger = make_logger(LogLevel::info, false);
};

// Never destroyed: a thread of a library may log while the process exits.
Log& the_log() {
  static Log& log = *new Log;
  return log;
}

uint64_t monotonic_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}

// As spdlog's pattern wants it: members without the braces.
std::string json_members(std::string_view message, std::initializer_list<LogField> fields,
                         uint64_t suppressed) {
  nlohmann::ordered_json event;
  event["msg"] = message;
  for (const LogField& field : fields)
    std::visit([&](auto value) { event[std::string(field.key())] = value; }, field.value());
  if (suppressed > 0) event["suppressed"] = suppressed;
  // All but ASCII as \u: no terminal control survives, in whatever encoding the reader assumes.
  const std::string object =
      event.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  return object.substr(1, object.size() - 2);
}

std::string text_value(const LogField::Value& value) {
  const auto* text = std::get_if<std::string_view>(&value);
  if (text == nullptr)
    return std::visit([](auto number) { return nlohmann::json(number).dump(); }, value);
  std::string shown = printable(*text);
  if (!shown.empty() && shown.find_first_of(" \"=\\") == std::string::npos) return shown;
  std::string quoted = "\"";
  for (const char c : shown) {
    if (c == '"') quoted += '\\';
    quoted += c;
  }
  return quoted += '"';
}

std::string text_line(std::string_view message, std::initializer_list<LogField> fields,
                      uint64_t suppressed) {
  std::string line = printable(message);
  for (const LogField& field : fields)
    ((line += ' ') += field.key()) += '=' + text_value(field.value());
  if (suppressed > 0) line += " suppressed=" + std::to_string(suppressed);
  return line;
}

}  // namespace

std::optional<LogLevel> log_level_from(std::string_view name) {
  constexpr std::array<std::string_view, 4> names = {"debug", "info", "warning", "error"};
  const auto* found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return {};
  return static_cast<LogLevel>(found - names.begin());
}

std::optional<LogFormat> log_format_from(std::string_view name) {
  constexpr std::array<std::string_view, 3> names = {"auto", "text", "json"};
  const auto* found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return {};
  return static_cast<LogFormat>(found - names.begin());
}

void log_init(LogLevel level, LogFormat format) {
  Log& own = the_log();
  std::lock_guard lock(own.mutex);
  own.json =
      format == LogFormat::json || (format == LogFormat::automatic && isatty(STDERR_FILENO) == 0);
  own.logger = make_logger(level, own.json);
}

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  Log& own = the_log();
  std::lock_guard lock(own.mutex);
  if (!own.logger->should_log(spdlog_level(level))) return;
  const auto kept_back = own.repeats.admit(message, monotonic_ns());
  if (!kept_back) return;
  const std::string line =
      own.json ? json_members(message, fields, *kept_back) : text_line(message, fields, *kept_back);
  own.logger->log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

uint64_t log_suppressed() {
  Log& own = the_log();
  std::lock_guard lock(own.mutex);
  return own.repeats.suppressed();
}

}  // namespace otlpshm::telemetry
