/* SPDX-License-Identifier: Apache-2.0 */
/* write_spans.c DIRECTORY CASE: writes spans through the public API, then dies without cleaning up.
 *   Owns    the content of each case; test_segments.py says the same in Python.
 *   Never   needs a daemon: a segment waits for one.
 *   Prints  a traceparent and the result of each end, in the order of the ends. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "otlpshm/otlpshm.h"

#define MILLISECOND UINT64_C(1000000)
#define START (UINT64_C(1700000000000) * MILLISECOND)

static otlpshm_writer* open_writer(struct otlpshm_writer_options* options, const char* directory) {
  otlpshm_writer* writer = NULL;
  options->size = sizeof *options;
  options->directory = directory;
  int status = otlpshm_writer_open(&writer, options);
  if (status != OTLPSHM_OK) {
    fprintf(stderr, "otlpshm_writer_open: %s\n", otlpshm_strerror(status));
    exit(2);
  }
  return writer;
}

/* Ends the span at `end` and prints what came of it. */
static int finish(struct otlpshm_span* span, uint64_t end) {
  struct otlpshm_context context;
  char text[OTLPSHM_TRACEPARENT_BYTES + 1];
  otlpshm_span_get_context(span, &context);
  otlpshm_traceparent_inject(&context, text);
  int status = otlpshm_span_end_at(span, end);
  printf("%s %d\n", text, status);
  return status;
}

static struct otlpshm_attribute string_attribute(const char* key, const char* value) {
  struct otlpshm_attribute attribute = {.key = key, .value.type = OTLPSHM_VALUE_STRING};
  attribute.value.as.string.text = value;
  attribute.value.as.string.bytes = strlen(value);
  return attribute;
}

/* Every kind, status, value type, events, a parent, a name that changes. */
static void write_kinds(const char* directory) {
  struct otlpshm_attribute resource[4] = {
      string_attribute("deployment.environment", "t\xc3\xa4st"),
      {.key = "workers", .value = {.type = OTLPSHM_VALUE_INT, .as.integer = -3}},
      {.key = "ratio", .value = {.type = OTLPSHM_VALUE_DOUBLE, .as.number = 0.25}},
      {.key = "canary", .value = {.type = OTLPSHM_VALUE_BOOL, .as.boolean = 1}},
  };
  struct otlpshm_attribute scope[1] = {string_attribute("scope.key", "scope value")};
  struct otlpshm_writer_options options = {
      .service_name = "kinds",
      .resource_attributes = resource,
      .resource_attribute_count = 4,
      .resource_schema_url = "https://example.org/resource",
      .scope_name = "kinds.scope",
      .scope_version = "1.2.3",
      .scope_schema_url = "https://example.org/scope",
      .scope_attributes = scope,
      .scope_attribute_count = 1,
  };
  otlpshm_writer* writer = open_writer(&options, directory);
  struct otlpshm_context parent = {.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED, .is_remote = 1};
  for (unsigned i = 0; i < sizeof parent.trace_id; i++) parent.trace_id[i] = (uint8_t)(0xa0 + i);
  for (unsigned i = 0; i < sizeof parent.span_id; i++) parent.span_id[i] = (uint8_t)(0xb0 + i);

  for (int kind = OTLPSHM_KIND_INTERNAL; kind <= OTLPSHM_KIND_CONSUMER; kind++) {
    struct otlpshm_span span;
    struct otlpshm_start_options start = {
        .size = sizeof start, .parent = &parent, .kind = kind, .start_unix_nano = START};
    otlpshm_span_start_cstr(writer, &span, "first name", &start);
    otlpshm_span_set_string_cstr(&span, "string", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa7");
    otlpshm_span_set_string_cstr(&span, "empty", "");
    otlpshm_span_set_string(&span, "not utf-8", 9, "\xff\xfe", 2);
    otlpshm_span_set_int_cstr(&span, "int", -1);
    otlpshm_span_set_int_cstr(&span, "int.min", INT64_MIN);
    otlpshm_span_set_int_cstr(&span, "int.max", INT64_MAX);
    otlpshm_span_set_double_cstr(&span, "double", -1.5e300);
    otlpshm_span_set_bool_cstr(&span, "true", 1);
    otlpshm_span_set_bool_cstr(&span, "false", 0);
    otlpshm_span_set_string_cstr(&span, "twice", "once");
    otlpshm_span_set_int_cstr(&span, "twice", kind);
    struct otlpshm_attribute on_event[2] = {
        string_attribute("event.key", "event value"),
        {.key = "count", .value = {.type = OTLPSHM_VALUE_INT, .as.integer = 1 << 20}}};
    otlpshm_span_add_event(&span, "timed", 5, START + MILLISECOND, on_event, 2);
    otlpshm_span_add_event(&span, "bare", 4, START + 2 * MILLISECOND, NULL, 0);
    otlpshm_span_set_status_cstr(&span, kind % 3, kind % 3 == 2 ? "because" : NULL);
    otlpshm_span_update_name(&span, "second \xc3\xa9", 9);
    finish(&span, START + (uint64_t)kind * MILLISECOND);
  }

  struct otlpshm_span root; /* no options: a new trace, internal, now */
  otlpshm_span_start_cstr(writer, &root, "root", NULL);
  finish(&root, 1); /* before it started: the clock of another world */
  struct otlpshm_span forgotten;
  otlpshm_span_start_cstr(writer, &forgotten, "forgotten", NULL);
  otlpshm_span_discard(&forgotten);
}

static struct otlpshm_attribute int_attribute(const char* key, int64_t value) {
  struct otlpshm_attribute attribute = {.key = key, .value.type = OTLPSHM_VALUE_INT};
  attribute.value.as.integer = value;
  return attribute;
}

static struct otlpshm_context context_of(unsigned trace, unsigned span, const char* state) {
  struct otlpshm_context context = {.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED, .is_remote = 1};
  for (unsigned i = 0; i < sizeof context.trace_id; i++) context.trace_id[i] = (uint8_t)(trace + i);
  for (unsigned i = 0; i < sizeof context.span_id; i++) context.span_id[i] = (uint8_t)(span + i);
  context.trace_state = state;
  context.trace_state_bytes = (uint32_t)strlen(state);
  return context;
}

/* The span of golden/record.hex in the segment of golden/segment.hex. */
static void write_golden(const char* directory) {
  struct otlpshm_writer_options options = {.service_name = "golden",
                                           .lane_bytes_budget = 65536,
                                           .attribute_count_max = 8,
                                           .event_count_max = 1,
                                           .link_count_max = 1};
  otlpshm_writer* writer = open_writer(&options, directory);
  struct otlpshm_context parent = context_of(0xa0, 0xb0, "ot=th:8,vendor=x");
  struct otlpshm_attribute of_link = int_attribute("l", 1);
  struct otlpshm_attribute of_event = int_attribute("e", 1);
  struct otlpshm_attribute of_map = int_attribute("k", 2);
  struct otlpshm_link link = {
      .context = context_of(0xd0, 0xe0, "l=1"), .attributes = &of_link, .attribute_count = 1};
  struct otlpshm_value of_array[2] = {int_attribute("", 1).value, string_attribute("", "a").value};
  struct otlpshm_value array = {.type = OTLPSHM_VALUE_ARRAY, .as.array = {of_array, 2}};
  struct otlpshm_value map = {.type = OTLPSHM_VALUE_MAP, .as.map = {&of_map, 1}};
  struct otlpshm_value empty = {.type = OTLPSHM_VALUE_EMPTY};
  struct otlpshm_start_options start = {.size = sizeof start,
                                        .parent = &parent,
                                        .kind = OTLPSHM_KIND_CLIENT,
                                        .start_unix_nano = START};
  struct otlpshm_span span;
  otlpshm_span_start_cstr(writer, &span, "gr\xc3\xbc\xc3\x9f", &start);
  otlpshm_span_set_string_cstr(&span, "string", "text");
  otlpshm_span_set_bool_cstr(&span, "bool", 1);
  otlpshm_span_set_int_cstr(&span, "int", -1);
  otlpshm_span_set_double_cstr(&span, "double", 0.5);
  otlpshm_span_set_bytes_cstr(&span, "bytes", "\x00\xff", 2);
  otlpshm_span_set_value_cstr(&span, "array", &array);
  otlpshm_span_set_value_cstr(&span, "map", &map);
  otlpshm_span_set_value_cstr(&span, "empty", &empty);
  otlpshm_span_set_int_cstr(&span, "one too many", 9);
  for (int i = 0; i < 3; i++)
    otlpshm_span_add_event(&span, "event", 5, START + MILLISECOND / 2, &of_event, 1);
  for (int i = 0; i < 4; i++) otlpshm_span_add_link(&span, &link);
  otlpshm_span_set_status_cstr(&span, OTLPSHM_STATUS_ERROR, "because");
  finish(&span, START + 3 * MILLISECOND / 2);
}

/* Two resources, three scopes, one of them asked for twice. */
static void write_scopes(const char* directory) {
  static const struct {
    const char* service;
    const char* scope;
  } rows[] = {{"a", "one"}, {"a", "two"}, {"b", "one"}, {"a", "one"}};
  for (unsigned i = 0; i < 4; i++) {
    struct otlpshm_writer_options options = {.service_name = rows[i].service,
                                             .scope_name = rows[i].scope};
    otlpshm_writer* writer = open_writer(&options, directory);
    struct otlpshm_span span;
    otlpshm_span_start_cstr(writer, &span, rows[i].scope, NULL);
    finish(&span, UINT64_MAX >> 1);
  }
}

/* Fills lanes that nobody drains, until spans are dropped. */
static void write_full(const char* directory) {
  static char text[3000];
  memset(text, 'x', sizeof text);
  struct otlpshm_writer_options options = {.service_name = "full",
                                           .lane_bytes_budget = (8 * 64 + 1024) * 1024};
  otlpshm_writer* writer = open_writer(&options, directory);
  unsigned dropped = 0;
  for (unsigned i = 0; i < 20000 && dropped < 7; i++) {
    struct otlpshm_span span;
    otlpshm_span_start_cstr(writer, &span, "full", NULL);
    otlpshm_span_set_string(&span, "text", 4, text, i * 37 % sizeof text);
    dropped += finish(&span, UINT64_MAX >> 1) == OTLPSHM_ERROR_DROPPED;
  }
}

/* The smallest segment: one lane of 64 KiB, which takes no record over the half of it. */
static void write_small(const char* directory) {
  static char text[600 << 10];
  memset(text, 'y', sizeof text);
  struct otlpshm_writer_options options = {.service_name = "small", .lane_bytes_budget = 65536};
  otlpshm_writer* writer = open_writer(&options, directory);
  const size_t sizes[] = {20000, 40000, sizeof text}; /* fits, is too large, is no attribute */
  for (unsigned i = 0; i < 3; i++) {
    struct otlpshm_span span;
    otlpshm_span_start_cstr(writer, &span, "small", NULL);
    otlpshm_span_set_string(&span, "text", 4, text, sizes[i]);
    finish(&span, UINT64_MAX >> 1);
  }
}

/* Waits also for a daemon that has not found the segment yet. */
static void flush(otlpshm_writer* writer) {
  for (int tries = 0; tries < 20000; tries++) {
    int status = otlpshm_force_flush(writer, 20000);
    if (status == OTLPSHM_OK) return;
    if (status != OTLPSHM_ERROR_NO_DAEMON) break;
    usleep(1000);
  }
  exit(4);
}

/* What a daemon releases while it runs: spans of many sizes until lane 0 went round `ROUNDS` times,
 * each waited for, so that none is dropped. */
#define ROUNDS 3
static void write_wrap(const char* directory) {
  static char text[4000];
  memset(text, 'w', sizeof text);
  struct otlpshm_writer_options options = {.service_name = "wrap",
                                           .lane_bytes_budget = (8 * 64 + 1024) * 1024};
  otlpshm_writer* writer = open_writer(&options, directory);
  size_t written = 0;
  for (unsigned i = 0; written < ROUNDS * 1024 * 1024; i++) {
    struct otlpshm_span span;
    otlpshm_span_start_cstr(writer, &span, "wrap", NULL);
    size_t bytes = i * 61 % sizeof text;
    otlpshm_span_set_string(&span, "text", 4, text, bytes);
    written += bytes;
    if (finish(&span, UINT64_MAX >> 1) != OTLPSHM_OK) exit(3);
    if (i % 64 == 63) flush(writer);
  }
  flush(writer);
  struct otlpshm_span last; /* stays in the lane: the daemon is stopped by now */
  puts("flushed");
  fflush(stdout);
  getchar();
  for (unsigned i = 0; i < 100; i++) {
    otlpshm_span_start_cstr(writer, &last, "last", NULL);
    otlpshm_span_set_string(&last, "text", 4, text, i * 97 % sizeof text);
    finish(&last, UINT64_MAX >> 1);
  }
}

#define THREADS 8
#define SPANS 500

struct work {
  pthread_t thread;
  otlpshm_writer* writer;
  pthread_barrier_t* barrier;
  int64_t number;
};

static void* write_some(void* argument) {
  struct work* work = argument;
  pthread_barrier_wait(work->barrier);
  for (int64_t i = 0; i < SPANS; i++) {
    struct otlpshm_span span;
    otlpshm_span_start_cstr(work->writer, &span, "thread", NULL);
    otlpshm_span_set_int_cstr(&span, "thread", work->number);
    otlpshm_span_set_int_cstr(&span, "index", i);
    if (otlpshm_span_end(&span) != OTLPSHM_OK) exit(3);
  }
  return NULL;
}

static void write_threads(const char* directory) {
  struct otlpshm_writer_options options = {.service_name = "threads"};
  struct work works[THREADS];
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, THREADS);
  otlpshm_writer* writer = open_writer(&options, directory);
  for (int i = 0; i < THREADS; i++) {
    works[i] = (struct work){.writer = writer, .barrier = &barrier, .number = i};
    if (pthread_create(&works[i].thread, NULL, write_some, &works[i]) != 0) exit(2);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(works[i].thread, NULL);
}

/* Looks at a lane as it is written: what tail covers must be there, to the last byte. Large records
 * make the time between a tail that is too early and the last byte long enough to be seen. */
#define TAIL_OF_LANE_0 8192
#define AREA_OF_LANE_0 1024
#define WATCHED_BYTES 30000
#define WATCHED 30 /* in the first lap of lane 0 */

struct watch {
  pthread_t thread;
  _Atomic int over;
  _Atomic unsigned looks;
  unsigned torn;
};

/* The library's own mapping: in another one the first look at a page would take too long. */
static const char* mapped_segment(void) {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) exit(5);
  char line[4096];
  void* start = NULL;
  while (start == NULL && fgets(line, sizeof line, maps) != NULL)
    if (strstr(line, ".seg") != NULL && sscanf(line, "%p", &start) != 1) exit(5);
  fclose(maps);
  if (start == NULL) exit(5);
  return start;
}

/* The two must run at once. */
static void run_on(int which) {
  cpu_set_t allowed, one;
  sched_getaffinity(0, sizeof allowed, &allowed);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &allowed) && which-- == 0) CPU_SET(cpu, &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static void* watch_lane(void* argument) {
  struct watch* watch = argument;
  run_on(1);
  const char* base = mapped_segment();
  const char* area = base + *(const uint64_t*)(base + AREA_OF_LANE_0);
  const uint64_t* tail = (const uint64_t*)(base + TAIL_OF_LANE_0);
  uint64_t seen = 0;
  while (!atomic_load(&watch->over)) {
    uint64_t now = __atomic_load_n(tail, __ATOMIC_ACQUIRE);
    if (now == seen) continue;
    /* The newest record ends below now; its text is its longest part. In the first lap the area
     * is zero until it is written. */
    if (area[now - WATCHED_BYTES / 2] != 'z' || area[now - 2000] != 'z') watch->torn++;
    watch->looks++;
    seen = now;
  }
  return NULL;
}

static uint64_t monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 * MILLISECOND + (uint64_t)now.tv_nsec;
}

static void write_watched(const char* directory) {
  static char text[WATCHED_BYTES];
  memset(text, 'z', sizeof text);
  struct otlpshm_writer_options options = {.service_name = "watched"};
  otlpshm_writer* writer = open_writer(&options, directory);
  struct watch watch = {.torn = 0};
  if (pthread_create(&watch.thread, NULL, watch_lane, &watch) != 0) exit(2);
  run_on(0);
  for (unsigned i = 0; i < WATCHED; i++) {
    struct otlpshm_span span;
    otlpshm_span_start_cstr(writer, &span, "watched", NULL);
    otlpshm_span_set_string(&span, "text", 4, text, sizeof text);
    /* The watcher has just looked, so it runs now. */
    uint64_t give_up = monotonic() + 10 * 1000 * MILLISECOND;
    while (atomic_load(&watch.looks) < i)
      if (monotonic() > give_up) exit(6);
    otlpshm_span_end_at(&span, UINT64_MAX >> 1);
  }
  usleep(100 * 1000);
  atomic_store(&watch.over, 1);
  pthread_join(watch.thread, NULL);
  printf("%u %u\n", watch.looks, watch.torn);
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*write)(const char* directory);
  } cases[] = {{"kinds", write_kinds},     {"scopes", write_scopes}, {"full", write_full},
               {"small", write_small},     {"wrap", write_wrap},     {"threads", write_threads},
               {"watched", write_watched}, {"golden", write_golden}};
  for (size_t i = 0; argc == 3 && i < sizeof cases / sizeof *cases; i++) {
    if (strcmp(cases[i].name, argv[2]) == 0) {
      cases[i].write(argv[1]);
      fflush(stdout);
      _exit(0); /* no clean exit: the segment stays */
    }
  }
  fprintf(stderr,
          "usage: write_spans DIRECTORY kinds|scopes|full|small|wrap|threads|watched|golden\n");
  return 64;
}
