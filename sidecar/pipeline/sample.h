// SPDX-License-Identifier: Apache-2.0
// sample.h: station 7: is this span kept?
//   Never  decides by dice: a decision follows from the record alone, so that all spans of a trace
//          get the same one (design of OpenTelemetry's consistent sampling).
//   Loses  spans that no rule keeps, counted as sampled_out: a decision, not a loss.
#ifndef OTLPSHM_PIPELINE_SAMPLE_H
#define OTLPSHM_PIPELINE_SAMPLE_H

#include "model/record.h"

namespace otlpshm::pipeline {

[[nodiscard]] bool keep(const otlpshm_record_header& header);

}  // namespace otlpshm::pipeline

#endif
