// SPDX-License-Identifier: Apache-2.0
// print.cc: two views of the table. Sections follow from the dots of the keys.
#include "config/print.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace otlpshm::config {

namespace {

struct Line {
  std::string text;
  std::string comment;
};

// A double-quoted YAML scalar; "$" is doubled, for load() substitutes in every scalar.
std::string yaml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '$') out += '$';
    out += c;
  }
  return out + '"';
}

std::string yaml_value(const Config& config, const Option& option) {
  const std::string text = value_text(config, option);
  const bool plain = option.type == Type::number || option.type == Type::ratio ||
                     option.type == Type::bytes || option.type == Type::choice;
  return plain ? text : yaml_text(text);
}

std::vector<std::string_view> words_of(std::string_view key) {
  std::vector<std::string_view> words;
  for (std::size_t dot = 0; (dot = key.find('.')) != std::string_view::npos;) {
    words.push_back(key.substr(0, dot));
    key.remove_prefix(dot + 1);
  }
  words.push_back(key);
  return words;
}

std::string indent(std::size_t depth) {
  return std::string(2 * depth, ' ');
}

std::vector<Line> option_lines(const Result& result, std::size_t index, std::size_t depth) {
  const Option& option = options()[index];
  const std::string key = indent(depth) + std::string(words_of(option.key).back()) + ": ";
  const std::string& origin = result.origins[index];
  if (option.type != Type::headers) {
    return {{key + yaml_value(result.config, option), origin}};
  }
  const Headers& headers = result.config.*std::get<Headers Config::*>(option.member);
  if (headers.empty()) return {{key + "{}", origin}};
  std::vector<Line> lines = {{key.substr(0, key.size() - 1), origin}};
  for (const Header& header : headers) {
    lines.push_back({indent(depth + 1) + yaml_text(header.name) + ": \"***\"", ""});
  }
  return lines;
}

std::string type_cell(const Option& option) {
  std::string text = expected_text(option);
  if (option.type != Type::choice) return text;
  text.clear();
  for (const std::string_view choice : option.choices) {
    text += (text.empty() ? "`" : ", `") + std::string(choice) + '`';
  }
  return text;
}

std::string environment_cell(const Option& option) {
  std::string text = '`' + environment_name(option) + '`';
  for (const std::string_view name : option.otel_environment) {
    text += ", `" + std::string(name) + '`';
  }
  return text;
}

std::string option_row(const Option& option) {
  std::string key = '`' + std::string(option.key) + '`';
  if (!option.flag.empty()) key += ", `" + std::string(option.flag) + '`';
  const std::string default_cell =
      option.default_text.empty() ? "none" : '`' + std::string(option.default_text) + '`';
  return "| " + key + " | " + type_cell(option) + " | " + default_cell + " | " +
         (option.reload ? "yes" : "no") + " | " + environment_cell(option) + " | " +
         std::string(option.doc) + " |\n";
}

constexpr std::string_view introduction = R"(# Configuration of otlpshmd

<!-- Generated from sidecar/config/options.cc by `otlpshmd --print-options-markdown`; a test compares. -->

The daemon runs without any configuration. What differs from the defaults comes from these places;
a later one wins, option by option:

1. the defaults below;
2. the standard variables `OTEL_EXPORTER_OTLP_…` (a `_TRACES_` one before the general one);
3. the YAML file given with `--config FILE`;
4. the variables `OTLPSHM_…` of the daemon's environment;
5. `--set key=value` on the command line (`--dir D` is short for `--set dir=D`).

In the file, each dot of a key is one level of a map:

```yaml
export:
  endpoint: http://collector.example:4317
  headers:
    authorization: Bearer ${env:COLLECTOR_TOKEN}
batch:
  bytes_max: 2MiB
```

- `${env:NAME}` in a value is replaced by that variable, an error if it is not set;
  `${env:NAME:-text}` is `text` if it is not set or empty; `$$` is one `$`. What was put in is never
  read as YAML, and keys are left alone. Quotes around a value change nothing.
- Sizes are bytes, or have one of the suffixes `KiB`, `MiB`, `GiB`.
- In a variable or after `--set`, `export.headers` is a list, `name=value,name=value`, with values
  percent-encoded; in the file it is a map. Header values are never shown.
- A variable that is set but empty counts as not set.
- `https://` endpoints are refused: this version has no TLS and does not send in clear what was
  meant to be encrypted. Send to a collector on the same machine.
- An unknown key or a bad value is an error with its place, and the daemon exits with status 78.
  Two things are only warned of: a standard `OTEL_…` variable with a bad number or header list is
  ignored, and so is an `OTLPSHM_…` variable that names no option.
- `otlpshmd --check-config` reports every error and exits; `otlpshmd --print-config` shows the
  configuration in effect and where each value comes from.

## Options

Reload: whether a change takes effect without a restart.

| Option | Takes | Default | Reload | Environment | Meaning |
| --- | --- | --- | --- | --- | --- |
)";

}  // namespace

std::string effective_config(const Result& result) {
  assert(result.ok() && result.origins.size() == options().size());
  std::vector<Line> lines;
  std::vector<std::string_view> open;
  for (std::size_t index = 0; index < options().size(); ++index) {
    const std::vector<std::string_view> words = words_of(options()[index].key);
    std::size_t depth = 0;
    while (depth < open.size() && depth + 1 < words.size() && open[depth] == words[depth]) ++depth;
    open.assign(words.begin(), words.end() - 1);
    for (; depth < open.size(); ++depth) {
      lines.push_back({indent(depth) + std::string(open[depth]) + ':', ""});
    }
    for (Line& line : option_lines(result, index, depth)) lines.push_back(std::move(line));
  }
  std::size_t width = 0;
  for (const Line& line : lines)
    width = std::max(width, std::min<std::size_t>(line.text.size(), 60));
  std::string out;
  for (const Line& line : lines) {
    out += line.text;
    if (!line.comment.empty()) {
      out += std::string(width - std::min(width, line.text.size()), ' ') + "  # " + line.comment;
    }
    out += '\n';
  }
  return out;
}

std::string options_markdown() {
  std::string out(introduction);
  for (const Option& option : options()) out += option_row(option);
  return out;
}

}  // namespace otlpshm::config
