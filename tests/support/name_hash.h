// SPDX-License-Identifier: Apache-2.0
// name_hash.h: the hash in a record's header, byte by byte from docs/abi.md#name-hash.
//   Never  uses the code that it tests.
#ifndef OTLPSHM_TESTS_NAME_HASH_H
#define OTLPSHM_TESTS_NAME_HASH_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace otlpshm::tests {

inline std::uint64_t name_hash(std::string_view text) {
  std::uint64_t hash = text.size();
  for (std::size_t at = 0; at < text.size(); at += 8) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < 8 && at + i < text.size(); ++i) {
      word |= std::uint64_t{static_cast<unsigned char>(text[at + i])} << (8 * i);
    }
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace otlpshm::tests

#endif
