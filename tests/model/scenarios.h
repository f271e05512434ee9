// SPDX-License-Identifier: Apache-2.0
// scenarios.h: see scenarios.cc.
#ifndef OTLPSHM_TESTS_MODEL_SCENARIOS_H
#define OTLPSHM_TESTS_MODEL_SCENARIOS_H

#include <cstddef>

#include "checker.h"

namespace otlpshm::model {

const Scenario* const* scenarios(std::size_t* count);

}  // namespace otlpshm::model

#endif
