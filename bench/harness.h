// SPDX-License-Identifier: Apache-2.0
// harness.h: what every bench of the whole path shares: a private directory, the daemon, a receiver
// in another process, the span W5, and results with stable names.
//   Owns   the child processes and the directory; both are gone when it is.
//   Never  counts what was not delivered.
#ifndef OTLPSHM_BENCH_HARNESS_H
#define OTLPSHM_BENCH_HARNESS_H

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "otlpshm/otlpshm.h"

namespace otlpshm::bench {

struct Value {
  std::string name;
  double value;
  std::string unit;
};

// Prints the values for people, or as one JSON array; returns the exit status.
int report(const std::vector<Value>& values, bool json);

[[noreturn]] void fail(const std::string& why);

struct Options {
  bool json = false;
  double seconds = 4.0;  // after warm-up
};

// --json, --seconds S (a smoke run shortens it).
Options parse_options(int argc, char** argv);

// CPU seconds of this process, all threads, or of this thread.
double process_cpu_seconds();
double thread_cpu_seconds();
double monotonic_seconds();

otlpshm_stats stats_of(otlpshm_writer* writer);

// Starts, names and ends one span of workload W5: five attributes, about 280 bytes on the wire.
int emit_w5(otlpshm_writer* writer);

struct Child {
  pid_t pid = -1;
  int output = -1;  // its standard output
};

struct Delivered {
  std::uint64_t spans = 0;
  std::uint64_t distinct = 0;
  std::uint64_t decoded = 0;
  std::uint64_t decode_errors = 0;
};

// The daemon with its default configuration, but for the arguments given, and a receiver that
// counts distinct ids and decodes one span in a thousand.
class Path {
 public:
  explicit Path(const std::vector<std::string>& daemon_arguments = {});
  ~Path();
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  otlpshm_writer* writer() const { return writer_; }

  // Waits until the lanes hold few enough unsettled spans that none of the next `burst` drops.
  void wait_for_room(std::uint64_t burst) const;
  void wait_until_settled() const;

  // Counts what other processes have committed in the same directory.
  void add_committed(std::uint64_t spans) { committed_elsewhere_ += spans; }

  // Flushes, stops everything, and compares: exits the program with status 1, and says why, when
  // what was delivered is not what was committed.
  void finish();

  // After finish().
  [[nodiscard]] const Delivered& delivered() const { return delivered_; }
  [[nodiscard]] std::uint64_t ended() const { return ended_; }
  [[nodiscard]] double daemon_cpu_seconds() const { return daemon_cpu_seconds_; }

 private:
  std::string directory_;
  Child receiver_;
  Child daemon_;
  otlpshm_writer* writer_ = nullptr;
  Delivered delivered_;
  std::uint64_t ended_ = 0;
  std::uint64_t committed_elsewhere_ = 0;
  double daemon_cpu_seconds_ = 0;
};

}  // namespace otlpshm::bench

#endif
