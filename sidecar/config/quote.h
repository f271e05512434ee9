// SPDX-License-Identifier: Apache-2.0
// quote.h: text from outside, made fit to be shown on a terminal or in a log.
//   Never  lets a control character, a broken UTF-8 sequence or an endless line through.
#ifndef OTLPSHM_CONFIG_QUOTE_H
#define OTLPSHM_CONFIG_QUOTE_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace otlpshm::config {

// C0, C1 or DEL.
bool is_control(std::uint32_t code);

// The offset of the first control character or broken sequence, tab and line ends included.
std::optional<std::size_t> first_unprintable(std::string_view text);

// The text in double quotes, unprintable bytes as \xNN, cut after about 60 bytes.
std::string quoted(std::string_view text);

// The same without quotes, cut after `bytes_max`: for names.
std::string printable(std::string_view text, std::size_t bytes_max = 60);

}  // namespace otlpshm::config

#endif
