// SPDX-License-Identifier: Apache-2.0
// escape.h: text that an application chose, made safe to show.
//   Never  lets through what a terminal obeys (C0, C1, bidirectional marks) or broken UTF-8.
#ifndef OTLPSHM_TELEMETRY_ESCAPE_H
#define OTLPSHM_TELEMETRY_ESCAPE_H

#include <string>
#include <string_view>

namespace otlpshm::telemetry {

// For a line of a log: what cannot be printed becomes \n, \t, \r, \\ or \xNN.
std::string printable(std::string_view text);

// For a Prometheus label value: \\, \" and \n as the format has them, broken bytes as U+FFFD.
std::string prometheus_label_value(std::string_view text);

}  // namespace otlpshm::telemetry

#endif  // OTLPSHM_TELEMETRY_ESCAPE_H
