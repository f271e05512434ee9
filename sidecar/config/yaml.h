// SPDX-License-Identifier: Apache-2.0
// yaml.h: a YAML text as a small tree of nodes that know their place.
//   Owns   at most 10000 nodes; an alias is the index of its node, so that nothing is ever copied.
//   Never  throws, resolves a scalar to a type, or follows a tag.
#ifndef OTLPSHM_CONFIG_YAML_H
#define OTLPSHM_CONFIG_YAML_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/source_text.h"

namespace otlpshm::config {

inline constexpr std::size_t yaml_nodes_max = 10000;

enum class YamlKind { null, scalar, list, map };

struct YamlNode {
  YamlKind kind = YamlKind::null;
  Place place;
  std::string text = {};                     // of a scalar
  std::vector<std::uint32_t> children = {};  // of a list; of a map: key, value, key, value…
};

// A cycle is impossible: an alias to a node that is still open is a fault.
struct YamlDocument {
  std::vector<YamlNode> nodes;
  std::optional<std::uint32_t> root;  // none: an empty file, or faults
  std::vector<Fault> faults;
};

// Requires source.unreadable() to be empty.
YamlDocument parse_yaml(const SourceText& source);

}  // namespace otlpshm::config

#endif
