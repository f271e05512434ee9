// SPDX-License-Identifier: Apache-2.0
// utf8.h: is this UTF-8? As protobuf means it: no surrogates, nothing overlong, up to U+10FFFF.
//   Owns   nothing.
//   Never  reads past the end it is given.
#ifndef OTLPSHM_MODEL_UTF8_H
#define OTLPSHM_MODEL_UTF8_H

#include <cstddef>
#include <cstdint>

namespace otlpshm::model {

[[nodiscard]] bool is_utf8(const std::uint8_t* text, std::size_t bytes);

}  // namespace otlpshm::model

#endif
