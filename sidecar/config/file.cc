// SPDX-License-Identifier: Apache-2.0
// file.cc: down the document and the table's keys at once; every fault stands at its place.
#include "config/file.h"

#include <algorithm>
#include <map>
#include <utility>

#include "config/keys.h"
#include "config/nearest.h"
#include "config/options.h"
#include "config/quote.h"
#include "config/substitute.h"
#include "config/yaml.h"

namespace otlpshm::config {

namespace {

std::string kind_text(const YamlNode& node) {
  switch (node.kind) {
    case YamlKind::null:
      return "nothing";
    case YamlKind::list:
      return "a list";
    case YamlKind::map:
      return "a map";
    case YamlKind::scalar:
      break;
  }
  return quoted(node.text);
}

class FileReader {
 public:
  FileReader(const Environment& environment, Config* config)
      : environment_(environment), config_(config) {}

  FileReading read(const std::string& path) {
    Parsed<SourceText> text = SourceText::read(path);
    if (!text.value) {
      reading_.complaint = text.complaint;
      return std::move(reading_);
    }
    reading_.source = std::move(text.value);
    for (Fault& fault : reading_.source->unreadable()) add_fault(std::move(fault));
    if (reading_.faults.empty()) {
      document_ = parse_yaml(*reading_.source);
      for (Fault& fault : document_.faults) add_fault(std::move(fault));
      if (document_.root) root(document_.nodes[*document_.root]);
    }
    std::stable_sort(reading_.faults.begin(), reading_.faults.end(),
                     [](const auto& a, const auto& b) {
                       return std::pair(a.place.line, a.place.column_bytes) <
                              std::pair(b.place.line, b.place.column_bytes);
                     });
    return std::move(reading_);
  }

 private:
  void add_fault(Fault fault) { reading_.faults.push_back(std::move(fault)); }

  void root(const YamlNode& node) {
    if (node.kind == YamlKind::null) return;
    if (node.kind == YamlKind::map) return section(node, "");
    add_fault({node.place, "expected a map of options; got " + kind_text(node),
               "write \"dir: /run/otlpshm\", for example"});
  }

  // `prefix` is empty or ends with a dot. Recursion ends with the depth of the table's keys.
  void section(const YamlNode& map, const std::string& prefix) {
    std::map<std::string_view, Place> seen;
    for (std::size_t i = 0; i + 1 < map.children.size(); i += 2) {
      const YamlNode& key = document_.nodes[map.children[i]];
      const YamlNode& value = document_.nodes[map.children[i + 1]];
      if (!is_new_word(key, prefix, seen)) continue;
      const std::string path = prefix + key.text;
      const bool nested_key = key.text.find('.') == std::string::npos;
      const auto index = nested_key ? index_of(path) : std::nullopt;
      if (index) {
        file_value(*index, key, value);
      } else if (nested_key && is_section(path)) {
        subsection(value, path);
      } else {
        unknown(key, prefix);
      }
    }
  }

  void subsection(const YamlNode& value, const std::string& path) {
    if (value.kind == YamlKind::map) return section(value, path + '.');
    if (value.kind == YamlKind::null) return;  // all of its lines are comments
    add_fault({value.place, path + ": expected a map of options; got " + kind_text(value),
               "it has " + comma_separated(words_after(path + '.'))});
  }

  bool is_new_word(const YamlNode& key, const std::string& prefix,
                   std::map<std::string_view, Place>& seen) {
    if (key.kind != YamlKind::scalar) {
      add_fault({key.place, prefix + "?: a key must be a word; got " + kind_text(key)});
      return false;
    }
    const auto [first, is_new] = seen.emplace(key.text, key.place);
    if (is_new) return true;
    add_fault({key.place, prefix + printable(key.text) + ": duplicate key",
               "first in line " + std::to_string(first->second.line + 1)});
    return false;
  }

  void unknown(const YamlNode& key, const std::string& prefix) {
    Fault fault{key.place, printable(prefix + key.text) + ": unknown key"};
    const std::vector<std::string> words = words_after(prefix);
    if (index_of(prefix + key.text)) {
      fault.hint = "write it nested, one level for each dot";
    } else if (const auto near = nearest(key.text, words)) {
      fault.hint = "did you mean \"" + *near + "\"?";
    } else {
      fault.hint = "known here: " + comma_separated(words);
    }
    add_fault(std::move(fault));
  }

  void file_value(std::size_t index, const YamlNode& key, const YamlNode& value) {
    const Option& option = options()[index];
    if (value.kind == YamlKind::null) {
      return add_fault({key.place, std::string(option.key) + ": has no value",
                        "give it one, or remove the line for the default"});
    }
    const bool placed =
        option.type == Type::headers ? file_headers(option, value) : file_scalar(option, value);
    if (!placed) return;
    reading_.placed.push_back({index, value.place});
  }

  bool file_scalar(const Option& option, const YamlNode& value) {
    const std::string path(option.key);
    if (value.kind != YamlKind::scalar) {
      add_fault({value.place,
                 path + ": expected " + expected_text(option) + "; got " + kind_text(value)});
      return false;
    }
    const auto text = resolved(value, path);
    if (!text) return false;
    const Complaint complaint = set_value(*config_, option, *text);
    if (complaint) add_fault({value.place, path + ": " + *complaint});
    return !complaint;
  }

  bool file_headers(const Option& option, const YamlNode& value) {
    const std::string path(option.key);
    if (value.kind != YamlKind::map) {
      // What stands there is not repeated: it may hold a secret.
      add_fault({value.place, path + ": expected a map of header names to values",
                 "write each on a line of its own, as \"name: value\""});
      return false;
    }
    if (value.children.size() / 2 > headers_max) {
      add_fault(
          {value.place, path + ": has more than " + std::to_string(headers_max) + " headers"});
      return false;
    }
    Headers headers;
    std::map<std::string_view, Place> seen;
    bool complete = true;
    for (std::size_t i = 0; i + 1 < value.children.size(); i += 2) {
      const YamlNode& name = document_.nodes[value.children[i]];
      if (!is_new_word(name, path + '.', seen)) {
        complete = false;
        continue;
      }
      const auto text = header_text(name, document_.nodes[value.children[i + 1]], path);
      const bool taken = text && takes_header(option, name, *text);
      if (taken) headers.push_back({name.text, *text});
      complete = complete && taken;
    }
    if (!complete) return false;
    const Complaint complaint = set_headers(*config_, option, headers);
    if (complaint) add_fault({value.place, path + ": " + *complaint});
    return !complaint;
  }

  // Each header alone first: then the complaint stands at its name.
  bool takes_header(const Option& option, const YamlNode& name, const std::string& text) {
    Parsed<Headers> one = checked_headers({{name.text, text}}, option.upper);
    if (!one.value) add_fault({name.place, std::string(option.key) + ": " + one.complaint});
    return one.value.has_value();
  }

  std::optional<std::string> header_text(const YamlNode& name, const YamlNode& value,
                                         const std::string& path) {
    const std::string header_path = path + '.' + printable(name.text);
    if (value.kind == YamlKind::scalar) return resolved(value, header_path);
    add_fault({name.place, header_path + ": expected one line of text"});
    return std::nullopt;
  }

  std::optional<std::string> resolved(const YamlNode& value, const std::string& path) {
    Parsed<std::string> text = substituted(value.text, environment_);
    if (!text.value) add_fault({value.place, path + ": " + text.complaint});
    return std::move(text.value);
  }

  const Environment& environment_;
  Config* const config_;
  YamlDocument document_;
  FileReading reading_;
};

}  // namespace

FileReading read_file(const std::string& path, const Environment& environment, Config* config) {
  return FileReader(environment, config).read(path);
}

}  // namespace otlpshm::config
