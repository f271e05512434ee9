// SPDX-License-Identifier: Apache-2.0
// value.h: the grammar of single values: numbers, sizes, endpoints, addresses, header lists.
//   Never  throws for bad text, guesses, or repeats a header's value or a password in a complaint.
//   Spec   OTLP exporter environment (header lists, endpoints); RFC 9110 and gRPC (header names).
#ifndef OTLPSHM_CONFIG_VALUE_H
#define OTLPSHM_CONFIG_VALUE_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace otlpshm::config {

// No value is longer, from any source, substitutions done.
inline constexpr std::size_t value_bytes_max = 65536;
inline constexpr std::size_t headers_max = 64;

// A value, or the complaint that says what is wrong and what to write instead.
template <typename T>
struct Parsed {
  std::optional<T> value;
  std::string complaint;
};

struct HostPort {
  std::string host;  // an IPv6 address stands without its brackets
  std::uint16_t port = 0;

  std::string text() const;  // host:port, [ipv6]:port
  bool operator==(const HostPort&) const = default;
};

struct Header {
  std::string name;  // lower case, as gRPC demands
  std::string value;

  bool operator==(const Header&) const = default;
};
using Headers = std::vector<Header>;

// Decimal digits without sign, leading zero or unit.
std::optional<std::uint64_t> number_from(std::string_view text);

// 0 to 1, as 1, 0.25 or 0.000001: no sign, no exponent, a digit before and after the point.
std::optional<double> ratio_from(std::string_view text);

// The shortest text that ratio_from reads back to the same number.
std::string ratio_text(double ratio);

// A number of bytes, or one of KiB, MiB or GiB: 524288, 512KiB.
std::optional<std::uint64_t> bytes_from(std::string_view text);

// The shortest text that bytes_from reads back: 3MiB.
std::string bytes_text(std::uint64_t bytes);

// http://host:port with port 1 to 65535; host is a name, an IPv4 address, or [an IPv6 address].
Parsed<HostPort> endpoint_from(std::string_view text);

// address:port with port 0 to 65535; the address is localhost, IPv4, or [IPv6].
Parsed<HostPort> listen_from(std::string_view text);

// name=value,name=value: the W3C list form without properties, values percent-decoded.
Parsed<Headers> headers_from(std::string_view text);

// The names in lower case, if names, values, count and total size are such as gRPC can send.
Parsed<Headers> checked_headers(const Headers& headers, std::size_t bytes_max);

// The value as headers_from decodes it.
std::string percent_encoded(std::string_view value);

}  // namespace otlpshm::config

#endif
