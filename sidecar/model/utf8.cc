// SPDX-License-Identifier: Apache-2.0
// utf8.cc: eight ASCII bytes at a time; the rest by the table of Unicode 15, section 3.9, D92.
#include "model/utf8.h"

#include <cstring>

namespace otlpshm::model {

namespace {

constexpr std::uint64_t kHighBits = UINT64_C(0x8080808080808080);

// Bytes of the well-formed sequence at `text`, or 0. `text` does not start with ASCII.
std::size_t sequence_bytes(const std::uint8_t* text, std::size_t left) {
  const std::uint8_t lead = text[0];
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (bytes > left) return 0;
  // The second byte decides about overlong forms, surrogates and the upper bound.
  const std::uint8_t lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const std::uint8_t highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (text[1] < lowest || text[1] > highest) return 0;
  for (std::size_t i = 2; i < bytes; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  return bytes;
}

}  // namespace

bool is_utf8_beyond_ascii(const std::uint8_t* text, std::size_t bytes) {
  std::size_t at = 0;
  while (at < bytes) {
    if (bytes - at >= 8) {
      std::uint64_t eight;
      std::memcpy(&eight, text + at, 8);
      if ((eight & kHighBits) == 0) {
        at += 8;
        continue;
      }
    }
    if (text[at] < 0x80) {
      ++at;
      continue;
    }
    const std::size_t step = sequence_bytes(text + at, bytes - at);
    if (step == 0) return false;
    at += step;
  }
  return true;
}

Utf8Character utf8_character(std::string_view text) {
  if (text.empty()) return {};
  const auto* const at = reinterpret_cast<const std::uint8_t*>(text.data());
  if (at[0] < 0x80) return {1, at[0]};
  const std::size_t bytes = sequence_bytes(at, text.size());
  if (bytes == 0) return {};
  std::uint32_t code = at[0] & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) code = code << 6 | (at[i] & 0x3fu);
  return {bytes, code};
}

}  // namespace otlpshm::model
