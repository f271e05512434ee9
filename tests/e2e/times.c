/* SPDX-License-Identifier: Apache-2.0 */
/* times.c: spans beside readings of the wall clock, and how often the library asks the kernel for
 * the time. For each line "SPANS PAUSE_MICROSECONDS" on stdin it writes so many spans, which pause
 * for so long, and prints {"asked": n, "spans": [[id, before start, after it, before end, after
 * it], …]}. Owns clock_gettime: the library's calls come here and are counted. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "otlpshm/otlpshm.h"

#define NANO UINT64_C(1000000000)
#define FLUSH_MS 20000

static _Atomic uint64_t asked;

int clock_gettime(clockid_t clock, struct timespec* time) {
  atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
  return (int)syscall(SYS_clock_gettime, clock, time);
}

static uint64_t wall(void) {
  struct timespec time;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &time);
  return (uint64_t)time.tv_sec * NANO + (uint64_t)time.tv_nsec;
}

static void pause_for(uint64_t nanos) {
  const struct timespec time = {.tv_sec = (time_t)(nanos / NANO), .tv_nsec = (long)(nanos % NANO)};
  if (nanos != 0) nanosleep(&time, NULL);
}

static void write_span(otlpshm_writer* writer, uint64_t pause_nano, const char* comma) {
  struct otlpshm_span span;
  struct otlpshm_context context;
  uint64_t around[4];
  around[0] = wall();
  otlpshm_span_start_cstr(writer, &span, "timed", NULL);
  around[1] = wall();
  otlpshm_span_get_context(&span, &context);
  pause_for(pause_nano);
  around[2] = wall();
  const int status = otlpshm_span_end(&span);
  around[3] = wall();
  if (status != OTLPSHM_OK) return;
  printf("%s[\"", comma);
  for (size_t i = 0; i < sizeof context.span_id; i++) printf("%02x", context.span_id[i]);
  printf("\", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", around[0], around[1], around[2],
         around[3]);
}

int main(int argc, char** argv) {
  struct otlpshm_writer_options options = {
      .size = sizeof options, .directory = argc > 1 ? argv[1] : NULL, .service_name = "times"};
  otlpshm_writer* writer = NULL;
  const int status = otlpshm_writer_open(&writer, &options);
  if (status != OTLPSHM_OK) {
    fprintf(stderr, "times: otlpshm_writer_open: %s\n", otlpshm_strerror(status));
    return 2;
  }
  uint64_t spans;
  uint64_t pause_micro;
  while (scanf("%" SCNu64 " %" SCNu64, &spans, &pause_micro) == 2) {
    const uint64_t before = atomic_load(&asked);
    printf("{\"spans\": [");
    for (uint64_t i = 0; i < spans; i++) {
      write_span(writer, pause_micro * 1000, i == 0 ? "" : ", ");
    }
    printf("], \"asked\": %" PRIu64 "}\n", atomic_load(&asked) - before);
    fflush(stdout);
  }
  return otlpshm_shutdown(writer, FLUSH_MS) == OTLPSHM_OK ? 0 : 3;
}
