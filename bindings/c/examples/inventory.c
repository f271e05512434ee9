/* SPDX-License-Identifier: Apache-2.0 */
/* inventory.c: an example service in C: GET /stock/N tells how many of article N are left.
 *   Shows  a server span that goes on with the caller's trace, attributes of several types, events.
 *   Run    OTEL_SERVICE_NAME=inventory OTLPSHM_DIR=... otlpshm-demo-inventory [PORT] */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>

#include "http.h"
#include "otlpshm/otlpshm.h"

static unsigned stock[8] = {40, 12, 7, 90, 33, 58, 21, 64};

static unsigned select_stock(otlpshm_writer* writer, const struct otlpshm_context* parent,
                             unsigned article) {
  struct otlpshm_span span;
  struct otlpshm_start_options options = {.size = sizeof options, .parent = parent};
  otlpshm_span_start_cstr(writer, &span, "SELECT stock", &options);
  otlpshm_span_set_string_cstr(&span, "db.query.text", "SELECT count FROM stock WHERE id = ?");
  thrd_sleep(&(struct timespec){.tv_nsec = 1800000}, NULL); /* stands for a database */
  unsigned* left = &stock[article % 8];
  if (*left == 0) {
    *left = 50;
    struct otlpshm_attribute count = {.key = "inventory.restocked",
                                      .value = {.type = OTLPSHM_VALUE_INT, .as.integer = *left}};
    otlpshm_span_add_event_cstr(&span, "restocked", &count, 1);
  }
  *left -= 1;
  otlpshm_span_end(&span);
  return *left;
}

static void answer(const struct http_request* request, struct http_reply* reply, void* context) {
  otlpshm_writer* writer = context;
  struct otlpshm_context caller, own;
  otlpshm_traceparent_extract(request->traceparent, strlen(request->traceparent), &caller);

  struct otlpshm_span span;
  struct otlpshm_start_options options = {
      .size = sizeof options, .parent = &caller, .kind = OTLPSHM_KIND_SERVER};
  otlpshm_span_start_cstr(writer, &span, "GET /stock/{article}", &options);
  otlpshm_span_get_context(&span, &own);
  otlpshm_span_set_string_cstr(&span, "http.request.method", request->method);
  otlpshm_span_set_string_cstr(&span, "http.route", "/stock/{article}");

  unsigned article;
  if (sscanf(request->target, "/stock/%u", &article) == 1) {
    unsigned left = select_stock(writer, &own, article);
    otlpshm_span_set_int_cstr(&span, "inventory.article", article);
    otlpshm_span_set_int_cstr(&span, "inventory.available", left);
    otlpshm_span_set_bool_cstr(&span, "inventory.low", left < 5);
    reply->status = 200;
    snprintf(reply->body, sizeof reply->body, "%u", left);
  } else {
    reply->status = 404;
    snprintf(reply->body, sizeof reply->body, "no such page; try /stock/1");
  }
  otlpshm_span_set_int_cstr(&span, "http.response.status_code", reply->status);
  otlpshm_span_end(&span);
}

int main(int argc, char** argv) {
  otlpshm_writer* writer;
  otlpshm_writer_open(
      &writer, &(struct otlpshm_writer_options){.size = sizeof(struct otlpshm_writer_options),
                                                .scope_name = "example.inventory",
                                                .scope_version = OTLPSHM_VERSION_STRING});
  int status = http_serve(argc > 1 ? argv[1] : "0", answer, writer);

  struct otlpshm_stats stats = {.size = sizeof stats};
  otlpshm_writer_stats(writer, &stats);
  printf("stats ended=%" PRIu64 " committed=%" PRIu64 "\n", stats.ended, stats.committed);
  otlpshm_shutdown(writer, 2000);
  return status;
}
