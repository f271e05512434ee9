/* SPDX-License-Identifier: Apache-2.0 */
/* http.c: see http.h. */
#define _GNU_SOURCE /* ppoll, accept4, strerrordesc_np */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX 4096

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 1 when fd is ready before the deadline. */
static int wait_for(int fd, short events, int64_t deadline_ms) {
  for (;;) {
    int64_t left_ms = deadline_ms - now_ms();
    struct pollfd one = {.fd = fd, .events = events};
    int count = left_ms > 0 ? poll(&one, 1, (int)left_ms) : 0;
    if (count >= 0 || errno != EINTR) return count > 0;
  }
}

static int send_all(int fd, const char* text, size_t bytes, int64_t deadline_ms) {
  while (bytes > 0) {
    ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
    if (sent > 0) {
      text += sent;
      bytes -= (size_t)sent;
    } else if (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline_ms)) {
      return -1;
    }
  }
  return 0;
}

/* Reads up to the end of the headers, or, with to_the_end, up to the other side's close. */
static int receive(int fd, char text[BYTES_MAX + 1], int to_the_end, int64_t deadline_ms) {
  size_t bytes = 0;
  while (bytes < BYTES_MAX) {
    ssize_t got = recv(fd, text + bytes, BYTES_MAX - bytes, 0);
    if (got < 0 && errno == EAGAIN && wait_for(fd, POLLIN, deadline_ms)) continue;
    if (got < 0 || (got == 0 && !to_the_end)) return -1;
    if (got == 0) break;
    bytes += (size_t)got;
    text[bytes] = '\0';
    if (!to_the_end && strstr(text, "\r\n\r\n")) break;
  }
  text[bytes] = '\0';
  return strstr(text, "\r\n\r\n") ? 0 : -1;
}

/* Copies the value of a header; "" if it is absent or too long. */
static void header(const char* text, const char* name, char* value, size_t value_bytes) {
  size_t name_bytes = strlen(name);
  value[0] = '\0';
  for (const char* line = strstr(text, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
    if (strncasecmp(line + 2, name, name_bytes) != 0 || line[2 + name_bytes] != ':') continue;
    const char* begin = line + 2 + name_bytes + 1;
    begin += strspn(begin, " \t");
    size_t bytes = strcspn(begin, "\r");
    if (bytes < value_bytes) {
      memcpy(value, begin, bytes);
      value[bytes] = '\0';
    }
    return;
  }
}

static void answer_one(int fd, http_answer* answer, void* context) {
  int64_t deadline_ms = now_ms() + HTTP_TIMEOUT_MS;
  char text[BYTES_MAX + 1];
  struct http_request request = {0};
  struct http_reply reply = {.status = 400, .body = "malformed request"};
  if (receive(fd, text, 0, deadline_ms) != 0) return;
  if (sscanf(text, "%7[A-Z] %255[^ \r\n] HTTP/1.", request.method, request.target) == 2) {
    header(text, "traceparent", request.traceparent, sizeof request.traceparent);
    answer(&request, &reply, context);
  }
  int bytes =
      snprintf(text, sizeof text,
               "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
               reply.status, reply.status < 400 ? "OK" : "Error", strlen(reply.body), reply.body);
  send_all(fd, text, (size_t)bytes, now_ms() + HTTP_TIMEOUT_MS);
}

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number) {
  (void)signal_number;
  stop_asked = 1;
}

int http_serve(const char* port, http_answer* answer, void* context) {
  /* Signals arrive only inside ppoll, so a request at hand is always finished. */
  sigset_t stops, before;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stops, &before);
  sigdelset(&before, SIGTERM);
  sigdelset(&before, SIGINT);
  struct sigaction action = {.sa_handler = ask_to_stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);

  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
  socklen_t address_bytes = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int reuse = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 ||
      listen(listener, 64) != 0 ||
      getsockname(listener, (struct sockaddr*)&address, &address_bytes) != 0) {
    fprintf(stderr, "cannot serve 127.0.0.1:%s: %s; choose another port, or 0\n", port,
            strerrordesc_np(errno));
    close(listener);
    return 1;
  }
  printf("ready port=%u\n", ntohs(address.sin_port));
  fflush(stdout);

  while (!stop_asked) {
    struct pollfd one = {.fd = listener, .events = POLLIN};
    struct timespec second = {.tv_sec = 1};
    if (ppoll(&one, 1, &second, &before) <= 0) continue;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) continue;
    answer_one(fd, answer, context);
    close(fd);
  }
  close(listener);
  return 0;
}

static const char* call(int fd, const char* port, const struct http_request* request,
                        struct http_reply* reply) {
  int64_t deadline_ms = now_ms() + HTTP_TIMEOUT_MS;
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
  int error = 0;
  socklen_t error_bytes = sizeof error;
  if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) {
    if (errno != EINPROGRESS) return strerrordesc_np(errno);
    if (!wait_for(fd, POLLOUT, deadline_ms)) return "no connection in time";
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
    if (error != 0) return strerrordesc_np(error);
  }
  char text[BYTES_MAX + 1];
  int bytes = snprintf(text, sizeof text,
                       "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Length: 0\r\n"
                       "Connection: close\r\n%s%s%s\r\n",
                       request->method, request->target, port,
                       request->traceparent[0] ? "traceparent: " : "", request->traceparent,
                       request->traceparent[0] ? "\r\n" : "");
  if (send_all(fd, text, (size_t)bytes, deadline_ms) != 0) return "the request was cut off";
  if (receive(fd, text, 1, deadline_ms) != 0) return "no reply in time";
  if (sscanf(text, "HTTP/1.%*d %3d", &reply->status) != 1) return "the reply is not HTTP";
  snprintf(reply->body, sizeof reply->body, "%.*s", (int)sizeof reply->body - 1,
           strstr(text, "\r\n\r\n") + 4);
  return NULL;
}

int http_call(const char* port, const struct http_request* request, struct http_reply* reply) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const char* cause = fd < 0 ? strerrordesc_np(errno) : call(fd, port, request, reply);
  if (fd >= 0) close(fd);
  if (!cause) return 0;
  reply->status = 0;
  snprintf(reply->body, sizeof reply->body, "%s", cause);
  return -1;
}
