// SPDX-License-Identifier: Apache-2.0
// quote.cc: a strict UTF-8 scanner (RFC 3629) and what is shown instead of unprintable bytes.
#include "config/quote.h"

#include <cstdint>

namespace otlpshm::config {

namespace {

constexpr std::size_t quoted_bytes_max = 60;

void append_escaped(std::string& out, unsigned char byte) {
  constexpr char digits[] = "0123456789abcdef";
  out += "\\x";
  out += digits[byte >> 4];
  out += digits[byte & 0xf];
}

std::string escaped(std::string_view text, std::size_t bytes_max) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (at >= bytes_max) return out + "…";
    const std::size_t bytes = utf8_bytes_at(text, at);
    if (bytes == 0 || is_control_at(text, at, bytes)) {
      append_escaped(out, static_cast<unsigned char>(text[at]));
      at += 1;
    } else {
      out += text.substr(at, bytes);
      at += bytes;
    }
  }
  return out;
}

}  // namespace

std::size_t utf8_bytes_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const std::size_t left = text.size() - at;
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (left < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and code points above U+10FFFF show in the second byte.
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;
  if (lead == 0xed && byte(1) > 0x9f) return 0;
  if (lead == 0xf0 && byte(1) < 0x90) return 0;
  if (lead == 0xf4 && byte(1) > 0x8f) return 0;
  return bytes;
}

bool is_control_at(std::string_view text, std::size_t at, std::size_t bytes) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (bytes == 1) return lead < 0x20 || lead == 0x7f;
  return bytes == 2 && lead == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

std::optional<std::size_t> first_unprintable(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = utf8_bytes_at(text, at);
    if (bytes == 0 || is_control_at(text, at, bytes)) return at;
    at += bytes;
  }
  return std::nullopt;
}

std::string quoted(std::string_view text) {
  return '"' + escaped(text, quoted_bytes_max) + '"';
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  return escaped(text, bytes_max);
}

}  // namespace otlpshm::config
