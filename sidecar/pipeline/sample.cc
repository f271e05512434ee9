// SPDX-License-Identifier: Apache-2.0
// sample.cc: every span that its application sampled is kept.
#include "pipeline/sample.h"

namespace otlpshm::pipeline {

bool keep(const otlpshm_record_header& header) {
  // A record_only span was not sampled by its application; it is here for rules that keep errors
  // and slow spans, and there are none yet.
  return (header.record_flags & OTLPSHM_RECORD_ONLY) == 0;
}

}  // namespace otlpshm::pipeline
