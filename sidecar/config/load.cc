// SPDX-License-Identifier: Apache-2.0
// load.cc: applies the sources in the order of precedence, each over the one before.
//   Owns   the errors and warnings until they are handed over.
#include "config/load.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "config/file.h"
#include "config/keys.h"
#include "config/nearest.h"
#include "config/quote.h"
#include "config/source_text.h"

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

  void file(const std::string& path) {
    FileReading read = read_file(path, sources_.environment, &result_.config);
    if (!read.source) return error(read.complaint);
    source_ = std::move(read.source);
    for (const FileReading::Placed& placed : read.placed) {
      origins_[placed.option] = {Rank::file, "file " + source_->where(placed.place), placed.place};
    }
    for (const Fault& fault : read.faults) {
      if (result_.errors.size() > errors_shown_max) break;
      add_error(source_->shown(fault));
    }
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
