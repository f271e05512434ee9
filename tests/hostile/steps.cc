// SPDX-License-Identifier: Apache-2.0
// steps.cc: see steps.h.
#include "steps.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "host.h"

namespace otlpshm::hostile {

namespace {

// Shared by the tracer and its child. Plain words: a thread may be unwound from the very
// instructions that touch them, where C++ would end the program.
struct Marks {
  int inside;
};
Marks* shared_marks;

void make_marks() {
  if (shared_marks != nullptr) return;
  void* const base =
      mmap(nullptr, sizeof(Marks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::runtime_error("no memory for the marks of a trace");
  shared_marks = static_cast<Marks*>(base);
}

void mark(int inside) {
  __atomic_store_n(&shared_marks->inside, inside, __ATOMIC_SEQ_CST);
}

pid_t this_thread() {
  return static_cast<pid_t>(syscall(SYS_gettid));
}

void stop_here(int signal) {
  (void)syscall(SYS_tgkill, getpid(), this_thread(), signal);
}

// A step is two switches between processes: on one CPU they cost the least.
class OneCpu {
 public:
  OneCpu() {
    if (sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &before_)) continue;
      CPU_SET(cpu, &one);
      break;
    }
    is_set_ = sched_setaffinity(0, sizeof one, &one) == 0;
  }
  ~OneCpu() {
    if (is_set_) (void)sched_setaffinity(0, sizeof before_, &before_);
  }
  OneCpu(const OneCpu&) = delete;
  OneCpu& operator=(const OneCpu&) = delete;

 private:
  cpu_set_t before_{};
  bool is_set_ = false;
};

// Where the library's function is in this process, and so in a child of it. Only the file's own
// symbol table names what is not exported.
std::uint64_t address_of(const char* function) {
  Dl_info found{};
  if (dladdr(reinterpret_cast<void*>(&otlpshm_span_end), &found) == 0) return 0;
  std::ifstream stream(found.dli_fname, std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(stream), {}};
  const auto at = [&file](std::uint64_t offset, auto* out) {
    std::memcpy(out, file.substr(offset, sizeof *out).data(), sizeof *out);
  };
  ElfW(Ehdr) header{};
  at(0, &header);
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    ElfW(Shdr) symbols{};
    at(header.e_shoff + i * sizeof symbols, &symbols);
    if (symbols.sh_type != SHT_SYMTAB) continue;
    ElfW(Shdr) names{};
    at(header.e_shoff + symbols.sh_link * sizeof names, &names);
    for (std::uint64_t offset = 0; offset < symbols.sh_size; offset += sizeof(ElfW(Sym))) {
      ElfW(Sym) symbol{};
      at(symbols.sh_offset + offset, &symbol);
      if (std::strcmp(file.c_str() + names.sh_offset + symbol.st_name, function) == 0) {
        return reinterpret_cast<std::uint64_t>(found.dli_fbase) + symbol.st_value;
      }
    }
  }
  return 0;
}

// Where a thread is: its handler may run the same code, but not on the same stack.
struct Place {
  std::uint64_t program_counter = 0;
  std::uint64_t stack_pointer = 0;
  bool operator==(const Place& other) const = default;
};

Place place_of(pid_t thread) {
  user_regs_struct registers{};
  iovec piece = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &piece) != 0) return {};
#if defined(__x86_64__)
  return {registers.rip, registers.rsp};
#elif defined(__aarch64__)
  return {registers.pc, registers.sp};
#else
#error "the program counter of this machine"
#endif
}

// At a function's first instruction.
std::uint64_t return_address_of(pid_t thread) {
  user_regs_struct registers{};
  iovec piece = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &piece) != 0) return 0;
#if defined(__x86_64__)
  return static_cast<std::uint64_t>(ptrace(PTRACE_PEEKDATA, thread, registers.rsp, nullptr));
#else
  return registers.regs[30];
#endif
}

void set_program_counter(pid_t thread, std::uint64_t to) {
  user_regs_struct registers{};
  iovec piece = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &piece) != 0) return;
#if defined(__x86_64__)
  registers.rip = to;
#else
  registers.pc = to;
#endif
  (void)ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &piece);
}

#if defined(__x86_64__)
constexpr long kBreakpoint = 0xcc;
constexpr long kBreakpointMask = 0xff;
#else
constexpr long kBreakpoint = 0xd4200000;
constexpr long kBreakpointMask = 0xffffffff;
#endif

long number_of_call(pid_t thread) {
#if defined(__x86_64__)
  user_regs_struct registers{};
  iovec piece = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &piece) != 0) return -1;
  return static_cast<long>(registers.orig_rax);
#else
  int number = -1;
  iovec piece = {&number, sizeof number};
  if (ptrace(PTRACE_GETREGSET, thread, NT_ARM_SYSTEM_CALL, &piece) != 0) return -1;
  return number;
#endif
}

class Tracer {
 public:
  explicit Tracer(const std::function<void()>& body) {
    make_marks();
    mark(0);
    pid_ = fork();
    if (pid_ == 0) {
      alarm(kBodySeconds);
      int status = 1;
      try {
        body();
        status = 0;
      } catch (...) {  // REQUIRE has printed why
      }
      std::cout.flush();
      _exit(status);
    }
    wait_for_stop();
    if (is_stopped_) {
      (void)ptrace(PTRACE_SETOPTIONS, thread_, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    }
  }
  ~Tracer() {
    if (!is_over_) {
      kill(pid_, SIGKILL);
      while (waitpid(-1, nullptr, __WALL) > 0) {
      }
    }
  }
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // Stopped, and between begin_trace() and end_trace().
  bool is_inside() const {
    return is_stopped_ && __atomic_load_n(&shared_marks->inside, __ATOMIC_SEQ_CST) != 0;
  }
  pid_t thread() const { return thread_; }
  int stop_signal() const { return stop_signal_; }

  // Goes on until the next stop; a signal that is not the tracer's own is passed on.
  void resume(__ptrace_request how, int signal = 0) {
    do {
      if (ptrace(how, thread_, 0, static_cast<long>(signal)) != 0) is_stopped_ = false;
      wait_for_stop();
      signal = is_stopped_ && stop_signal_ != SIGTRAP && stop_signal_ != SIGSTOP &&
                       stop_signal_ != (SIGTRAP | 0x80)
                   ? stop_signal_
                   : 0;
    } while (signal != 0);
  }
  // Lets it run to an address; stepping there would take a thousand times as long.
  void run_to(std::uint64_t address) {
    const long there = ptrace(PTRACE_PEEKTEXT, thread_, address, nullptr);
    (void)ptrace(PTRACE_POKETEXT, thread_, address, (there & ~kBreakpointMask) | kBreakpoint);
    resume(PTRACE_CONT);
    if (!is_stopped_) return;
    (void)ptrace(PTRACE_POKETEXT, thread_, address, there);
    set_program_counter(thread_, address);
  }
  // Lets the child go and waits for its end.
  int finish(int signal = 0) {
    if (is_stopped_) (void)ptrace(PTRACE_DETACH, thread_, 0, static_cast<long>(signal));
    is_stopped_ = false;
    while (!is_over_) wait_for_stop();
    return status_;
  }

 private:
  void wait_for_stop() {
    is_stopped_ = false;
    while (!is_over_) {
      int status = 0;
      const pid_t found = waitpid(-1, &status, __WALL);
      if (found < 0 && errno == EINTR) continue;
      if (found < 0) {
        is_over_ = true;
      } else if (WIFSTOPPED(status)) {
        thread_ = found;
        stop_signal_ = WSTOPSIG(status);
        is_stopped_ = true;
        return;
      } else if (found == pid_) {
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        is_over_ = true;
      }  // else a traced thread ended; its process goes on
    }
  }

  pid_t pid_ = -1;
  pid_t thread_ = -1;
  int stop_signal_ = 0;
  int status_ = -1;
  bool is_stopped_ = false;
  bool is_over_ = false;
};

constexpr int kStepsOutOfHandling = 4000;  // its last instructions, and the return from it

}  // namespace

void begin_trace() {
  (void)ptrace(PTRACE_TRACEME, 0, 0, 0);
  mark(1);
  stop_here(SIGSTOP);
}

void end_trace() {
  mark(0);  // the tracer sees it at the next stop
}

void end_of_handling() {
  stop_here(SIGTRAP);
}

Trace count_instructions(const std::function<void()>& body) {
  const OneCpu one;
  Trace trace;
  Tracer tracer(body);
  while (tracer.is_inside()) {
    tracer.resume(PTRACE_SINGLESTEP);
    ++trace.instructions;
  }
  trace.status = tracer.finish();
  return trace;
}

Trace signal_at_each(int signal, int stride, const std::function<void()>& body) {
  const OneCpu one;
  Trace trace;
  Tracer tracer(body);
  while (tracer.is_inside()) {
    if (trace.instructions % stride == 0) {
      const Place interrupted = place_of(tracer.thread());
      tracer.resume(PTRACE_CONT, signal);
      ++trace.signals;
      for (int step = 0; step < kStepsOutOfHandling && tracer.is_inside(); ++step) {
        if (place_of(tracer.thread()) == interrupted) break;
        tracer.resume(PTRACE_SINGLESTEP);
      }
    }
    if (!tracer.is_inside()) break;
    tracer.resume(PTRACE_SINGLESTEP);
    ++trace.instructions;
  }
  trace.status = tracer.finish();
  return trace;
}

Trace signal_at(int signal, long at, const std::function<void()>& body) {
  const OneCpu one;
  Trace trace;
  Tracer tracer(body);
  while (tracer.is_inside() && trace.instructions < at) {
    tracer.resume(PTRACE_SINGLESTEP);
    ++trace.instructions;
  }
  if (tracer.is_inside()) {
    ++trace.signals;
    trace.status = tracer.finish(signal);
  } else {
    trace.status = tracer.finish();
  }
  return trace;
}

Trace signal_within(const char* function, int signal, long at, const std::function<void()>& body) {
  const std::uint64_t address = address_of(function);
  if (address == 0) throw std::runtime_error(std::string("no symbol ") + function);
  const OneCpu one;
  Trace trace;
  Tracer tracer(body);
  tracer.run_to(address);
  const std::uint64_t returns_to = return_address_of(tracer.thread());
  const std::uint64_t stack_pointer = place_of(tracer.thread()).stack_pointer;
  const auto is_in_it = [&] {
    if (!tracer.is_inside()) return false;
    const Place place = place_of(tracer.thread());
    return place.program_counter != returns_to || place.stack_pointer < stack_pointer;
  };
  while (is_in_it() && trace.instructions < at) {
    tracer.resume(PTRACE_SINGLESTEP);
    ++trace.instructions;
  }
  if (is_in_it()) {
    ++trace.signals;
    trace.status = tracer.finish(signal);
  } else {
    trace.status = tracer.finish();
  }
  return trace;
}

Trace signal_at_call(int signal, long at, const std::function<void()>& body) {
  Trace trace;
  Tracer tracer(body);
  for (long stop = 0; tracer.is_inside(); ++stop) {
    tracer.resume(PTRACE_SYSCALL);
    if (!tracer.is_inside() || tracer.stop_signal() != (SIGTRAP | 0x80)) break;
    if (stop < at) continue;
    ++trace.signals;
    trace.status = tracer.finish(signal);
    return trace;
  }
  trace.status = tracer.finish();
  return trace;
}

Trace count_calls(const std::function<void()>& body) {
  Trace trace;
  Tracer tracer(body);
  bool is_entry = true;
  while (tracer.is_inside()) {
    tracer.resume(PTRACE_SYSCALL);
    if (!tracer.is_inside() || tracer.stop_signal() != (SIGTRAP | 0x80)) continue;
    if (is_entry) ++trace.calls[number_of_call(tracer.thread())];
    is_entry = !is_entry;
  }
  trace.status = tracer.finish();
  return trace;
}

bool can_trace() {
  const Trace trace = count_instructions([] {
    begin_trace();
    end_trace();
  });
  if (trace.status == 0 && trace.instructions > 0) return true;
  say_skipped("this machine does not let a process trace its child (ptrace)");
  return false;
}

}  // namespace otlpshm::hostile
