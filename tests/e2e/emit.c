/* SPDX-License-Identifier: Apache-2.0 */
/* emit.c: the workload: threads that write spans whose content follows from (process, thread,
 * index). Owns   the ledger: a file that the test maps too, of `struct ledger_line`, one line per
 * thread, then --spans `struct ledger_id` per thread. A count is stored after `end` returned. Never
 * cleans up when it is killed: that is what the tests look at. Prints "ready", then "done" with the
 * library's statistics; waits for a line when told to stay. The content is said once more, in
 * Python, in spans.py. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "otlpshm/otlpshm.h"

#define NANO UINT64_C(1000000000)
#define MILLI UINT64_C(1000000)
#define EPOCH (UINT64_C(1700000000) * NANO)
#define RETRY_S 60
#define RESOURCE_SCHEMA "https://emit.example/resource/1"
#define SCOPE_SCHEMA "https://emit.example/scope/2"

struct ledger_line {         /* one cache line pair of a thread */
  _Atomic uint64_t returned; /* ends that returned OK */
  _Atomic uint64_t dropped;  /* ends that returned DROPPED */
  uint64_t unused[14];
};

struct ledger_id { /* of the newest attempt to write this span; stored before `end` */
  uint8_t trace_id[16];
  uint8_t span_id[8];
};

struct options {
  const char* directory;
  const char* ledger;
  int64_t process;
  int64_t threads;
  int64_t spans;    /* of each thread */
  int64_t rate;     /* spans per second of each thread; 0: as fast as it goes */
  int64_t flush_ms; /* force_flush at the end; -1: none */
  int64_t shutdown_ms;
  int64_t budget;  /* lane_bytes_budget of the segment; 0: the default */
  int64_t padding; /* bytes of an additional attribute */
  int retry;       /* a dropped span is written again, with new ids */
  int step;        /* waits for a line on stdin before each span: one thread only */
  int wait;        /* for a line on stdin before the first span, and one before the end */
};

struct thread {
  pthread_t id;
  int64_t number;
  const struct options* options;
  otlpshm_writer* writer;
  const otlpshm_template* made;
  struct ledger_line* line;
  struct ledger_id* ids;
};

static const char padding[65536];
static struct otlpshm_key prepared; /* before the threads start */

static void fail(const char* what) {
  fprintf(stderr, "emit: %s: %s\n", what, strerror(errno));
  exit(2);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * NANO + (uint64_t)time.tv_nsec;
}

static void sleep_nano(uint64_t nanos) {
  struct timespec time = {.tv_sec = (time_t)(nanos / NANO), .tv_nsec = (long)(nanos % NANO)};
  nanosleep(&time, NULL);
}

/* The parent: every third span has a remote one, every third a local one, every third none. */
static struct otlpshm_context parent_of(int64_t process, int64_t thread, int64_t index) {
  struct otlpshm_context parent = {.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED,
                                   .is_remote = index % 3 == 1};
  if (index % 3 == 0) return parent;
  const uint64_t words[3] = {0x1122334455667788u, (uint64_t)process << 32 | (uint64_t)thread,
                             (uint64_t)index + 1};
  memcpy(parent.trace_id, words, 16);
  memcpy(parent.span_id, &words[2], 8);
  return parent;
}

/* Every thirteenth span has, beside what all have, everything that a span can have. */
static int is_rich(int64_t index) {
  return index % 13 == 5;
}

static struct otlpshm_value text_value(const char* text) {
  return (struct otlpshm_value){.type = OTLPSHM_VALUE_STRING,
                                .as.string = {.text = text, .bytes = strlen(text)}};
}

static struct otlpshm_value int_value(int64_t number) {
  return (struct otlpshm_value){.type = OTLPSHM_VALUE_INT, .as.integer = number};
}

static void set_values(struct otlpshm_span* span, int64_t index) {
  const struct otlpshm_value empty = {.type = OTLPSHM_VALUE_EMPTY};
  const struct otlpshm_value list[7] = {
      text_value("\xc3\xa4"),
      int_value(-index),
      {.type = OTLPSHM_VALUE_DOUBLE, .as.number = 0.5},
      {.type = OTLPSHM_VALUE_BOOL, .as.boolean = 1},
      {.type = OTLPSHM_VALUE_BYTES, .as.bytes = {.start = "\x01\xff", .count = 2}},
      empty,
      {.type = OTLPSHM_VALUE_ARRAY},
  };
  const struct otlpshm_attribute deepest = {.key = "k", .value = text_value("v")};
  const struct otlpshm_attribute deeper = {
      .key = "deeper", .value = {.type = OTLPSHM_VALUE_MAP, .as.map = {&deepest, 1}}};
  const struct otlpshm_attribute entries[5] = {
      {.key = "twice", .value = int_value(1)},
      {.key = "list", .value = {.type = OTLPSHM_VALUE_ARRAY, .as.array = {list, 7}}},
      {.key = "map", .value = {.type = OTLPSHM_VALUE_MAP, .as.map = {&deeper, 1}}},
      {.key = "empty", .value = {.type = OTLPSHM_VALUE_MAP}},
      {.key = "twice", .value = int_value(2)},
  };
  const struct otlpshm_attribute together[3] = {
      {.key = "list", .value = {.type = OTLPSHM_VALUE_ARRAY, .as.array = {list, 7}}},
      {.key = "map", .value = {.type = OTLPSHM_VALUE_MAP, .as.map = {entries, 5}}},
      {.key = "empty", .value = empty},
  };
  otlpshm_span_set_attributes(span, together, 3);
  otlpshm_span_set_uint_cstr(span, "unsigned", (uint64_t)index);
  otlpshm_span_set_uint_cstr(span, "unsigned.large", (UINT64_C(1) << 63) + (uint64_t)index);
  otlpshm_span_set_bytes_cstr(span, "raw", "\0\xfe", 2);
  otlpshm_span_set_string_prepared(span, &prepared, "not yet", 7);
  otlpshm_span_set_int_prepared(span, &prepared, index);
  otlpshm_span_set_int_cstr(span, "replaced", index);
}

static void add_links(struct otlpshm_span* span, int64_t index) {
  const struct otlpshm_value list[2] = {text_value("x"), int_value(index)};
  const struct otlpshm_attribute attribute = {
      .key = "link", .value = {.type = OTLPSHM_VALUE_ARRAY, .as.array = {list, 2}}};
  struct otlpshm_link local = {.context = {.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED}};
  memset(local.context.trace_id, 0xaa, 16);
  memset(local.context.span_id, 0xbb, 8);
  struct otlpshm_link remote = local;
  remote.context.is_remote = 1;
  remote.context.trace_flags = OTLPSHM_TRACE_FLAG_RANDOM;
  remote.context.trace_state = "emit=1,other=2";
  remote.context.trace_state_bytes = 14;
  remote.attributes = &attribute;
  remote.attribute_count = 1;
  const struct otlpshm_link without_ids = {.attributes = &attribute, .attribute_count = 1};
  const struct otlpshm_link of_nothing = {.attributes = NULL};
  otlpshm_span_add_link(span, &local);
  otlpshm_span_add_link(span, &remote);
  otlpshm_span_add_link(span, &of_nothing);
  otlpshm_span_add_link(span, &without_ids);
}

static void record_exception(struct otlpshm_span* span, uint64_t unix_nano) {
  const struct otlpshm_attribute escaped = {.key = "exception.escaped",
                                            .value = {.type = OTLPSHM_VALUE_BOOL, .as.boolean = 1}};
  const struct otlpshm_exception exception = {.type = "emit::Error",
                                              .message = "no \xe2\x82\xac",
                                              .stacktrace = "at emit\nat main",
                                              .unix_nano = unix_nano,
                                              .attributes = &escaped,
                                              .attribute_count = 1};
  otlpshm_span_record_exception(span, &exception);
}

static int write_span(const struct thread* thread, int64_t index) {
  static const char* const names[4] = {"GET /orders", "gr\xc3\xbc\xc3\x9f dich", "\xf0\x9f\x90\xa7",
                                       "\xe6\xb3\xa8\xe6\x96\x87"};
  const struct options* options = thread->options;
  struct otlpshm_context parent = parent_of(options->process, thread->number, index);
  struct otlpshm_start_options start = {.size = sizeof start,
                                        .parent = &parent,
                                        .kind = 1 + (int)(index % 5),
                                        .start_unix_nano = EPOCH + (uint64_t)index * MILLI};
  const char* name = names[index % 4];
  if (is_rich(index)) { /* name and kind are the template's */
    name = NULL;
    start.kind = 0;
    start.span_template = thread->made;
    parent.trace_state = "parent=state";
    parent.trace_state_bytes = 12;
  }
  struct otlpshm_span span;
  otlpshm_span_start_cstr(thread->writer, &span, name, &start);
  otlpshm_span_set_int_cstr(&span, "process", options->process);
  otlpshm_span_set_int_cstr(&span, "thread", thread->number);
  otlpshm_span_set_int_cstr(&span, "index", index);
  otlpshm_span_set_int_cstr(&span, "negative", -index);
  otlpshm_span_set_double_cstr(&span, "double", (double)index / 8);
  otlpshm_span_set_bool_cstr(&span, "even", index % 2 == 0);
  char text[64];
  int bytes = snprintf(text, sizeof text, "caf\xc3\xa9 %" PRId64, index);
  otlpshm_span_set_string(&span, "text", 4, text, (size_t)bytes);
  if (index % 11 == 0) otlpshm_span_set_string(&span, "bytes", 5, "\xff\x00\xfe", 3);
  if (options->padding > 0)
    otlpshm_span_set_string(&span, "padding", 7, padding, (size_t)options->padding);
  for (int64_t event = 0; event < index % 3; event++) {
    struct otlpshm_attribute attributes[2] = {
        {.key = "event", .value = {.type = OTLPSHM_VALUE_INT, .as.integer = event}},
        {.key = "last",
         .value = {.type = OTLPSHM_VALUE_BOOL, .as.boolean = event + 1 == index % 3}}};
    otlpshm_span_add_event(&span, "ev\xc3\xa9nement", 10,
                           start.start_unix_nano + (uint64_t)event * 1000, attributes, 2);
  }
  if (is_rich(index)) {
    set_values(&span, index);
    add_links(&span, index);
    record_exception(&span, start.start_unix_nano + 5000);
  }
  if (index % 7 == 1) otlpshm_span_set_status_cstr(&span, OTLPSHM_STATUS_OK, NULL);
  if (index % 7 == 2) otlpshm_span_set_status_cstr(&span, OTLPSHM_STATUS_ERROR, "no \xe2\x82\xac");

  struct otlpshm_context context;
  otlpshm_span_get_context(&span, &context);
  memcpy(thread->ids[index].trace_id, context.trace_id, 16);
  memcpy(thread->ids[index].span_id, context.span_id, 8);
  return otlpshm_span_end_at(&span, start.start_unix_nano + (uint64_t)(index % 1000) * 1000 + 1);
}

static void* write_spans(void* argument) {
  struct thread* thread = argument;
  const struct options* options = thread->options;
  const uint64_t started = now();
  uint64_t returned = 0;
  for (int64_t index = 0; index < options->spans; index++) {
    if (options->step) getchar();
    uint64_t give_up = 0;
    int status;
    while ((status = write_span(thread, index)) != OTLPSHM_OK) {
      atomic_fetch_add_explicit(&thread->line->dropped, 1, memory_order_relaxed);
      if (!options->retry) break;
      if (give_up == 0) give_up = now() + RETRY_S * NANO;
      if (now() > give_up) {
        fprintf(stderr, "emit: no room for span %" PRId64 " for %d s\n", index, RETRY_S);
        exit(3);
      }
      sleep_nano(MILLI);
    }
    returned += status == OTLPSHM_OK;
    atomic_store_explicit(&thread->line->returned, returned, memory_order_relaxed);
    if (options->rate > 0) {
      uint64_t due = started + (uint64_t)(index + 1) * NANO / (uint64_t)options->rate;
      uint64_t time = now();
      if (due > time + MILLI) sleep_nano(due - time);
    }
  }
  return NULL;
}

static void print_statistics(otlpshm_writer* writer, int flush, int writer_status) {
  struct otlpshm_stats stats = {.size = sizeof stats};
  int status = otlpshm_writer_stats(writer, &stats);
  printf("done {\"flush\": %d, \"status\": %d, \"stats\": %d, \"ended\": %" PRIu64
         ", \"committed\": %" PRIu64 ", \"settled\": %" PRIu64 ", \"exported\": %" PRIu64
         ", \"lanes_open\": %u, \"dropped\": {",
         flush, writer_status, status, stats.ended, stats.committed, stats.settled, stats.exported,
         stats.lanes_open);
  const char* comma = "";
  for (unsigned reason = 0; reason < OTLPSHM_STATS_REASONS; reason++) {
    const char* name = otlpshm_drop_reason_name(reason);
    if (stats.dropped[reason] == 0) continue;
    printf("%s\"%s\": %" PRIu64, comma, name ? name : "?", stats.dropped[reason]);
    comma = ", ";
  }
  puts("}}");
  fflush(stdout);
}

static struct ledger_line* map_ledger(const struct options* options, struct ledger_id** ids) {
  size_t lines = (size_t)options->threads * sizeof(struct ledger_line);
  size_t bytes = lines + (size_t)(options->threads * options->spans) * sizeof(struct ledger_id);
  int file = open(options->ledger, O_RDWR | O_CLOEXEC);
  if (file < 0) fail(options->ledger);
  void* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) fail(options->ledger);
  close(file);
  *ids = (struct ledger_id*)((char*)memory + lines);
  return memory;
}

static struct options parse(int argc, char** argv) {
  struct options options = {.threads = 1, .spans = 1, .flush_ms = -1, .shutdown_ms = -1};
  const struct {
    const char* name;
    int64_t* value;
  } numbers[] = {
      {"process", &options.process},
      {"threads", &options.threads},
      {"spans", &options.spans},
      {"rate", &options.rate},
      {"flush-ms", &options.flush_ms},
      {"padding", &options.padding},
      {"shutdown-ms", &options.shutdown_ms},
      {"budget", &options.budget},
  };
  enum { NUMBERS = sizeof numbers / sizeof *numbers };
  struct option known[NUMBERS + 6] = {{"dir", required_argument, NULL, 'd'},
                                      {"ledger", required_argument, NULL, 'l'},
                                      {"retry", no_argument, NULL, 'r'},
                                      {"step", no_argument, NULL, 's'},
                                      {"wait", no_argument, NULL, 'w'}};
  for (int i = 0; i < NUMBERS; i++)
    known[5 + i] = (struct option){numbers[i].name, required_argument, NULL, 256 + i};
  int found;
  while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
    if (found >= 256)
      *numbers[found - 256].value = strtoll(optarg, NULL, 10);
    else if (found == 'd')
      options.directory = optarg;
    else if (found == 'l')
      options.ledger = optarg;
    else if (found == 'r')
      options.retry = 1;
    else if (found == 's')
      options.step = 1;
    else if (found == 'w')
      options.wait = 1;
    else
      exit(64);
  }
  if (!options.directory || !options.ledger || options.threads < 1 || options.threads > 64 ||
      options.padding > (int64_t)sizeof padding) {
    fputs("usage: emit --dir DIR --ledger FILE [--process N] [--threads N] [--spans N] …\n",
          stderr);
    exit(64);
  }
  return options;
}

static otlpshm_template* open_template(otlpshm_writer* writer) {
  const struct otlpshm_attribute attributes[2] = {
      {.key = "template", .value = text_value("yes")},
      {.key = "replaced", .value = text_value("not yet")},
  };
  const struct otlpshm_template_options options = {.size = sizeof options,
                                                   .name = "from a templ\xc3\xa4te",
                                                   .kind = OTLPSHM_KIND_SERVER,
                                                   .attributes = attributes,
                                                   .attribute_count = 2};
  otlpshm_template* made = NULL;
  int status = otlpshm_template_open(writer, &made, &options);
  if (status == OTLPSHM_OK) status = otlpshm_key_prepare_cstr(&prepared, "prepared");
  if (status != OTLPSHM_OK) {
    fprintf(stderr, "emit: a template and a key: %s\n", otlpshm_strerror(status));
    exit(2);
  }
  return made;
}

int main(int argc, char** argv) {
  struct options options = parse(argc, argv);
  struct ledger_id* ids = NULL;
  struct ledger_line* lines = map_ledger(&options, &ids);

  char service[32];
  snprintf(service, sizeof service, "emit-%" PRId64, options.process);
  struct otlpshm_attribute resource = {
      .key = "emit.process", .value = {.type = OTLPSHM_VALUE_INT, .as.integer = options.process}};
  struct otlpshm_writer_options writer_options = {.size = sizeof writer_options,
                                                  .directory = options.directory,
                                                  .service_name = service,
                                                  .resource_attributes = &resource,
                                                  .resource_attribute_count = 1,
                                                  .scope_name = "emit.scope",
                                                  .scope_version = "7",
                                                  .scope_attribute_count = 1,
                                                  .resource_schema_url = RESOURCE_SCHEMA,
                                                  .scope_schema_url = SCOPE_SCHEMA,
                                                  .lane_bytes_budget = (size_t)options.budget};
  otlpshm_writer* writers[2] = {NULL, NULL};
  const int writer_count = options.threads > 1 ? 2 : 1;
  for (int i = 0; i < writer_count; i++) {
    /* Two scopes that differ in an attribute alone. */
    struct otlpshm_attribute odd = {.key = "odd",
                                    .value = {.type = OTLPSHM_VALUE_BOOL, .as.boolean = i}};
    writer_options.scope_attributes = &odd;
    int status = otlpshm_writer_open(&writers[i], &writer_options);
    if (status != OTLPSHM_OK) {
      fprintf(stderr, "emit: otlpshm_writer_open: %s\n", otlpshm_strerror(status));
      return 2;
    }
  }
  otlpshm_writer* writer = writers[0];
  otlpshm_template* made = open_template(writer);
  puts("ready");
  fflush(stdout);
  if (options.wait) getchar();

  struct thread threads[64];
  for (int64_t i = 0; i < options.threads; i++) {
    threads[i] = (struct thread){.number = i,
                                 .options = &options,
                                 .writer = writers[i % writer_count],
                                 .made = made,
                                 .line = &lines[i],
                                 .ids = &ids[i * options.spans]};
    if (pthread_create(&threads[i].id, NULL, write_spans, &threads[i]) != 0) fail("a thread");
  }
  for (int64_t i = 0; i < options.threads; i++) pthread_join(threads[i].id, NULL);

  int flush = options.flush_ms < 0 ? 1 : otlpshm_force_flush(writer, (uint32_t)options.flush_ms);
  print_statistics(writer, flush, otlpshm_writer_status(writer));
  if (options.wait) getchar();
  otlpshm_template_close(made);
  if (options.shutdown_ms >= 0) {
    if (writers[1] != NULL) (void)otlpshm_shutdown(writers[1], 0);
    printf("shutdown %d\n", otlpshm_shutdown(writer, (uint32_t)options.shutdown_ms));
    fflush(stdout);
  }
  return 0;
}
