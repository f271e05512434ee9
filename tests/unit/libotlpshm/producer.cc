// SPDX-License-Identifier: Apache-2.0
// producer.cc: see producer.h.
#include "producer.h"

#include <cstdlib>
#include <vector>

namespace otlpshm::library {

void forget_environment() {
  for (const char* name :
       {"OTLPSHM_DIR", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTLPSHM_RESOURCE_DETECTORS",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT",
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG"}) {
    unsetenv(name);
  }
}

otlpshm_writer_options options_of(const std::string& directory, std::uint64_t lane_bytes_budget) {
  otlpshm_writer_options options{};
  options.size = sizeof options;
  options.directory = directory.c_str();
  options.service_name = "test";
  options.lane_bytes_budget = lane_bytes_budget;
  return options;
}

otlpshm_writer* open_writer(const otlpshm_writer_options& options) {
  otlpshm_writer* writer = nullptr;
  REQUIRE(otlpshm_writer_open(&writer, &options) == OTLPSHM_OK);
  REQUIRE(writer != nullptr);
  return writer;
}

otlpshm_writer* open_writer(const std::string& directory, std::uint64_t lane_bytes_budget) {
  forget_environment();
  return open_writer(options_of(directory, lane_bytes_budget));
}

otlpshm_stats stats_of(otlpshm_writer* writer) {
  otlpshm_stats stats{};
  stats.size = sizeof stats;
  REQUIRE(otlpshm_writer_stats(writer, &stats) == OTLPSHM_OK);
  return stats;
}

int write_span(otlpshm_writer* writer, const std::string& name, unsigned flags) {
  otlpshm_start_options options{};
  options.size = sizeof options;
  options.flags = flags;
  otlpshm_span span{};
  otlpshm_span_start(writer, &span, name.data(), name.size(), &options);
  return otlpshm_span_end(&span);
}

int commit_record(otlpshm_attachment* attachment, std::uint32_t size, char fill, bool may_attach) {
  const std::vector<std::uint8_t> record(size, static_cast<std::uint8_t>(fill));
  return otlpshm_lane_commit(attachment, record.data(), size, nullptr, otlpshm_clock_monotonic(),
                             may_attach);
}

otlpshm_attribute string_attribute(const char* key, const char* text) {
  otlpshm_attribute attribute{};
  attribute.key = key;
  attribute.value.type = OTLPSHM_VALUE_STRING;
  attribute.value.as.string.text = text;
  attribute.value.as.string.bytes = std::strlen(text);
  return attribute;
}

}  // namespace otlpshm::library
