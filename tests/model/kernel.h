// SPDX-License-Identifier: Apache-2.0
// kernel.h: see kernel.cc.
#ifndef OTLPSHM_TESTS_MODEL_KERNEL_H
#define OTLPSHM_TESTS_MODEL_KERNEL_H

#include <cstdint>

namespace otlpshm::model {

extern unsigned rings;     // of the doorbell, in this execution
extern void* ack_to_find;  // null: there is no directory
void reset_kernel();

// The thread-local words of the library: a scenario's threads would share them otherwise.
void begin_thread(std::uint32_t tid);
void save_thread(unsigned thread);
void restore_thread(unsigned thread);

}  // namespace otlpshm::model

#endif
