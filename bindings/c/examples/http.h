/* SPDX-License-Identifier: Apache-2.0 */
/* http.h: just enough HTTP/1.1 for the example services to talk to each other on loopback.
 *   Demo grade: one connection at a time, no request bodies, no keep-alive, no TLS. Take a real
 *   server for real work; what is worth copying is how the services carry traceparent.
 *   Bounds     every text has a size, every wait ends after HTTP_TIMEOUT_MS. */
#ifndef OTLPSHM_EXAMPLES_HTTP_H
#define OTLPSHM_EXAMPLES_HTTP_H

#ifdef __cplusplus
extern "C" {
#endif

#define HTTP_TIMEOUT_MS 2000

struct http_request {
  char method[8];
  char target[256];     /* path and query */
  char traceparent[64]; /* "" without one */
};

struct http_reply {
  int status;
  char body[256];
};

typedef void http_answer(const struct http_request* request, struct http_reply* reply,
                         void* context);

/* Serves 127.0.0.1:port ("0": any free one), prints "ready port=N", and returns 0 at SIGTERM or
 * SIGINT, when the request at hand has been answered; 1, with a line on stderr, if it cannot. */
int http_serve(const char* port, http_answer* answer, void* context);

/* Sends one request to 127.0.0.1:port. traceparent may be "". Returns 0 and the reply; or -1, with
 * status 0 and the cause as the body. */
int http_call(const char* port, const struct http_request* request, struct http_reply* reply);

#ifdef __cplusplus
}
#endif
#endif
