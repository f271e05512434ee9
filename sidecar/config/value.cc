// SPDX-License-Identifier: Apache-2.0
// value.cc: hand-written recognisers; each reads its text once, from left to right.
#include "config/value.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <utility>

#include "config/quote.h"

namespace otlpshm::config {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array<Unit, 3> units = {{{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_address(int family, std::string_view host) {
  if (host.find('\0') != std::string_view::npos) return false;  // inet_pton would stop there
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(family, std::string(host).c_str(), address.data()) == 1;
}

// A DNS name or an IPv4 address. Underscores are not DNS, but container networks use them.
bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  std::size_t label_bytes = 0;
  for (const char c : host) {
    if (c == '.') {
      if (label_bytes == 0) return false;
      label_bytes = 0;
    } else if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_') {
      return false;
    } else if (++label_bytes > 63) {
      return false;
    }
  }
  // Dotted digits that are not an address would be looked up as a name, and never found.
  const bool digits = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return !digits || is_address(AF_INET, host);
}

// The parts around the last colon, an IPv6 host out of its brackets. No value: neither form.
struct Authority {
  std::string_view host;
  std::optional<std::string_view> port;
  bool ipv6 = false;
};

std::optional<Authority> split_authority(std::string_view text) {
  Authority authority;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    authority.ipv6 = true;
    authority.host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    const std::size_t colon = text.find(':');
    authority.host = text.substr(0, colon);
    if (colon != std::string_view::npos) rest = text.substr(colon);
    if (rest.find(':', 1) != std::string_view::npos) return std::nullopt;
  }
  if (rest.empty()) return authority;
  if (rest.front() != ':') return std::nullopt;
  authority.port = rest.substr(1);
  return authority;
}

std::optional<std::uint16_t> port_from(std::string_view text) {
  const auto number = number_from(text);
  if (!number || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

Parsed<HostPort> no_endpoint(std::string complaint) {
  return {std::nullopt, std::move(complaint)};
}

Parsed<HostPort> endpoint_authority(std::string_view url, std::string_view rest) {
  const std::string got = "; got " + quoted(url);
  const auto authority = split_authority(rest);
  if (!authority) {
    return no_endpoint("expected http://host:port, an IPv6 address in brackets" + got);
  }
  const bool host_ok =
      authority->ipv6 ? is_address(AF_INET6, authority->host) : is_host_name(authority->host);
  if (!host_ok) {
    return no_endpoint("the host " + quoted(authority->host) +
                       " is neither a name nor an address: write http://host:port");
  }
  if (!authority->port) {
    return no_endpoint("has no port: write http://" + printable(rest) +
                       ":4317, if the receiver uses the " + "usual port of OTLP over gRPC");
  }
  const auto port = port_from(*authority->port);
  if (!port || *port == 0) return no_endpoint("expected a port of 1 to 65535" + got);
  return {HostPort{std::string(authority->host), *port}, {}};
}

std::string header_complaint(const Header& header) {
  static constexpr std::array<std::string_view, 6> of_grpc = {
      "content-type", "te", "user-agent", "host", "connection", "content-length"};
  const std::string& name = header.name;
  if (name.empty()) return "has a header without a name: write name and value";
  const bool characters_ok = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.';
  });
  if (!characters_ok) {
    return "the header name " + quoted(name) + " may hold only letters, digits, -, _ and .";
  }
  if (name.starts_with("grpc-") || std::find(of_grpc.begin(), of_grpc.end(), name) != of_grpc.end())
    return "the header " + quoted(name) + " is set by gRPC itself: remove it";
  if (name.ends_with("-bin")) {
    return "the header " + quoted(name) + " would be binary, which is not supported: rename it";
  }
  const bool value_ok = std::all_of(header.value.begin(), header.value.end(),
                                    [](char c) { return c >= 0x20 && c <= 0x7e; });
  if (!value_ok) return "the value of the header " + quoted(name) + " must be printable ASCII";
  return {};
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    if (text.size() - at < 3) return std::nullopt;
    const int high = hex_digit(text[at + 1]);
    const int low = hex_digit(text[at + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return out;
}

}  // namespace

std::string HostPort::text() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::optional<std::uint64_t> number_from(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  // A leading zero is octal to some readers of YAML and decimal to others.
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> ratio_from(std::string_view text) {
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  if (whole != "0" && whole != "1") return std::nullopt;
  if (point != std::string_view::npos) {
    const std::string_view rest = text.substr(point + 1);
    if (rest.empty() || !std::all_of(rest.begin(), rest.end(), is_digit)) return std::nullopt;
  }
  double ratio = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ratio);
  if (error == std::errc::result_out_of_range) return 0.0;  // nearer to 0 than any double
  if (error != std::errc() || end != text.data() + text.size() || ratio > 1) return std::nullopt;
  return ratio;
}

std::string ratio_text(double ratio) {
  char text[1100];  // the longest is 2^-1074
  const auto [end, error] =
      std::to_chars(text, text + sizeof text, ratio, std::chars_format::fixed);
  assert(error == std::errc());
  return {text, end};
}

std::optional<std::uint64_t> bytes_from(std::string_view text) {
  std::uint64_t unit_bytes = 1;
  for (const Unit& unit : units) {
    if (text.ends_with(unit.name)) {
      unit_bytes = unit.bytes;
      text.remove_suffix(unit.name.size());
      break;
    }
  }
  const auto number = number_from(text);
  if (!number || *number > UINT64_MAX / unit_bytes) return std::nullopt;
  return *number * unit_bytes;
}

std::string bytes_text(std::uint64_t bytes) {
  for (const Unit& unit : units) {
    if (bytes != 0 && bytes % unit.bytes == 0) {
      return std::to_string(bytes / unit.bytes) + std::string(unit.name);
    }
  }
  return std::to_string(bytes);
}

Parsed<HostPort> endpoint_from(std::string_view text) {
  if (text.find('@') != std::string_view::npos) {
    // Nothing of it is repeated: what stands before the @ is a password.
    return no_endpoint("has a user or password in it: put credentials into export.headers");
  }
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) {
    return no_endpoint("has no scheme: write http://host:port; got " + quoted(text));
  }
  const std::string scheme = lower(text.substr(0, scheme_end));
  if (scheme == "https") {
    return no_endpoint(
        "https:// needs TLS, which this version does not have: write http:// and the address of a "
        "collector on this machine");
  }
  if (scheme != "http") {
    return no_endpoint("the scheme " + quoted(scheme) +
                       " is not supported: write http://host:port");
  }
  const std::string_view rest = text.substr(scheme_end + 3);
  const std::size_t path = rest.find_first_of("/?#");
  if (path != std::string_view::npos && rest.substr(path) != "/") {
    return no_endpoint("has a path, " + quoted(rest.substr(path)) +
                       ", and OTLP over gRPC has none: write http://host:port");
  }
  return endpoint_authority(text, rest.substr(0, path));
}

Parsed<HostPort> listen_from(std::string_view text) {
  const auto authority = split_authority(text);
  const bool host_ok = authority && (authority->ipv6 ? is_address(AF_INET6, authority->host)
                                                     : authority->host == "localhost" ||
                                                           is_address(AF_INET, authority->host));
  const auto port = host_ok && authority->port ? port_from(*authority->port) : std::nullopt;
  if (!port) {
    return no_endpoint(
        "expected address:port, such as 127.0.0.1:8888, [::1]:8888, or 0.0.0.0:8888 for every "
        "interface; got " +
        quoted(text));
  }
  return {HostPort{std::string(authority->host), *port}, {}};
}

Parsed<Headers> headers_from(std::string_view text) {
  Headers headers;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view member = trimmed(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (member.empty()) continue;
    const std::size_t equals = member.find('=');
    const std::string which = "header " + std::to_string(headers.size() + 1);
    if (equals == std::string_view::npos) {
      return {std::nullopt, which + " has no =: write name=value,name=value"};
    }
    const std::string_view encoded = trimmed(member.substr(equals + 1));
    if (encoded.find(';') != std::string_view::npos) {
      return {std::nullopt, which + " has a property after ;: remove it, or write %3B"};
    }
    auto value = percent_decoded(encoded);
    if (!value) return {std::nullopt, which + " has a % without two hex digits: write %25"};
    if (headers.size() == headers_max) {
      return {std::nullopt, "has more than " + std::to_string(headers_max) + " headers"};
    }
    headers.push_back({std::string(trimmed(member.substr(0, equals))), std::move(*value)});
  }
  return {std::move(headers), {}};
}

Parsed<Headers> checked_headers(const Headers& headers, std::size_t bytes_max) {
  if (headers.size() > headers_max) {
    return {std::nullopt, "has more than " + std::to_string(headers_max) + " headers"};
  }
  Headers checked;
  std::size_t bytes = 0;
  for (const Header& header : headers) {
    checked.push_back({lower(header.name), header.value});
    std::string complaint = header_complaint(checked.back());
    if (!complaint.empty()) return {std::nullopt, std::move(complaint)};
    bytes += header.name.size() + header.value.size();
  }
  if (bytes > bytes_max) {
    return {std::nullopt, "the headers have " + std::to_string(bytes) + " bytes, more than the " +
                              bytes_text(bytes_max) + " that gRPC servers take"};
  }
  for (std::size_t i = 0; i < checked.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (checked[i].name == checked[j].name) {
        return {std::nullopt, "the header " + quoted(checked[i].name) + " stands there twice"};
      }
    }
  }
  return {std::move(checked), {}};
}

std::string percent_encoded(std::string_view value) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : value) {
    if (is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 0xf];
    }
  }
  return out;
}

}  // namespace otlpshm::config
