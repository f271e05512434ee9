// SPDX-License-Identifier: Apache-2.0
// steps.h: a child that is stopped before each of its instructions, or at each of its system calls.
//   Owns   the child, and this process's place on one CPU while it steps.
//   Never  outlives its watchdog: the child's alarm ends it, and the tracer's death ends the child.
//   Rule   a body calls begin_trace() and end_trace() on the thread that is to be traced.
#ifndef OTLPSHM_TESTS_HOSTILE_STEPS_H
#define OTLPSHM_TESTS_HOSTILE_STEPS_H

#include <functional>
#include <map>

namespace otlpshm::hostile {

// In the child, around the code of interest.
void begin_trace();
void end_trace();
// The last thing that a signal handler does under signal_at_each().
void end_of_handling();

struct Trace {
  int status = -1;             // of the child, or 128 + its signal
  long instructions = 0;       // between begin and end
  long signals = 0;            // that were sent
  std::map<long, long> calls;  // system calls between begin and end: number and count
  bool has(long number) const { return calls.count(number) != 0; }
};

// Steps through it and touches nothing.
Trace count_instructions(const std::function<void()>& body);
// Sends the signal before every stride-th instruction; its handler runs to end_of_handling().
Trace signal_at_each(int signal, int stride, const std::function<void()>& body);
// Sends the signal once, before instruction number `at` (from 0), and lets the child go.
Trace signal_at(int signal, long at, const std::function<void()>& body);
// The same in the first run, after begin_trace(), of a function that the library does not export;
// instructions are counted from its first one to its return.
Trace signal_within(const char* function, int signal, long at, const std::function<void()>& body);
// Sends the signal once, as system call number `at / 2` (from 0) is entered or, odd, left.
Trace signal_at_call(int signal, long at, const std::function<void()>& body);
// Counts the system calls of the traced thread.
Trace count_calls(const std::function<void()>& body);

// False, and loudly, where this machine cannot trace.
bool can_trace();

}  // namespace otlpshm::hostile

#endif
