// SPDX-License-Identifier: Apache-2.0
// order.cc: an example service in C++: POST /orders?id=N&customer=N&article=N&amount=N asks the
// user, inventory and payment services, in this order.
//   Shows  a client span around every call, whose traceparent goes out with the request.
//   Run    OTEL_SERVICE_NAME=order OTLPSHM_DIR=... otlpshm-demo-order PORT USER INVENTORY PAYMENT
//          (the ports of the others)
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "http.h"
#include "otlpshm/otlpshm.hpp"

namespace {

struct Shop {
  otlpshm::Writer writer;
  const char* user_port;
  const char* inventory_port;
  const char* payment_port;
};

struct CallFailed : std::runtime_error {
  CallFailed(int status_code, const std::string& why) : runtime_error(why), status(status_code) {}
  int status;
};

std::string call(const Shop& shop, const otlpshm::Span& parent, const char* method,
                 const char* port, const char* route, const std::string& target) {
  otlpshm::Span span(shop.writer, std::string(method) + " " + route, parent, otlpshm::Kind::client);
  span.set("http.request.method", method).set("url.template", route);
  span.set("server.address", "127.0.0.1").set("server.port", std::atoi(port));

  http_request request{};
  http_reply reply{};
  std::snprintf(request.method, sizeof request.method, "%s", method);
  std::snprintf(request.target, sizeof request.target, "%s", target.c_str());
  std::snprintf(request.traceparent, sizeof request.traceparent, "%s", span.traceparent().c_str());
  const bool answered = http_call(port, &request, &reply) == 0;
  if (answered) span.set("http.response.status_code", reply.status);
  if (!answered || reply.status >= 400) {
    span.set_error(reply.body);
    throw CallFailed(answered ? reply.status : 502, reply.body);
  }
  return reply.body;
}

void answer(const http_request* request, http_reply* reply, void* context) {
  const Shop& shop = *static_cast<Shop*>(context);
  otlpshm::Span span(shop.writer, "POST /orders", otlpshm::extract(request->traceparent),
                     otlpshm::Kind::server);
  span.set("http.request.method", request->method).set("http.route", "/orders");

  unsigned id = 0, customer = 0, article = 0, amount = 0;
  if (std::sscanf(request->target, "/orders?id=%u&customer=%u&article=%u&amount=%u", &id, &customer,
                  &article, &amount) != 4) {
    reply->status = 404;
    std::snprintf(reply->body, sizeof reply->body,
                  "try /orders?id=1&customer=1&article=1&amount=20");
  } else {
    span.set("order.id", id).set("customer.id", customer);
    try {
      const std::string name = call(shop, span, "GET", shop.user_port, "/users/{id}",
                                    "/users/" + std::to_string(customer));
      call(shop, span, "GET", shop.inventory_port, "/stock/{article}",
           "/stock/" + std::to_string(article));
      call(shop, span, "POST", shop.payment_port, "/payments",
           "/payments?order=" + std::to_string(id) + "&amount=" + std::to_string(amount));
      reply->status = 200;
      std::snprintf(reply->body, sizeof reply->body, "order %u of %s", id, name.c_str());
    } catch (const CallFailed& failed) {
      span.set_error(failed.what());
      reply->status = failed.status;
      std::snprintf(reply->body, sizeof reply->body, "%s", failed.what());
    }
  }
  span.set("http.response.status_code", reply->status);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: otlpshm-demo-order PORT USER INVENTORY PAYMENT (ports)\n");
    return 64;
  }
  otlpshm::WriterOptions options;
  options.scope_name = "example.order";
  options.scope_version = OTLPSHM_VERSION_STRING;
  Shop shop{otlpshm::Writer(options), argv[2], argv[3], argv[4]};
  const int status = http_serve(argv[1], answer, &shop);

  const otlpshm_stats stats = shop.writer.stats();
  std::printf("stats ended=%" PRIu64 " committed=%" PRIu64 "\n", stats.ended, stats.committed);
  shop.writer.shutdown(2000);
  return status;
}
