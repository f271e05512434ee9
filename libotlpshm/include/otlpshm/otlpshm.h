/* SPDX-License-Identifier: Apache-2.0 */
/* otlpshm.h: the public API of libotlpshm. C99; also C++.
 *   A span is encoded, once, as OTLP bytes in memory that the caller owns, and copied at its end
 *   into a lane in shared memory; the daemon otlpshmd takes it from there.
 *   Never  blocks, locks, makes a system call (but to wake a sleeping daemon), prints, aborts, or
 *          sets errno, on the span path. Without a daemon every call is a no-op.
 *   Text   is UTF-8 with a length in bytes; the _cstr forms take NUL-terminated text. */
#ifndef OTLPSHM_OTLPSHM_H
#define OTLPSHM_OTLPSHM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OTLPSHM_API __attribute__((visibility("default")))
#else
#define OTLPSHM_API
#endif

#define OTLPSHM_VERSION_MAJOR 0
#define OTLPSHM_VERSION_MINOR 1
#define OTLPSHM_VERSION_PATCH 0
#define OTLPSHM_VERSION_STRING "0.1.0"

/* Returns the version of the library that was linked or loaded, like "0.1.0": static storage.
 * Thread-safety: any. Signals: safe. Fork: safe. */
OTLPSHM_API const char* otlpshm_version(void);

/* ---- status ------------------------------------------------------------------------------- */

/* 0 is success; every other status is negative. Numbers are part of the ABI. */
enum otlpshm_status {
  OTLPSHM_OK = 0,
  OTLPSHM_ERROR_INVALID_ARGUMENT = -1, /* a null pointer, an unknown size, text too long */
  OTLPSHM_ERROR_NO_MEMORY = -2,        /* writers, or the memory of this call, ran out */
  OTLPSHM_ERROR_DISABLED = -3,         /* OTEL_SDK_DISABLED=true */
  OTLPSHM_ERROR_NO_DIRECTORY = -4,     /* the directory does not exist: no daemon on this machine */
  OTLPSHM_ERROR_NO_DAEMON = -5,        /* no state or ack, or the daemon's heartbeat has stopped */
  OTLPSHM_ERROR_UNTRUSTED = -6,        /* a file or directory fails the checks of docs/abi.md */
  OTLPSHM_ERROR_ABI_SKEW = -7,         /* the daemon speaks another version of the format */
  OTLPSHM_ERROR_NO_SPACE = -8,         /* the file system is too full, or a size limit forbids it */
  OTLPSHM_ERROR_SYSTEM = -9,           /* the kernel refused something else */
  OTLPSHM_ERROR_TIMEOUT = -10,         /* not settled in time; nothing is lost by that */
  OTLPSHM_ERROR_SHUTDOWN = -11,        /* the writer has been shut down */
  OTLPSHM_ERROR_DROPPED = -12          /* the span was dropped, and counted; see the statistics */
};

/* Returns one English sentence for a status, also for one that it does not know: static storage,
 * never null.
 * Thread-safety: any. Signals: safe. Fork: safe. */
OTLPSHM_API const char* otlpshm_strerror(int status);

/* ---- values ------------------------------------------------------------------------------- */

enum otlpshm_value_type {
  OTLPSHM_VALUE_EMPTY = 0, /* no value; kept, and not the same as "" or 0 */
  OTLPSHM_VALUE_STRING = 1,
  OTLPSHM_VALUE_BOOL = 2,
  OTLPSHM_VALUE_INT = 3,
  OTLPSHM_VALUE_DOUBLE = 4,
  OTLPSHM_VALUE_BYTES = 5,
  OTLPSHM_VALUE_ARRAY = 6, /* its values may be of different types */
  OTLPSHM_VALUE_MAP = 7,
  OTLPSHM_VALUE_UINT = 8 /* above INT64_MAX it becomes decimal text */
};

struct otlpshm_attribute;

/* Any OpenTelemetry value; zero-filled is the empty one. What it points to is borrowed for the
 * call. Arrays and maps nest; below the depth limit an array or a map becomes the empty value, and
 * so it does where a parser of OTLP would refuse the request: 46 arrays deep, or 30 maps. */
struct otlpshm_value {
  int type; /* enum otlpshm_value_type */
  union {
    struct {
      const char* text; /* UTF-8; text that is not is kept as bytes */
      size_t bytes;
    } string;
    struct {
      const void* start;
      size_t count;
    } bytes;
    int boolean; /* 0 or 1 */
    int64_t integer;
    uint64_t unsigned_integer;
    double number;
    struct {
      const struct otlpshm_value* values;
      size_t count;
    } array;
    struct {
      const struct otlpshm_attribute* entries; /* of equal keys the last one wins */
      size_t count;
    } map;
  } as;
};

/* A key and a value, of a span, resource, scope, event, link or map. */
struct otlpshm_attribute {
  const char* key;  /* 1 to 1024 bytes of UTF-8 */
  size_t key_bytes; /* 0: key is NUL-terminated */
  struct otlpshm_value value;
};

/* ---- writer ------------------------------------------------------------------------------- */

/* A writer is a resource, an instrumentation scope, limits and a sampler. All writers of a process
 * that use one directory share one segment, which names 64 resources and 256 scopes; spans of a
 * writer with yet another carry it themselves. Writers are few and live long: at most 64 at a time,
 * and 4 directories in the life of a process. */
typedef struct otlpshm_writer otlpshm_writer;

/* Zero-fill, set size to sizeof, set what you need. A zero field is its default. */
struct otlpshm_writer_options {
  size_t size;
  const char* directory;    /* default: OTLPSHM_DIR, else /run/otlpshm */
  const char* service_name; /* default: OTEL_SERVICE_NAME, else service.name of
                               OTEL_RESOURCE_ATTRIBUTES, else unknown_service:<program> */
  const struct otlpshm_attribute* resource_attributes; /* beat the environment's */
  size_t resource_attribute_count;
  const char* resource_schema_url;
  const char* scope_name; /* the instrumentation scope; default: "" (unknown) */
  const char* scope_version;
  const char* scope_schema_url;
  const struct otlpshm_attribute* scope_attributes;
  size_t scope_attribute_count;
  size_t lane_bytes_budget; /* of the process's segment; default 16 MiB; first writer wins */
  /* Limits. 0: the environment's OTEL_*_LIMIT, else 128, or no limit to the length. */
  uint32_t attribute_count_max;
  uint32_t attribute_value_length_max; /* characters of text, bytes of byte strings */
  uint32_t event_count_max;
  uint32_t link_count_max;
  uint32_t event_attribute_count_max;
  uint32_t link_attribute_count_max;
  uint32_t value_depth_max; /* of arrays and maps in each other; 0: 64, which is also the most */
  uint32_t flags;           /* OTLPSHM_WRITER_* */
  int sampler;              /* enum otlpshm_sampler */
  double sampler_ratio;     /* of the samplers that have one: 0 to 1 */
  uint64_t record_slower_than_nano; /* unsampled spans at least this long are written too, marked
                                       record_only; 0: none */
};

/* All lanes get their memory at once; afterwards the span path never enters the kernel, but for a
 * thread's first span, which makes two system calls: gettid and getrandom. */
#define OTLPSHM_WRITER_PREOPEN 0x1u
/* Unsampled spans whose status is Error are written too, marked record_only. */
#define OTLPSHM_WRITER_RECORD_ERRORS 0x2u

/* Head samplers. Source: OpenTelemetry Trace SDK, Sampling. */
enum otlpshm_sampler {
  OTLPSHM_SAMPLER_DEFAULT = 0, /* OTEL_TRACES_SAMPLER, else PARENT_BASED_ALWAYS_ON */
  OTLPSHM_SAMPLER_ALWAYS_ON = 1,
  OTLPSHM_SAMPLER_ALWAYS_OFF = 2,
  OTLPSHM_SAMPLER_TRACE_ID_RATIO = 3,
  OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_ON = 4,
  OTLPSHM_SAMPLER_PARENT_BASED_ALWAYS_OFF = 5,
  OTLPSHM_SAMPLER_PARENT_BASED_TRACE_ID_RATIO = 6,
  OTLPSHM_SAMPLER_PROBABILITY = 7, /* consistent: honours rv, writes th into tracestate */
  OTLPSHM_SAMPLER_PARENT_BASED_PROBABILITY = 8
};

/* Opens a writer. options may be null. *writer is set also when there is no directory or daemon:
 * such a writer is valid, its spans are no-ops, and it attaches by itself when they appear.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT or NO_MEMORY, in which case *writer is null (null is a
 * valid writer everywhere: a no-op). Reads the environment, unless the process is setuid.
 * Thread-safety: any, but for setenv. Signals: unsafe. Fork: the child keeps the writer. */
OTLPSHM_API int otlpshm_writer_open(otlpshm_writer** writer,
                                    const struct otlpshm_writer_options* options);

/* Waits until everything that was committed before the call has settled: acknowledged by the
 * backend, or spooled, or dropped with a reason. timeout_ms, in milliseconds, is an upper bound; 0
 * only asks.
 * Returns OTLPSHM_OK, TIMEOUT, NO_DAEMON (no ack, or the heartbeat has stopped), or SHUTDOWN.
 * Thread-safety: any. Signals: unsafe. Fork: safe. */
OTLPSHM_API int otlpshm_force_flush(otlpshm_writer* writer, uint32_t timeout_ms);

/* force_flush, then releases the writer; the last writer of a directory also unmaps the segment.
 * What has not settled stays in shared memory for the daemon. Spans of the writer that end later
 * are dropped with the reason `shutdown`. The pointer must not be used again. timeout_ms: as there.
 * Returns what force_flush returned. Thread-safety: any, once. Signals: unsafe. Fork: safe. */
OTLPSHM_API int otlpshm_shutdown(otlpshm_writer* writer, uint32_t timeout_ms);

#define OTLPSHM_STATS_REASONS 64

/* Set size to sizeof before the call: a shorter or longer struct, of another version, is filled as
 * far as both know it. All counts are of the process and the writer's directory. */
struct otlpshm_stats {
  size_t size;
  uint64_t ended;                          /* spans ended: committed or dropped by the library */
  uint64_t committed;                      /* spans in shared memory, settled ones included */
  uint64_t settled;                        /* of these, settled by the daemon */
  uint64_t exported;                       /* of these, acknowledged by a backend */
  uint64_t dropped[OTLPSHM_STATS_REASONS]; /* by reason: see otlpshm_drop_reason_name */
  uint64_t attributes_dropped; /* over a limit, or without room; their spans were kept */
  uint64_t events_dropped;     /* likewise */
  uint64_t links_dropped;      /* likewise */
  uint64_t spans_grown;        /* spans that outgrew their inline bytes and allocated */
  uint64_t late_calls;         /* attributes, events, … set on a span that had ended: ignored */
  uint32_t lanes_open;
  uint32_t lanes_lost; /* lanes that were held for over a second without a commit */
};

/* What was counted so far. Returns OTLPSHM_OK, or INVALID_ARGUMENT for a null pointer or another
 * size. Thread-safety: any. Signals: unsafe. Fork: counts start at 0 in a child. */
OTLPSHM_API int otlpshm_writer_stats(otlpshm_writer* writer, struct otlpshm_stats* stats);

/* Why spans do or do not arrive. Returns OTLPSHM_OK while a daemon is attached, else the reason as
 * a status. Thread-safety: any. Signals: unsafe. Fork: safe. */
OTLPSHM_API int otlpshm_writer_status(otlpshm_writer* writer);

/* Returns the name of a drop reason ("lane_full"), as in docs/abi.md and in the daemon's metrics:
 * static storage; null for a number that is not a reason. Thread-safety: any. Signals: safe. Fork:
 * safe. */
OTLPSHM_API const char* otlpshm_drop_reason_name(unsigned reason);

/* ---- context ------------------------------------------------------------------------------ */

#define OTLPSHM_TRACE_FLAG_SAMPLED 0x01
#define OTLPSHM_TRACE_FLAG_RANDOM 0x02

/* A W3C span context. All zero is "no context". */
struct otlpshm_context {
  uint8_t trace_id[16];
  uint8_t span_id[8];
  uint8_t trace_flags;
  uint8_t is_remote; /* 1 when it was extracted from a carrier */
  uint16_t reserved; /* 0 */
  uint32_t trace_state_bytes;
  const char* trace_state; /* W3C tracestate text; borrowed from the carrier or from a span */
};

#define OTLPSHM_TRACEPARENT_BYTES 55 /* without the NUL */

/* Writes the 55 characters of a version 00 traceparent, and a NUL, into out.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT for a context without ids (out is then "").
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Trace Context, traceparent. */
OTLPSHM_API int otlpshm_traceparent_inject(const struct otlpshm_context* context,
                                           char out[OTLPSHM_TRACEPARENT_BYTES + 1]);

/* Reads a traceparent header's value; surrounding spaces and tabs are ignored. Sets is_remote.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT, in which case *context is all zero: start a new trace.
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Trace Context, traceparent. */
OTLPSHM_API int otlpshm_traceparent_extract(const char* value, size_t bytes,
                                            struct otlpshm_context* context);

/* ---- prepared -------------------------------------------------------------------------------- */

/* A key that is checked and encoded once. The caller owns it; it may be static and shared by
 * threads once it is prepared. All zero is a key that sets nothing. */
struct otlpshm_key {
  uint64_t private_words[10];
};

/* Prepares a key of 1 to 64 bytes of UTF-8. The text is copied.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT (*key is then all zero).
 * Thread-safety: one thread per key. Signals: safe. Fork: safe. */
OTLPSHM_API int otlpshm_key_prepare(struct otlpshm_key* key, const char* text, size_t bytes);
OTLPSHM_API int otlpshm_key_prepare_cstr(struct otlpshm_key* key, const char* text);

/* What many spans have in common, encoded once: name, kind and constant attributes. Belongs to the
 * process, not to a writer or a segment. */
typedef struct otlpshm_template otlpshm_template;

struct otlpshm_template_options {
  size_t size;
  const char* name;
  size_t name_bytes; /* 0: name is NUL-terminated */
  int kind;          /* enum otlpshm_span_kind; 0: internal */
  const struct otlpshm_attribute* attributes;
  size_t attribute_count;
};

/* Makes a template, under the writer's limits. *made is null unless OTLPSHM_OK is returned; else
 * INVALID_ARGUMENT (also for more than 512 bytes of name and attributes), SHUTDOWN or NO_MEMORY.
 * Thread-safety: any. Signals: unsafe. Fork: the child keeps it. */
OTLPSHM_API int otlpshm_template_open(otlpshm_writer* writer, otlpshm_template** made,
                                      const struct otlpshm_template_options* options);

/* Frees a template; spans that were started from it may still be running. Null is fine.
 * Thread-safety: no start may use it any more. Signals: unsafe. Fork: safe. */
OTLPSHM_API void otlpshm_template_close(otlpshm_template* made);

/* ---- span --------------------------------------------------------------------------------- */

/* A span in the making. The caller owns it (a local variable will do); all zero is a valid span
 * that does nothing. Do not copy it. One thread at a time may use it. */
struct otlpshm_span {
  uint64_t private_words[128];
};

enum otlpshm_span_kind {
  OTLPSHM_KIND_INTERNAL = 1,
  OTLPSHM_KIND_SERVER = 2,
  OTLPSHM_KIND_CLIENT = 3,
  OTLPSHM_KIND_PRODUCER = 4,
  OTLPSHM_KIND_CONSUMER = 5
};

enum otlpshm_status_code {
  OTLPSHM_STATUS_UNSET = 0,
  OTLPSHM_STATUS_OK = 1,
  OTLPSHM_STATUS_ERROR = 2
};

/* The span lives in a signal handler: no allocation (it truncates), no attaching. */
#define OTLPSHM_SPAN_SIGNAL_SAFE 0x1u

/* A link to another span. Without ids it is kept only if it has attributes or a trace state. */
struct otlpshm_link {
  struct otlpshm_context context;
  const struct otlpshm_attribute* attributes;
  size_t attribute_count;
};

/* Zero-fill, set size to sizeof, set what you need. Times are nanoseconds since 1970 UTC. */
struct otlpshm_start_options {
  size_t size;
  const struct otlpshm_context* parent; /* null or without ids: a new trace */
  int kind;                             /* enum otlpshm_span_kind; 0: the template's, or internal */
  uint32_t flags;                       /* OTLPSHM_SPAN_* */
  uint64_t start_unix_nano;             /* 0: now */
  const otlpshm_template* span_template; /* its name is used when name is null */
  const struct otlpshm_attribute* attributes;
  size_t attribute_count;
  const struct otlpshm_link* links;
  size_t link_count;
};

/* Starts a span. options may be null: a new trace, internal, now. A span that was started must be
 * ended or discarded. Names are cut at 1024 bytes, never inside a character.
 * Thread-safety: any (one thread per span). Signals: safe with OTLPSHM_SPAN_SIGNAL_SAFE.
 * Fork: a span started before a fork must be ended by the parent. */
OTLPSHM_API void otlpshm_span_start(otlpshm_writer* writer, struct otlpshm_span* span,
                                    const char* name, size_t name_bytes,
                                    const struct otlpshm_start_options* options);
OTLPSHM_API void otlpshm_span_start_cstr(otlpshm_writer* writer, struct otlpshm_span* span,
                                         const char* name,
                                         const struct otlpshm_start_options* options);

/* Returns 1 when what is set on the span will be exported or may be; 0 for a no-op or ended span.
 * Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API int otlpshm_span_is_recording(const struct otlpshm_span* span);

/* The span's own context, for children and carriers. A span that was started as a no-op gives its
 * parent's, so that a trace goes through it; all zero for other no-ops. trace_state stays valid
 * until the span ends or is written to, so no call that writes to the span may be given it; a
 * no-op's, until it is started again and as long as its parent's.
 * Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API void otlpshm_span_get_context(const struct otlpshm_span* span,
                                          struct otlpshm_context* context);

/* Set an attribute. A key that was set before is replaced. Beyond the limits, or without a usable
 * key, the attribute is dropped and counted in the span's dropped_attributes_count. Text that is
 * not UTF-8 is kept as bytes_value. After the end of the span this, and all that follows but a new
 * start, is ignored and counted (late_calls). Lengths are bytes.
 * Thread-safety, signals, fork: as otlpshm_span_start.
 * Source: OpenTelemetry common, Attribute Collections and Attribute Limits. */
OTLPSHM_API void otlpshm_span_set_string(struct otlpshm_span* span, const char* key,
                                         size_t key_bytes, const char* value, size_t value_bytes);
OTLPSHM_API void otlpshm_span_set_int(struct otlpshm_span* span, const char* key, size_t key_bytes,
                                      int64_t value);
OTLPSHM_API void otlpshm_span_set_double(struct otlpshm_span* span, const char* key,
                                         size_t key_bytes, double value);
OTLPSHM_API void otlpshm_span_set_bool(struct otlpshm_span* span, const char* key, size_t key_bytes,
                                       int value);
OTLPSHM_API void otlpshm_span_set_string_cstr(struct otlpshm_span* span, const char* key,
                                              const char* value);
OTLPSHM_API void otlpshm_span_set_int_cstr(struct otlpshm_span* span, const char* key,
                                           int64_t value);
OTLPSHM_API void otlpshm_span_set_double_cstr(struct otlpshm_span* span, const char* key,
                                              double value);
OTLPSHM_API void otlpshm_span_set_bool_cstr(struct otlpshm_span* span, const char* key, int value);

OTLPSHM_API void otlpshm_span_set_uint(struct otlpshm_span* span, const char* key, size_t key_bytes,
                                       uint64_t value);
OTLPSHM_API void otlpshm_span_set_bytes(struct otlpshm_span* span, const char* key,
                                        size_t key_bytes, const void* value, size_t value_bytes);
OTLPSHM_API void otlpshm_span_set_value(struct otlpshm_span* span, const char* key,
                                        size_t key_bytes, const struct otlpshm_value* value);
OTLPSHM_API void otlpshm_span_set_uint_cstr(struct otlpshm_span* span, const char* key,
                                            uint64_t value);
OTLPSHM_API void otlpshm_span_set_bytes_cstr(struct otlpshm_span* span, const char* key,
                                             const void* value, size_t value_bytes);
OTLPSHM_API void otlpshm_span_set_value_cstr(struct otlpshm_span* span, const char* key,
                                             const struct otlpshm_value* value);
OTLPSHM_API void otlpshm_span_set_attributes(struct otlpshm_span* span,
                                             const struct otlpshm_attribute* attributes,
                                             size_t attribute_count);

/* The same with a key that was prepared. Thread-safety, signals, fork: as otlpshm_span_start;
 * threads may share the key. */
OTLPSHM_API void otlpshm_span_set_string_prepared(struct otlpshm_span* span,
                                                  const struct otlpshm_key* key, const char* value,
                                                  size_t value_bytes);
OTLPSHM_API void otlpshm_span_set_int_prepared(struct otlpshm_span* span,
                                               const struct otlpshm_key* key, int64_t value);
OTLPSHM_API void otlpshm_span_set_double_prepared(struct otlpshm_span* span,
                                                  const struct otlpshm_key* key, double value);
OTLPSHM_API void otlpshm_span_set_bool_prepared(struct otlpshm_span* span,
                                                const struct otlpshm_key* key, int value);

/* Adds an event. unix_nano is nanoseconds since 1970 UTC; 0 is now. Beyond the limits the event is
 * dropped and counted in the span's dropped_events_count.
 * Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API void otlpshm_span_add_event(struct otlpshm_span* span, const char* name,
                                        size_t name_bytes, uint64_t unix_nano,
                                        const struct otlpshm_attribute* attributes,
                                        size_t attribute_count);
OTLPSHM_API void otlpshm_span_add_event_cstr(struct otlpshm_span* span, const char* name,
                                             const struct otlpshm_attribute* attributes,
                                             size_t attribute_count);

/* Adds an event named "exception" with the attributes exception.type, exception.message and
 * exception.stacktrace, as far as they are given (*_bytes 0: NUL-terminated; null: not given), and
 * the caller's, which win. The status is not touched.
 * Thread-safety, signals, fork: as otlpshm_span_start.
 * Source: OpenTelemetry, Exceptions. */
struct otlpshm_exception {
  const char* type;
  size_t type_bytes;
  const char* message;
  size_t message_bytes;
  const char* stacktrace;
  size_t stacktrace_bytes;
  uint64_t unix_nano; /* 0: now */
  const struct otlpshm_attribute* attributes;
  size_t attribute_count;
};
OTLPSHM_API void otlpshm_span_record_exception(struct otlpshm_span* span,
                                               const struct otlpshm_exception* exception);

/* Adds a link. Beyond the limits it is dropped and counted in the span's dropped_links_count.
 * Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API void otlpshm_span_add_link(struct otlpshm_span* span, const struct otlpshm_link* link);

/* Sets the status. Ok is final; Error beats Unset; Unset changes nothing. The description counts
 * only with Error, is cut at 1024 bytes, and may be null.
 * Thread-safety, signals, fork: as otlpshm_span_start.
 * Source: OpenTelemetry Trace API, Set Status. */
OTLPSHM_API void otlpshm_span_set_status(struct otlpshm_span* span, int code,
                                         const char* description, size_t description_bytes);
OTLPSHM_API void otlpshm_span_set_status_cstr(struct otlpshm_span* span, int code,
                                              const char* description);

/* Replaces the name. Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API void otlpshm_span_update_name(struct otlpshm_span* span, const char* name,
                                          size_t name_bytes);

/* Ends the span now, or at a given time in nanoseconds since 1970 UTC, and commits it. Afterwards
 * the span is a no-op and may be started again. Returns OTLPSHM_OK when the span is in shared
 * memory (or is a no-op); from then on neither the end of this process nor of the daemon loses it.
 * Else DROPPED: counted by reason. Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API int otlpshm_span_end(struct otlpshm_span* span);
OTLPSHM_API int otlpshm_span_end_at(struct otlpshm_span* span, uint64_t end_unix_nano);

/* Forgets a span without recording it. It does not count as ended.
 * Thread-safety, signals, fork: as otlpshm_span_start. */
OTLPSHM_API void otlpshm_span_discard(struct otlpshm_span* span);

#ifdef __cplusplus
}
#endif

#include "otlpshm/context.h" /* tracestate, baggage, B3, the current span */

#endif
