// SPDX-License-Identifier: Apache-2.0
// accounts.h: what each side counted in a demo, whether that adds up, and how it is shown.
//   Never  computes one number from the others: in_flight is what the daemon says.
#ifndef OTLPSHM_CLI_ACCOUNTS_H
#define OTLPSHM_CLI_ACCOUNTS_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace otlpshm::cli {

struct Accounts {
  std::uint64_t ended = 0;  // by the services' own counts; the rest by the daemon's
  std::uint64_t exported = 0;
  std::map<std::string, std::uint64_t> dropped;  // by reason, zeros left out
  std::uint64_t in_flight = 0;
  std::optional<double> p50_ms;  // from the end of a span to its export
  std::optional<double> p99_ms;

  std::uint32_t orders = 0;
  std::uint32_t declined = 0;
  std::string loop;  // of the daemon

  [[nodiscard]] std::uint64_t dropped_sum() const;
  [[nodiscard]] bool all_settled() const { return in_flight == 0 && accounted() >= ended; }

  // The law: ended = exported + dropped + in flight. What is wrong with it; "" when it holds.
  [[nodiscard]] std::string broken_law() const;

  [[nodiscard]] std::string text() const;  // some lines for people
  [[nodiscard]] std::string json() const;  // one line, one object

 private:
  [[nodiscard]] std::uint64_t accounted() const { return exported + dropped_sum() + in_flight; }
};

}  // namespace otlpshm::cli

#endif
