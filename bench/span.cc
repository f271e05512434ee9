// SPDX-License-Identifier: Apache-2.0
// span.cc: what does a span cost the thread that records it? And one that is not sampled: a start
//   and an end, and with "w5" five attributes between them.
//   Measures CPU time of the recording thread through the shared library, in bursts that fit the
//   lanes, and in turn with them the floor of floor.h: medians, and medians of paired ratios. Names
//   with "least" have the best burst instead: what a span costs where nobody else is at the core,
//   which a guest cannot see to. Names without "prepared" or "calibrated" read the kernel's clock
//   twice a span; those with it, the TSC. Counts allocations and system calls; what was committed
//   must be delivered.
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "allocations.h"
#include "floor.h"
#include "harness.h"

namespace otlpshm::bench {
namespace {

constexpr int kBurst = 8192;
constexpr int kEvents = 8;
constexpr int kFirstLap = 2048;
constexpr int kLapBursts = 8;  // of W5, at 290 bytes: more than a lap of the largest lane

#define TEXT(text) (text), (sizeof(text) - 1)

// ---- shapes of spans ---------------------------------------------------------------------------

void emit_w0(otlpshm_writer* writer) {
  otlpshm_span span;
  otlpshm_span_start(writer, &span, TEXT("GET /api/v1/orders"), nullptr);
  (void)otlpshm_span_end(&span);
}

void emit_w20(otlpshm_writer* writer) {
  otlpshm_span span;
  otlpshm_span_start(writer, &span, TEXT("GET /api/v1/orders"), nullptr);
#define PAIR(number)                                                                         \
  otlpshm_span_set_string(&span, TEXT("bench.text." #number), TEXT("a value of 20 bytes.")); \
  otlpshm_span_set_int(&span, TEXT("bench.number." #number), 100 + (number))
  PAIR(0);
  PAIR(1);
  PAIR(2);
  PAIR(3);
  PAIR(4);
  PAIR(5);
  PAIR(6);
  PAIR(7);
  PAIR(8);
  PAIR(9);
#undef PAIR
  (void)otlpshm_span_end(&span);
}

void emit_events(otlpshm_writer* writer) {
  otlpshm_span span;
  otlpshm_span_start(writer, &span, TEXT("GET /api/v1/orders"), nullptr);
  for (int i = 0; i < kEvents; ++i) {
    otlpshm_span_add_event(&span, TEXT("cache.miss"), 0, nullptr, 0);
  }
  (void)otlpshm_span_end(&span);
}

// W5 once more: its name in a template, its keys prepared.
struct Prepared {
  otlpshm_template* name = nullptr;
  otlpshm_key method, status, path, server, user;

  explicit Prepared(otlpshm_writer* writer) {
    otlpshm_template_options options{};
    options.size = sizeof options;
    options.name = "GET /api/v1/orders";
    (void)otlpshm_template_open(writer, &name, &options);
    (void)otlpshm_key_prepare_cstr(&method, "http.request.method");
    (void)otlpshm_key_prepare_cstr(&status, "http.response.status_code");
    (void)otlpshm_key_prepare_cstr(&path, "url.path");
    (void)otlpshm_key_prepare_cstr(&server, "server.address");
    (void)otlpshm_key_prepare_cstr(&user, "user.id");
  }
  ~Prepared() { otlpshm_template_close(name); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  void emit(otlpshm_writer* writer) const {
    otlpshm_start_options options{};
    options.size = sizeof options;
    options.span_template = name;
    otlpshm_span span;
    otlpshm_span_start(writer, &span, nullptr, 0, &options);
    otlpshm_span_set_string_prepared(&span, &method, TEXT("GET"));
    otlpshm_span_set_int_prepared(&span, &status, 200);
    otlpshm_span_set_string_prepared(&span, &path,
                                     TEXT("/api/v1/orders/8f14e45f/items/c9f0f895fb"));
    otlpshm_span_set_string_prepared(&span, &server, TEXT("orders.example.com"));
    otlpshm_span_set_string_prepared(&span, &user, TEXT("user-0042-7781"));
    (void)otlpshm_span_end(&span);
  }
};
#undef TEXT

// ---- bursts ------------------------------------------------------------------------------------

template <class Emit>
double burst_ns(Emit emit, int count = kBurst) {
  const double before = thread_cpu_seconds();
  for (int i = 0; i < count; ++i) emit();
  return (thread_cpu_seconds() - before) * 1e9 / count;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Bursts {
 public:
  void add(const char* name, double value) { values_[name].push_back(value); }
  [[nodiscard]] double of(const char* name) const { return median(values_.at(name)); }
  [[nodiscard]] double least(const char* name) const {
    return *std::min_element(values_.at(name).begin(), values_.at(name).end());
  }

 private:
  std::map<std::string, std::vector<double>> values_;
};

// Calls `round` again and again for the asked time, a quarter of it before for warming up.
template <class Round>
Bursts rounds(double seconds, Round round) {
  Bursts warming;
  for (const double until = monotonic_seconds() + seconds / 4; monotonic_seconds() < until;) {
    round(warming);
  }
  Bursts measured;
  for (const double until = monotonic_seconds() + seconds; monotonic_seconds() < until;) {
    round(measured);
  }
  return measured;
}

std::uint64_t dropped(const otlpshm_stats& stats) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : stats.dropped) sum += count;
  return sum;
}

otlpshm_writer* open_unsampled(const Path& path) {
  otlpshm_writer_options options{};
  options.size = sizeof options;
  options.directory = path.directory().c_str();
  options.sampler = OTLPSHM_SAMPLER_ALWAYS_OFF;
  otlpshm_writer* writer = nullptr;
  if (otlpshm_writer_open(&writer, &options) != OTLPSHM_OK) fail("no second writer");
  return writer;
}

// ---- threads -----------------------------------------------------------------------------------

// CPU nanoseconds a span, when so many threads write so many spans in all at once.
double threads_ns(const Path& path, int thread_count, int spans) {
  path.wait_for_room(static_cast<std::uint64_t>(spans));
  std::atomic<int> ready{0};
  std::vector<double> cpu(static_cast<std::size_t>(thread_count));
  std::vector<std::thread> threads;
  for (int index = 0; index < thread_count; ++index) {
    threads.emplace_back([&, index] {
      ++ready;
      while (ready < thread_count) std::this_thread::yield();
      const double before = thread_cpu_seconds();
      for (int i = 0; i < spans / thread_count; ++i) (void)emit_w5(path.writer());
      cpu[static_cast<std::size_t>(index)] = thread_cpu_seconds() - before;
    });
  }
  double sum = 0;
  for (int index = 0; index < thread_count; ++index) {
    threads[static_cast<std::size_t>(index)].join();
    sum += cpu[static_cast<std::size_t>(index)];
  }
  return sum * 1e9 / spans;
}

// ---- children ----------------------------------------------------------------------------------

// What a child process finds out, in memory that both see.
struct Findings {
  std::atomic<bool> in_burst;
  std::uint64_t committed;
  std::uint64_t allocations;
  double first_lap_ns;
};

Findings* shared_findings() {
  void* page =
      mmap(nullptr, sizeof(Findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) fail("no memory");
  return new (page) Findings{};
}

struct FirstLaps {
  double ns;
  std::uint64_t committed;
};

// The first spans of new processes, which find no page of their lanes in place.
FirstLaps first_laps(const Path& path, int count) {
  std::vector<double> laps;
  std::uint64_t committed = 0;
  for (int lap = 0; lap < count; ++lap) {
    Findings* found = shared_findings();
    const pid_t child = fork();
    if (child == 0) {
      while (otlpshm_writer_status(path.writer()) != OTLPSHM_OK) usleep(1000);
      found->first_lap_ns = burst_ns([&] { (void)emit_w5(path.writer()); }, kFirstLap);
      const bool settled = otlpshm_force_flush(path.writer(), 20000) == OTLPSHM_OK;
      found->committed = stats_of(path.writer()).committed;
      _exit(settled ? 0 : 1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) fail("no first lap");
    laps.push_back(found->first_lap_ns);
    committed += found->committed;
    munmap(found, sizeof *found);
  }
  return {median(laps), committed};
}

struct Steady {
  double allocations;  // each per 10^6 spans
  double syscalls;
  std::uint64_t committed;
};

// In the traced child: many spans in a row, waiting between bursts until one lane has room for the
// next. The first lap, in which the lane gets its memory, is not counted.
[[noreturn]] void write_steadily(const Path& path, Findings* found, int spans) {
  ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  raise(SIGSTOP);
  while (otlpshm_writer_status(path.writer()) != OTLPSHM_OK) usleep(1000);
  std::uint64_t allocated = 0;
  for (int written = -kLapBursts * kBurst; written < spans; written += kBurst) {
    path.wait_for_room(3 * kBurst);
    const std::uint64_t before = allocations();
    found->in_burst = written >= 0;
    for (int i = 0; i < kBurst; ++i) (void)emit_w5(path.writer());
    found->in_burst = false;
    if (written >= 0) allocated += allocations() - before;
  }
  found->allocations = allocated;
  const bool settled = otlpshm_force_flush(path.writer(), 20000) == OTLPSHM_OK;
  found->committed = stats_of(path.writer()).committed;
  _exit(settled ? 0 : 1);
}

Steady steady(const Path& path, int spans) {
  Findings* found = shared_findings();
  const pid_t child = fork();
  if (child < 0) fail("no process");
  if (child == 0) write_steadily(path, found, spans);
  std::uint64_t stops = 0;
  int status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    const int signal = WSTOPSIG(status);
    if (signal == SIGTRAP && found->in_burst) ++stops;
    const bool is_ours = signal == SIGTRAP || signal == SIGSTOP;
    ptrace(PTRACE_SYSCALL, child, nullptr, is_ours ? 0 : signal);
  }
  if (status != 0) fail("the traced child failed");
  const double millions = spans / 1e6;
  const Steady counted{static_cast<double>(found->allocations) / millions,
                       static_cast<double>(stops / 2) / millions, found->committed};
  munmap(found, sizeof *found);
  return counted;
}

// ---- the two parts -----------------------------------------------------------------------------

// Two readings of the kernel's clock a span.
void measure_kernel_clock(const Options& options, std::vector<Value>& out) {
  Path path({"--set", "clock=off"});
  otlpshm_writer* writer = path.writer();
  otlpshm_writer* unsampled = open_unsampled(path);
  const Bursts of = rounds(options.seconds, [&](Bursts& bursts) {
    path.wait_for_room(3 * kBurst);
    const double w5 = burst_ns([&] { (void)emit_w5(writer); });
    const double floor = burst_ns([] { floor_burst(kBurst); }, 1) / kBurst;
    bursts.add("w5", w5);
    bursts.add("floor", floor);
    bursts.add("ratio", w5 / floor);
    bursts.add("w0", burst_ns([&] { emit_w0(writer); }));
    bursts.add("unsampled", burst_ns([&] { emit_w0(unsampled); }));
    bursts.add("unsampled_w5", burst_ns([&] { (void)emit_w5(unsampled); }));
    path.wait_for_room(3 * kBurst);
    bursts.add("w20", burst_ns([&] { emit_w20(writer); }, kBurst / 4));
  });
  otlpshm_shutdown(unsampled, 0);
  const FirstLaps laps = first_laps(path, 5);
  path.add_committed(laps.committed);
  const Steady counted = steady(path, options.seconds < 1 ? 10 * kBurst : 123 * kBurst);
  path.add_committed(counted.committed);
  path.finish();
  out.insert(out.end(),
             {{"span_w5_cpu_ns", of.of("w5"), "ns"},
              {"span_floor_ns", of.of("floor"), "ns"},
              {"span_w5_floor_ratio", of.of("ratio"), "ratio"},
              {"span_w5_least_cpu_ns", of.least("w5"), "ns"},
              {"span_w5_least_ratio", of.least("w5") / of.least("floor"), "ratio"},
              {"span_w0_cpu_ns", of.of("w0"), "ns"},
              {"span_w20_cpu_ns", of.of("w20"), "ns"},
              {"span_attribute_cpu_ns", (of.of("w20") - of.of("w0")) / 20, "ns"},
              {"span_attribute_least_cpu_ns", (of.least("w20") - of.least("w0")) / 20, "ns"},
              {"span_unsampled_cpu_ns", of.of("unsampled"), "ns"},
              {"span_unsampled_least_cpu_ns", of.least("unsampled"), "ns"},
              {"span_unsampled_w5_cpu_ns", of.of("unsampled_w5"), "ns"},
              {"span_first_lap_cpu_ns", laps.ns, "ns"},
              {"span_allocations", counted.allocations, "per 10^6 spans"},
              {"span_syscalls", counted.syscalls, "per 10^6 spans"}});
}

// Two readings of the TSC a span, calibrated by the daemon.
void measure_calibrated_clock(const Options& options, std::vector<Value>& out) {
  Path path({"--set", "clock=on"});
  otlpshm_writer* writer = path.writer();
  const Prepared prepared(writer);
  const Bursts of = rounds(options.seconds, [&](Bursts& bursts) {
    path.wait_for_room(3 * kBurst);
    const double w5 = burst_ns([&] { prepared.emit(writer); });
    const double floor = burst_ns([] { floor_tsc_burst(kBurst); }, 1) / kBurst;
    bursts.add("prepared", w5);
    bursts.add("floor", floor);
    bursts.add("ratio", w5 / floor);
    bursts.add("calibrated", burst_ns([&] { (void)emit_w5(writer); }));
    path.wait_for_room(3 * kBurst);
    bursts.add("w0", burst_ns([&] { emit_w0(writer); }));
    bursts.add("events", burst_ns([&] { emit_events(writer); }, kBurst / 4));
  });
  path.finish();
  out.insert(out.end(),
             {{"span_w5_prepared_cpu_ns", of.of("prepared"), "ns"},
              {"span_floor_tsc_ns", of.of("floor"), "ns"},
              {"span_w5_prepared_floor_ratio", of.of("ratio"), "ratio"},
              {"span_w5_prepared_least_cpu_ns", of.least("prepared"), "ns"},
              {"span_w5_prepared_least_ratio", of.least("prepared") / of.least("floor"), "ratio"},
              {"span_w5_calibrated_cpu_ns", of.of("calibrated"), "ns"},
              {"span_event_cpu_ns", (of.of("events") - of.of("w0")) / kEvents, "ns"}});
}

// Many threads at once, in the daemon's default configuration.
void measure_threads(const Options& options, std::vector<Value>& out) {
  Path path;
  const Bursts of = rounds(options.seconds, [&](Bursts& bursts) {
    const double one = threads_ns(path, 1, 4 * kBurst);
    bursts.add("ratio16", threads_ns(path, 16, 4 * kBurst) / one);
  });
  const std::uint64_t dropped_before = dropped(stats_of(path.writer()));
  for (const double until = monotonic_seconds() + options.seconds; monotonic_seconds() < until;) {
    (void)threads_ns(path, 64, 4 * kBurst);
  }
  const std::uint64_t rejects = dropped(stats_of(path.writer())) - dropped_before;
  path.finish();
  out.insert(out.end(), {{"span_threads16_ratio", of.of("ratio16"), "ratio"},
                         {"span_threads64_rejects", static_cast<double>(rejects), "spans"}});
}

}  // namespace
}  // namespace otlpshm::bench

int main(int argc, char** argv) {
  const otlpshm::bench::Options options = otlpshm::bench::parse_options(argc, argv);
  std::vector<otlpshm::bench::Value> values;
  otlpshm::bench::measure_kernel_clock(options, values);
  otlpshm::bench::measure_calibrated_clock(options, values);
  otlpshm::bench::measure_threads(options, values);
  return otlpshm::bench::report(values, options.json);
}
