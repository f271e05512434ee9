// SPDX-License-Identifier: Apache-2.0
// trace_tree.cc: see trace_tree.h.
#include "export/trace_tree.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "model/utf8.h"
#include "telemetry/escape.h"

namespace otlpshm::exporting {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kValueBytesMax = 256;
constexpr int kAttributesMax = 32;
constexpr int kValuesMax = 16;  // of one array or map
constexpr int kValueDepthMax = 4;
constexpr int kDepthMax = 48;  // deeper spans are drawn at this depth
constexpr char kRed[] = "\x1b[31m";
constexpr char kPlain[] = "\x1b[0m";
constexpr char kEllipsis[] = "…";

template <typename... Arguments>
std::string formatted(const char* format, Arguments... arguments) {
  char line[64];
  const int length = std::snprintf(line, sizeof line, format, arguments...);
  return std::string(line, static_cast<std::size_t>(std::clamp(length, 0, 63)));
}

std::string hex_of(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex += kDigits[static_cast<std::uint8_t>(c) >> 4];
    hex += kDigits[static_cast<std::uint8_t>(c) & 15];
  }
  return hex;
}

std::string duration_text(std::uint64_t start, std::uint64_t end) {
  if (end < start) return "ends before it starts";
  const std::uint64_t ns = end - start;
  if (ns < 1'000) return formatted("%" PRIu64 " ns", ns);
  if (ns < 1'000'000) return formatted("%.1f µs", static_cast<double>(ns) / 1e3);
  if (ns < 1'000'000'000) return formatted("%.2f ms", static_cast<double>(ns) / 1e6);
  return formatted("%.3f s", static_cast<double>(ns) / 1e9);
}

bool is_plain_value(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_./:@+-").find(c) != std::string_view::npos;
  });
}

std::string string_value_text(std::string_view text) {
  if (is_plain_value(text) && text.size() <= kValueBytesMax) return std::string(text);
  std::string quoted = "\"";
  for (const char c : terminal_text(text, kValueBytesMax)) {
    if (c == '"') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string value_text(const proto::AnyValue& value, int depth);

std::string pair_text(const proto::KeyValue& pair, int depth) {
  return terminal_text(pair.key(), kNameBytesMax) + '=' + value_text(pair.value(), depth);
}

template <typename List, typename Draw>
std::string list_text(const List& list, Draw draw) {
  std::string text;
  for (int i = 0; i < list.size() && i < kValuesMax; ++i) {
    if (i > 0) text += ',';
    text += draw(list.Get(i));
  }
  if (list.size() > kValuesMax) text += std::string(",") + kEllipsis;
  return text;
}

std::string value_text(const proto::AnyValue& value, int depth) {
  if (depth > kValueDepthMax) return kEllipsis;
  switch (value.value_case()) {
    case proto::AnyValue::kStringValue:
      return string_value_text(value.string_value());
    case proto::AnyValue::kBoolValue:
      return value.bool_value() ? "true" : "false";
    case proto::AnyValue::kIntValue:
      return formatted("%" PRId64, value.int_value());
    case proto::AnyValue::kDoubleValue:
      return formatted("%g", value.double_value());
    case proto::AnyValue::kArrayValue:
      return '[' +
             list_text(
                 value.array_value().values(),
                 [depth](const proto::AnyValue& item) { return value_text(item, depth + 1); }) +
             ']';
    case proto::AnyValue::kKvlistValue:
      return '{' +
             list_text(
                 value.kvlist_value().values(),
                 [depth](const proto::KeyValue& item) { return pair_text(item, depth + 1); }) +
             '}';
    case proto::AnyValue::kBytesValue: {
      const std::string_view bytes = value.bytes_value();
      return "0x" + hex_of(bytes.substr(0, 32)) + (bytes.size() > 32 ? kEllipsis : "");
    }
    case proto::AnyValue::VALUE_NOT_SET:
      break;
  }
  return "";
}

std::string_view kind_text(int kind) {
  constexpr std::string_view kKinds[] = {"",          " (internal)", " (server)",
                                         " (client)", " (producer)", " (consumer)"};
  return kind > 0 && kind < 6 ? kKinds[kind] : kKinds[0];
}

std::string count_text(int count, const char* one, const char* many) {
  return "  " + std::to_string(count) + ' ' + (count == 1 ? one : many);
}

bool by_time(const TreeSpan& a, const TreeSpan& b) {
  return std::tie(a.start_unix_nano, a.span_id) < std::tie(b.start_unix_nano, b.span_id);
}

// Draws the spans of one trace, each exactly once, whatever their parent ids say.
class Drawing {
 public:
  Drawing(const std::vector<TreeSpan>& spans, bool color)
      : spans_(spans), color_(color), drawn_(spans.size(), false) {
    for (const TreeSpan& span : spans) ids_.insert(span.span_id);
    for (std::size_t i = 0; i < spans.size(); ++i) {
      const bool has_parent = !spans[i].parent_id.empty() && ids_.contains(spans[i].parent_id);
      (has_parent ? children_[spans[i].parent_id] : tops_).push_back(i);
    }
  }

  std::string draw() {
    draw_from(tops_);
    // What is left hangs on a cycle of parents: cut it at its earliest span.
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      if (!drawn_[i]) draw_from({i});
    }
    return std::move(text_);
  }

 private:
  struct Pending {
    std::size_t span;
    int depth;
    bool last;           // of its siblings
    std::string indent;  // what stands before its branch
  };

  // Depth first, with a stack of our own: a chain of parents is as long as a producer likes.
  void draw_from(const std::vector<std::size_t>& tops) {
    push(tops, 0, "");
    while (!stack_.empty()) {
      const Pending pending = std::move(stack_.back());
      stack_.pop_back();
      if (drawn_[pending.span]) continue;
      drawn_[pending.span] = true;
      draw_line(pending);
      const auto children = children_.find(spans_[pending.span].span_id);
      if (children == children_.end()) continue;
      const bool deepest = pending.depth == kDepthMax;
      push(children->second, pending.depth + (deepest ? 0 : 1),
           pending.indent + (deepest        ? ""
                             : pending.last ? "   "
                                            : "│  "));
    }
  }

  void push(const std::vector<std::size_t>& siblings, int depth, const std::string& indent) {
    for (std::size_t i = siblings.size(); i-- > 0;) {
      stack_.push_back({siblings[i], depth, i + 1 == siblings.size(), indent});
    }
  }

  void draw_line(const Pending& pending) {
    const TreeSpan& span = spans_[pending.span];
    text_ += pending.indent;
    text_ += pending.last ? "└─ " : "├─ ";
    if (span.is_error && color_) text_ += kRed;
    text_ += span.text;
    if (span.is_error && color_) text_ += kPlain;
    if (!span.parent_id.empty() && !ids_.contains(span.parent_id)) {
      text_ += "  (parent " + hex_of(span.parent_id) + " not seen)";
    }
    text_ += '\n';
  }

  const std::vector<TreeSpan>& spans_;
  const bool color_;
  std::vector<bool> drawn_;
  std::set<std::string_view> ids_;
  std::vector<std::size_t> tops_;
  std::map<std::string_view, std::vector<std::size_t>> children_;  // by parent id, by time
  std::vector<Pending> stack_;
  std::string text_;
};

}  // namespace

std::string terminal_text(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return telemetry::printable(text);
  std::size_t end = 0;
  while (end < bytes_max) {
    end += std::max<std::size_t>(model::utf8_character(text.substr(end)).bytes, 1);
  }
  return telemetry::printable(text.substr(0, end)) + kEllipsis;
}

std::string service_name_of(const proto::Resource& resource) {
  for (const proto::KeyValue& attribute : resource.attributes()) {
    if (attribute.key() == "service.name" && !attribute.value().string_value().empty()) {
      return attribute.value().string_value();
    }
  }
  return "unknown_service";
}

TreeSpan tree_span_from(const proto::Span& span, std::string_view service) {
  TreeSpan line;
  line.span_id = span.span_id();
  line.parent_id = span.parent_span_id();
  if (line.parent_id.find_first_not_of('\0') == std::string::npos) line.parent_id.clear();
  line.start_unix_nano = span.start_time_unix_nano();
  line.end_unix_nano = span.end_time_unix_nano();
  line.is_error = span.status().code() == proto::Status::STATUS_CODE_ERROR;

  line.text =
      terminal_text(service, kNameBytesMax) + "  " + terminal_text(span.name(), kNameBytesMax);
  line.text += kind_text(span.kind());
  line.text += "  " + duration_text(line.start_unix_nano, line.end_unix_nano);
  if (span.status().code() == proto::Status::STATUS_CODE_OK) line.text += "  OK";
  if (line.is_error) {
    line.text += "  ERROR";
    if (!span.status().message().empty()) {
      line.text += ' ' + string_value_text(span.status().message());
    }
  }
  for (int i = 0; i < span.attributes_size() && i < kAttributesMax; ++i) {
    line.text += (i == 0 ? "  " : " ") + pair_text(span.attributes(i), 0);
  }
  if (span.attributes_size() > kAttributesMax) line.text += std::string(" ") + kEllipsis;
  if (span.events_size() > 0) line.text += count_text(span.events_size(), "event", "events");
  if (span.links_size() > 0) line.text += count_text(span.links_size(), "link", "links");
  return line;
}

std::string draw_trace(std::string_view trace_id, std::vector<TreeSpan> spans, bool color) {
  std::sort(spans.begin(), spans.end(), by_time);
  std::uint64_t start = UINT64_MAX;
  std::uint64_t end = 0;
  int errors = 0;
  for (const TreeSpan& span : spans) {
    start = std::min(start, span.start_unix_nano);
    end = std::max(end, span.end_unix_nano);
    errors += span.is_error ? 1 : 0;
  }
  const int count = static_cast<int>(spans.size());
  std::string text = "trace " + hex_of(trace_id) + count_text(count, "span", "spans") + "  " +
                     duration_text(start, std::max(start, end));
  if (errors > 0) text += count_text(errors, "error", "errors");
  text += '\n';
  return text + Drawing(spans, color).draw() + '\n';
}

}  // namespace otlpshm::exporting
