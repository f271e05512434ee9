// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "allocations.h"
#include "in_child.h"
#include "shown.h"

namespace otlpshm::library {
namespace {

otlpshm_template_options options_with(const char* name,
                                      const std::vector<otlpshm_attribute>& attributes) {
  otlpshm_template_options options{};
  options.size = sizeof options;
  options.name = name;
  options.kind = OTLPSHM_KIND_SERVER;
  options.attributes = attributes.data();
  options.attribute_count = attributes.size();
  return options;
}

otlpshm_template* open_template(otlpshm_writer* writer, const otlpshm_template_options& options) {
  otlpshm_template* made = nullptr;
  REQUIRE(otlpshm_template_open(writer, &made, &options) == OTLPSHM_OK);
  REQUIRE(made != nullptr);
  return made;
}

otlpshm_start_options start_from(const otlpshm_template* made, unsigned flags = 0) {
  otlpshm_start_options options = start_with(flags);
  options.span_template = made;
  return options;
}

}  // namespace

TEST_CASE("template: a span has its name, kind and attributes") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_value> list = {int_value(1), text_value("x")};
    const std::vector<otlpshm_attribute> attributes = {
        pair("a", int_value(1)), pair("b", array_value(list)), pair("a", text_value("last"))};
    otlpshm_template* made = open_template(writer, options_with("GET /", attributes));
    otlpshm_start_options options = start_from(made);
    const auto set_one = [](otlpshm_span* span) { otlpshm_span_set_int(span, "c", 1, 3); };
    for (int i = 0; i < 2; ++i) {
      const Shown read = shown_span(writer, directory, set_one, &options, nullptr);
      REQUIRE(read.name == "GET /");
      REQUIRE(read.kind == OTLPSHM_KIND_SERVER);
      REQUIRE(read.attributes == "a=\"last\" b=[1, \"x\"] c=3");
      REQUIRE(read.dropped_attributes == 0);
    }
    options.kind = OTLPSHM_KIND_CLIENT;
    const Shown own = shown_span(writer, directory, set_one, &options, "own name");
    REQUIRE(own.name == "own name");
    REQUIRE(own.kind == OTLPSHM_KIND_CLIENT);
    REQUIRE(own.attributes == "a=\"last\" b=[1, \"x\"] c=3");
    REQUIRE(shown_span(writer, directory, set_one, &options, "").name.empty());
    otlpshm_template_close(made);
  });
}

TEST_CASE("template: what is set again replaces the template's, for that span alone") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_attribute> attributes = {pair("a", int_value(1)),
                                                       pair("\xff", int_value(2))};
    otlpshm_template* made = open_template(writer, options_with("name", attributes));
    const otlpshm_attribute more[] = {string_attribute("a", "start")};
    otlpshm_start_options options = start_from(made);
    options.attributes = more;
    options.attribute_count = 1;
    const Shown first = shown_span(
        writer, directory,
        [](otlpshm_span* span) {
          otlpshm_span_set_int(span, "\xfe", 1, 4);
          otlpshm_span_update_name(span, "a longer name than before", 25);
        },
        &options, nullptr);
    REQUIRE(first.attributes == "a=\"start\" \xef\xbf\xbd=4");
    REQUIRE(first.name == "a longer name than before");
    options.attribute_count = 0;
    const Shown second = shown_span(
        writer, directory, [](otlpshm_span*) {}, &options, nullptr);
    REQUIRE(second.attributes == "a=1 \xef\xbf\xbd=2");
    REQUIRE(second.name == "name");
    otlpshm_template_close(made);
  });
}

TEST_CASE("template: without name, kind or attributes it is as if there were none") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_template_options options{};
    options.size = sizeof options;
    otlpshm_template* made = open_template(writer, options);
    const otlpshm_start_options start = start_from(made);
    const Shown read = shown_span(
        writer, directory,
        [](otlpshm_span* span) {
          otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "first");
          otlpshm_span_update_name(span, "later", 5);
          otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "second");
          otlpshm_span_set_int(span, "k", 1, 1);
        },
        &start, nullptr);
    REQUIRE(read.name == "later");
    REQUIRE(read.kind == OTLPSHM_KIND_INTERNAL);
    REQUIRE(read.status_message == "second");
    REQUIRE(read.attributes == "k=1");
    otlpshm_template_close(made);
    otlpshm_template_close(nullptr);
  });
}

TEST_CASE("template: the writer's limits hold in it, and each of its spans counts what it lost") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options writer_options = options_of(directory.path());
    writer_options.attribute_count_max = 2;
    writer_options.attribute_value_length_max = 3;
    otlpshm_writer* writer = open_writer(writer_options);
    const std::vector<otlpshm_attribute> attributes = {
        pair("a", text_value("äöüß")), pair("", int_value(1)), pair("b", int_value(12345)),
        pair("c", int_value(3))};
    otlpshm_template* made = open_template(writer, options_with("name", attributes));
    const otlpshm_start_options options = start_from(made);
    for (std::uint64_t i = 1; i <= 2; ++i) {
      const Shown read = shown_span(
          writer, directory,
          [](otlpshm_span* span) {
            otlpshm_span_set_int(span, "d", 1, 4);
            otlpshm_span_set_int(span, "b", 1, 5);
          },
          &options, nullptr);
      REQUIRE(read.attributes == "a=\"äöü\" b=5");
      REQUIRE(read.dropped_attributes == 3);
      REQUIRE(stats_of(writer).attributes_dropped == 3 * i);
    }
    otlpshm_template_close(made);
  });
}

TEST_CASE("template: more attributes than a later writer allows leave no room for others") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer* wide = open_writer(directory.path());
    otlpshm_writer_options options = options_of(directory.path());
    options.attribute_count_max = 1;
    otlpshm_writer* narrow = open_writer(options);
    const std::vector<otlpshm_attribute> attributes = {
        pair("a", int_value(1)), pair("b", int_value(2)), pair("c", int_value(3))};
    otlpshm_template* made = open_template(wide, options_with("name", attributes));
    const otlpshm_start_options start = start_from(made);
    const Shown read = shown_span(
        narrow, directory,
        [](otlpshm_span* span) {
          otlpshm_span_set_int(span, "d", 1, 4);
          otlpshm_span_set_int(span, "b", 1, 5);  // replaces
        },
        &start, nullptr);
    REQUIRE(read.attributes == "a=1 c=3 b=5");
    REQUIRE(read.dropped_attributes == 1);
    otlpshm_template_close(made);
  });
}

TEST_CASE("template: a start writes nothing behind its span, however little room is left") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_attribute> attributes = {pair("a", int_value(1))};
    otlpshm_template* made = open_template(writer, options_with("name", attributes));
    otlpshm_start_options start = start_from(made);
    start.flags = OTLPSHM_SPAN_SIGNAL_SAFE;  // it does not grow
    for (std::size_t state_bytes = 300; state_bytes <= 512; ++state_bytes) {
      const std::string state = "v=" + std::string(state_bytes - 2, 's');
      otlpshm_context parent{};
      parent.trace_id[0] = parent.span_id[0] = 1;
      parent.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED;
      parent.trace_state = state.data();
      parent.trace_state_bytes = static_cast<std::uint32_t>(state.size());
      start.parent = &parent;
      struct {
        otlpshm_span span;
        std::uint64_t behind[8];
      } guarded;
      std::memset(&guarded, 0x55, sizeof guarded);
      const std::string name(110, 'n');
      otlpshm_span_start(writer, &guarded.span, name.data(), name.size(), &start);
      for (int i = 0; i < 4; ++i) {
        const std::string key = "key" + std::to_string(i);
        const std::string value(50, 'v');
        otlpshm_span_set_string_cstr(&guarded.span, key.c_str(), value.c_str());
      }
      (void)otlpshm_span_end(&guarded.span);
      for (const std::uint64_t word : guarded.behind) REQUIRE(word == 0x5555555555555555);
    }
    otlpshm_template_close(made);
  });
}

TEST_CASE("template: it may be closed while its spans run, and serves every writer") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* one = open_writer(directory.path());
    otlpshm_writer* other = open_writer(directory.path());
    const std::vector<otlpshm_attribute> attributes = {pair("a", int_value(1))};
    otlpshm_template* made = open_template(one, options_with("name", attributes));
    otlpshm_start_options options = start_from(made);
    const Shown read = shown_span(
        other, directory, [&](otlpshm_span*) { otlpshm_template_close(made); }, &options, nullptr);
    REQUIRE(read.name == "name");
    REQUIRE(read.attributes == "a=1");
  });
}

TEST_CASE("template: one of more than 512 bytes, or of other options, is refused") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const auto status_of = [&](const otlpshm_template_options* options) {
      auto* made = reinterpret_cast<otlpshm_template*>(8);
      const int status = otlpshm_template_open(writer, &made, options);
      REQUIRE((status == OTLPSHM_OK) == (made != nullptr));
      otlpshm_template_close(made);
      return status;
    };
    otlpshm_template_options options = options_with("", {});
    const std::string name(509, 'n');  // and three bytes before it
    options.name = name.data();
    options.name_bytes = name.size();
    REQUIRE(status_of(&options) == OTLPSHM_OK);
    options.name_bytes = 0;  // NUL-terminated
    REQUIRE(status_of(&options) == OTLPSHM_OK);
    const std::string longer = name + "n";
    options.name = longer.data();
    REQUIRE(status_of(&options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options.name = "name";
    const otlpshm_attribute attribute = string_attribute("k", longer.c_str());
    options.attributes = &attribute;
    options.attribute_count = 1;
    REQUIRE(status_of(&options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options.attributes = nullptr;
    REQUIRE(status_of(&options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options.attribute_count = 0;
    options.size = 7;
    REQUIRE(status_of(&options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    REQUIRE(status_of(nullptr) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    options.size = sizeof options;
    REQUIRE(otlpshm_template_open(writer, nullptr, &options) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    fail_allocations(true);
    otlpshm_template* made = nullptr;
    errno = 4711;
    const int status = otlpshm_template_open(writer, &made, &options);
    const int errno_then = errno;
    fail_allocations(false);
    REQUIRE((status == OTLPSHM_OK || status == OTLPSHM_ERROR_NO_MEMORY));
    REQUIRE(errno_then == 4711);
    otlpshm_template_close(made);
    (void)otlpshm_shutdown(writer, 0);
    REQUIRE(status_of(&options) == OTLPSHM_ERROR_SHUTDOWN);
    writer = nullptr;
    REQUIRE(status_of(&options) == OTLPSHM_OK);
  });
}

TEST_CASE(
    "template: without room in a span that may not grow, the name is kept as far as it fits") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string value(200, 'v');
    const std::string state =
        "a=" + std::string(200, 's') + ",b=" + std::string(200, 's') + ",c=" + std::string(90, 's');
    otlpshm_context parent{};
    std::memset(parent.trace_id, 1, 16);
    std::memset(parent.span_id, 2, 8);
    parent.trace_flags = 1;
    parent.trace_state = state.data();
    const std::vector<otlpshm_attribute> attributes = {pair("a", text_value(value)),
                                                       pair("b", int_value(1))};
    for (const std::size_t name_bytes : {1u, 100u, 250u}) {
      const std::string name(name_bytes, 'n');
      otlpshm_template* made = open_template(writer, options_with(name.c_str(), attributes));
      for (std::uint32_t bytes = 0; bytes <= state.size(); bytes += 7) {
        parent.trace_state_bytes = bytes;
        otlpshm_start_options options = start_from(made, OTLPSHM_SPAN_SIGNAL_SAFE);
        options.parent = &parent;
        const std::uint64_t dropped = stats_of(writer).attributes_dropped;
        const Shown read = shown_span(
            writer, directory,
            [](otlpshm_span* span) {
              otlpshm_span_set_status(span, OTLPSHM_STATUS_ERROR, "why", 3);
            },
            &options, nullptr);
        REQUIRE(name.compare(0, read.name.size(), read.name) == 0);
        REQUIRE(read.name.size() >= (name_bytes < 100 ? name_bytes : 100));
        REQUIRE(read.attribute_count + read.dropped_attributes == 2);
        REQUIRE((read.attribute_count == 0 || read.attribute_count == 2));
        REQUIRE(stats_of(writer).attributes_dropped - dropped == read.dropped_attributes);
        const Shown renamed = shown_span(
            writer, directory, [](otlpshm_span* span) { otlpshm_span_update_name(span, "new", 3); },
            &options, nullptr);
        REQUIRE(renamed.name == "new");
        options.flags = 0;
        const Shown grown = shown_span(
            writer, directory, [](otlpshm_span*) {}, &options, nullptr);
        REQUIRE(grown.name == name);
        REQUIRE(grown.attribute_count == 2);
      }
      otlpshm_template_close(made);
    }
  });
}

}  // namespace otlpshm::library
