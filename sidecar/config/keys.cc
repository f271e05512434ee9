// SPDX-License-Identifier: Apache-2.0
// keys.cc: walks the table, which is short.
#include "config/keys.h"

#include <algorithm>
#include <utility>

#include "config/options.h"

namespace otlpshm::config {

std::optional<std::size_t> index_of(std::string_view key) {
  for (std::size_t index = 0; index < options().size(); ++index) {
    if (options()[index].key == key) return index;
  }
  return std::nullopt;
}

bool is_section(std::string_view path) {
  const std::string prefix = std::string(path) + '.';
  return std::any_of(options().begin(), options().end(),
                     [&](const Option& option) { return option.key.starts_with(prefix); });
}

std::vector<std::string> words_after(std::string_view prefix) {
  std::vector<std::string> words;
  for (const Option& option : options()) {
    if (!option.key.starts_with(prefix)) continue;
    const std::string_view rest = option.key.substr(prefix.size());
    std::string word(rest.substr(0, rest.find('.')));
    if (words.empty() || words.back() != word) words.push_back(std::move(word));
  }
  return words;
}

std::vector<std::string> all_keys() {
  std::vector<std::string> keys;
  for (const Option& option : options()) keys.emplace_back(option.key);
  return keys;
}

std::string comma_separated(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace otlpshm::config
