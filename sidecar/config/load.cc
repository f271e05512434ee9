// SPDX-License-Identifier: Apache-2.0
// load.cc: applies the sources in the order of precedence, each over the one before.
//   Owns   the errors and warnings until they are handed over.
//   Bound  the walk through a file visits no node twice on one path; the depth is the table's.
#include "config/load.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "config/nearest.h"
#include "config/quote.h"
#include "config/source_text.h"
#include "config/substitute.h"
#include "config/yaml.h"

namespace otlpshm::config {

namespace {

enum class Rank { defaults, otel_environment, file, environment, set };

struct Origin {
  Rank rank = Rank::defaults;
  std::string text = "default";
  Place place = {};  // in the file
};

// A bad OTEL_* endpoint is an error only if no later source replaces it.
struct Pending {
  std::size_t option = 0;
  std::string error;
};

// `larger` must not be below `smaller`.
struct Relation {
  std::string_view smaller;
  std::string_view larger;
};
constexpr Relation relations[] = {
    {"export.retry.initial_ms", "export.retry.max_ms"},
    {"batch.bytes_max", "memory.slab_bytes_max"},
};

constexpr std::string_view own_prefix = "OTLPSHM_";

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

// The words that may follow `prefix`, which is empty or ends with a dot.
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

class Loader {
 public:
  explicit Loader(const Sources& sources) : sources_(sources) {
    result_.config = default_config();
    origins_.resize(options().size());
  }

  Result run() {
    otel_environment();
    if (sources_.file) file(*sources_.file);
    own_environment();
    for (const std::string& set : sources_.sets) one_set(set);
    for (const Pending& pending : pending_) {
      const bool replaced = origins_[pending.option].rank > Rank::otel_environment;
      if (!replaced) error(pending.error);
    }
    if (result_.ok()) {
      check_relations();
      warn_of_http_port();
    }
    for (const Origin& origin : origins_) result_.origins.push_back(origin.text);
    return std::move(result_);
  }

 private:
  void error(const std::string& text) { add_error("error: " + text); }
  void warning(const std::string& text) { result_.warnings.push_back("warning: " + text); }

  void add_error(std::string text) {
    if (result_.errors.size() < errors_shown_max) {
      result_.errors.push_back(std::move(text));
    } else if (result_.errors.size() == errors_shown_max) {
      result_.errors.emplace_back("error: more errors follow: correct these first");
    }
  }

  // ---- environment ------------------------------------------------------------------------

  // Empty is unset.
  const std::string* variable(std::string_view name) const {
    const auto found = sources_.environment.find(std::string(name));
    return found == sources_.environment.end() || found->second.empty() ? nullptr : &found->second;
  }

  void otel_environment() {
    for (std::size_t index = 0; index < options().size(); ++index) {
      for (const std::string_view name : options()[index].otel_environment) {
        if (take_otel(index, name)) break;
      }
    }
  }

  bool take_otel(std::size_t index, std::string_view name) {
    const Option& option = options()[index];
    const std::string* text = variable(name);
    if (text == nullptr) return false;
    const std::string where = "environment " + std::string(name);
    const Complaint complaint = set_value(result_.config, option, *text);
    if (!complaint) {
      origins_[index] = {Rank::otel_environment, where};
      return true;
    }
    if (option.type == Type::endpoint) {
      // Sending somewhere else than was asked for is worse than not starting.
      pending_.push_back({index, where + ": " + *complaint});
      return true;
    }
    warning(where + ": " + *complaint + "; the variable is ignored");
    return false;
  }

  void own_environment() {
    std::vector<std::string> names;
    for (std::size_t index = 0; index < options().size(); ++index) {
      names.push_back(environment_name(options()[index]));
      const std::string* text = variable(names.back());
      if (text != nullptr) {
        assign(index, *text, {Rank::environment, "environment " + names.back()});
      }
    }
    for (auto entry = sources_.environment.lower_bound(std::string(own_prefix));
         entry != sources_.environment.end() && entry->first.starts_with(own_prefix); ++entry) {
      if (std::find(names.begin(), names.end(), entry->first) != names.end()) continue;
      const auto near = nearest(entry->first, names);
      warning("environment " + printable(entry->first) + ": no option has this name; " +
              (near ? "did you mean " + *near + "?" : "it is ignored"));
    }
  }

  // ---- --set ------------------------------------------------------------------------------

  void one_set(const std::string& set) {
    const std::size_t equals = set.find('=');
    if (equals == std::string::npos) {
      return error("--set " + quoted(set) + ": has no =; write --set key=value");
    }
    const std::string key = set.substr(0, equals);
    const auto index = index_of(key);
    if (index) return assign(*index, set.substr(equals + 1), {Rank::set, "--set"});
    std::string text = "--set " + printable(key) + ": ";
    if (is_section(key)) {
      return error(text + "is a section, not an option; it has " +
                   comma_separated(words_after(key + '.')));
    }
    const auto near = nearest(key, all_keys());
    error(text + "unknown key; " +
          (near ? "did you mean \"" + *near + "\"?" : "--print-config lists all keys"));
  }

  void assign(std::size_t index, std::string_view text, Origin origin) {
    const Option& option = options()[index];
    const Complaint complaint = set_value(result_.config, option, text);
    if (complaint) return error(origin.text + ": " + std::string(option.key) + ": " + *complaint);
    origins_[index] = std::move(origin);
  }

  // ---- file -------------------------------------------------------------------------------

  void file(const std::string& path) {
    Parsed<SourceText> read = SourceText::read(path);
    if (!read.value) return error(read.complaint);
    source_ = std::move(read.value);
    for (Fault& fault : source_->unreadable()) add_fault(std::move(fault));
    if (faults_.empty()) {
      document_ = parse_yaml(*source_);
      for (Fault& fault : document_.faults) add_fault(std::move(fault));
      if (document_.root) root(document_.nodes[*document_.root]);
    }
    std::stable_sort(faults_.begin(), faults_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.place.line, a.place.column_bytes) <
             std::pair(b.place.line, b.place.column_bytes);
    });
    for (const Fault& fault : faults_) {
      if (result_.errors.size() > errors_shown_max) break;
      add_error(source_->shown(fault));
    }
  }

  void add_fault(Fault fault) { faults_.push_back(std::move(fault)); }

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
    origins_[index] = {Rank::file, "file " + source_->where(value.place), value.place};
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
    const Complaint complaint = set_value(result_.config, option, *text);
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
    const Complaint complaint = set_headers(result_.config, option, headers);
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
    Parsed<std::string> text = substituted(value.text, sources_.environment);
    if (!text.value) add_fault({value.place, path + ": " + text.complaint});
    return std::move(text.value);
  }

  // ---- all together -----------------------------------------------------------------------

  // Said at the value of the higher rank: that is the one that was changed last.
  void check_relations() {
    for (const Relation& relation : relations) {
      const std::size_t smaller = *index_of(relation.smaller);
      const std::size_t larger = *index_of(relation.larger);
      if (number(smaller) <= number(larger)) continue;
      const bool blame_smaller = origins_[smaller].rank > origins_[larger].rank;
      const std::size_t blamed = blame_smaller ? smaller : larger;
      const std::size_t other = blame_smaller ? larger : smaller;
      const std::string text = std::string(options()[blamed].key) + ": " + shown(blamed) +
                               (blame_smaller ? " is above " : " is below ") +
                               std::string(options()[other].key) + ", " + shown(other) + " (" +
                               origins_[other].text + "): change one of them";
      const Origin& origin = origins_[blamed];
      if (origin.rank == Rank::file) {
        add_error(source_->shown({origin.place, text}));
      } else {
        error(origin.text + ": " + text);
      }
    }
  }

  std::uint64_t number(std::size_t index) const {
    return result_.config.*std::get<std::uint64_t Config::*>(options()[index].member);
  }

  std::string shown(std::size_t index) const {
    const Option& option = options()[index];
    const std::string unit = option.unit.empty() ? "" : ' ' + std::string(option.unit);
    return value_text(result_.config, option) + unit;
  }

  void warn_of_http_port() {
    if (result_.config.export_endpoint.port != 4318) return;
    const std::size_t index = *index_of("export.endpoint");
    warning(origins_[index].text + ": export.endpoint: port 4318 is usually OTLP over HTTP, and " +
            "this is OTLP over gRPC, usually 4317");
  }

  const Sources& sources_;
  Result result_;
  std::vector<Origin> origins_;
  std::vector<Pending> pending_;
  std::optional<SourceText> source_;
  YamlDocument document_;
  std::vector<Fault> faults_;
};

}  // namespace

Result load(const Sources& sources) {
  try {
    return Loader(sources).run();
  } catch (const std::exception& failure) {
    Result result;
    result.errors.push_back("error: cannot load the configuration: " + std::string(failure.what()));
    return result;
  }
}

Environment environment_from(const char* const* environment) {
  Environment copy;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    copy.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return copy;
}

}  // namespace otlpshm::config
