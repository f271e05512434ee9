/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.c: a part of an application that is loaded and unloaded, and traces by itself. It is built
 * twice: against the shared library, and with a static copy of its own. */
#include "plugin.h"

#include <string.h>

#include "otlpshm/otlpshm.h"

static otlpshm_writer* writer;

int plugin_open(const char* directory) {
  struct otlpshm_writer_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.directory = directory;
  options.service_name = "plugin";
  options.lane_bytes_budget = 65536;
  return otlpshm_writer_open(&writer, &options);
}

unsigned long plugin_write(unsigned long count) {
  unsigned long kept = 0;
  for (unsigned long i = 0; i < count; ++i) {
    struct otlpshm_span span;
    memset(&span, 0, sizeof span);
    otlpshm_span_start_cstr(writer, &span, "plugin", NULL);
    if (otlpshm_span_end(&span) == OTLPSHM_OK) ++kept;
  }
  return kept;
}

unsigned long plugin_ended(void) {
  struct otlpshm_stats stats = {.size = sizeof stats};
  return otlpshm_writer_stats(writer, &stats) == OTLPSHM_OK ? (unsigned long)stats.ended : ~0ul;
}

int plugin_shutdown(void) {
  return otlpshm_shutdown(writer, 0);
}
