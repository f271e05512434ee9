// SPDX-License-Identifier: Apache-2.0
// escape.cc: text that an application chose, made safe to show.
#include "telemetry/escape.h"

#include <cstdint>

namespace otlpshm::telemetry {
namespace {

// The code point of a character of `bytes` bytes that is known to be well-formed.
uint32_t code_point(std::string_view text, size_t bytes) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  if (bytes == 1) return byte(0);
  uint32_t code = byte(0) & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) code = code << 6 | (byte(i) & 0x3fu);
  return code;
}

bool obeyed_by_terminals(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0)             // C0, DEL, C1
         || code == 0x061c || (code >= 0x200e && code <= 0x200f)  // bidirectional marks,
         || (code >= 0x2028 && code <= 0x202e)                    // line separators, overrides,
         || (code >= 0x2066 && code <= 0x2069);                   // isolates
}

void append_hex(std::string* out, std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    *out += "\\x";
    *out += digits[byte >> 4];
    *out += digits[byte & 15];
  }
}

}  // namespace

size_t utf8_character_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i)
    if ((static_cast<uint8_t>(text[i]) & 0xc0) != 0x80) return 0;
  const uint32_t code = code_point(text, bytes);
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return overlong || surrogate || code > 0x10ffff ? 0 : bytes;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = utf8_character_bytes(text);
    const std::string_view character = text.substr(0, bytes == 0 ? 1 : bytes);
    text.remove_prefix(character.size());
    switch (character[0]) {
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        if (bytes == 0 || obeyed_by_terminals(code_point(character, bytes)))
          append_hex(&out, character);
        else
          out += character;
    }
  }
  return out;
}

std::string prometheus_label_value(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = utf8_character_bytes(text);
    const std::string_view character = text.substr(0, bytes == 0 ? 1 : bytes);
    text.remove_prefix(character.size());
    if (bytes == 0)
      out += "\xef\xbf\xbd";
    else if (character == "\n")
      out += "\\n";
    else if (character == "\\" || character == "\"")
      (out += '\\') += character;
    else
      out += character;
  }
  return out;
}

}  // namespace otlpshm::telemetry
