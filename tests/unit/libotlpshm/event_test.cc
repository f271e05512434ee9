// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "in_child.h"
#include "shown.h"

namespace otlpshm::library {
namespace {

const std::string kReplacement = "\xef\xbf\xbd";

otlpshm_context context_with(std::uint8_t trace, std::uint8_t span) {
  otlpshm_context context{};
  std::memset(context.trace_id, trace, sizeof context.trace_id);
  std::memset(context.span_id, span, sizeof context.span_id);
  return context;
}

}  // namespace

TEST_CASE("event: its name, time and attributes are in the span, in order") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_value> list = {int_value(1), text_value("x")};
    const std::vector<otlpshm_attribute> attributes = {pair("a", array_value(list)),
                                                       pair("b", otlpshm_value{})};
    const std::string name(200, 'n');
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_add_event(span, "short", 5, 1, nullptr, 0);
      otlpshm_span_add_event(span, "full", 4, 2, attributes.data(), attributes.size());
      otlpshm_span_add_event(span, name.data(), name.size(), 3, nullptr, 0);
      otlpshm_span_add_event(span, "", 0, 4, nullptr, 0);
      otlpshm_span_add_event_cstr(span, nullptr, nullptr, 0);
    });
    REQUIRE(read.events.size() == 5);
    for (std::uint64_t i = 0; i < 4; ++i) REQUIRE(read.events[i].time == i + 1);
    REQUIRE(read.events[0].name == "short");
    REQUIRE(read.events[1].name == "full");
    REQUIRE(read.events[1].attributes == "a=[1, \"x\"] b=()");
    REQUIRE(read.events[2].name == name);
    REQUIRE(read.events[3].name.empty());
    REQUIRE(read.events[4].name.empty());
    REQUIRE(read.events[4].time > 1'600'000'000'000'000'000);
  });
}

TEST_CASE("event: names are cut and mended as a span's") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string names[][2] = {{std::string(1023, 'a') + "ä", std::string(1023, 'a')},
                                    {"x\xff", "x" + kReplacement},
                                    {std::string(95, 'b'), std::string(95, 'b')},
                                    {std::string(96, 'b'), std::string(96, 'b')},
                                    {std::string(97, 'b'), std::string(97, 'b')},
                                    {"ä", "ä"}};
    for (const auto& name : names) {
      const std::string& given = name[0];
      const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
        otlpshm_span_add_event(span, given.data(), given.size(), 1, nullptr, 0);
      });
      REQUIRE(read.events.at(0).name == name[1]);
    }
  });
}

TEST_CASE("event: 130 of them are 128 and two that were dropped") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const otlpshm_attribute attribute = string_attribute("k", "v");
    for (const std::size_t attributes : {0u, 1u}) {
      const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
        for (int i = 0; i < 130; ++i) {
          otlpshm_span_add_event_cstr(span, "e", &attribute, attributes);
        }
      });
      REQUIRE(read.events.size() == 128);
      REQUIRE(read.dropped_events == 2);
    }
    REQUIRE(stats_of(writer).events_dropped == 4);
  });
}

TEST_CASE(
    "event: of its attributes the last of equal keys wins, and no more are kept than may be") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options options = options_of(directory.path());
    options.event_attribute_count_max = 2;
    options.attribute_value_length_max = 3;
    otlpshm_writer* writer = open_writer(options);
    const std::vector<otlpshm_attribute> attributes = {
        pair("a", int_value(1)), pair("", int_value(2)), pair("b", text_value("four")),
        pair("c", int_value(3)), pair("a", text_value("äöüß"))};
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_add_event_cstr(span, "e", attributes.data(), attributes.size());
    });
    REQUIRE(read.events.at(0).attributes == "a=\"äöü\" b=\"fou\"");
    REQUIRE(read.events.at(0).dropped == 2);
    REQUIRE(read.dropped_attributes == 0);
    REQUIRE(stats_of(writer).attributes_dropped == 2);
  });
}

TEST_CASE("event: one that does not fit is dropped whole, and its attributes are not counted") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string large(600 << 10, 'x');
    const std::vector<otlpshm_attribute> attributes = {pair("", int_value(1)),
                                                       pair("large", text_value(large))};
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_add_event_cstr(span, "e", attributes.data(), attributes.size());
      otlpshm_span_add_event_cstr(span, "small", nullptr, 0);
    });
    REQUIRE(read.events.size() == 1);
    REQUIRE(read.events[0].name == "small");
    REQUIRE(read.dropped_events == 1);
    REQUIRE(stats_of(writer).attributes_dropped == 0);
  });
}

TEST_CASE("event: an exception has what it was given, and the caller's attributes win") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_attribute> attributes = {{"exception.message", 0, text_value("mine")},
                                                       pair("exception.escaped", bool_value(1))};
    otlpshm_exception whole{};
    whole.type = "Error and more";
    whole.type_bytes = 5;
    whole.message = "theirs";
    whole.stacktrace = "a\nb";
    whole.unix_nano = 42;
    whole.attributes = attributes.data();
    whole.attribute_count = attributes.size();
    otlpshm_exception bare{};
    bare.message = "why";
    const otlpshm_exception nothing{};
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_record_exception(span, &whole);
      otlpshm_span_record_exception(span, &bare);
      otlpshm_span_record_exception(span, &nothing);
      otlpshm_span_record_exception(span, nullptr);
    });
    REQUIRE(read.events.size() == 3);
    for (const ShownPart& event : read.events) REQUIRE(event.name == "exception");
    REQUIRE(read.events[0].time == 42);
    REQUIRE(read.events[0].attributes ==
            "exception.type=\"Error\" exception.stacktrace=\"a\nb\" exception.message=\"mine\" "
            "exception.escaped=true");
    REQUIRE(read.events[1].attributes == "exception.message=\"why\"");
    REQUIRE(read.events[1].time > 1'600'000'000'000'000'000);
    REQUIRE(read.events[2].attributes.empty());
    REQUIRE(read.status == OTLPSHM_STATUS_UNSET);
  });
}

TEST_CASE("event: an exception's own attributes count for the limit, and come first") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options options = options_of(directory.path());
    options.event_attribute_count_max = 2;
    otlpshm_writer* writer = open_writer(options);
    const otlpshm_attribute attribute = string_attribute("k", "v");
    otlpshm_exception exception{};
    exception.type = "T";
    exception.message = "M";
    exception.stacktrace = "S";
    exception.attributes = &attribute;
    exception.attribute_count = 1;
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_record_exception(span, &exception);
    });
    REQUIRE(read.events.at(0).attributes == "exception.type=\"T\" exception.message=\"M\"");
    REQUIRE(read.events.at(0).dropped == 2);
  });
}

TEST_CASE("event: a link has its target's ids, flags and trace state, and attributes") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string state = "vendor=value,other=1";
    const otlpshm_attribute attributes[] = {string_attribute("k", "1"), string_attribute("k", "2")};
    otlpshm_link local{};
    local.context = context_with(1, 2);
    local.context.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED;
    otlpshm_link remote{};
    remote.context = context_with(3, 4);
    remote.context.is_remote = 1;
    remote.context.trace_state = state.data();
    remote.context.trace_state_bytes = static_cast<std::uint32_t>(state.size());
    remote.attributes = attributes;
    remote.attribute_count = 2;
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_add_link(span, &local);
      otlpshm_span_add_link(span, &remote);
      otlpshm_span_add_link(span, nullptr);
    });
    REQUIRE(read.links.size() == 2);
    REQUIRE(read.links[0].trace_id == std::string(16, '\1'));
    REQUIRE(read.links[0].span_id == std::string(8, '\2'));
    REQUIRE(read.links[0].flags == 0x101);
    REQUIRE(read.links[0].trace_state.empty());
    REQUIRE(read.links[0].attributes.empty());
    REQUIRE(read.links[1].trace_id == std::string(16, '\3'));
    REQUIRE(read.links[1].flags == 0x300);
    REQUIRE(read.links[1].trace_state == state);
    REQUIRE(read.links[1].attributes == "k=\"2\"");
    REQUIRE(read.links[1].dropped == 0);
    REQUIRE(read.trace_state.empty());
  });
}

TEST_CASE("event: a link without ids is kept when it says something else") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const otlpshm_attribute attribute = string_attribute("k", "v");
    const auto links_of = [&](const otlpshm_link& link) {
      return shown_span(writer, directory,
                        [&](otlpshm_span* span) { otlpshm_span_add_link(span, &link); })
          .links;
    };
    for (const auto& [trace, span] : {std::pair<int, int>{0, 0}, {1, 0}, {0, 2}}) {
      otlpshm_link link{};
      link.context =
          context_with(static_cast<std::uint8_t>(trace), static_cast<std::uint8_t>(span));
      REQUIRE(links_of(link).empty());
      link.attribute_count = 1;  // of none
      REQUIRE(links_of(link).empty());
      link.attributes = &attribute;
      const auto kept = links_of(link);
      REQUIRE(kept.size() == 1);
      REQUIRE(kept[0].trace_id.size() == (trace == 0 ? 0 : 16));
      REQUIRE(kept[0].span_id.size() == (span == 0 ? 0 : 8));
      link.attributes = nullptr;
      link.context.trace_state = "a=1";
      link.context.trace_state_bytes = 3;
      REQUIRE(links_of(link).at(0).trace_state == "a=1");
    }
    REQUIRE(stats_of(writer).links_dropped == 0);
  });
}

TEST_CASE("event: 130 links are 128 and two that were dropped; a link's attributes have a limit") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options options = options_of(directory.path());
    options.link_attribute_count_max = 1;
    otlpshm_writer* writer = open_writer(options);
    const otlpshm_attribute attributes[] = {string_attribute("a", "1"), string_attribute("b", "2"),
                                            string_attribute("a", "3")};
    otlpshm_link link{};
    link.context = context_with(1, 2);
    link.attributes = attributes;
    link.attribute_count = 3;
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      for (int i = 0; i < 130; ++i) otlpshm_span_add_link(span, &link);
    });
    REQUIRE(read.links.size() == 128);
    REQUIRE(read.dropped_links == 2);
    REQUIRE(read.links[127].attributes == "a=\"3\"");
    REQUIRE(read.links[127].dropped == 1);
    REQUIRE(stats_of(writer).links_dropped == 2);
    REQUIRE(stats_of(writer).attributes_dropped == 128);
  });
}

TEST_CASE("event: the limits of events and links come from the environment too") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1", 1);
    setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "2", 1);
    setenv("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1", 1);
    setenv("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "0", 1);
    otlpshm_writer* writer = open_writer(options_of(directory.path()));
    unsetenv("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT");
    const otlpshm_attribute attributes[] = {string_attribute("a", "1"), string_attribute("b", "2")};
    otlpshm_link link{};
    link.context = context_with(1, 2);
    link.attributes = attributes;
    link.attribute_count = 2;
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      for (int i = 0; i < 3; ++i) {
        otlpshm_span_add_event_cstr(span, "e", attributes, 2);
        otlpshm_span_add_link(span, &link);
      }
    });
    REQUIRE((read.events.size() == 1 && read.dropped_events == 2));
    REQUIRE((read.links.size() == 2 && read.dropped_links == 1));
    REQUIRE((read.events[0].attributes == "a=\"1\"" && read.events[0].dropped == 1));
    REQUIRE((read.links[0].attributes.empty() && read.links[0].dropped == 2));
  });
}

TEST_CASE("event: text that is no UTF-8 is mended in a link's trace state, and cannot hurt") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string state = "a=\xff";
    otlpshm_link link{};
    link.context = context_with(1, 2);
    link.context.trace_state = state.data();
    link.context.trace_state_bytes = static_cast<std::uint32_t>(state.size());
    const Shown read = shown_span(writer, directory,
                                  [&](otlpshm_span* span) { otlpshm_span_add_link(span, &link); });
    REQUIRE(read.links.at(0).trace_state == "a=" + kReplacement);
  });
}

}  // namespace otlpshm::library
