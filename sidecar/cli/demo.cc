// SPDX-License-Identifier: Apache-2.0
// demo.cc: see demo.h. The order of construction is the order of the path: directory, daemon,
// services; that of destruction is the reverse.
#include "cli/demo.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/child.h"
#include "cli/failure.h"
#include "cli/http_client.h"
#include "cli/private_directory.h"
#include "cli/scrape.h"
#include "config/value.h"

namespace otlpshm::cli {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kReadyTimeoutMs = 10000;
constexpr int kOrderTimeoutMs = 8000;  // above the sum of what the order service waits for
constexpr int kStopTimeoutMs = 10000;
constexpr int kSettleTimeoutMs = 10000;
constexpr int kAdminTimeoutMs = 2000;
constexpr int kPumpMs = 20;
constexpr std::size_t kLastLines = 5;
constexpr unsigned kDeclinedEvery = 10;
constexpr unsigned kDeclinedAmount = 950;  // above the limit in payment.cc

// What the daemon calls its counters.
constexpr const char* kExported = "otlpshm_exported_total";
constexpr const char* kDropped = "otlpshm_dropped_total";
constexpr const char* kInFlight = "otlpshm_in_flight";
constexpr const char* kLatency = "otlpshm_export_latency_seconds";

volatile std::sig_atomic_t stop_signal = 0;

void note_signal(int number) {
  stop_signal = number;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = note_signal;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  action.sa_handler = SIG_IGN;  // a closed pipe is an error of write
  sigaction(SIGPIPE, &action, nullptr);
}

void print(std::FILE* to, const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), to) == text.size();
  if (!written || std::fflush(to) != 0) {
    throw Failure{kExitFailed, std::string("cannot write: ") + std::strerror(errno)};
  }
}

void progress(const std::string& line) {
  print(stderr, "▸ " + line + "\n");
}

// ---- where our other programs are --------------------------------------------------------------

std::filesystem::path own_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

std::optional<std::string> first_runnable(const std::vector<std::filesystem::path>& paths) {
  for (const auto& path : paths) {
    if (access(path.c_str(), X_OK) == 0) return path.lexically_normal().string();
  }
  return std::nullopt;
}

std::string daemon_path(const std::string& asked) {
  if (!asked.empty()) return asked;
  std::vector<std::filesystem::path> places = {
      own_directory() / "otlpshmd",         // installed
      own_directory() / ".." / "otlpshmd",  // in the build tree
  };
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): there is one thread
  for (std::string rest = path ? path : ""; !rest.empty();) {
    const std::size_t colon = rest.find(':');
    places.push_back(std::filesystem::path(rest.substr(0, colon)) / "otlpshmd");
    rest.erase(0, colon == std::string::npos ? colon : colon + 1);
  }
  if (const auto found = first_runnable(places)) return *found;
  throw Failure{kExitUnavailable,
                "otlpshmd is neither beside this program nor on PATH; name it with --otlpshmd"};
}

std::string service_path(const std::string& name) {
  const std::string program = "otlpshm-demo-" + name;
  // Relative to ourselves, so that a tree installed under DESTDIR works where it stands.
  const auto libexec = std::filesystem::path(OTLPSHM_LIBEXECDIR).lexically_relative(OTLPSHM_BINDIR);
  if (const auto found = first_runnable({
          own_directory() / libexec / "otlpshm" / program,
          own_directory() / "../../bindings/c" / program,  // in the build tree
      })) {
    return *found;
  }
  throw Failure{kExitUnavailable,
                "the demo's service " + program + " is not installed; it belongs in " +
                    (own_directory() / libexec / "otlpshm").lexically_normal().string()};
}

// ---- what a child says -------------------------------------------------------------------------

// The value of `key=` in a line of words; "" without one.
std::string word(const std::string& line, const std::string& key) {
  const std::size_t at = line.find(" " + key + "=");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + key.size() + 2;
  return line.substr(begin, line.find(' ', begin) - begin);
}

// One of the five, and what it has said so far.
struct Member {
  std::unique_ptr<Child> child;
  std::string ready;  // its ready line
  std::string stats;  // its last line, of a service
  std::deque<std::string> last_errors;

  void hear_error(const std::string& line) {
    last_errors.push_back(line);
    if (last_errors.size() > kLastLines) last_errors.pop_front();
  }
  std::string lament() const {
    std::string text;
    for (const std::string& line : last_errors) text += "\n    " + line;
    return text.empty() ? "" : "; it said:" + text;
  }
};

// ---- the demo ----------------------------------------------------------------------------------

struct Numbers {
  std::uint64_t ended = 0;
  std::uint64_t exported = 0;
  std::uint64_t in_flight = 0;
  std::map<std::string, std::uint64_t> dropped;
  std::optional<double> p50_ms;
  std::optional<double> p99_ms;

  std::uint64_t dropped_sum() const {
    std::uint64_t sum = 0;
    for (const auto& [reason, count] : dropped) sum += count;
    return sum;
  }
  std::uint64_t accounted() const { return exported + dropped_sum() + in_flight; }
};

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options), trees_(options.json ? stderr : stdout), directory_("otlpshm-demo-") {}
  ~Demo() {  // the services stop together; each destructor then waits, the daemon's last
    for (Member* member : {&order_, &user_, &inventory_, &payment_}) {
      if (member->child) member->child->terminate();
    }
  }
  Demo(const Demo&) = delete;
  Demo& operator=(const Demo&) = delete;

  int run();

 private:
  void start_daemon();
  void start_services();
  void start_service(Member& member, const std::string& name, std::vector<std::string> arguments);
  void send_orders();
  void stop_services();
  void settle();
  void stop_daemon();

  std::vector<Child*> children();
  void check_alive();
  void pump_once(int timeout_ms);
  bool wait(int timeout_ms, const std::function<bool()>& until);
  std::uint64_t ended_of(const Member& member) const;
  void scrape();
  void report() const;

  const DemoOptions& options_;
  std::FILE* trees_;
  PrivateDirectory directory_;
  Member daemon_;
  Member user_;
  Member inventory_;
  Member payment_;
  Member order_;
  bool stopping_services_ = false;
  bool stopping_daemon_ = false;
  std::uint32_t declined_ = 0;
  Numbers numbers_;
};

std::vector<Child*> Demo::children() {
  std::vector<Child*> result;
  for (Member* member : {&daemon_, &user_, &inventory_, &payment_, &order_}) {
    if (member->child) result.push_back(member->child.get());
  }
  return result;
}

// A child that ends before it was asked to is the end of the demo.
void Demo::check_alive() {
  for (Member* member : {&daemon_, &user_, &inventory_, &payment_, &order_}) {
    const bool asked = member == &daemon_ ? stopping_daemon_ : stopping_services_;
    if (!member->child || member->child->running()) continue;
    if (asked && member->child->ended_well()) continue;
    throw Failure{member->ready.empty() ? kExitUnavailable : kExitFailed,
                  member->child->name() + (asked ? " did not stop well: " : " ended early: ") +
                      member->child->ending() + member->lament()};
  }
}

void Demo::pump_once(int timeout_ms) {
  pump(children(), timeout_ms);
  if (stop_signal != 0) throw Failure{kExitSignal + stop_signal, "interrupted"};
  check_alive();
}

bool Demo::wait(int timeout_ms, const std::function<bool()>& until) {
  const auto deadline = Clock::now() + milliseconds(timeout_ms);
  while (!until()) {
    if (Clock::now() >= deadline) return false;
    pump_once(kPumpMs);
  }
  return true;
}

void Demo::start_daemon() {
  std::vector<std::string> command = {daemon_path(options_.daemon), "--dir", directory_.path(),
                                      "--set", "admin.listen=127.0.0.1:0"};
  if (options_.endpoint.empty()) {
    command.insert(command.end(), {"--set", "export.exporter=console"});
  } else {
    command.insert(command.end(), {"--set", "export.exporter=otlp", "--set",
                                   "export.endpoint=" + options_.endpoint});
  }
  if (!options_.loop.empty()) command.insert(command.end(), {"--set", "loop=" + options_.loop});

  daemon_.child = std::make_unique<Child>("otlpshmd", command, Environment{},
                                          [this](Child::Stream stream, const std::string& line) {
                                            if (line.rfind("otlpshmd ready ", 0) == 0) {
                                              daemon_.ready = line;
                                            } else if (stream == Child::Stream::out) {
                                              print(trees_, line + "\n");
                                            } else {
                                              daemon_.hear_error(line);
                                            }
                                          });
  if (!wait(kReadyTimeoutMs, [this] { return !daemon_.ready.empty(); })) {
    throw Failure{kExitUnavailable, "otlpshmd was not ready within 10 s" + daemon_.lament()};
  }
}

void Demo::start_service(Member& member, const std::string& name,
                         std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), service_path(name));
  const Environment environment = {
      {"OTLPSHM_DIR", directory_.path()},
      {"OTEL_SERVICE_NAME", name},
      {"OTEL_RESOURCE_ATTRIBUTES", "service.namespace=otlpshm-demo,service.version=0.1.0"},
      {"OTEL_SDK_DISABLED", std::nullopt},
  };
  member.child = std::make_unique<Child>("the service " + name, arguments, environment,
                                         [&member](Child::Stream stream, const std::string& line) {
                                           if (line.rfind("ready ", 0) == 0) {
                                             member.ready = line;
                                           } else if (line.rfind("stats ", 0) == 0) {
                                             member.stats = line;
                                           } else if (stream == Child::Stream::err) {
                                             member.hear_error(line);
                                           }
                                         });
}

void Demo::start_services() {
  start_service(user_, "user", {"0"});
  start_service(inventory_, "inventory", {"0"});
  start_service(payment_, "payment", {"0"});
  const auto ready = [this](std::initializer_list<Member*> members) {
    const auto all = [members] {
      return std::all_of(members.begin(), members.end(),
                         [](const Member* member) { return !member->ready.empty(); });
    };
    if (!wait(kReadyTimeoutMs, all)) {
      throw Failure{kExitUnavailable, "the services were not ready within 10 s"};
    }
  };
  ready({&user_, &inventory_, &payment_});
  start_service(order_, "order",
                {"0", word(user_.ready, "port"), word(inventory_.ready, "port"),
                 word(payment_.ready, "port")});
  ready({&order_});
}

void Demo::send_orders() {
  const std::string address = "127.0.0.1:" + word(order_.ready, "port");
  const auto start = Clock::now();
  for (std::uint32_t i = 1; i <= options_.orders; ++i) {
    const bool to_be_declined = i % kDeclinedEvery == 0;
    const unsigned amount = to_be_declined ? kDeclinedAmount : 10 + i * 7 % 400;
    const std::string target =
        "/orders?id=" + std::to_string(1000 + i) + "&customer=" + std::to_string(i % 5 + 1) +
        "&article=" + std::to_string(i % 8) + "&amount=" + std::to_string(amount);
    const HttpReply reply = http_request("POST", address, target, kOrderTimeoutMs);
    if (reply.status != (to_be_declined ? 402 : 200)) {
      wait(500, [] { return false; });  // a dead service explains it better
      throw Failure{kExitFailed,
                    "order " + std::to_string(1000 + i) + " failed: " +
                        (reply.status ? "HTTP " + std::to_string(reply.status) + ", " + reply.body
                                      : reply.error)};
    }
    if (to_be_declined) ++declined_;

    const auto next = start + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(i / options_.orders_per_second));
    do {
      const auto left = std::chrono::duration_cast<milliseconds>(next - Clock::now()).count();
      pump_once(static_cast<int>(std::clamp<std::int64_t>(left, 0, kPumpMs)));
    } while (i < options_.orders && Clock::now() < next);
  }
}

void Demo::stop_services() {
  stopping_services_ = true;
  for (Member* member : {&order_, &user_, &inventory_, &payment_}) member->child->terminate();
  const auto ended = [this] {
    return !order_.child->running() && !user_.child->running() && !inventory_.child->running() &&
           !payment_.child->running();
  };
  if (!wait(kStopTimeoutMs, ended)) {
    throw Failure{kExitFailed, "the services did not stop within 10 s of SIGTERM"};
  }
  check_alive();
  for (const Member* member : {&order_, &user_, &inventory_, &payment_}) {
    numbers_.ended += ended_of(*member);
  }
}

std::uint64_t Demo::ended_of(const Member& member) const {
  const auto count = config::number_from(word(member.stats, "ended"));
  if (!count) {
    throw Failure{kExitFailed, member.child->name() +
                                   " did not say how many spans it ended: a line " +
                                   "\"stats ended=N\" was expected at its end" + member.lament()};
  }
  return *count;
}

void Demo::scrape() {
  const HttpReply reply =
      http_request("GET", word(daemon_.ready, "admin"), "/metrics", kAdminTimeoutMs);
  if (reply.status != 200) {
    pump_once(kPumpMs);
    throw Failure{kExitFailed,
                  "otlpshmd did not give its /metrics: " +
                      (reply.status ? "HTTP " + std::to_string(reply.status) : reply.error)};
  }
  const Scrape metrics(reply.body);
  const auto count = [&metrics](const char* name) {
    const auto value = metrics.sum(name);
    if (!value) {
      throw Failure{kExitFailed, std::string("otlpshmd's /metrics has no ") + name +
                                     "; are it and this program of one version?"};
    }
    return static_cast<std::uint64_t>(*value);
  };
  numbers_.exported = count(kExported);
  numbers_.in_flight = count(kInFlight);
  numbers_.dropped.clear();
  for (const auto& [reason, value] : metrics.by(kDropped, "reason")) {
    if (value > 0) numbers_.dropped[reason] = static_cast<std::uint64_t>(value);
  }
  const auto ms = [&metrics](double q) -> std::optional<double> {
    const auto seconds = metrics.quantile(kLatency, q);
    return seconds ? std::optional(*seconds * 1000) : std::nullopt;
  };
  numbers_.p50_ms = ms(0.50);
  numbers_.p99_ms = ms(0.99);
}

// Waits until the daemon has accounted for every span that the services ended.
void Demo::settle() {
  wait(kSettleTimeoutMs, [this] {
    scrape();
    return numbers_.in_flight == 0 && numbers_.accounted() >= numbers_.ended;
  });
}

void Demo::stop_daemon() {
  stopping_daemon_ = true;
  daemon_.child->terminate();
  if (!wait(kStopTimeoutMs, [this] { return !daemon_.child->running(); })) {
    throw Failure{kExitFailed, "otlpshmd did not stop within 10 s of SIGTERM" + daemon_.lament()};
  }
}

void Demo::report() const {
  if (options_.json) {
    const auto milli = [](const std::optional<double>& value) {
      return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
    };
    nlohmann::ordered_json object = {
        {"ended", numbers_.ended},
        {"exported", numbers_.exported},
        {"dropped", nlohmann::ordered_json::object()},
        {"in_flight", numbers_.in_flight},
        {"p50_ms", milli(numbers_.p50_ms)},
        {"p99_ms", milli(numbers_.p99_ms)},
        {"orders", options_.orders},
        {"declined", declined_},
        {"loop", word(daemon_.ready, "loop")},
    };
    for (const auto& [reason, count] : numbers_.dropped) object["dropped"][reason] = count;
    print(stdout, object.dump() + "\n");
    return;
  }
  const auto milli = [](const std::optional<double>& value) {
    char text[32] = "-";
    if (value) std::snprintf(text, sizeof text, "%.1f ms", *value);
    return std::string(text);
  };
  std::string text = "\n  orders     " + std::to_string(options_.orders) + ", " +
                     std::to_string(declined_) + " of them declined at payment, as planned\n" +
                     "  ended      " + std::to_string(numbers_.ended) +
                     " spans, as the four services counted\n" + "  exported   " +
                     std::to_string(numbers_.exported) + "\n  dropped    " +
                     std::to_string(numbers_.dropped_sum()) + "\n";
  for (const auto& [reason, count] : numbers_.dropped) {
    text += "             " + std::to_string(count) + " " + reason + "\n";
  }
  text += "  in flight  " + std::to_string(numbers_.in_flight) + "\n" +
          "  span end to export: p50 " + milli(numbers_.p50_ms) + ", p99 " +
          milli(numbers_.p99_ms) + "\n";
  print(stdout, text);
}

int Demo::run() {
  if (options_.keep) directory_.keep();
  start_daemon();
  start_services();
  progress("otlpshmd (" + word(daemon_.ready, "loop") + ") and the services order, user, " +
           "inventory and payment share " + directory_.path());
  progress("sending " + std::to_string(options_.orders) + " orders; the traces go to " +
           (options_.endpoint.empty() ? "this terminal" : options_.endpoint));
  send_orders();
  stop_services();
  progress("the services have ended; waiting for what is in flight");
  settle();
  stop_daemon();
  report();
  if (options_.keep) progress("kept: " + directory_.path());

  if (numbers_.accounted() != numbers_.ended) {
    throw Failure{kExitFailed,
                  "the numbers do not add up: the services ended " +
                      std::to_string(numbers_.ended) + " spans, otlpshmd accounts for " +
                      std::to_string(numbers_.accounted()) + " (exported " +
                      std::to_string(numbers_.exported) + ", dropped " +
                      std::to_string(numbers_.dropped_sum()) + ", in flight " +
                      std::to_string(numbers_.in_flight) + "); this is a defect, please report it"};
  }
  if (numbers_.in_flight != 0) {
    throw Failure{
        kExitUnavailable,
        std::to_string(numbers_.in_flight) + " spans were not acknowledged within 10 s; " +
            "does an OTLP/gRPC backend listen at " + options_.endpoint + "?" +
            (daemon_.last_errors.empty() ? "" : " otlpshmd" + daemon_.lament().substr(1))};
  }
  return kExitOk;
}

}  // namespace

int run_demo(const DemoOptions& options) {
  if (!options.endpoint.empty()) {
    const auto endpoint = config::endpoint_from(options.endpoint);
    if (!endpoint.value) throw Failure{kExitUsage, "--endpoint: " + endpoint.complaint};
  }
  catch_signals();
  return Demo(options).run();
}

}  // namespace otlpshm::cli
