// SPDX-License-Identifier: Apache-2.0
// utf8.h: is this UTF-8, and which characters is it? As protobuf means it: no surrogates, nothing
// overlong, up to U+10FFFF.
//   Owns   nothing.
//   Never  reads past the end it is given.
#ifndef OTLPSHM_MODEL_UTF8_H
#define OTLPSHM_MODEL_UTF8_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace otlpshm::model {

// All bytes below 0x80? The last word overlaps the one before it, so there is no loop over a rest.
inline bool is_ascii(const std::uint8_t* text, std::size_t bytes) {
  std::uint64_t any = 0;
  if (bytes >= 8) {
    std::uint64_t word;
    for (std::size_t at = 0; at + 8 < bytes; at += 8) {
      std::memcpy(&word, text + at, 8);
      any |= word;
    }
    std::memcpy(&word, text + bytes - 8, 8);
    any |= word;
  } else if (bytes >= 4) {
    std::uint32_t first;
    std::uint32_t last;
    std::memcpy(&first, text, 4);
    std::memcpy(&last, text + bytes - 4, 4);
    any = first | last;
  } else {
    for (std::size_t at = 0; at < bytes; ++at) any |= text[at];
  }
  return (any & UINT64_C(0x8080808080808080)) == 0;
}

[[nodiscard]] bool is_utf8_beyond_ascii(const std::uint8_t* text, std::size_t bytes);

[[nodiscard]] inline bool is_utf8(const std::uint8_t* text, std::size_t bytes) {
  return is_ascii(text, bytes) || is_utf8_beyond_ascii(text, bytes);
}

struct Utf8Character {
  std::size_t bytes = 0;  // 0: none that is well-formed
  std::uint32_t code = 0;
};
// The character at the start of `text`.
[[nodiscard]] Utf8Character utf8_character(std::string_view text);

}  // namespace otlpshm::model

#endif
