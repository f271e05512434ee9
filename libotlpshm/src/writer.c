/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c: opening, flushing, counting, shutting down.
 *   Never  on the span path.
 *   Source OpenTelemetry, Tracer Provider SDK: ForceFlush, Shutdown. */
#include "writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "doorbell.h"
#include "kernel.h"
#include "options.h"
#include "process.h"
#include "resource.h"

#define DEFAULT_DIRECTORY "/run/otlpshm"
#define MILLISECOND UINT64_C(1000000)
#define FLUSH_PAUSE_MIN (MILLISECOND / 2)
#define FLUSH_PAUSE_MAX (10 * MILLISECOND)

static struct otlpshm_writer writers[OTLPSHM_WRITERS_MAX]; /* under the open lock */

const char* otlpshm_version(void) {
  return OTLPSHM_VERSION_STRING;
}

const char* otlpshm_strerror(int status) {
  switch (status) {
    case OTLPSHM_OK:
      return "success";
    case OTLPSHM_ERROR_INVALID_ARGUMENT:
      return "an argument is invalid";
    case OTLPSHM_ERROR_NO_MEMORY:
      return "out of memory, or of writers or directories";
    case OTLPSHM_ERROR_DISABLED:
      return "tracing is disabled by OTEL_SDK_DISABLED";
    case OTLPSHM_ERROR_NO_DIRECTORY:
      return "the shared-memory directory does not exist; set OTLPSHM_DIR or start otlpshmd";
    case OTLPSHM_ERROR_NO_DAEMON:
      return "no otlpshmd serves the shared-memory directory";
    case OTLPSHM_ERROR_UNTRUSTED:
      return "a file in the shared-memory directory fails the trust checks";
    case OTLPSHM_ERROR_ABI_SKEW:
      return "otlpshmd speaks another version of the shared-memory format";
    case OTLPSHM_ERROR_NO_SPACE:
      return "the shared-memory file system is too full";
    case OTLPSHM_ERROR_SYSTEM:
      return "the kernel refused to make or map a file";
    case OTLPSHM_ERROR_TIMEOUT:
      return "not settled in time";
    case OTLPSHM_ERROR_SHUTDOWN:
      return "the writer has been shut down";
    case OTLPSHM_ERROR_DROPPED:
      return "the span was dropped and counted";
    default:
      return "unknown status";
  }
}

const char* otlpshm_drop_reason_name(unsigned reason) {
  switch (reason) {
#define OTLPSHM_REASON_CASE(number, name, sentence) \
  case number:                                      \
    return #name;
    OTLPSHM_DROP_REASONS(OTLPSHM_REASON_CASE)
#undef OTLPSHM_REASON_CASE
    default:
      return NULL;
  }
}

static bool is_disabled(void) {
  const char* text = secure_getenv("OTEL_SDK_DISABLED");
  return text != NULL && strcasecmp(text, "true") == 0;
}

static bool are_valid(const struct otlpshm_writer_options* options) {
  return (options->resource_attribute_count == 0 || options->resource_attributes != NULL) &&
         (options->scope_attribute_count == 0 || options->scope_attributes != NULL);
}

static const char* directory_of(const struct otlpshm_writer_options* options) {
  if (options->directory != NULL && options->directory[0] != '\0') return options->directory;
  const char* variable = secure_getenv("OTLPSHM_DIR");
  return variable != NULL && variable[0] != '\0' ? variable : DEFAULT_DIRECTORY;
}

static void override(uint32_t* limit, uint32_t option) {
  if (option != 0) *limit = option;
}

static struct otlpshm_limits limits_of(const struct otlpshm_writer_options* options) {
  struct otlpshm_limits limits = otlpshm_limits_of_environment();
  override(&limits.attribute_count_max, options->attribute_count_max);
  override(&limits.attribute_value_length_max, options->attribute_value_length_max);
  override(&limits.event_count_max, options->event_count_max);
  override(&limits.link_count_max, options->link_count_max);
  override(&limits.event_attribute_count_max, options->event_attribute_count_max);
  override(&limits.link_attribute_count_max, options->link_attribute_count_max);
  if (options->value_depth_max <= OTLPSHM_VALUE_DEPTH_MAX) {
    override(&limits.value_depth_max, options->value_depth_max);
  }
  return limits;
}

/* The row of the writer's scope; OTLPSHM_SCOPE_INLINE, with *rows, when the tables are full; or -1.
 */
static int register_rows(struct otlpshm_attachment* attachment,
                         const struct otlpshm_writer_options* options,
                         const struct otlpshm_inline_rows** rows) {
  int index = -1;
  const struct otlpshm_row resource = otlpshm_resource_row(options);
  const struct otlpshm_row scope = otlpshm_scope_row(options);
  if (resource.bytes != NULL && scope.bytes != NULL) {
    const int resource_index = otlpshm_attach_resource(attachment, resource.bytes, resource.count);
    if (resource_index >= 0) {
      index = otlpshm_attach_scope(attachment, scope.bytes, scope.count, (uint16_t)resource_index);
    }
    if (index < 0) {
      *rows = otlpshm_attach_inline(attachment, resource.bytes, resource.count, scope.bytes,
                                    scope.count);
      if (*rows != NULL) index = OTLPSHM_SCOPE_INLINE;
    }
  }
  free(resource.bytes);
  free(scope.bytes);
  return index;
}

static int attach_writer(struct otlpshm_writer* writer,
                         const struct otlpshm_writer_options* options) {
  const char* directory = directory_of(options);
  int status = otlpshm_sampler_init(&writer->sampler, options);
  if (status != OTLPSHM_OK) return status;
  if (!otlpshm_process_start()) return OTLPSHM_ERROR_NO_MEMORY;
  (void)otlpshm_process_ready();
  struct otlpshm_attachment* attachment = NULL;
  status = otlpshm_attach_open(&attachment, directory, options->lane_bytes_budget,
                               (options->flags & OTLPSHM_WRITER_PREOPEN) != 0);
  if (status != OTLPSHM_OK) return status;
  const struct otlpshm_inline_rows* rows = NULL;
  const int scope_index = register_rows(attachment, options, &rows);
  if (scope_index < 0) {
    otlpshm_attach_close(attachment);
    return OTLPSHM_ERROR_NO_MEMORY;
  }
  const struct otlpshm_limits limits = limits_of(options);
  otlpshm_writer_set_limits(writer, &limits);
  store_relaxed_u32(&writer->scope_index, (uint32_t)scope_index);
  store_relaxed_pointer(&writer->rows, rows);
  store_relaxed_pointer(&writer->attachment, attachment);
  (void)otlpshm_attach_now(attachment, otlpshm_clock_monotonic());
  otlpshm_attach_await_ack(attachment);
  return OTLPSHM_OK;
}

int otlpshm_writer_open(struct otlpshm_writer** out, const struct otlpshm_writer_options* given) {
  struct otlpshm_writer_options read = {.size = sizeof read};
  const struct otlpshm_writer_options* options = &read;
  if (out == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  *out = NULL;
  if (given != NULL && !otlpshm_options_read(&read, sizeof read, given)) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  if (!are_valid(options)) return OTLPSHM_ERROR_INVALID_ARGUMENT;

  const int errno_before = errno;
  int status = OTLPSHM_ERROR_NO_MEMORY;
  (void)otlpshm_process_ready(); /* in a child this makes the mutexes anew */
  otlpshm_attach_open_lock();
  for (uint32_t i = 0; i < OTLPSHM_WRITERS_MAX && *out == NULL; ++i) {
    struct otlpshm_writer* writer = &writers[i];
    const uint32_t generation = load_relaxed_u32(&writer->generation);
    if ((generation & 1) != 0) continue;
    const bool disabled = is_disabled();
    store_relaxed_u32(&writer->disabled, disabled);
    store_relaxed_pointer(&writer->attachment, (struct otlpshm_attachment*)NULL);
    status = disabled ? OTLPSHM_OK : attach_writer(writer, options);
    if (status != OTLPSHM_OK) break;
    store_release_u32(&writer->generation, generation + 1);
    *out = writer;
  }
  otlpshm_attach_open_unlock();
  errno = errno_before;
  return status;
}

static bool is_open(const struct otlpshm_writer* writer) {
  return writer != NULL && (load_acquire_u32(&writer->generation) & 1) != 0;
}

/* ---- force_flush ----------------------------------------------------------------------------- */

struct flush {
  struct otlpshm_segment* segment;
  char id[OTLPSHM_ID_CHARACTERS + 1];
  uint32_t lanes;
  uint32_t removals;
  uint32_t closes;
  uint64_t tails[OTLPSHM_LANES_MAX];
};

static void note_tails(struct otlpshm_attachment* attachment, struct flush* flush) {
  otlpshm_attach_lock(attachment);
  flush->removals = attachment->removals;
  flush->closes = attachment->closes;
  flush->segment = load_relaxed_pointer(&attachment->current);
  if (flush->segment != NULL) {
    memcpy(flush->id, flush->segment->id, sizeof flush->id);
    flush->lanes = load_relaxed_u32(&flush->segment->lanes_open);
    for (uint32_t lane = 0; lane < flush->lanes; ++lane) {
      flush->tails[lane] = load_acquire_u64(&flush->segment->lanes[lane].control->tail);
    }
    add_relaxed_u64(&flush->segment->control->flush_request, 1);
  }
  otlpshm_attach_unlock(attachment);
}

/* A segment that is not current any more was reaped, and so drained; unless its name was gone: then
 * it never settles; or another thread has shut its last writer down. */
static bool is_settled(struct otlpshm_attachment* attachment, const struct flush* flush,
                       bool* is_closed) {
  otlpshm_attach_lock(attachment);
  *is_closed = attachment->closes != flush->closes;
  bool settled = attachment->removals == flush->removals && !*is_closed;
  const struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  if (segment == flush->segment && segment != NULL && strcmp(segment->id, flush->id) == 0) {
    for (uint32_t lane = 0; lane < flush->lanes && settled; ++lane) {
      struct otlpshm_ack_copy copy;
      settled = flush->tails[lane] == 0 || (otlpshm_segment_read_ack(segment, lane, &copy) &&
                                            copy.release >= flush->tails[lane]);
    }
  }
  otlpshm_attach_unlock(attachment);
  return settled;
}

static bool has_daemon(const struct otlpshm_attachment* attachment) {
  return load_relaxed_pointer(&attachment->state) != NULL &&
         load_relaxed_u32(&attachment->expired) == 0;
}

/* A daemon that lives makes one within a scan: worth waiting for, and no daemon without. */
static bool has_ack(struct otlpshm_attachment* attachment) {
  otlpshm_attach_lock(attachment);
  const struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  const bool has = segment != NULL && load_relaxed_pointer(&segment->ack) != NULL;
  otlpshm_attach_unlock(attachment);
  return has;
}

static int flush(struct otlpshm_attachment* attachment, uint32_t timeout_ms) {
  struct flush flush;
  note_tails(attachment, &flush);
  if (flush.segment == NULL) return OTLPSHM_OK;
  const uint64_t deadline = otlpshm_clock_monotonic() + timeout_ms * MILLISECOND;
  uint64_t pause = FLUSH_PAUSE_MIN;
  for (;;) {
    const uint64_t now = otlpshm_clock_monotonic();
    otlpshm_doorbell(attachment);
    otlpshm_attach_tick(attachment, now, false);
    bool is_closed;
    if (is_settled(attachment, &flush, &is_closed)) return OTLPSHM_OK;
    if (is_closed) return OTLPSHM_ERROR_SHUTDOWN;
    if (!has_daemon(attachment)) return OTLPSHM_ERROR_NO_DAEMON;
    if (now >= deadline) {
      return has_ack(attachment) ? OTLPSHM_ERROR_TIMEOUT : OTLPSHM_ERROR_NO_DAEMON;
    }
    const uint64_t left = deadline - now;
    (void)otlpshm_kernel_sleep(pause < left ? pause : left);
    pause = pause * 2 < FLUSH_PAUSE_MAX ? pause * 2 : FLUSH_PAUSE_MAX;
  }
}

int otlpshm_force_flush(struct otlpshm_writer* writer, uint32_t timeout_ms) {
  if (writer == NULL) return OTLPSHM_OK;
  if (!is_open(writer)) return OTLPSHM_ERROR_SHUTDOWN;
  if (writer->attachment == NULL || !otlpshm_process_ready()) return OTLPSHM_OK;
  return flush(writer->attachment, timeout_ms);
}

int otlpshm_shutdown(struct otlpshm_writer* writer, uint32_t timeout_ms) {
  if (writer == NULL) return OTLPSHM_OK;
  const int status = otlpshm_force_flush(writer, timeout_ms);
  (void)otlpshm_process_ready(); /* in a child this makes the mutexes anew */
  struct otlpshm_attachment* attachment = NULL;
  bool closed = false;
  otlpshm_attach_open_lock();
  if (is_open(writer)) {
    attachment = writer->attachment;
    store_release_u32(&writer->generation, load_relaxed_u32(&writer->generation) + 1);
    closed = true;
  }
  otlpshm_attach_open_unlock();
  if (attachment != NULL) otlpshm_attach_close(attachment);
  return closed ? status : OTLPSHM_ERROR_SHUTDOWN;
}

/* ---- what was counted, and why nothing arrives ---------------------------------------------- */

/* The caller's struct may be shorter or longer than this version's. */
int otlpshm_writer_stats(struct otlpshm_writer* writer, struct otlpshm_stats* stats) {
  if (stats == NULL || stats->size < sizeof stats->size ||
      stats->size > OTLPSHM_OPTIONS_BYTES_MAX) {
    return OTLPSHM_ERROR_INVALID_ARGUMENT;
  }
  const size_t size = stats->size;
  memset(stats, 0, size);
  stats->size = size;
  if (writer == NULL) return OTLPSHM_OK;
  if (!is_open(writer)) return OTLPSHM_ERROR_SHUTDOWN;
  if (writer->attachment == NULL || !otlpshm_process_ready()) return OTLPSHM_OK;
  struct otlpshm_stats all = {.size = size};
  otlpshm_attach_stats(writer->attachment, &all);
  memcpy(stats, &all, size < sizeof all ? size : sizeof all);
  return OTLPSHM_OK;
}

static int status_without(bool is_skewed) {
  return is_skewed ? OTLPSHM_ERROR_ABI_SKEW : OTLPSHM_ERROR_NO_DAEMON;
}

int otlpshm_writer_status(struct otlpshm_writer* writer) {
  if (writer == NULL) return OTLPSHM_ERROR_INVALID_ARGUMENT;
  if (!is_open(writer)) return OTLPSHM_ERROR_SHUTDOWN;
  if (load_relaxed_u32(&writer->disabled) != 0) return OTLPSHM_ERROR_DISABLED;
  struct otlpshm_attachment* attachment = writer->attachment;
  const uint64_t now = otlpshm_clock_monotonic();
  if (!otlpshm_process_ready()) return OTLPSHM_ERROR_SYSTEM;
  if (otlpshm_attach_now(attachment, now) == NULL) {
    const int status = (int)load_relaxed_u32((const uint32_t*)&attachment->status);
    return status == OTLPSHM_OK ? OTLPSHM_ERROR_NO_DAEMON : status;
  }
  otlpshm_attach_tick(attachment, now, false);
  if (!has_daemon(attachment)) {
    return status_without(load_relaxed_u32(&attachment->state_is_skewed) != 0);
  }
  int status = OTLPSHM_ERROR_NO_DAEMON;
  otlpshm_attach_lock(attachment);
  const struct otlpshm_segment* segment = load_relaxed_pointer(&attachment->current);
  const struct otlpshm_ack_header* ack =
      segment == NULL ? NULL : load_acquire_pointer(&segment->ack);
  if (ack != NULL) {
    status = load_relaxed_u32(&ack->state) == otlpshm_ack_quarantined ? OTLPSHM_ERROR_UNTRUSTED
                                                                      : OTLPSHM_OK;
  } else if (segment != NULL) {
    status = status_without(load_relaxed_u32(&segment->ack_is_skewed) != 0);
  }
  otlpshm_attach_unlock(attachment);
  return status;
}
