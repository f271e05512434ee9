// SPDX-License-Identifier: Apache-2.0
// checker.cc: see checker.h. The only includer of relacy, which replaces operator new: no code that
// runs in an execution may allocate.
//   Words  that only one thread touches, or that nobody changes, are no place to switch threads at;
//          which they are is learned: one that turns out to be shared begins the search anew.
//   Orders that differ only in accesses that do not depend on each other are searched once (sleep
//          sets); what remains is every interleaving of relacy's memory model.
//   Spins  a compare-and-swap that fails again on the same store waits for the next one.
#include "checker.h"

#include <pthread.h>

#include <climits>  // for relacy
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
// A load of relacy's sees the newest three stores; we want more, and its headers take the number
// from wherever they find it.
#define atomic_history_size atomic_history_size_of_relacy
#include <relacy/base.hpp>
#undef atomic_history_size
namespace rl {
constexpr size_t atomic_history_size = 8;
}
#include <relacy/relacy.hpp>

#include "kernel.h"

// relacy's own heap is for the programs that it was made for.
#undef $
#undef malloc
#undef calloc
#undef free
#define HERE ::rl::debug_info(__FUNCTION__, __FILE__, __LINE__)

namespace otlpshm::model {
namespace {

constexpr std::size_t kRegionsMax = 8;
constexpr std::size_t kWordsMax = 128;
constexpr std::size_t kTouchedMax = 4096;  // a power of two
constexpr std::size_t kUndoMax = 65536;
constexpr std::size_t kGranulesUsedMax = 4096;
constexpr std::size_t kTraceMax = 512;
constexpr std::size_t kSitesMax = 256;
constexpr std::size_t kStoresSeen = rl::atomic_history_size;
constexpr std::size_t kGranule = 4;

// By name, or, in the library, by the address that the access returns to.
struct Site {
  const char* name;
  std::uintptr_t code;
  bool operator==(const Site& other) const {
    return code == other.code && (name == other.name || (name != nullptr && other.name != nullptr &&
                                                         std::strcmp(name, other.name) == 0));
  }
};

struct Region {
  const char* name;
  std::uint8_t* base;
  std::size_t bytes;
  rl::var_data** granules;
  rl::var_data* mapping;
  bool is_gone;
};

struct Word {
  void* address;
  unsigned bytes;
  rl::atomic_data* history;
  std::uint64_t values[kStoresSeen];
  unsigned stores;
  int unknown;  // index of a store whose value is in memory only, or -1
};

struct Touched {
  const void* address;
  std::uint64_t execution;
  unsigned thread;
  bool is_written;
};

struct Step {
  unsigned thread;
  const char* what;
  int order;
  const void* address;
  std::uint64_t value;
  Site site;
};

struct SeenSite {
  Site site;
  const char* what;
  int order;
};

// ---- the search --------------------------------------------------------------------------------

const Scenario* scenario = nullptr;
bool is_running = false;  // the threads of the scenario are
std::uint64_t execution = 0;
std::uint64_t first_execution = 0;
std::uint64_t executions_max = 0;
const char* fault = nullptr;
bool has_learned = false;
bool is_capped = false;
bool has_older_stores = false;

Region regions[kRegionsMax];
std::size_t region_count = 0;
rl::var_data** granules_used[kGranulesUsedMax];
std::size_t granule_count = 0;

struct {
  std::uint8_t* at;
  std::uint8_t before;
} undo[kUndoMax];
std::size_t undo_count = 0;

Word words[kWordsMax];
std::size_t word_count = 0;  // learned in this search
Touched touched[kTouchedMax];
Step trace[kTraceMax];
std::size_t trace_count = 0;

SeenSite sites[kSitesMax];
std::size_t site_count = 0;
Site weakened[kSitesMax];
std::size_t weakened_count = 0;

// What a thread does when it goes on.
struct Next {
  const void* word = nullptr;  // null: nothing that another thread could see
  bool is_write = false;
  bool is_fence = false;
};
Next next[kThreadsMax];
constexpr int kAnyWord = 0;
const void* waits_for[kThreadsMax];  // null: it does not; &kAnyWord: for any store
bool has_ended[kThreadsMax];
bool is_asleep[kThreadsMax];  // going on with it now was searched already
bool is_redundant = false;    // this execution, from here on
std::uint64_t redundant_executions = 0;
// The last compare-and-swap of each thread on each word, if it failed.
struct Failed {
  unsigned store;  // 0: it did not
  bool was_stale;
} last_failed[kThreadsMax][kWordsMax];

unsigned self() {
  return static_cast<unsigned>(rl::ctx().threadx_->index_);
}

void fail(const char* sentence) {
  fault = sentence;
  is_running = false;
  rl::ctx().fail_test(sentence, rl::test_result_user_assert_failed, HERE);
}

void panic(const char* sentence) {
  std::fprintf(stderr, "model: %s\n", sentence);
  std::abort();
}

void note(const char* what, int order, const void* address, std::uint64_t value, Site site) {
  trace[trace_count++ % kTraceMax] = {self(), what, order, address, value, site};
}

// The only place where another thread may go on. The threads of a scenario are one thread of the
// system: they would share its thread-local words.
template <typename Switch>
void switch_threads(Next what, Switch&& relacy) {
  const unsigned thread = self();
  next[thread] = what;
  save_thread(thread);
  relacy();
  restore_thread(thread);
}
void die_or_go_on();
void switch_threads(const void* word, bool is_write) {
  switch_threads({word, is_write, false}, [] { rl::ctx().sched(); });
  die_or_go_on();
}

// ---- memory ------------------------------------------------------------------------------------

Region* region_of(const void* address) {
  const auto* at = static_cast<const std::uint8_t*>(address);
  for (std::size_t i = 0; i < region_count; ++i) {
    if (at >= regions[i].base && at < regions[i].base + regions[i].bytes) return &regions[i];
  }
  return nullptr;
}

// The mapping is there. Only the library's accesses count: the daemon has a mapping of its own.
void enter(const Site& site, const void* address) {
  Region* const region = region_of(address);
  if (region == nullptr || site.name != nullptr) return;
  if (region->is_gone) fail("memory was touched after it was unmapped");
  if (!region->mapping->load(*rl::ctx().threadx_)) {
    fail("an access races with mapping or unmapping");
  }
}

void will_change(void* address, std::size_t bytes) {
  if (undo_count + bytes > kUndoMax) panic("an execution changes more than it can put back");
  auto* const at = static_cast<std::uint8_t*>(address);
  for (std::size_t i = 0; i < bytes; ++i) undo[undo_count++] = {at + i, at[i]};
}

void put_back() {
  while (undo_count > 0) {
    --undo_count;
    *undo[undo_count].at = undo[undo_count].before;
  }
}

std::uint64_t value_at(const void* address, unsigned bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, address, bytes);  // little-endian
  return value;
}

void set_value(void* address, unsigned bytes, std::uint64_t value) {
  will_change(address, bytes);
  std::memcpy(address, &value, bytes);
}

Word* word_of(const void* address) {
  for (std::size_t i = 0; i < word_count; ++i) {
    Word& word = words[i];
    if (word.address != address) continue;
    if (word.unknown >= 0) word.values[word.unknown] = value_at(address, word.bytes);
    word.unknown = -1;
    return &word;
  }
  return nullptr;
}

// An access to a word of which nothing is known yet.
void learn(const void* address, unsigned bytes, bool is_write) {
  std::size_t slot = (reinterpret_cast<std::uintptr_t>(address) >> 2) * 40503 % kTouchedMax;
  while (touched[slot].execution == execution && touched[slot].address != address) {
    slot = (slot + 1) % kTouchedMax;
  }
  Touched& entry = touched[slot];
  if (entry.execution != execution) {
    entry = {address, execution, self(), is_write};
    return;
  }
  if (entry.thread == self() || !(entry.is_written || is_write)) {
    entry.is_written = entry.is_written || is_write;
    return;
  }
  if (word_count == kWordsMax) panic("too many shared words");
  words[word_count] = {};
  words[word_count].address = const_cast<void*>(address);
  words[word_count].bytes = bytes;
  ++word_count;
  has_learned = true;
  fail("a word is shared: begin anew");
}

// ---- sites and orders
// -----------------------------------------------------------------------------

bool is_weakened(const Site& site) {
  for (std::size_t i = 0; i < weakened_count; ++i) {
    if (weakened[i] == site) return true;
  }
  return false;
}

void see(const Site& site, const char* what, int order) {
  for (std::size_t i = 0; i < site_count; ++i) {
    if (sites[i].site == site) return;
  }
  if (site_count == kSitesMax) panic("too many sites");
  sites[site_count++] = {site, what, order};
}

enum class Access { load, store, exchange };

int order_at(const Site& site, Access access, const char* what, int order) {
  if (order == __ATOMIC_RELAXED) return order;
  see(site, what, order);
  if (!is_weakened(site)) return order;
  if (order != __ATOMIC_SEQ_CST) return __ATOMIC_RELAXED;
  if (access == Access::load) return __ATOMIC_ACQUIRE;
  return access == Access::store ? __ATOMIC_RELEASE : __ATOMIC_ACQ_REL;
}

void wake_waiting(const void* word) {
  for (unsigned thread = 0; thread < scenario->threads; ++thread) {
    if (waits_for[thread] == &kAnyWord || waits_for[thread] == word) waits_for[thread] = nullptr;
  }
}

bool others_can_run() {
  for (unsigned thread = 0; thread < scenario->threads; ++thread) {
    if (thread != self() && waits_for[thread] == nullptr && !has_ended[thread]) return true;
  }
  return false;
}

// Until another thread has stored there; at once when none is left that could.
void wait_here(const void* word) {
  if (!others_can_run()) return;
  note("waits", 0, nullptr, 0, {});
  waits_for[self()] = word;
  switch_threads(word, true);
}

// The index in the history of a store that the load may see.
unsigned load_index(const Word& word, int order) {
  rl::thread_info_base& thread = *rl::ctx().threadx_;
  switch (order) {
    case __ATOMIC_RELAXED:
      return thread.atomic_load_relaxed(word.history);
    case __ATOMIC_SEQ_CST:
      return thread.atomic_load_seq_cst(word.history);
    default:
      return thread.atomic_load_acquire(word.history);
  }
}

unsigned newest_index(const Word& word, int order) {
  rl::thread_info_base& thread = *rl::ctx().threadx_;
  switch (order) {
    case __ATOMIC_RELAXED:
      return thread.atomic_load_relaxed_rmw(word.history);
    case __ATOMIC_SEQ_CST:
      return thread.atomic_load_seq_cst_rmw(word.history);
    default:
      return thread.atomic_load_acquire_rmw(word.history);
  }
}

unsigned exchange_index(const Word& word, int order) {
  rl::thread_info_base& thread = *rl::ctx().threadx_;
  bool aba = false;
  switch (order) {
    case __ATOMIC_RELAXED:
      return thread.atomic_rmw_relaxed(word.history, aba);
    case __ATOMIC_ACQUIRE:
    case __ATOMIC_CONSUME:
      return thread.atomic_rmw_acquire(word.history, aba);
    case __ATOMIC_RELEASE:
      return thread.atomic_rmw_release(word.history, aba);
    case __ATOMIC_ACQ_REL:
      return thread.atomic_rmw_acq_rel(word.history, aba);
    default:
      return thread.atomic_rmw_seq_cst(word.history, aba);
  }
}

unsigned store_index(const Word& word, int order) {
  rl::thread_info_base& thread = *rl::ctx().threadx_;
  switch (order) {
    case __ATOMIC_RELAXED:
      return thread.atomic_store_relaxed(word.history);
    case __ATOMIC_SEQ_CST:
      return thread.atomic_store_seq_cst(word.history);
    default:
      return thread.atomic_store_release(word.history);
  }
}

void stored(Word& word, unsigned index, std::uint64_t value) {
  word.values[index] = value;
  ++word.stores;
  set_value(word.address, word.bytes, value);
  wake_waiting(word.address);
}

std::uint64_t atomic_load(Site site, const void* address, unsigned bytes, int order) {
  if (!is_running) return value_at(address, bytes);
  order = order_at(site, Access::load, "load", order);
  Word* const word = word_of(address);
  if (word == nullptr) {
    enter(site, address);
    learn(address, bytes, false);
    return value_at(address, bytes);
  }
  switch_threads(address, false);
  enter(site, address);
  if (word->stores > kStoresSeen) has_older_stores = true;
  const std::uint64_t value = word->values[load_index(*word, order)];
  note("loads", order, address, value, site);
  return value;
}

void atomic_store(Site site, void* address, unsigned bytes, std::uint64_t value, int order) {
  if (!is_running) {
    std::memcpy(address, &value, bytes);
    return;
  }
  order = order_at(site, Access::store, "store", order);
  Word* const word = word_of(address);
  if (word == nullptr) {
    enter(site, address);
    learn(address, bytes, true);
    set_value(address, bytes, value);
    return;
  }
  switch_threads(address, true);
  enter(site, address);
  note("stores", order, address, value, site);
  stored(*word, store_index(*word, order), value);
}

template <typename Change>
std::uint64_t exchange(Site site, void* address, unsigned bytes, int order, Change change) {
  if (!is_running) {
    const std::uint64_t before = value_at(address, bytes);
    const std::uint64_t after = change(before);
    std::memcpy(address, &after, bytes);
    return before;
  }
  order = order_at(site, Access::exchange, "exchange", order);
  Word* const word = word_of(address);
  if (word != nullptr) switch_threads(address, true);
  enter(site, address);
  if (word == nullptr) learn(address, bytes, true);
  const std::uint64_t before = value_at(address, bytes);
  const std::uint64_t after = change(before);
  if (word == nullptr) {
    set_value(address, bytes, after);
  } else {
    note("exchanges", order, address, after, site);
    stored(*word, exchange_index(*word, order), after);
  }
  return before;
}

// Fails on what an older store left there, too, as a load may; only then the newest decides.
bool compare_exchange(Site site, void* address, unsigned bytes, std::uint64_t* expected,
                      std::uint64_t desired, int order, int fail_order) {
  if (!is_running) {
    const std::uint64_t before = value_at(address, bytes);
    if (before == *expected) std::memcpy(address, &desired, bytes);
    return std::exchange(*expected, before) == before;
  }
  order = order_at(site, Access::exchange, "compare-exchange", order);
  Word* const word = word_of(address);
  if (word == nullptr) {
    enter(site, address);
    learn(address, bytes, true);
    const std::uint64_t before = value_at(address, bytes);
    if (before == *expected) set_value(address, bytes, desired);
    return std::exchange(*expected, before) == before;
  }
  switch_threads(address, true);
  Failed& last = last_failed[self()][word - words];
  const bool again = last.store == word->stores;
  if (again && !last.was_stale && value_at(address, bytes) != *expected) {
    wait_here(address);
  }
  enter(site, address);
  const std::uint64_t newest = value_at(address, bytes);
  if (!(again && last.was_stale)) {
    if (word->stores > kStoresSeen) has_older_stores = true;
    const std::uint64_t seen = word->values[load_index(*word, fail_order)];
    if (seen != *expected) {
      note("does not take", fail_order, address, seen, site);
      last = {word->stores, newest == *expected};
      *expected = seen;
      return false;
    }
  }
  if (newest != *expected) {
    (void)newest_index(*word, fail_order);
    note("does not take", fail_order, address, newest, site);
    last = {word->stores, false};
    *expected = newest;
    return false;
  }
  last = {};
  note("takes", order, address, desired, site);
  stored(*word, exchange_index(*word, order), desired);
  return true;
}

void thread_fence(Site site, int order) {
  if (!is_running) return;
  see(site, "fence", order);
  if (is_weakened(site)) return;
  if (order == __ATOMIC_ACQUIRE) {
    rl::ctx().atomic_thread_fence_acquire();
  } else if (order == __ATOMIC_RELEASE) {
    rl::ctx().atomic_thread_fence_release();
  } else if (order == __ATOMIC_ACQ_REL) {
    rl::ctx().atomic_thread_fence_acq_rel();
  } else {  // it lets other threads go on before it
    switch_threads({nullptr, false, true}, [] { rl::ctx().atomic_thread_fence_seq_cst(); });
  }
  note("fences", order, nullptr, 0, site);
}

// Where no other thread is left, the library touches an atomic word without more ado.
void plain_on_word(Site site, Word& word, bool is_write) {
  const unsigned newest = newest_index(word, __ATOMIC_RELAXED);
  const unsigned seen = load_index(word, __ATOMIC_RELAXED);
  note(is_write ? "writes plainly" : "reads plainly", 0, word.address, word.values[seen], site);
  if (seen != newest) fail("a data race on an atomic word");
  if (!is_write) return;
  word.unknown = static_cast<int>(store_index(word, __ATOMIC_RELAXED));
  ++word.stores;
  wake_waiting(word.address);
}

void plain(Site site, const void* address, std::size_t bytes, bool is_write) {
  if (!is_running || region_of(address) == nullptr) return;
  enter(site, address);
  Region& region = *region_of(address);
  const auto at = static_cast<std::size_t>(static_cast<const std::uint8_t*>(address) - region.base);
  if (at + bytes > region.bytes) fail("an access goes beyond its memory");
  for (std::size_t granule = at / kGranule; granule <= (at + bytes - 1) / kGranule; ++granule) {
    if (Word* const word = word_of(region.base + granule * kGranule)) {
      plain_on_word(site, *word, is_write);
      granule += word->bytes / kGranule - 1;
      continue;
    }
    rl::var_data*& seen = region.granules[granule];
    if (seen == nullptr) {
      if (granule_count == kGranulesUsedMax) panic("an execution touches too much memory");
      seen = rl::ctx().var_ctor();
      granules_used[granule_count++] = &seen;
    }
    rl::thread_info_base& thread = *rl::ctx().threadx_;
    if (!(is_write ? seen->store(thread) : seen->load(thread))) {
      note(is_write ? "writes, in a race," : "reads, in a race,", 0, address, 0, site);
      fail("a data race");
    }
  }
  if (is_write) will_change(const_cast<void*>(address), bytes);
}

// ---- death
// -----------------------------------------------------------------------------------------

std::uint32_t deaths[kThreadsMax];
jmp_buf ends[kThreadsMax];
bool is_dying = false;

void die_or_go_on() {
  if (static_cast<int>(self()) != scenario->mortal || is_dying || is_redundant) return;
  if (rl::ctx().rand(2, rl::sched_type_user) == 0) return;
  is_dying = true;
  atomic_store({"kernel: a thread ends", 0}, &deaths[self()], 4, 1, __ATOMIC_RELEASE);
  _longjmp(ends[self()], 1);
}

// ---- an execution
// ----------------------------------------------------------------------------------

void before_execution() {
  ++execution;
  put_back();
  trace_count = 0;
  granule_count = 0;
  fault = nullptr;
  if (execution - first_execution > executions_max) {
    is_capped = true;
    fail("enough");
  }
  for (std::size_t i = 0; i < region_count; ++i) {
    regions[i].is_gone = false;
    regions[i].mapping = rl::ctx().var_ctor();
  }
  rl::thread_info_base& thread = *rl::ctx().threadx_;
  for (std::size_t i = 0; i < word_count; ++i) {
    Word& word = words[i];
    word.history = rl::ctx().atomic_ctor(&word);
    word.stores = 1;
    word.unknown = -1;
    word.values[thread.atomic_store_relaxed(word.history)] = value_at(word.address, word.bytes);
  }
  std::memset(waits_for, 0, sizeof waits_for);
  std::memset(has_ended, 0, sizeof has_ended);
  std::memset(last_failed, 0, sizeof last_failed);
  is_dying = false;
  scenario->start();
  is_running = true;
}

void after_execution() {
  is_running = false;
  if (is_redundant) ++redundant_executions;
  scenario->check();
  for (std::size_t i = 0; i < granule_count; ++i) {
    rl::ctx().var_dtor(*granules_used[i]);
    *granules_used[i] = nullptr;
  }
  for (std::size_t i = 0; i < region_count; ++i) rl::ctx().var_dtor(regions[i].mapping);
  for (std::size_t i = 0; i < word_count; ++i) rl::ctx().atomic_dtor(words[i].history);
}

template <int threads>
struct Suite : rl::test_suite<Suite<threads>, threads> {
  void before() { before_execution(); }
  void thread(unsigned index) {
    begin_thread(kFirstTid + index);
    if (_setjmp(ends[index]) == 0) scenario->run(index);
    has_ended[index] = true;
    wake_waiting(&kAnyWord);
    for (const void*& word : waits_for) word = nullptr;
  }
  void after() { after_execution(); }
};

bool depend(const Next& one, const Next& other) {
  if (one.is_fence || other.is_fence) return one.is_fence && other.is_fence;
  return one.word != nullptr && one.word == other.word && (one.is_write || other.is_write);
}

// relacy's search of the whole tree, with sleep sets.
template <rl::thread_id_t threads>
class Scheduler
    : public rl::tree_search_scheduler<Scheduler<threads>,
                                       rl::tree_search_scheduler_thread_info<threads>, threads> {
 public:
  using Base = rl::tree_search_scheduler<Scheduler<threads>,
                                         rl::tree_search_scheduler_thread_info<threads>, threads>;
  using typename Base::shared_context_t;
  using typename Base::thread_info_t;

  Scheduler(rl::test_params& params, shared_context_t& context, rl::thread_id_t dynamic)
      : Base(params, context, dynamic) {}

  rl::thread_id_t iteration_begin_impl() {
    this->stree_depth_ = 0;
    is_redundant = false;
    std::memset(is_asleep, 0, sizeof is_asleep);
    std::memset(waits_for, 0, sizeof waits_for);
    for (Next& each : next) each = Next();
    switches_left_ = scenario->preemptions_max;
    return choose(-1);
  }

  rl::thread_id_t schedule_impl(rl::unpark_reason& reason, unsigned) {
    reason = rl::unpark_reason_normal;
    return choose(this->thread_->index_);
  }

  unsigned rand_impl(unsigned limit, rl::sched_type type) {
    return is_redundant ? 0 : Base::rand_impl(limit, type);
  }

  bool can_switch(thread_info_t&) { return true; }
  void on_switch(thread_info_t&) {}
  double iteration_count_approx() { return 1; }

 private:
  bool can_run(rl::thread_id_t thread) const {
    return this->threads_[thread].state_ == rl::thread_state_running &&
           waits_for[thread] == nullptr;
  }

  rl::thread_id_t choose(rl::thread_id_t current) {
    rl::thread_id_t fit[threads] = {};
    unsigned count = 0;
    rl::thread_id_t any = -1;
    for (rl::thread_id_t thread = 0; thread < threads; ++thread) {
      if (!can_run(thread)) continue;
      any = thread;
      if (!is_asleep[thread]) fit[count++] = thread;
    }
    if (any < 0) panic("all threads wait for each other");
    const bool goes_on = current >= 0 && can_run(current);
    if (scenario->preemptions_max != 0 && goes_on && switches_left_ == 0) {
      fit[0] = current;
      count = 1;
    }
    if (count == 0 || is_redundant) {
      is_redundant = true;
      return goes_on ? current : any;
    }
    const unsigned index = count == 1 ? 0 : this->rand(count, rl::sched_type_sched);
    const rl::thread_id_t chosen = fit[index];
    if (goes_on && chosen != current && scenario->preemptions_max != 0) --switches_left_;
    // A bound on switches makes equal orders unequal: then nothing is left out.
    if (scenario->preemptions_max == 0) {
      for (unsigned i = 0; i < index; ++i) is_asleep[fit[i]] = true;
      for (rl::thread_id_t thread = 0; thread < threads; ++thread) {
        if (depend(next[thread], next[chosen])) is_asleep[thread] = false;
      }
    }
    return chosen;
  }

  unsigned switches_left_ = 0;
};

template <typename TestSuite>
rl::test_params run() {
  // Only "random" lets a load go back further than one store; the scheduler is ours to choose.
  static std::ostream nowhere(nullptr);
  rl::test_params params;
  params.search_type = rl::random_scheduler_type;
  params.output_stream = &nowhere;
  params.progress_stream = &nowhere;
  rl::ostringstream state;
  rl::run_test<TestSuite, Scheduler<TestSuite::params::thread_count>>(params, state, false);
  return params;
}

void clean_up_after_fault() {
  for (std::size_t i = 0; i < granule_count; ++i) *granules_used[i] = nullptr;
  granule_count = 0;
}

}  // namespace

Searched search(const Scenario& asked, std::uint64_t max) {
  scenario = &asked;
  word_count = 0;
  region_count = 0;
  undo_count = 0;
  asked.build();
  executions_max = max;
  Searched searched;
  rl::test_params params;
  do {
    has_learned = is_capped = has_older_stores = false;
    redundant_executions = 0;
    first_execution = execution;
    params = asked.threads == 2 ? run<Suite<2>>() : run<Suite<3>>();
    is_running = false;
    clean_up_after_fault();
  } while (has_learned);
  put_back();
  searched.executions = params.stop_iteration - redundant_executions;
  if (params.test_result == rl::test_result_success) {
    searched.is_exhaustive = asked.preemptions_max == 0 && !has_older_stores;
  } else if (is_capped) {
    --searched.executions;
  } else {
    searched.fault = fault != nullptr ? fault : rl::test_result_str(params.test_result);
  }
  for (std::size_t i = 0; i < region_count; ++i) std::free(regions[i].granules);
  return searched;
}

void track(const char* name, void* base, std::size_t bytes) {
  if (region_count == kRegionsMax) panic("too many regions");
  auto* const granules =
      static_cast<rl::var_data**>(std::calloc(bytes / kGranule + 1, sizeof(rl::var_data*)));
  Region& region = regions[region_count++];
  region = {name, static_cast<std::uint8_t*>(base), bytes, granules, nullptr, false};
}

void forget(void* base) {
  if (!is_running) return;
  Region* const region = region_of(base);
  if (region == nullptr) return;
  if (region->is_gone) fail("memory was unmapped twice");
  if (!region->mapping->store(*rl::ctx().threadx_)) fail("unmapping races with an access");
  region->is_gone = true;
}
void appear(void* base) {
  Region* const region = region_of(base);
  if (!region->mapping->store(*rl::ctx().threadx_)) fail("mapping races with an access");
}

std::uint64_t load(const char* site, const std::uint64_t* word, int order) {
  return atomic_load({site, 0}, word, 8, order);
}
std::uint32_t load(const char* site, const std::uint32_t* word, int order) {
  return static_cast<std::uint32_t>(atomic_load({site, 0}, word, 4, order));
}
void store(const char* site, std::uint64_t* word, std::uint64_t value, int order) {
  atomic_store({site, 0}, word, 8, value, order);
}
void store(const char* site, std::uint32_t* word, std::uint32_t value, int order) {
  atomic_store({site, 0}, word, 4, value, order);
}
bool take(const char* site, std::uint32_t* word, std::uint32_t from, std::uint32_t to) {
  std::uint64_t expected = from;
  return compare_exchange({site, 0}, word, 4, &expected, to, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
void fence(const char* site, int order) {
  thread_fence({site, 0}, order);
}
bool is_dead(std::uint32_t tid) {
  if (tid < kFirstTid || tid >= kFirstTid + scenario->threads) return false;
  return atomic_load({"kernel: is it there", 0}, &deaths[tid - kFirstTid], 4, __ATOMIC_ACQUIRE) !=
         0;
}
bool does(const char* step) {
  see({step, 0}, "step", __ATOMIC_SEQ_CST);
  return !is_weakened({step, 0});
}
void read_bytes(void* into, const void* from, std::size_t count) {
  plain({"reads bytes", 0}, from, count, false);
  std::memcpy(into, from, count);
}
void write_bytes(void* into, const void* from, std::size_t count) {
  plain({"writes bytes", 0}, into, count, true);
  std::memcpy(into, from, count);
}
void wait_for_others() {
  if (is_running) wait_here(&kAnyWord);
}
void require(bool is_true, const char* sentence) {
  if (!is_true) fail(sentence);
}

void weaken(const char* site) {
  weakened[weakened_count++] = {site, 0};
}
void weaken(std::uintptr_t code_after) {
  weakened[weakened_count++] = {nullptr, code_after};
}

namespace {
const char* order_name(int order) {
  static const char* const names[] = {"relaxed", "consume", "acquire",
                                      "release", "acq_rel", "seq_cst"};
  return names[order];
}
}  // namespace

void print_sites() {
  for (std::size_t i = 0; i < site_count; ++i) {
    const SeenSite& seen = sites[i];
    if (seen.site.name != nullptr) {
      std::printf("site\t%s\t%s\t%s\n", seen.site.name, seen.what, order_name(seen.order));
    } else {
      std::printf("site\t0x%lx\t%s\t%s\n", static_cast<unsigned long>(seen.site.code), seen.what,
                  order_name(seen.order));
    }
  }
}

void print_trace() {
  const std::size_t first = trace_count > kTraceMax ? trace_count - kTraceMax : 0;
  for (std::size_t i = first; i < trace_count; ++i) {
    const Step& step = trace[i % kTraceMax];
    const Region* const region = region_of(step.address);
    std::printf("trace\tthread %u %s %s", step.thread, step.what, order_name(step.order));
    if (region != nullptr) {
      std::printf(
          " %s+%zu = %llu", region->name,
          static_cast<std::size_t>(static_cast<const std::uint8_t*>(step.address) - region->base),
          static_cast<unsigned long long>(step.value));
    }
    if (step.site.name != nullptr) {
      std::printf(" (%s)\n", step.site.name);
    } else {
      std::printf(" (0x%lx)\n", static_cast<unsigned long>(step.site.code));
    }
  }
}

}  // namespace otlpshm::model

// ---- what the compiler calls
// ----------------------------------------------------------------------

namespace model = otlpshm::model;

#define SITE (model::Site{nullptr, reinterpret_cast<std::uintptr_t>(__builtin_return_address(0))})

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define PLAIN(bytes)                             \
  void __tsan_read##bytes(void* at) {            \
    model::plain(SITE, at, bytes, false);        \
  }                                              \
  void __tsan_write##bytes(void* at) {           \
    model::plain(SITE, at, bytes, true);         \
  }                                              \
  void __tsan_unaligned_read##bytes(void* at) {  \
    model::plain(SITE, at, bytes, false);        \
  }                                              \
  void __tsan_unaligned_write##bytes(void* at) { \
    model::plain(SITE, at, bytes, true);         \
  }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)
void __tsan_read_range(void* at, std::size_t bytes) {
  model::plain(SITE, at, bytes, false);
}
void __tsan_write_range(void* at, std::size_t bytes) {
  model::plain(SITE, at, bytes, true);
}

#define ATOMICS(bits, Type)                                                                       \
  Type __tsan_atomic##bits##_load(const volatile Type* at, int order) {                           \
    return static_cast<Type>(                                                                     \
        model::atomic_load(SITE, const_cast<const Type*>(at), bits / 8, order));                  \
  }                                                                                               \
  void __tsan_atomic##bits##_store(volatile Type* at, Type value, int order) {                    \
    model::atomic_store(SITE, const_cast<Type*>(at), bits / 8, value, order);                     \
  }                                                                                               \
  Type __tsan_atomic##bits##_exchange(volatile Type* at, Type value, int order) {                 \
    return static_cast<Type>(model::exchange(SITE, const_cast<Type*>(at), bits / 8, order,        \
                                             [value](std::uint64_t) -> Type { return value; }));  \
  }                                                                                               \
  Type __tsan_atomic##bits##_fetch_add(volatile Type* at, Type value, int order) {                \
    return static_cast<Type>(                                                                     \
        model::exchange(SITE, const_cast<Type*>(at), bits / 8, order,                             \
                        [value](std::uint64_t was) { return static_cast<Type>(was + value); }));  \
  }                                                                                               \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile Type* at, Type* expected,            \
                                                    Type desired, int order, int fail_order) {    \
    std::uint64_t seen = *expected;                                                               \
    const bool taken = model::compare_exchange(SITE, const_cast<Type*>(at), bits / 8, &seen,      \
                                               desired, order, fail_order);                       \
    *expected = static_cast<Type>(seen);                                                          \
    return taken ? 1 : 0;                                                                         \
  }                                                                                               \
  Type __tsan_atomic##bits##_compare_exchange_val(volatile Type* at, Type expected, Type desired, \
                                                  int order, int fail_order) {                    \
    std::uint64_t seen = expected;                                                                \
    (void)model::compare_exchange(SITE, const_cast<Type*>(at), bits / 8, &seen, desired, order,   \
                                  fail_order);                                                    \
    return static_cast<Type>(seen);                                                               \
  }
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)

void __tsan_atomic_thread_fence(int order) {
  model::thread_fence(SITE, order);
}

// The light barrier: what the daemon's membarrier makes of it is a fence of every thread.
void __tsan_atomic_signal_fence(int order) {
  model::thread_fence(SITE, order);
}

// memcpy in the library's files.
void* otlpshm_model_memcpy(void* to, const void* from, std::size_t count) {
  if (count != 0) {
    model::plain(SITE, from, count, false);
    model::plain(SITE, to, count, true);
  }
  return std::memcpy(to, from, count);
}

}  // extern "C"
