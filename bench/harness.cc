// SPDX-License-Identifier: Apache-2.0
// harness.cc: see harness.h.
//   Never  waits without a bound: a child that does not get ready, or does not end, is a failure.
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace otlpshm::bench {
namespace {

constexpr std::uint64_t kRecordBytes = 384;  // an upper bound for W5, for pacing
constexpr std::uint64_t kBudgetBytes = 16u << 20;
constexpr int kReadyMs = 10000;
constexpr int kEndMs = 20000;
constexpr int kFlushMs = 20000;

double seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double clock_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return seconds(now);
}

// The programs stand beside this one in a build tree: <build>/bench, <build>/sidecar.
std::string program(const char* relative) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  return (self.parent_path().parent_path() / relative).string();
}

Child spawn(const std::vector<std::string>& command) {
  int ends[2];
  if (pipe(ends) != 0) fail("no pipe");
  const pid_t pid = fork();
  if (pid < 0) fail("no process");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    std::fprintf(stderr, "bench: cannot run %s: %s\n", arguments[0], std::strerror(errno));
    _exit(127);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

// The next line of a child, or "" after timeout_ms or at its end.
std::string read_line(const Child& child, int timeout_ms) {
  std::string line;
  const double deadline = monotonic_seconds() + timeout_ms / 1e3;
  for (;;) {
    const int left = static_cast<int>((deadline - monotonic_seconds()) * 1e3);
    pollfd watched{child.output, POLLIN, 0};
    char c = 0;
    if (left <= 0 || poll(&watched, 1, left) <= 0 || read(child.output, &c, 1) != 1) return {};
    if (c == '\n') return line;
    line += c;
  }
}

// The value of "key=" in a ready line.
std::string field(const std::string& line, const std::string& key) {
  const std::size_t at = line.find(key + "=");
  if (at == std::string::npos) return {};
  const std::size_t from = at + key.size() + 1;
  return line.substr(from, line.find(' ', from) - from);
}

rusage end(Child& child, const char* name) {
  kill(child.pid, SIGTERM);
  const double deadline = monotonic_seconds() + kEndMs / 1e3;
  rusage usage{};
  int status = 0;
  while (wait4(child.pid, &status, WNOHANG, &usage) == 0) {
    if (monotonic_seconds() > deadline) {
      kill(child.pid, SIGKILL);
      fail(std::string(name) + " did not end");
    }
    usleep(2000);
  }
  child.pid = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail(std::string(name) + " failed");
  return usage;
}

}  // namespace

void fail(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

otlpshm_stats stats_of(otlpshm_writer* writer) {
  otlpshm_stats stats{};
  stats.size = sizeof stats;
  otlpshm_writer_stats(writer, &stats);
  return stats;
}

double process_cpu_seconds() {
  return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}
double thread_cpu_seconds() {
  return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}
double monotonic_seconds() {
  return clock_seconds(CLOCK_MONOTONIC);
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      options.json = true;
    } else if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
      options.seconds = std::strtod(argv[++i], nullptr);
    } else {
      fail(std::string("unknown argument ") + argv[i] + "; known are --json and --seconds S");
    }
  }
  if (!(options.seconds > 0 && options.seconds <= 3600)) fail("--seconds must be 0 to 3600");
  return options;
}

int report(const std::vector<Value>& values, bool json) {
  if (json) {
    nlohmann::json out = nlohmann::json::array();
    for (const Value& value : values) {
      out.push_back({{"name", value.name}, {"value", value.value}, {"unit", value.unit}});
    }
    std::printf("%s\n", out.dump().c_str());
  } else {
    for (const Value& value : values) {
      std::printf("%-32s %16.2f %s\n", value.name.c_str(), value.value, value.unit.c_str());
    }
  }
  return 0;
}

int emit_w5(otlpshm_writer* writer) {
#define TEXT(text) (text), (sizeof(text) - 1)
  otlpshm_span span;
  otlpshm_span_start(writer, &span, TEXT("GET /api/v1/orders"), nullptr);
  otlpshm_span_set_string(&span, TEXT("http.request.method"), TEXT("GET"));
  otlpshm_span_set_int(&span, TEXT("http.response.status_code"), 200);
  otlpshm_span_set_string(&span, TEXT("url.path"),
                          TEXT("/api/v1/orders/8f14e45f/items/c9f0f895fb"));
  otlpshm_span_set_string(&span, TEXT("server.address"), TEXT("orders.example.com"));
  otlpshm_span_set_string(&span, TEXT("user.id"), TEXT("user-0042-7781"));
  return otlpshm_span_end(&span);
#undef TEXT
}

Path::Path(const std::vector<std::string>& daemon_arguments) {
  const char* tests = std::getenv("OTLPSHM_TEST_SHM");
  directory_ = std::string(tests != nullptr ? tests : "/dev/shm") + "/otlpshm-bench-XXXXXX";
  if (mkdtemp(directory_.data()) == nullptr) fail("cannot make " + directory_);

  receiver_ = spawn({program("bench/otlpshm-null-receiver"), "--port", "0", "--distinct",
                     "--decode-every", "1000"});
  const std::string port = field(read_line(receiver_, kReadyMs), "port");
  if (port.empty()) fail("the receiver did not get ready");
  std::vector<std::string> command = {program("sidecar/otlpshmd"),
                                      "--dir",
                                      directory_,
                                      "--set",
                                      "admin.listen=127.0.0.1:0",
                                      "--set",
                                      "export.endpoint=http://127.0.0.1:" + port,
                                      "--set",
                                      "log.level=warn"};
  command.insert(command.end(), daemon_arguments.begin(), daemon_arguments.end());
  daemon_ = spawn(command);
  if (field(read_line(daemon_, kReadyMs), "pid").empty()) fail("the daemon did not get ready");

  otlpshm_writer_options options{};
  options.size = sizeof options;
  options.directory = directory_.c_str();
  options.service_name = "bench";
  options.lane_bytes_budget = kBudgetBytes;
  if (otlpshm_writer_open(&writer_, &options) != OTLPSHM_OK) fail("no writer");
  const double deadline = monotonic_seconds() + kReadyMs / 1e3;
  while (otlpshm_writer_status(writer_) != OTLPSHM_OK) {
    if (monotonic_seconds() > deadline) {
      fail(std::string("not attached: ") + otlpshm_strerror(otlpshm_writer_status(writer_)));
    }
    usleep(1000);
  }
}

Path::~Path() {
  for (const Child& child : {daemon_, receiver_}) {
    if (child.pid > 0) {
      kill(child.pid, SIGKILL);
      waitpid(child.pid, nullptr, 0);
    }
    if (child.output >= 0) close(child.output);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Path::wait_for_room(std::uint64_t burst) const {
  for (;;) {
    const otlpshm_stats stats = stats_of(writer_);
    if ((stats.committed - stats.settled + burst) * kRecordBytes <= kBudgetBytes / 4 * 3) return;
    usleep(100);
  }
}

void Path::wait_until_settled() const {
  if (otlpshm_force_flush(writer_, kFlushMs) != OTLPSHM_OK) fail("spans did not settle");
}

void Path::finish() {
  wait_until_settled();
  const otlpshm_stats stats = stats_of(writer_);
  ended_ = stats.ended;
  otlpshm_shutdown(writer_, kFlushMs);
  writer_ = nullptr;
  const rusage usage = end(daemon_, "the daemon");
  daemon_cpu_seconds_ = seconds(usage.ru_utime) + seconds(usage.ru_stime);

  kill(receiver_.pid, SIGTERM);
  const std::string line = read_line(receiver_, kEndMs);
  end(receiver_, "the receiver");
  const nlohmann::json counts = nlohmann::json::parse(line, nullptr, false);
  if (counts.is_discarded()) fail("the receiver gave no counts");
  delivered_.spans = counts.value("spans", std::uint64_t{0});
  delivered_.distinct = counts.value("distinct", std::uint64_t{0});
  delivered_.decoded = counts.value("decoded", std::uint64_t{0});
  delivered_.decode_errors = counts.value("decode_errors", std::uint64_t{0});

  const std::uint64_t committed = stats.committed + committed_elsewhere_;
  if (committed == 0 || delivered_.spans != committed || delivered_.distinct != committed ||
      delivered_.decode_errors != 0) {
    fail("committed " + std::to_string(committed) + ", delivered " +
         std::to_string(delivered_.spans) + ", distinct " + std::to_string(delivered_.distinct) +
         ", decode errors " + std::to_string(delivered_.decode_errors));
  }
}

}  // namespace otlpshm::bench
