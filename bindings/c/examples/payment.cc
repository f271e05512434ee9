// SPDX-License-Identifier: Apache-2.0
// payment.cc: an example service in C++: POST /payments?order=N&amount=N takes the money, or
// declines it above the card's limit.
//   Shows  an error as OpenTelemetry wants it: an exception event and a status, up the tree.
//   Run    OTEL_SERVICE_NAME=payment OTLPSHM_DIR=... otlpshm-demo-payment [PORT]
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "http.h"
#include "otlpshm/otlpshm.hpp"

namespace {

constexpr unsigned kCardLimit = 500;

struct CardDeclined : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void authorize_card(const otlpshm::Writer& writer, const otlpshm::Span& parent, unsigned amount) {
  otlpshm::Span span(writer, "authorize card", parent);
  span.set("payment.amount", static_cast<double>(amount)).set("payment.provider", "acme-cards");
  std::this_thread::sleep_for(std::chrono::milliseconds(2));  // stands for the card network
  if (amount > kCardLimit) {
    const CardDeclined declined("card declined: over its limit");
    span.record_exception("CardDeclined", declined.what());
    throw declined;
  }
}

void answer(const http_request* request, http_reply* reply, void* context) {
  const auto& writer = *static_cast<otlpshm::Writer*>(context);
  otlpshm::Span span(writer, "POST /payments", otlpshm::extract(request->traceparent),
                     otlpshm::Kind::server);
  span.set("http.request.method", request->method).set("http.route", "/payments");

  unsigned order = 0;
  unsigned amount = 0;
  if (std::sscanf(request->target, "/payments?order=%u&amount=%u", &order, &amount) != 2) {
    reply->status = 404;
    std::snprintf(reply->body, sizeof reply->body, "try /payments?order=1&amount=20");
  } else {
    try {
      span.set("order.id", order);
      authorize_card(writer, span, amount);
      span.set("payment.status", "approved");
      reply->status = 200;
      std::snprintf(reply->body, sizeof reply->body, "approved");
    } catch (const CardDeclined& declined) {
      span.set("payment.status", "declined").set_error(declined.what());
      reply->status = 402;
      std::snprintf(reply->body, sizeof reply->body, "%s", declined.what());
    }
  }
  span.set("http.response.status_code", reply->status);
}

}  // namespace

int main(int argc, char** argv) {
  otlpshm::WriterOptions options;
  options.scope_name = "example.payment";
  options.scope_version = OTLPSHM_VERSION_STRING;
  otlpshm::Writer writer(options);
  const int status = http_serve(argc > 1 ? argv[1] : "0", answer, &writer);

  const otlpshm_stats stats = writer.stats();
  std::printf("stats ended=%" PRIu64 " committed=%" PRIu64 "\n", stats.ended, stats.committed);
  writer.shutdown(2000);
  return status;
}
