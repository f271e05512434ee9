// SPDX-License-Identifier: Apache-2.0
// quote.h: text from outside, made fit to be shown on a terminal or in a log.
//   Never  lets a control character, a broken UTF-8 sequence or an endless line through.
#ifndef OTLPSHM_CONFIG_QUOTE_H
#define OTLPSHM_CONFIG_QUOTE_H

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace otlpshm::config {

// The bytes of the well-formed UTF-8 sequence at `at`, 1 to 4; 0 if there is none.
// Precondition: at < text.size().
std::size_t utf8_bytes_at(std::string_view text, std::size_t at);

// True if the code point of `bytes` bytes at `at` is a C0 or C1 control, or DEL.
bool is_control_at(std::string_view text, std::size_t at, std::size_t bytes);

// The offset of the first control character or broken sequence, tab and line ends included.
std::optional<std::size_t> first_unprintable(std::string_view text);

// The text in double quotes, unprintable bytes as \xNN, cut after about 60 bytes.
std::string quoted(std::string_view text);

// The same without quotes, cut after `bytes_max`: for names.
std::string printable(std::string_view text, std::size_t bytes_max = 60);

}  // namespace otlpshm::config

#endif
