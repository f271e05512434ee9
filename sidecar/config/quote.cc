// SPDX-License-Identifier: Apache-2.0
// quote.cc: what is shown instead of unprintable bytes.
#include "config/quote.h"

#include "model/utf8.h"

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
    const model::Utf8Character character = model::utf8_character(text.substr(at));
    if (character.bytes == 0 || is_control(character.code)) {
      append_escaped(out, static_cast<unsigned char>(text[at]));
      at += 1;
    } else {
      out += text.substr(at, character.bytes);
      at += character.bytes;
    }
  }
  return out;
}

}  // namespace

bool is_control(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

std::optional<std::size_t> first_unprintable(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const model::Utf8Character character = model::utf8_character(text.substr(at));
    if (character.bytes == 0 || is_control(character.code)) return at;
    at += character.bytes;
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
