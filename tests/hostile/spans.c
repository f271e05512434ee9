/* SPDX-License-Identifier: Apache-2.0 */
/* spans.c: an application for the cases that need a program of its own: exec, preloaded libraries,
 * setuid. spans COUNT [shutdown]: writes COUNT spans to OTLPSHM_DIR and prints its books:
 * "open STATUS ended N committed N dropped N errno N status N". Exits 0 when they add up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "otlpshm/otlpshm.h"

int main(int argc, char** argv) {
  const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
  otlpshm_writer* writer = NULL;
  unsigned long changes = 0;
  alarm(60);
  errno = 4711;
  const int opened = otlpshm_writer_open(&writer, NULL);
  if (errno != 4711) ++changes;
  for (unsigned long i = 0; i < count; ++i) {
    struct otlpshm_span span;
    memset(&span, 0, sizeof span);
    errno = 4711;
    otlpshm_span_start_cstr(writer, &span, "program", NULL);
    for (int attribute = 0; attribute < 40; ++attribute) { /* beyond its inline bytes */
      char key[16];
      (void)snprintf(key, sizeof key, "key %d", attribute);
      otlpshm_span_set_string_cstr(&span, key, "a value of some length");
    }
    (void)otlpshm_span_end(&span);
    if (errno != 4711) ++changes;
  }
  struct otlpshm_stats stats = {.size = sizeof stats};
  const int status = otlpshm_writer_status(writer);
  (void)otlpshm_writer_stats(writer, &stats);
  unsigned long long dropped = 0;
  for (int reason = 0; reason < 32; ++reason) dropped += stats.dropped[reason];
  char line[256];
  const int bytes = snprintf(line, sizeof line,
                             "open %d ended %llu committed %llu dropped %llu errno %lu status %d\n",
                             opened, (unsigned long long)stats.ended,
                             (unsigned long long)stats.committed, dropped, changes, status);
  if (write(STDOUT_FILENO, line, (size_t)bytes) != bytes) return 2;
  if (argc > 2 && strcmp(argv[2], "shutdown") == 0) (void)otlpshm_shutdown(writer, 0);
  return stats.ended == stats.committed + dropped && changes == 0 ? 0 : 1;
}
