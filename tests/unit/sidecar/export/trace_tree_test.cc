// SPDX-License-Identifier: Apache-2.0
// trace_tree_test.cc: traces as people see them, and spans that do not want to be a tree.
#include "export/trace_tree.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace otlpshm;
using exporting::draw_trace;
using exporting::terminal_text;
using exporting::tree_span_from;
using exporting::TreeSpan;

namespace {

constexpr std::uint64_t kMs = 1'000'000;

TreeSpan line(std::string id, std::string parent, std::uint64_t start_ms, std::string text) {
  TreeSpan span;
  span.span_id = std::move(id);
  span.parent_id = std::move(parent);
  span.start_unix_nano = start_ms * kMs;
  span.end_unix_nano = (start_ms + 1) * kMs;
  span.text = std::move(text);
  return span;
}

void set(proto::KeyValue* pair, const std::string& key, const std::string& value) {
  pair->set_key(key);
  pair->mutable_value()->set_string_value(value);
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("trace tree: children stand under their parents, by time") {
  const std::string text = draw_trace("\x01\xab",
                                      {line("d", "a", 30, "payment"), line("a", "", 0, "order"),
                                       line("c", "b", 11, "user db"), line("b", "a", 10, "user")},
                                      false);
  CHECK(text ==
        "trace 01ab  4 spans  31.00 ms\n"
        "└─ order\n"
        "   ├─ user\n"
        "   │  └─ user db\n"
        "   └─ payment\n"
        "\n");
}

TEST_CASE("trace tree: a span's line has service, name, kind, duration, status and attributes") {
  proto::Span span;
  span.set_name("POST /charge");
  span.set_kind(proto::Span::SPAN_KIND_SERVER);
  span.set_start_time_unix_nano(1000);
  span.set_end_time_unix_nano(1000 + 2'500'000);
  span.mutable_status()->set_code(proto::Status::STATUS_CODE_ERROR);
  span.mutable_status()->set_message("card declined");
  set(span.add_attributes(), "order.id", "o-17");
  set(span.add_attributes(), "user.name", "Ada \"L\"");
  span.add_attributes()->set_key("n");
  span.mutable_attributes(2)->mutable_value()->set_int_value(-3);
  span.add_attributes()->set_key("ok");
  span.mutable_attributes(3)->mutable_value()->set_bool_value(true);
  span.add_attributes()->set_key("ratio");
  span.mutable_attributes(4)->mutable_value()->set_double_value(0.5);
  span.add_events();
  const TreeSpan tree_span = tree_span_from(span, "payment");
  CHECK(tree_span.is_error);
  CHECK(tree_span.text ==
        "payment  POST /charge (server)  2.50 ms  ERROR \"card declined\"  order.id=o-17 "
        "user.name=\"Ada \\\"L\\\"\" n=-3 ok=true ratio=0.5  1 event");
}

TEST_CASE("trace tree: arrays, maps, bytes and empty values are compact") {
  proto::Span span;
  auto* const list = span.add_attributes();
  list->set_key("l");
  list->mutable_value()->mutable_array_value()->add_values()->set_int_value(1);
  list->mutable_value()->mutable_array_value()->add_values()->set_string_value("b");
  auto* const map = span.add_attributes();
  map->set_key("m");
  set(map->mutable_value()->mutable_kvlist_value()->add_values(), "k", "v");
  auto* const bytes = span.add_attributes();
  bytes->set_key("b");
  bytes->mutable_value()->set_bytes_value(std::string("\x00\xff", 2));
  span.add_attributes()->set_key("e");
  CHECK(tree_span_from(span, "s").text.ends_with("  l=[1,b] m={k=v} b=0x00ff e="));
}

TEST_CASE("trace tree: durations have a fitting unit, and none is negative") {
  const auto text_of = [](std::uint64_t start, std::uint64_t end) {
    proto::Span span;
    span.set_start_time_unix_nano(start);
    span.set_end_time_unix_nano(end);
    return tree_span_from(span, "").text;
  };
  CHECK(text_of(5, 5).ends_with("  0 ns"));
  CHECK(text_of(0, 999).ends_with("  999 ns"));
  CHECK(text_of(0, 1500).ends_with("  1.5 µs"));
  CHECK(text_of(0, 61'000'000'000).ends_with("  61.000 s"));
  CHECK(text_of(6, 5).ends_with("  ends before it starts"));
}

TEST_CASE("trace tree: only errors are red, and only when asked") {
  TreeSpan bad = line("a", "", 0, "bad");
  bad.is_error = true;
  const std::vector<TreeSpan> spans = {bad, line("b", "a", 1, "good")};
  const std::string plain = draw_trace("t", spans, false);
  CHECK(plain.find('\x1b') == std::string::npos);
  CHECK(plain.find("  1 error\n") != std::string::npos);
  CHECK(draw_trace("t", spans, true).find("└─ \x1b[31mbad\x1b[0m\n   └─ good\n") !=
        std::string::npos);
}

TEST_CASE("trace tree: a span whose parent is not there says so") {
  const std::string text = draw_trace("t", {line("b", "\x0f", 1, "lone")}, false);
  CHECK(text.find("└─ lone  (parent 0f not seen)\n") != std::string::npos);
}

TEST_CASE("trace tree: eight zero bytes as a parent are a root") {
  proto::Span span;
  span.set_parent_span_id(std::string(8, '\0'));
  CHECK(tree_span_from(span, "s").parent_id.empty());
}

TEST_CASE("trace tree: a cycle of parents is drawn once, and a span that is its own parent") {
  const std::string text = draw_trace("t",
                                      {line("a", "c", 2, "A"), line("b", "a", 1, "B"),
                                       line("c", "b", 3, "C"), line("d", "d", 0, "D")},
                                      false);
  CHECK(lines_of(text) == 6);
  for (const char* name : {"─ A\n", "─ B\n", "─ C\n", "─ D\n"}) {
    CHECK(text.find(name) != std::string::npos);
  }
}

TEST_CASE("trace tree: a chain of 20000 parents is drawn, with a bounded indent") {
  std::vector<TreeSpan> spans;
  for (int i = 0; i < 20'000; ++i) {
    spans.push_back(line(std::to_string(i), i == 0 ? "" : std::to_string(i - 1),
                         static_cast<std::uint64_t>(i), "x"));
  }
  const std::string text = draw_trace("t", spans, false);
  CHECK(lines_of(text) == 20'002);
  CHECK(text.size() < 20'000 * 400);
}

TEST_CASE("trace tree: what steers a terminal is shown, not obeyed") {
  proto::Span span;
  span.set_name(
      "a\x1b[2Jb\n\xc2\x9b"
      "1m\xe2\x80\xaeX");
  set(span.add_attributes(), "k\r", "\x07\x1b]0;title\x07");
  span.mutable_status()->set_code(proto::Status::STATUS_CODE_ERROR);
  span.mutable_status()->set_message("\x1b[31m");
  const std::string text = tree_span_from(span, "s\x1b").text;
  for (const char c : text) CHECK(static_cast<unsigned char>(c) >= 0x20);
  CHECK(text.find("\xc2\x9b") == std::string::npos);
  CHECK(text.find("\xe2\x80\xae") == std::string::npos);
  CHECK(text.find("a\\x1b[2Jb\\n") != std::string::npos);
}

TEST_CASE("trace tree: long text and many attributes are cut, between characters") {
  CHECK(terminal_text("abc", 3) == "abc");
  CHECK(terminal_text("abcd", 3) == "abc…");
  CHECK(terminal_text("a€€", 2) == "a€…");
  CHECK(terminal_text("\x1b[2Jabc", 2) == "\\x1b[…");
  proto::Span span;
  for (int i = 0; i < 1000; ++i) set(span.add_attributes(), "k", std::string(10'000, 'v'));
  auto* value = span.add_attributes()->mutable_value();
  for (int i = 0; i < 50; ++i) value = value->mutable_array_value()->add_values();
  CHECK(tree_span_from(span, "s").text.size() < 16'000);
}

TEST_CASE("trace tree: nesting deeper than shown ends in an ellipsis") {
  proto::Span span;
  auto* value = span.add_attributes()->mutable_value();
  for (int i = 0; i < 50; ++i) value = value->mutable_array_value()->add_values();
  CHECK(tree_span_from(span, "s").text.ends_with("=[[[[[…]]]]]"));
}
