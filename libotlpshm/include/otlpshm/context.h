/* SPDX-License-Identifier: Apache-2.0 */
/* context.h: contexts and baggage, in and out of headers: W3C, B3; and a thread's current span.
 *   Part of otlpshm.h. C99; also C++.
 *   Never  allocates, blocks, makes a system call, or sets errno; keeps nothing that it is given.
 *   Never  takes half of a context: it is valid or it is nothing, and nothing starts a new trace.
 *   Caller looks the headers up, by names of any case, and sends what is written. */
#ifndef OTLPSHM_CONTEXT_H
#define OTLPSHM_CONTEXT_H

#include "otlpshm/otlpshm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- text --------------------------------------------------------------------------------- */

/* Borrowed text of a length; a header's value, for one. A null text is absent, which is not the
 * same as empty. */
struct otlpshm_text {
  const char* text;
  size_t bytes;
};

/* The caller's bytes for text that a call writes. Set text and capacity. The call sets bytes, and
 * writes a NUL behind the text: bytes does not count it, capacity does. A call that fails leaves
 * the text empty, unless it appends. The room must not overlap what the call reads. */
struct otlpshm_text_room {
  char* text;
  size_t capacity;
  size_t bytes;
};

/* ---- W3C trace context --------------------------------------------------------------------- */

/* A room for a tracestate has this many bytes and one more, or more than that. All that does not
 * fit is left out by whole members: first those of more than 128 bytes, then from the end. */
#define OTLPSHM_TRACESTATE_BYTES 512

/* The values of all traceparent and all tracestate headers of a request, in their order. */
struct otlpshm_w3c_headers {
  const struct otlpshm_text* traceparent;
  size_t traceparent_count;
  const struct otlpshm_text* tracestate;
  size_t tracestate_count;
};

/* Reads a context. The tracestate headers are joined, and written into the room without blanks and
 * empty members; context->trace_state points there, so the room lives as long as the context. A
 * tracestate that is malformed, has a key twice or more than 32 members is dropped as a whole, and
 * the traceparent is kept.
 * Returns OTLPSHM_OK, also without a traceparent (*context is then all zero), or INVALID_ARGUMENT
 * for a null pointer, a small room, a traceparent that is malformed or there twice (*context is all
 * zero as well: start a new trace).
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Trace Context, Processing Model. */
OTLPSHM_API int otlpshm_w3c_extract(const struct otlpshm_w3c_headers* headers,
                                    struct otlpshm_text_room* trace_state,
                                    struct otlpshm_context* context);

/* Writes a context's tracestate. Nothing to send is empty text, so is a malformed trace_state.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT for a null pointer, a small room, a context without ids.
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Trace Context, tracestate. */
OTLPSHM_API int otlpshm_tracestate_inject(const struct otlpshm_context* context,
                                          struct otlpshm_text_room* trace_state);

/* Writes the traceparents of many contexts, each with a NUL, one behind the other: out has
 * count * 56 bytes. A context without ids gets an empty text.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT for a null pointer or when any context was without ids.
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Trace Context, traceparent. */
OTLPSHM_API int otlpshm_traceparent_inject_batch(const struct otlpshm_context* contexts,
                                                 size_t count,
                                                 char (*out)[OTLPSHM_TRACEPARENT_BYTES + 1]);

/* Returns the value of the member with the key, borrowed from the list; absent when there is none,
 * or when the list is malformed.
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Trace Context, tracestate. */
OTLPSHM_API struct otlpshm_text otlpshm_tracestate_get(struct otlpshm_text list,
                                                       struct otlpshm_text key);

/* Writes the list with the key's member set to the value and moved to the front; the others keep
 * their order, and make room for it from the end. A malformed list counts as empty.
 * Returns OTLPSHM_OK; INVALID_ARGUMENT for a null pointer, a small room, a key or value that the
 * grammar forbids; NO_MEMORY for a member that alone is larger than the room.
 * Thread-safety: any. Signals: safe. Fork: safe.
 * Source: W3C Trace Context, Mutating the tracestate Field. */
OTLPSHM_API int otlpshm_tracestate_set(struct otlpshm_text list, struct otlpshm_text key,
                                       struct otlpshm_text value,
                                       struct otlpshm_text_room* trace_state);

/* Writes the list without the key's member, if it has one. Remove only keys of your own.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT for a null pointer or a small room.
 * Thread-safety: any. Signals: safe. Fork: safe.
 * Source: W3C Trace Context, Mutating the tracestate Field. */
OTLPSHM_API int otlpshm_tracestate_remove(struct otlpshm_text list, struct otlpshm_text key,
                                          struct otlpshm_text_room* trace_state);

/* ---- W3C baggage --------------------------------------------------------------------------- */

/* A room for baggage that has this many bytes and one more holds what everybody must pass on: 64
 * members and 8192 bytes. There is no other limit here. */
#define OTLPSHM_BAGGAGE_BYTES 8192

/* One member of a baggage header, borrowed from it. */
struct otlpshm_baggage_member {
  struct otlpshm_text key;
  struct otlpshm_text value;      /* percent-encoded, as it stands in the header */
  struct otlpshm_text properties; /* what stands between the first ';' and the end; or absent */
};

/* Reads the next well-formed member of a baggage header's value; others are passed over. *offset is
 * where to go on: 0 at first. Several headers are read one after the other.
 * Returns 1, or 0 when there is none left (*member is then all zero).
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Baggage, Header Content. */
OTLPSHM_API int otlpshm_baggage_next(struct otlpshm_text baggage, size_t* offset,
                                     struct otlpshm_baggage_member* member);

/* Writes the value that a percent-encoded one stands for. Bytes that are not UTF-8 become U+FFFD; a
 * '%' without two digits stands for itself. No value is longer than it was encoded.
 * Returns OTLPSHM_OK; INVALID_ARGUMENT for a null pointer; NO_MEMORY when the room is too small.
 * Thread-safety: any. Signals: safe. Fork: safe. Source: W3C Baggage, value. */
OTLPSHM_API int otlpshm_baggage_decode(struct otlpshm_text encoded,
                                       struct otlpshm_text_room* value);

/* Appends a member to the baggage in a room, whose bytes is 0 at first. The value is UTF-8 and gets
 * percent-encoded; key and properties (absent: none) are taken as they are.
 * Returns OTLPSHM_OK; INVALID_ARGUMENT for a null pointer, a key that is no token, a value that is
 * not UTF-8, malformed properties; NO_MEMORY when the room is too small. A member that is not
 * appended leaves the room as it was.
 * Thread-safety: any (one thread per room). Signals: safe. Fork: safe. Source: W3C Baggage. */
OTLPSHM_API int otlpshm_baggage_append(struct otlpshm_text_room* baggage, struct otlpshm_text key,
                                       struct otlpshm_text value, struct otlpshm_text properties);

/* Appends a member that was read, as it stood. Otherwise like otlpshm_baggage_append, and returns
 * what that returns. Thread-safety, signals, fork: as otlpshm_baggage_append. */
OTLPSHM_API int otlpshm_baggage_append_member(struct otlpshm_text_room* baggage,
                                              const struct otlpshm_baggage_member* member);

/* ---- B3 ------------------------------------------------------------------------------------- */

/* What B3 says beyond the sampled flag of a context. */
enum otlpshm_b3_sampling {
  OTLPSHM_B3_BY_FLAG = 0,  /* accepted or denied: the context's sampled flag says which */
  OTLPSHM_B3_DEFERRED = 1, /* not decided yet */
  OTLPSHM_B3_DEBUG = 2     /* accepted, and to be kept by everyone; the sampled flag is set */
};

/* The values of a request's B3 headers; absent where there is none. */
struct otlpshm_b3_headers {
  struct otlpshm_text b3;
  struct otlpshm_text x_b3_trace_id;
  struct otlpshm_text x_b3_span_id;
  struct otlpshm_text x_b3_sampled;
  struct otlpshm_text x_b3_flags;
};

/* Reads a context: from b3 where that is there and well-formed, else from the others. A trace id of
 * 64 bits gets zeros to its left. A decision may come without ids (`b3: 0`): the ids are then zero.
 * Returns OTLPSHM_OK, also without a B3 header (*context is then all zero and *sampling DEFERRED),
 * or INVALID_ARGUMENT for a null pointer or malformed headers (the same values: start a new trace).
 * Thread-safety: any. Signals: safe. Fork: safe. Source: openzipkin b3-propagation, Http Encodings;
 * OpenTelemetry, B3 Requirements. */
OTLPSHM_API int otlpshm_b3_extract(const struct otlpshm_b3_headers* headers,
                                   struct otlpshm_context* context, int* sampling);

#define OTLPSHM_B3_BYTES 51 /* without the NUL */

/* Writes the value of a b3 header, and a NUL. sampling: enum otlpshm_b3_sampling.
 * Returns OTLPSHM_OK, or INVALID_ARGUMENT for a null pointer, a context without ids or an unknown
 * sampling (out is then "").
 * Thread-safety: any. Signals: safe. Fork: safe. Source: openzipkin b3-propagation, Single Header.
 */
OTLPSHM_API int otlpshm_b3_inject(const struct otlpshm_context* context, int sampling,
                                  char out[OTLPSHM_B3_BYTES + 1]);

/* The values of the X-B3 headers, each with a NUL; one that is "" is not sent. */
struct otlpshm_b3_multi {
  char x_b3_trace_id[33];
  char x_b3_span_id[17];
  char x_b3_sampled[2];
  char x_b3_flags[2];
};

/* As otlpshm_b3_inject, for the X-B3 headers, and returns the same. X-B3-ParentSpanId is not sent.
 * Thread-safety: any. Signals: safe. Fork: safe. Source: openzipkin b3-propagation, Multiple
 * Headers; OpenTelemetry, B3 Requirements. */
OTLPSHM_API int otlpshm_b3_multi_inject(const struct otlpshm_context* context, int sampling,
                                        struct otlpshm_b3_multi* out);

/* ---- the thread's current span -------------------------------------------------------------- */

/* Makes a span the calling thread's current one, until the next call; null: none. Optional: nothing
 * else in the library looks at it. The span's memory must outlive that, its recording need not: a
 * span that has ended is current as a no-op. Put back what this returns, in the same thread.
 * Returns the span that was current before, or null.
 * Thread-safety: any; each thread has its own. Signals: safe; a handler puts back what it found.
 * Fork: the child's thread keeps it, and what it sets there is not recorded.
 * Source: OpenTelemetry Context API, Attach and Detach. */
OTLPSHM_API struct otlpshm_span* otlpshm_span_make_current(struct otlpshm_span* span);

/* Returns the calling thread's current span, or null, which every function on spans takes for a
 * no-op.
 * Thread-safety: any. Signals: safe; but a handler must not write to the span that it interrupted.
 * Fork: as otlpshm_span_make_current. Source: OpenTelemetry Context API, Get current Context. */
OTLPSHM_API struct otlpshm_span* otlpshm_span_current(void);

#ifdef __cplusplus
}
#endif
#endif
