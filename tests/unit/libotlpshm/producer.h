// SPDX-License-Identifier: Apache-2.0
// producer.h: a writer and its spans, as the cases use them.
//   Never  reads the environment that the tests were started in: OTEL_* and OTLPSHM_* are unset.
#ifndef OTLPSHM_TESTS_LIBOTLPSHM_PRODUCER_H
#define OTLPSHM_TESTS_LIBOTLPSHM_PRODUCER_H

#include <catch2/catch.hpp>
#include <string>

#include "library.h"
#include "shared_files.h"

namespace otlpshm::library {

inline constexpr std::uint64_t kSmall = 65536;  // a budget of one lane

void forget_environment();

otlpshm_writer_options options_of(const std::string& directory,
                                  std::uint64_t lane_bytes_budget = 0);
otlpshm_writer* open_writer(const std::string& directory, std::uint64_t lane_bytes_budget = 0);
otlpshm_writer* open_writer(const otlpshm_writer_options& options);
otlpshm_stats stats_of(otlpshm_writer* writer);

// Starts and ends a span; returns what end returned.
int write_span(otlpshm_writer* writer, const std::string& name = "span", unsigned flags = 0);

// Writes one span by calling `fill` between start and end, and reads it back.
template <typename Fill>
Span span_of(otlpshm_writer* writer, const PrivateDirectory& directory, Fill fill,
             const otlpshm_start_options* options = nullptr) {
  otlpshm_span span{};
  otlpshm_span_start_cstr(writer, &span, "name", options);
  fill(&span);
  REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
  const auto all = SegmentFile(directory.segment()).spans();
  REQUIRE(!all.empty());
  return all.back();
}

// A record of `size` bytes (header included) whose body is `fill`, straight into a lane.
int commit_record(otlpshm_attachment* attachment, std::uint32_t size, char fill,
                  bool may_attach = true);

otlpshm_attribute string_attribute(const char* key, const char* text);

}  // namespace otlpshm::library

#endif
