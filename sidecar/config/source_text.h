// SPDX-License-Identifier: Apache-2.0
// source_text.h: the text of a configuration file, and faults shown at their place in it.
//   Owns   a private copy of the file: at most 1 MiB, UTF-8 without control characters.
//   Never  shows what may be a secret: header values, tokens, passwords in URLs.
#ifndef OTLPSHM_CONFIG_SOURCE_TEXT_H
#define OTLPSHM_CONFIG_SOURCE_TEXT_H

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/value.h"

namespace otlpshm::config {

inline constexpr std::size_t file_bytes_max = 1 << 20;

// Where something stands, counted from 0 in lines and bytes.
struct Place {
  std::size_t line = 0;
  std::size_t column_bytes = 0;
  std::size_t bytes = 1;

  bool operator==(const Place&) const = default;
};

struct Fault {
  Place place;
  std::string text;       // "export.endpont: unknown key"
  std::string hint = {};  // shown beside the caret
};

class SourceText {
 public:
  // `name` is shown as it was given by the user.
  SourceText(std::string name, std::string bytes);

  // The whole of a regular file; follows symbolic links, as mounted ConfigMaps need.
  static Parsed<SourceText> read(const std::string& path);

  const std::string& name() const { return name_; }
  std::string_view text() const { return bytes_; }

  // Broken UTF-8 or a control character that no YAML file holds; only the first one.
  std::vector<Fault> unreadable() const;

  // name:line:column, counted from 1, in code points.
  std::string where(const Place& place) const;

  // The fault with its line, the line before, and a caret.
  std::string shown(const Fault& fault) const;

  // In text(), of the first byte of `place`.
  std::size_t offset(const Place& place) const;

  // True if exactly `expected` stands at `place`.
  bool holds(const Place& place, std::string_view expected) const;

 private:
  std::string_view line(std::size_t index) const;
  std::size_t secret_from(std::size_t index) const;
  std::string line_shown(std::size_t index) const;

  std::string name_;
  std::string bytes_;
  std::vector<std::size_t> line_starts_;
};

}  // namespace otlpshm::config

#endif
