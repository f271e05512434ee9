// SPDX-License-Identifier: Apache-2.0
// yaml.cc: the only includer of yaml-cpp; builds our nodes from its events.
//   Why events: its own tree forgets duplicate keys and has no bound on nodes.
#include "config/yaml.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>

namespace otlpshm::config {

namespace {

Place place_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {static_cast<std::size_t>(mark.line), static_cast<std::size_t>(mark.column), 1};
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const SourceText& source, YamlDocument& document)
      : source_(source), document_(document) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(YamlKind::null, mark, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end() || is_open(found->second)) {
      throw YAML::ParserException(mark, "an alias to a value that contains it");
    }
    // An alias counts as a node although it is none: the tree must not have more edges.
    if (++aliases_ + document_.nodes.size() > yaml_nodes_max) too_many(mark);
    attach(found->second);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    const std::uint32_t index = add(YamlKind::scalar, mark, anchor);
    YamlNode& node = document_.nodes[index];
    node.text = value;
    place_scalar(node, mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open_.push_back(add(YamlKind::list, mark, anchor));
  }
  void OnSequenceEnd() override { open_.pop_back(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open_.push_back(add(YamlKind::map, mark, anchor));
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  [[noreturn]] static void too_many(const YAML::Mark& mark) {
    throw YAML::ParserException(mark, "more than " + std::to_string(yaml_nodes_max) + " values");
  }

  std::uint32_t add(YamlKind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (aliases_ + document_.nodes.size() >= yaml_nodes_max) too_many(mark);
    const auto index = static_cast<std::uint32_t>(document_.nodes.size());
    document_.nodes.push_back({kind, place_of(mark)});
    attach(index);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = index;
    return index;
  }

  void attach(std::uint32_t index) {
    if (open_.empty()) {
      document_.root = index;
    } else {
      document_.nodes[open_.back()].children.push_back(index);
    }
  }

  bool is_open(std::uint32_t index) const {
    for (const std::uint32_t open : open_) {
      if (open == index) return true;
    }
    return false;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    const bool none = tag.empty() || tag == "?" || tag == "!";
    if (!none) document_.faults.push_back({place_of(mark), "tags are not supported: remove it"});
  }

  // A quote that is never closed passes yaml-cpp 0.7 if the file ends with a line end: it must not
  // pass here, for the value has swallowed the rest of the file.
  void place_scalar(YamlNode& node, const YAML::Mark& mark) {
    const std::string_view text = source_.text();
    const std::size_t begin = after_anchor(text, source_.offset(node.place));
    const char quote = begin < text.size() ? text[begin] : '\0';
    if (quote != '"' && quote != '\'') {
      if (source_.holds(node.place, node.text)) node.place.bytes = node.text.size();
      return;
    }
    const std::size_t end = quoted_end(text, begin);
    if (end == std::string_view::npos) {
      throw YAML::ParserException(mark, "a quote that is never closed");
    }
    node.place.bytes = end - source_.offset(node.place);
  }

  static std::size_t after_anchor(std::string_view text, std::size_t at) {
    if (at >= text.size() || text[at] != '&') return at;
    at = text.find_first_of(" \t\r\n", at);
    return at == std::string_view::npos ? at : text.find_first_not_of(" \t\r\n", at);
  }

  // The offset after the closing quote of the scalar that opens at `begin`, or npos.
  static std::size_t quoted_end(std::string_view text, std::size_t begin) {
    const char quote = text[begin];
    for (std::size_t at = begin + 1; at < text.size(); ++at) {
      if (quote == '"' && text[at] == '\\') {
        ++at;
      } else if (text[at] == quote) {
        if (quote == '"' || !text.substr(at + 1).starts_with(quote)) return at + 1;
        ++at;
      }
    }
    return std::string_view::npos;
  }

  const SourceText& source_;
  YamlDocument& document_;
  std::vector<std::uint32_t> open_;
  std::map<YAML::anchor_t, std::uint32_t> anchors_;
  std::size_t aliases_ = 0;
};

Fault malformed(const SourceText& source, const YAML::Mark& mark, const std::string& what) {
  Fault fault{place_of(mark), "malformed YAML: " + what};
  if (source.holds({fault.place.line, 0, 1}, "\t")) fault.hint = "indent with spaces, not tabs";
  return fault;
}

}  // namespace

YamlDocument parse_yaml(const SourceText& source) {
  YamlDocument document;
  try {
    std::istringstream stream{std::string(source.text())};
    YAML::Parser parser(stream);
    TreeBuilder builder(source, document);
    if (parser.HandleNextDocument(builder)) {
      YamlDocument second;
      TreeBuilder rest(source, second);
      if (parser.HandleNextDocument(rest)) {
        const Place place = second.root ? second.nodes[*second.root].place : Place{};
        document.faults.push_back({place, "a second YAML document: one file holds one"});
      }
    }
  } catch (const YAML::DeepRecursion& error) {
    document.root.reset();
    document.faults.push_back(malformed(source, error.mark, "nested too deeply"));
  } catch (const YAML::Exception& error) {
    document.root.reset();
    document.faults.push_back(malformed(source, error.mark, error.msg));
  } catch (const std::exception& error) {
    document.root.reset();
    document.faults.push_back({Place{}, "malformed YAML: " + std::string(error.what())});
  }
  return document;
}

}  // namespace otlpshm::config
