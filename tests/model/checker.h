// SPDX-License-Identifier: Apache-2.0
// checker.h: runs the library's own object code under every interleaving and every stale load.
//   How    its files are compiled with -fsanitize=thread, so that the compiler calls us at each
//          access; relacy decides which thread goes on and which store a load sees.
//   Finds  data races in tracked memory, use after munmap, deadlock, and what require() states.
//   Never  lets a load see a later store than program order allows: no load buffering.
#ifndef OTLPSHM_TESTS_MODEL_CHECKER_H
#define OTLPSHM_TESTS_MODEL_CHECKER_H

#include <cstddef>
#include <cstdint>

namespace otlpshm::model {

constexpr unsigned kThreadsMax = 3;

constexpr std::uint32_t kFirstTid = 100;  // of thread 0

struct Scenario {
  const char* name;
  const char* promise;
  unsigned threads;
  void (*build)();               // once: memory as it is before the threads start
  void (*start)();               // before each execution: the scenario's own variables
  void (*run)(unsigned thread);  // the threads
  void (*check)();               // after each execution
  unsigned preemptions_max = 0;  // 0: no bound
  int mortal = -1;               // the thread that may end at each of its accesses
};

// ---- memory ------------------------------------------------------------------------------------

// Accesses to it are checked; what an execution changed is put back before the next one.
void track(const char* name, void* base, std::size_t bytes);
// munmap: any later access of the process, and any that is not ordered before, is a fault.
void forget(void* base);
// mmap, of what is tracked: likewise for earlier accesses.
void appear(void* base);

// ---- what a thread of a scenario does itself ----------------------------------------------------

// The other side of a SYNC label: `site` names the access, so that it can be weakened like those of
// the library.
std::uint64_t load(const char* site, const std::uint64_t* word, int order);
std::uint32_t load(const char* site, const std::uint32_t* word, int order);
void store(const char* site, std::uint64_t* word, std::uint64_t value, int order);
void store(const char* site, std::uint32_t* word, std::uint32_t value, int order);
// A lock, which is waited for by calling it again.
bool take(const char* site, std::uint32_t* word, std::uint32_t from, std::uint32_t to);
void fence(const char* site, int order);
void read_bytes(void* into, const void* from, std::size_t count);
void write_bytes(void* into, const void* from, std::size_t count);
// Whether the thread with this tid has died; what it stored is seen then.
bool is_dead(std::uint32_t tid);
// False when the step is the one to be left out.
bool does(const char* step);

// Until another thread has stored something.
void wait_for_others();
// Ends the search when it is false.
void require(bool is_true, const char* sentence);

// ---- the search ---------------------------------------------------------------------------------

struct Searched {
  std::uint64_t executions = 0;
  bool is_exhaustive = false;
  const char* fault = nullptr;  // null: none
};

// Every execution of the scenario, or the first ones.
Searched search(const Scenario& scenario, std::uint64_t executions_max);

// Takes an access's order away: release and acquire become relaxed, seq_cst becomes acq_rel, a
// fence or a step is left out.
void weaken(const char* site);
void weaken(std::uintptr_t code_after);  // in the library: the address that the access returns to
void print_sites();
void print_trace();

}  // namespace otlpshm::model

#endif
