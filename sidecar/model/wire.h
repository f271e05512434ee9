// SPDX-License-Identifier: Apache-2.0
// wire.h: the few facts of protobuf's wire format that the daemon needs.
//   Owns   nothing.
//   Never  reads past `end`; a varint or a length that does not fit is an answer, not a fault.
#ifndef OTLPSHM_MODEL_WIRE_H
#define OTLPSHM_MODEL_WIRE_H

#include <cstddef>
#include <cstdint>

namespace otlpshm::model {

enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

inline constexpr std::size_t kVarintBytesMax = 10;

constexpr std::uint32_t tag(std::uint32_t number, Wire wire) {
  return number << 3 | static_cast<std::uint32_t>(wire);
}

constexpr std::size_t varint_bytes(std::uint64_t value) {
  std::size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

// Writes at most kVarintBytesMax bytes; returns the end.
inline std::uint8_t* put_varint(std::uint8_t* at, std::uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<std::uint8_t>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<std::uint8_t>(value);
  return at;
}

// Returns the byte behind the varint, or null if it is cut short or longer than ten bytes.
inline const std::uint8_t* get_varint(const std::uint8_t* at, const std::uint8_t* end,
                                      std::uint64_t* value) {
  if (at != end && *at < 0x80) {
    *value = *at;
    return at + 1;
  }
  std::uint64_t sum = 0;
  for (unsigned shift = 0; shift < 70 && at != end; shift += 7) {
    const std::uint64_t byte = *at++;
    if (shift == 63 && byte > 1) return nullptr;
    sum |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = sum;
      return at;
    }
  }
  return nullptr;
}

// Tags and lengths: what every parser accepts is five bytes and 32 bits.
inline const std::uint8_t* get_varint32(const std::uint8_t* at, const std::uint8_t* end,
                                        std::uint32_t* value) {
  std::uint64_t wide = 0;
  const std::uint8_t* behind = get_varint(at, end, &wide);
  if (behind == nullptr || behind - at > 5 || wide > UINT32_MAX) return nullptr;
  *value = static_cast<std::uint32_t>(wide);
  return behind;
}

}  // namespace otlpshm::model

#endif
