/* SPDX-License-Identifier: Apache-2.0 */
/* ids.h: trace and span ids: a keyed mix of one counter of the thread.
 *   Owns   nothing; the keys and the counter are the thread's.
 *   Never  repeats within a thread, enters the kernel after seeding, or gives 0.
 *   Source W3C Trace Context, random trace-id; safe in a signal handler. */
#ifndef OTLPSHM_SRC_IDS_H
#define OTLPSHM_SRC_IDS_H

#include <stdint.h>

struct otlpshm_thread;

void otlpshm_ids_seed(struct otlpshm_thread* thread);
void otlpshm_ids_span(struct otlpshm_thread* thread, uint8_t span_id[8]);
void otlpshm_ids_trace_and_span(struct otlpshm_thread* thread, uint8_t trace_id[16],
                                uint8_t span_id[8]);

#endif
