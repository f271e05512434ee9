/* SPDX-License-Identifier: Apache-2.0 */
/* user.c: an example service in C: GET /users/N tells who customer N is.
 *   Shows  a server span that goes on with the caller's trace, and a child span around its work.
 *   Run    OTEL_SERVICE_NAME=user OTLPSHM_DIR=... otlpshm-demo-user [PORT] */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>

#include "http.h"
#include "otlpshm/otlpshm.h"

static const char* const names[] = {"Ada Lovelace", "Grace Hopper", "Zoë Müller", "Radia Perlman",
                                    "小野 節子"};

static const char* select_user(otlpshm_writer* writer, const struct otlpshm_context* parent,
                               unsigned id) {
  struct otlpshm_span span;
  struct otlpshm_start_options options = {.size = sizeof options, .parent = parent};
  otlpshm_span_start_cstr(writer, &span, "SELECT users", &options);
  otlpshm_span_set_string_cstr(&span, "db.query.text", "SELECT name FROM users WHERE id = ?");
  thrd_sleep(&(struct timespec){.tv_nsec = 1200000}, NULL); /* stands for a database */
  otlpshm_span_end(&span);
  return names[id % (sizeof names / sizeof names[0])];
}

static void answer(const struct http_request* request, struct http_reply* reply, void* context) {
  otlpshm_writer* writer = context;
  struct otlpshm_context caller, own;
  otlpshm_traceparent_extract(request->traceparent, strlen(request->traceparent), &caller);

  struct otlpshm_span span;
  struct otlpshm_start_options options = {
      .size = sizeof options, .parent = &caller, .kind = OTLPSHM_KIND_SERVER};
  otlpshm_span_start_cstr(writer, &span, "GET /users/{id}", &options);
  otlpshm_span_get_context(&span, &own);
  otlpshm_span_set_string_cstr(&span, "http.request.method", request->method);
  otlpshm_span_set_string_cstr(&span, "http.route", "/users/{id}");

  unsigned id;
  if (sscanf(request->target, "/users/%u", &id) == 1) {
    const char* name = select_user(writer, &own, id);
    otlpshm_span_set_int_cstr(&span, "customer.id", id);
    otlpshm_span_set_string_cstr(&span, "user.name", name);
    reply->status = 200;
    snprintf(reply->body, sizeof reply->body, "%s", name);
  } else {
    reply->status = 404;
    snprintf(reply->body, sizeof reply->body, "no such page; try /users/1");
  }
  otlpshm_span_set_int_cstr(&span, "http.response.status_code", reply->status);
  otlpshm_span_end(&span);
}

int main(int argc, char** argv) {
  otlpshm_writer* writer;
  otlpshm_writer_open(
      &writer, &(struct otlpshm_writer_options){.size = sizeof(struct otlpshm_writer_options),
                                                .scope_name = "example.user",
                                                .scope_version = OTLPSHM_VERSION_STRING});
  int status = http_serve(argc > 1 ? argv[1] : "0", answer, writer);

  struct otlpshm_stats stats = {.size = sizeof stats};
  otlpshm_writer_stats(writer, &stats);
  printf("stats ended=%" PRIu64 " committed=%" PRIu64 "\n", stats.ended, stats.committed);
  otlpshm_shutdown(writer, 2000);
  return status;
}
