// SPDX-License-Identifier: Apache-2.0
// escape.cc: text that an application chose, made safe to show.
#include "telemetry/escape.h"

#include <algorithm>
#include <cstdint>

#include "model/utf8.h"

namespace otlpshm::telemetry {
namespace {

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

// `append` adds what is shown for a character; one without bytes is a byte of broken UTF-8.
template <typename Append>
std::string rewritten(std::string_view text, const Append& append) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const model::Utf8Character character = model::utf8_character(text);
    const std::string_view shown = text.substr(0, std::max<size_t>(character.bytes, 1));
    append(character, shown, &out);
    text.remove_prefix(shown.size());
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) {
  return rewritten(
      text, [](const model::Utf8Character& character, std::string_view shown, std::string* out) {
        switch (shown[0]) {
          case '\n':
            *out += "\\n";
            break;
          case '\r':
            *out += "\\r";
            break;
          case '\t':
            *out += "\\t";
            break;
          case '\\':
            *out += "\\\\";
            break;
          default:
            if (character.bytes == 0 || obeyed_by_terminals(character.code))
              append_hex(out, shown);
            else
              *out += shown;
        }
      });
}

std::string prometheus_label_value(std::string_view text) {
  return rewritten(
      text, [](const model::Utf8Character& character, std::string_view shown, std::string* out) {
        if (character.bytes == 0)
          *out += "\xef\xbf\xbd";
        else if (shown == "\n")
          *out += "\\n";
        else if (shown == "\\" || shown == "\"")
          (*out += '\\') += shown;
        else
          *out += shown;
      });
}

}  // namespace otlpshm::telemetry
