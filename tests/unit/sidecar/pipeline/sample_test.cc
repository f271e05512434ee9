// SPDX-License-Identifier: Apache-2.0
#include "pipeline/sample.h"

#include <catch2/catch.hpp>

TEST_CASE("sample: a span is kept unless its application only recorded it") {
  otlpshm_record_header header = {};
  CHECK(otlpshm::pipeline::keep(header));
  header.record_flags = OTLPSHM_RECORD_PARENT_SAMPLED | OTLPSHM_RECORD_THRESHOLD_KNOWN;
  CHECK(otlpshm::pipeline::keep(header));
  header.record_flags |= OTLPSHM_RECORD_ONLY;
  CHECK_FALSE(otlpshm::pipeline::keep(header));
}
