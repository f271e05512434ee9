// SPDX-License-Identifier: Apache-2.0
// canary: a target that must fail, or the fuzzing ground finds nothing at all.
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  otlpshm::fuzz::demand(size < 4 || otlpshm::fuzz::input(bytes, 4) != "dead", "the canary lives");
  return 0;
}
