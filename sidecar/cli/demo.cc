// SPDX-License-Identifier: Apache-2.0
// demo.cc: see demo.h. The order of construction is the order of the path: directory, daemon,
// services; that of destruction is the reverse.
#include "cli/demo.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "cli/accounts.h"
#include "cli/child.h"
#include "cli/failure.h"
#include "cli/http_client.h"
#include "cli/private_directory.h"
#include "cli/programs.h"
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
constexpr const char* kExported = "otlpshm_spans_exported_total";
constexpr const char* kDropped = "otlpshm_spans_dropped_total";
constexpr const char* kInFlight = "otlpshm_spans_in_flight";
constexpr const char* kLatency = "otlpshm_export_latency_quantile_seconds";

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
    throw Failure{kExitFailed, std::string("cannot write: ") + error_text(errno)};
  }
}

void progress(const std::string& line) {
  print(stderr, "▸ " + line + "\n");
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
    return text.empty() ? "" : "; " + child->name() + " said:" + text;
  }
};

// ---- the demo ----------------------------------------------------------------------------------

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options),
        trees_(options.json ? stderr : stdout),
        in_color_(isatty(fileno(trees_)) != 0 && variable("NO_COLOR").empty()),
        directory_("otlpshm-demo-") {}
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
  void judge() const;

  void draw(const std::string& line) const;
  std::vector<Child*> children();
  void check_alive();
  void pump_once(int timeout_ms);
  bool wait(int timeout_ms, const std::function<bool()>& until);
  std::uint64_t ended_of(const Member& member) const;
  void scrape();

  const DemoOptions& options_;
  std::FILE* trees_;
  bool in_color_;
  PrivateDirectory directory_;
  Member daemon_;
  Member user_;
  Member inventory_;
  Member payment_;
  Member order_;
  bool stopping_services_ = false;
  bool stopping_daemon_ = false;
  Accounts accounts_;
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

// A line of a tree. The daemon writes to a pipe, so it is for us to show an error in red.
void Demo::draw(const std::string& line) const {
  const bool in_red = in_color_ && line.find("  ERROR") != std::string::npos;
  print(trees_, (in_red ? "\x1b[31m" + line + "\x1b[0m" : line) + "\n");
}

void Demo::start_daemon() {
  std::vector<std::string> command = {daemon_program(options_.daemon), "--dir", directory_.path()};
  const auto set = [&command](const std::string& option) {
    command.insert(command.end(), {"--set", option});
  };
  set("admin.listen=127.0.0.1:0");
  set("log.level=warn");
  set("log.format=text");
  if (!options_.loop.empty()) set("loop=" + options_.loop);
  if (options_.endpoint.empty()) {
    set("export.exporter=console");
  } else {
    set("export.exporter=otlp");
    set("export.endpoint=" + options_.endpoint);
  }

  daemon_.child = std::make_unique<Child>("otlpshmd", command, Environment{},
                                          [this](Child::Stream stream, const std::string& line) {
                                            if (line.rfind("otlpshmd ready ", 0) == 0) {
                                              daemon_.ready = line;
                                            } else if (stream == Child::Stream::out) {
                                              draw(line);
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
  arguments.insert(arguments.begin(), service_program(name));
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
    ++accounts_.orders;
    if (to_be_declined) ++accounts_.declined;

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
    accounts_.ended += ended_of(*member);
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
  accounts_.exported = count(kExported);
  accounts_.in_flight = count(kInFlight);
  accounts_.dropped.clear();
  for (const auto& [reason, value] : metrics.by(kDropped, "reason")) {
    if (value > 0) accounts_.dropped[reason] = static_cast<std::uint64_t>(value);
  }
  for (const auto& [quantile, seconds] : metrics.by(kLatency, "quantile")) {
    const double ms = std::round(seconds * 1e6) / 1e3;
    if (quantile == "0.5") accounts_.p50_ms = ms;
    if (quantile == "0.99") accounts_.p99_ms = ms;
  }
}

// Waits until the daemon has accounted for every span that the services ended.
void Demo::settle() {
  wait(kSettleTimeoutMs, [this] {
    scrape();
    return accounts_.all_settled();
  });
}

void Demo::stop_daemon() {
  stopping_daemon_ = true;
  daemon_.child->terminate();
  if (!wait(kStopTimeoutMs, [this] { return !daemon_.child->running(); })) {
    throw Failure{kExitFailed, "otlpshmd did not stop within 10 s of SIGTERM" + daemon_.lament()};
  }
}

void Demo::judge() const {
  const std::string broken = accounts_.broken_law();
  if (!broken.empty()) {
    throw Failure{kExitFailed, "the numbers do not add up, which is a defect: " + broken};
  }
  if (accounts_.in_flight != 0) {
    throw Failure{kExitUnavailable, std::to_string(accounts_.in_flight) +
                                        " spans were not acknowledged within 10 s; does an " +
                                        "OTLP/gRPC backend listen at " + options_.endpoint + "?" +
                                        daemon_.lament()};
  }
  if (accounts_.exported == 0) {
    throw Failure{kExitFailed, "not one span was exported" + daemon_.lament()};
  }
}

int Demo::run() {
  if (options_.keep) directory_.keep();
  start_daemon();
  start_services();
  accounts_.loop = word(daemon_.ready, "loop");
  progress("otlpshmd (" + accounts_.loop + ") and the services order, user, " +
           "inventory and payment share " + directory_.path());
  progress("sending " + std::to_string(options_.orders) + " orders; the traces go to " +
           (options_.endpoint.empty() ? "this terminal" : options_.endpoint));
  send_orders();
  stop_services();
  progress("the services have ended; waiting for what is in flight");
  settle();
  stop_daemon();
  print(stdout, options_.json ? accounts_.json() : accounts_.text());
  if (options_.keep) progress("kept: " + directory_.path());
  judge();
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
