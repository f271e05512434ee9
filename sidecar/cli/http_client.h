// SPDX-License-Identifier: Apache-2.0
// http_client.h: one HTTP/1.1 request to a server on loopback: the demo's services, an admin page.
//   Never  waits beyond its timeout, or keeps more than kHttpBytesMax of a reply.
#ifndef OTLPSHM_CLI_HTTP_CLIENT_H
#define OTLPSHM_CLI_HTTP_CLIENT_H

#include <cstddef>
#include <string>

namespace otlpshm::cli {

inline constexpr std::size_t kHttpBytesMax = std::size_t{8} << 20;

struct HttpReply {
  int status = 0;  // 0: no reply
  std::string body;
  std::string error;  // why there is no reply
};

// address is "IPv4:port".
[[nodiscard]] HttpReply http_request(const std::string& method, const std::string& address,
                                     const std::string& target, int timeout_ms);

}  // namespace otlpshm::cli

#endif
