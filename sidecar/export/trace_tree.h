// SPDX-License-Identifier: Apache-2.0
// trace_tree.h: one trace as a tree for people.
//   Owns   nothing; text in, text out.
//   Never  lets a byte of a span reach a terminal as a control; indents without end; trusts that
//          parents form a tree.
#ifndef OTLPSHM_EXPORT_TRACE_TREE_H
#define OTLPSHM_EXPORT_TRACE_TREE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/otlp_trace.pb.h"

namespace otlpshm::exporting {

// One line of the tree. Ids are the bytes of the wire; every other string is fit for a terminal.
struct TreeSpan {
  std::string span_id;
  std::string parent_id;  // empty: a root
  std::uint64_t start_unix_nano = 0;
  std::uint64_t end_unix_nano = 0;
  bool is_error = false;
  std::string text;  // service, name, kind, duration, status, attributes
};

[[nodiscard]] TreeSpan tree_span_from(const proto::Span& span, std::string_view service);

// "service.name" of a resource as it was written, or "unknown_service".
[[nodiscard]] std::string service_name_of(const proto::Resource& resource);

// A head line and one line a span, children under their parents by time.
[[nodiscard]] std::string draw_trace(std::string_view trace_id, std::vector<TreeSpan> spans,
                                     bool color);

// telemetry::printable of `text`, cut behind `bytes_max` bytes, with an ellipsis.
[[nodiscard]] std::string terminal_text(std::string_view text, std::size_t bytes_max);

}  // namespace otlpshm::exporting

#endif
