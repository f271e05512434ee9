// SPDX-License-Identifier: Apache-2.0
// segment_id.h: the 16 random bytes that name a segment and its ack.
//   Never  takes a file name that is not exactly 32 lower-case hex digits and the ending.
#ifndef OTLPSHM_INGEST_SEGMENT_ID_H
#define OTLPSHM_INGEST_SEGMENT_ID_H

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace otlpshm::ingest {

struct SegmentId {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const SegmentId&) const = default;

  [[nodiscard]] std::string hex() const {
    std::string text;
    for (const std::uint8_t byte : bytes) {
      text += kDigits[byte >> 4];
      text += kDigits[byte & 15];
    }
    return text;
  }
  [[nodiscard]] std::string segment_name() const { return hex() + ".seg"; }
  [[nodiscard]] std::string ack_name() const { return hex() + ".ack"; }

  // From "<32 hex digits><ending>".
  static std::optional<SegmentId> from_name(std::string_view name, std::string_view ending) {
    if (name.size() != 32 + ending.size() || !name.ends_with(ending)) return std::nullopt;
    SegmentId id;
    for (std::size_t i = 0; i < 32; ++i) {
      const std::size_t digit = kDigits.find(name[i]);
      if (digit == std::string_view::npos) return std::nullopt;
      id.bytes[i / 2] = static_cast<std::uint8_t>(id.bytes[i / 2] << 4 | digit);
    }
    return id;
  }

 private:
  static constexpr std::string_view kDigits = "0123456789abcdef";
};

}  // namespace otlpshm::ingest

#endif
