// SPDX-License-Identifier: Apache-2.0
// main.cc: otlpshmd: arguments -> configuration -> sidecar; signals; exit codes.
//   Exits  0; 1 it failed while running; 64 usage; 69 something it needs is not there;
//          78 configuration; 128 + a signal that came while it was stopping.
//   Says   one line on stdout when it is ready; every failure is a line on stderr with a remedy.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "config/load.h"
#include "config/print.h"
#include "export/console_exporter.h"
#include "export/grpc_exporter.h"
#include "io/loop.h"
#include "sidecar.h"
#include "telemetry/log.h"

namespace {

namespace config = otlpshm::config;
namespace exporting = otlpshm::exporting;
namespace io = otlpshm::io;
namespace telemetry = otlpshm::telemetry;
using otlpshm::Arguments;

constexpr int kExitUnavailable = 69;

config::Result load(const Arguments& arguments) {
  config::Sources sources;
  sources.file = arguments.file;
  sources.environment = config::environment_from(::environ);
  if (arguments.dir) sources.sets.push_back("dir=" + *arguments.dir);
  sources.sets.insert(sources.sets.end(), arguments.sets.begin(), arguments.sets.end());
  return config::load(sources);
}

void start_log(const config::Config& options) {
  const auto level = [&options] {
    switch (options.log_level) {
      case config::LogLevel::trace:
      case config::LogLevel::debug:
        return telemetry::LogLevel::debug;
      case config::LogLevel::info:
        return telemetry::LogLevel::info;
      case config::LogLevel::warn:
        return telemetry::LogLevel::warning;
      case config::LogLevel::error:
        break;
    }
    return telemetry::LogLevel::error;
  };
  const auto format = [&options] {
    switch (options.log_format) {
      case config::LogFormat::automatic:
        return telemetry::LogFormat::automatic;
      case config::LogFormat::text:
        return telemetry::LogFormat::text;
      case config::LogFormat::json:
        break;
    }
    return telemetry::LogFormat::json;
  };
  telemetry::log_init(level(), format());
}

io::LoopKind loop_kind(config::LoopChoice choice) {
  switch (choice) {
    case config::LoopChoice::automatic:
      return io::LoopKind::automatic;
    case config::LoopChoice::io_uring:
      return io::LoopKind::io_uring;
    case config::LoopChoice::epoll:
      break;
  }
  return io::LoopKind::epoll;
}

std::unique_ptr<exporting::Exporter> make_exporter(const config::Config& options, io::Loop& loop,
                                                   exporting::Exporter::OnOutcome on_outcome,
                                                   std::string* error) {
  if (options.export_exporter == config::ExporterChoice::console) {
    return exporting::make_console_exporter(loop, {}, std::move(on_outcome));
  }
  exporting::GrpcOptions grpc;
  grpc.target = options.export_endpoint.text();
  for (const config::Header& header : options.export_headers) {
    grpc.headers.emplace_back(header.name, header.value);
  }
  grpc.timeout_ms = static_cast<std::uint32_t>(options.export_timeout_ms);
  grpc.requests_in_flight_max = static_cast<std::uint32_t>(options.export_requests_in_flight_max);
  grpc.backoff = {options.export_retry_initial_ms, options.export_retry_max_ms};
  try {
    return exporting::make_grpc_exporter(loop, std::move(grpc), std::move(on_outcome));
  } catch (const std::invalid_argument& refused) {
    *error = refused.what();
    return nullptr;
  }
}

// A descriptor for each producer: as many as the system lets us have.
void raise_descriptor_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int fail(int exit_status, const std::string& why) {
  std::fprintf(stderr, "otlpshmd: %s\n", why.c_str());
  return exit_status;
}

int run(const config::Config& options) {
  start_log(options);
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);

  std::string error;
  std::unique_ptr<io::Loop> loop = io::make_loop(loop_kind(options.loop), &error);
  if (loop == nullptr) return fail(kExitUnavailable, error);

  // Before any thread of the exporter is there: they inherit the mask.
  std::unique_ptr<otlpshm::Sidecar> sidecar;
  int signals = 0;
  for (const int signo : {SIGTERM, SIGINT}) {
    const bool watched = loop->on_signal(signo, [&sidecar, &signals, signo] {
      if (++signals > 1) ::_exit(128 + signo);  // what has not settled stays in the segments
      if (sidecar != nullptr) sidecar->stop();
    });
    if (!watched) return fail(kExitUnavailable, "signals cannot be watched");
  }

  sidecar = otlpshm::Sidecar::make(
      options, std::move(loop),
      [&options](io::Loop& on, exporting::Exporter::OnOutcome on_outcome, std::string* why) {
        return make_exporter(options, on, std::move(on_outcome), why);
      },
      &error);
  if (sidecar == nullptr) return fail(kExitUnavailable, error);
  std::printf("%s\n", sidecar->ready_line().c_str());
  std::fflush(stdout);
  sidecar->run();
  return 0;
}

int start(const Arguments& arguments) {
  if (arguments.print_options_markdown) {
    std::fputs(config::options_markdown().c_str(), stdout);
    return 0;
  }
  const config::Result result = load(arguments);
  for (const std::string& warning : result.warnings) {
    std::fprintf(stderr, "otlpshmd: %s\n", warning.c_str());
  }
  for (const std::string& error : result.errors) {
    std::fprintf(stderr, "otlpshmd: %s\n", error.c_str());
  }
  if (!result.ok()) return config::exit_config;
  if (arguments.print_config) {
    std::fputs(config::effective_config(result).c_str(), stdout);
    return 0;
  }
  if (arguments.check_config) {
    std::puts("the configuration is good");
    return 0;
  }
  return run(result.config);
}

}  // namespace

int main(int argc, char** argv) {
  otlpshm::Arguments arguments;
  try {
    if (const auto status = otlpshm::read_arguments(argc, argv, &arguments)) return *status;
    return start(arguments);
  } catch (const std::exception& failure) {
    return fail(1, failure.what());
  }
}
