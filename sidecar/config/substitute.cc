// SPDX-License-Identifier: Apache-2.0
// substitute.cc: one pass from left to right; the output is bounded while it grows.
#include "config/substitute.h"

#include <algorithm>

#include "config/quote.h"

namespace otlpshm::config {

namespace {

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Parsed<std::string> failed(std::string complaint) {
  return {std::nullopt, std::move(complaint)};
}

// `inside` is what stands between ${ and }. It is not repeated in a complaint: it may be part of a
// password with a $ in it.
Parsed<std::string> reference(std::string_view inside,
                              const std::map<std::string, std::string>& environment) {
  if (!inside.starts_with("env:")) {
    return failed("${ is not followed by env: write ${env:NAME}, or $$ for a plain $");
  }
  inside.remove_prefix(4);
  const std::size_t separator = inside.find(":-");
  const std::string name(inside.substr(0, separator));
  if (!is_variable_name(name)) {
    return failed("${env: is not followed by the name of a variable: write ${env:NAME}");
  }
  const auto found = environment.find(name);
  if (separator != std::string_view::npos) {
    const bool use_default = found == environment.end() || found->second.empty();
    return {use_default ? std::string(inside.substr(separator + 2)) : found->second, {}};
  }
  if (found == environment.end()) {
    return failed("the environment variable " + printable(name) +
                  " is not set: set it, or write ${env:" + printable(name) + ":-default}");
  }
  return {found->second, {}};
}

}  // namespace

Parsed<std::string> substituted(std::string_view text,
                                const std::map<std::string, std::string>& environment) {
  std::string out;
  while (!text.empty()) {
    const std::size_t dollar = std::min(text.find('$'), text.size());
    out += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.starts_with("$$")) {
      out += '$';
      text.remove_prefix(2);
    } else if (text.starts_with("${")) {
      const std::size_t end = text.find('}');
      if (end == std::string_view::npos)
        return failed("${ has no }: close it, or write $$ for a $");
      Parsed<std::string> part = reference(text.substr(2, end - 2), environment);
      if (!part.value) return part;
      out += *part.value;
      text.remove_prefix(end + 1);
    } else if (!text.empty()) {
      out += '$';
      text.remove_prefix(1);
    }
    if (out.size() > value_bytes_max) {
      return failed("is longer than " + std::to_string(value_bytes_max) + " bytes: shorten it");
    }
  }
  return {std::move(out), {}};
}

}  // namespace otlpshm::config
