// SPDX-License-Identifier: Apache-2.0
// keys.h: the keys of the table of options, and their words between the dots.
#ifndef OTLPSHM_CONFIG_KEYS_H
#define OTLPSHM_CONFIG_KEYS_H

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace otlpshm::config {

// In options().
std::optional<std::size_t> index_of(std::string_view key);

// Keys go on behind it with a dot.
bool is_section(std::string_view path);

// The words that may follow `prefix`, which is empty or ends with a dot.
std::vector<std::string> words_after(std::string_view prefix);

std::vector<std::string> all_keys();

std::string comma_separated(const std::vector<std::string>& words);

}  // namespace otlpshm::config

#endif
