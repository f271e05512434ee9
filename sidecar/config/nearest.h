// SPDX-License-Identifier: Apache-2.0
// nearest.h: "did you mean": the known name that a mistyped one is closest to.
#ifndef OTLPSHM_CONFIG_NEAREST_H
#define OTLPSHM_CONFIG_NEAREST_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace otlpshm::config {

// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other
// (Damerau-Levenshtein, each letter touched once).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The first of the closest candidates, if it is at most 3 edits and half of its letters away. Names
// over 64 bytes are near to nothing.
std::optional<std::string> nearest(std::string_view name,
                                   const std::vector<std::string>& candidates);

}  // namespace otlpshm::config

#endif
