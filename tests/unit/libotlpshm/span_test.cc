// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <limits>

#include "allocations.h"
#include "in_child.h"
#include "producer.h"
#include "support/name_hash.h"

namespace otlpshm::library {
namespace {

using tests::name_hash;

otlpshm_start_options start_options(unsigned flags = 0) {
  otlpshm_start_options options{};
  options.size = sizeof options;
  options.flags = flags;
  return options;
}

std::string id_bytes(const std::uint8_t* bytes, std::size_t count) {
  return std::string(reinterpret_cast<const char*>(bytes), count);
}

std::uint64_t wall_nano() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Record last_record(const PrivateDirectory& directory) {
  const auto records = SegmentFile(directory.segment()).records(0);
  REQUIRE(records);
  REQUIRE(!records->empty());
  return records->back();
}

otlpshm_context some_parent() {
  otlpshm_context parent{};
  std::memset(parent.trace_id, 0x11, sizeof parent.trace_id);
  std::memset(parent.span_id, 0x22, sizeof parent.span_id);
  parent.trace_flags = OTLPSHM_TRACE_FLAG_SAMPLED | OTLPSHM_TRACE_FLAG_RANDOM;
  parent.is_remote = 1;
  return parent;
}

const std::string kReplacement = "\xef\xbf\xbd";

}  // namespace

TEST_CASE("span: one that began before it was started here ends when it ends") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t five_seconds = 5000000000u;
    const std::uint64_t before = wall_nano();
    otlpshm_start_options options = start_options();
    options.start_unix_nano = before - five_seconds;
    otlpshm_span span;
    otlpshm_span_start_cstr(writer, &span, "queued", &options);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    const std::uint64_t after = wall_nano();
    const Record record = last_record(directory);
    const auto read = parse_span(record.body);
    REQUIRE(read);
    const std::uint64_t error = 50000000;  // of the offset between the clocks
    REQUIRE(read->start == before - five_seconds);
    REQUIRE(read->end + error >= before);
    REQUIRE(read->end <= after + error);
    REQUIRE(record.duration == read->end - read->start);

    options.start_unix_nano = after + 1000 * five_seconds;  // of another machine, perhaps
    otlpshm_span_start_cstr(writer, &span, "from the future", &options);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(last_record(directory).duration == 0);
  });
}

TEST_CASE("span: everything that is set is in the record, once") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_start_options options = start_options();
    options.kind = OTLPSHM_KIND_CLIENT;
    options.start_unix_nano = 1'700'000'000'000'000'000;
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "GET /order", &options);
    REQUIRE(otlpshm_span_is_recording(&span) == 1);
    otlpshm_context context;
    otlpshm_span_get_context(&span, &context);
    otlpshm_span_set_string_cstr(&span, "s", "text");
    otlpshm_span_set_int_cstr(&span, "i", std::numeric_limits<std::int64_t>::min());
    otlpshm_span_set_double_cstr(&span, "d", 0.25);
    otlpshm_span_set_bool_cstr(&span, "b", 5);
    const otlpshm_attribute attribute = string_attribute("e.k", "e.v");
    otlpshm_span_add_event_cstr(&span, "event", &attribute, 1);
    otlpshm_span_set_status_cstr(&span, OTLPSHM_STATUS_ERROR, "broken");
    REQUIRE(otlpshm_span_end_at(&span, 1'700'000'000'000'000'123) == OTLPSHM_OK);
    REQUIRE(otlpshm_span_is_recording(&span) == 0);

    const Record record = last_record(directory);
    const Span read = *parse_span(record.body);
    REQUIRE(record.trace_id == id_bytes(context.trace_id, 16));
    REQUIRE(record.span_id == id_bytes(context.span_id, 8));
    REQUIRE(read.trace_id == record.trace_id);
    REQUIRE(read.span_id == record.span_id);
    REQUIRE(read.parent_id.empty());
    REQUIRE(read.name == "GET /order");
    REQUIRE(record.name_hash == name_hash("GET /order"));
    REQUIRE(read.kind == 3);
    REQUIRE(record.span_kind == 3);
    REQUIRE(read.start == 1'700'000'000'000'000'000);
    REQUIRE(read.end == 1'700'000'000'000'000'123);
    REQUIRE(record.duration == 123);
    REQUIRE(read.attributes.size() == 4);
    REQUIRE(read.attribute("s")->value.bytes == "text");
    REQUIRE(read.attribute("i")->value.word == std::uint64_t{1} << 63);
    double number = 0;
    std::memcpy(&number, &read.attribute("d")->value.word, sizeof number);
    REQUIRE(number == 0.25);
    REQUIRE(read.attribute("b")->value.number == 2);
    REQUIRE(read.attribute("b")->value.word == 1);
    REQUIRE(read.events.size() == 1);
    REQUIRE(read.events[0].name == "event");
    REQUIRE(read.events[0].time > 1'600'000'000'000'000'000);
    REQUIRE(read.events[0].attributes.at(0).value.bytes == "e.v");
    REQUIRE(read.status_code == 2);
    REQUIRE(record.status_code == 2);
    REQUIRE(read.status_message == "broken");
    REQUIRE(read.flags == (0x100 | 0x3));
    REQUIRE(record.span_flags == read.flags);
    REQUIRE(record.record_flags == 0);
    REQUIRE(record.record_kind == 1);
    REQUIRE(record.threshold == 0);
    REQUIRE(record.reserved == std::string(5, '\0'));
    REQUIRE(read.dropped_attributes == 0);
  });
}

TEST_CASE("span: a child keeps its parent's trace, id, state and flags") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string state = "vendor=value,other=1";
    otlpshm_context parent = some_parent();
    parent.trace_state = state.data();
    parent.trace_state_bytes = static_cast<std::uint32_t>(state.size());
    otlpshm_start_options options = start_options();
    options.parent = &parent;
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "child", &options);
    otlpshm_context own;
    otlpshm_span_get_context(&span, &own);
    REQUIRE(std::string(own.trace_state, own.trace_state_bytes) == state);
    REQUIRE(own.is_remote == 0);
    REQUIRE(own.trace_flags == 3);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    const Record record = last_record(directory);
    const Span read = *parse_span(record.body);
    REQUIRE(read.trace_id == std::string(16, '\x11'));
    REQUIRE(read.parent_id == std::string(8, '\x22'));
    REQUIRE(read.span_id != read.parent_id);
    REQUIRE(read.trace_state == state);
    REQUIRE(read.flags == (0x300 | 0x3));
    REQUIRE(record.record_flags == 2);
  });
}

TEST_CASE("span: a context without both ids is no parent") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (const bool has_trace : {false, true}) {
      otlpshm_context parent = some_parent();
      std::memset(has_trace ? parent.span_id : parent.trace_id, 0, has_trace ? 8 : 16);
      otlpshm_start_options options = start_options();
      options.parent = &parent;
      const Span read = span_of(
          writer, directory, [](otlpshm_span*) {}, &options);
      REQUIRE(read.parent_id.empty());
      REQUIRE(read.trace_id != std::string(16, '\x11'));
    }
  });
}

TEST_CASE("span: a trace state that is too long loses whole members, the longest kinds first") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string state = "a=1,long=" + std::string(200, 'x') + ",b=" + std::string(100, 'y') +
                              ",c=" + std::string(100, 'z') + ",d=" + std::string(110, 'w');
    REQUIRE(state.size() > 512);
    otlpshm_context parent = some_parent();
    parent.trace_state = state.data();
    parent.trace_state_bytes = static_cast<std::uint32_t>(state.size());
    otlpshm_start_options options = start_options();
    options.parent = &parent;
    REQUIRE(span_of(
                writer, directory, [](otlpshm_span*) {}, &options)
                .trace_state == "a=1,b=" + std::string(100, 'y') + ",c=" + std::string(100, 'z') +
                                    ",d=" + std::string(110, 'w'));
  });
}

TEST_CASE("span: a trace state that is long and malformed, or no text, is left out") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (const std::string& state : {std::string(513, 'a'), std::string("a=\xff")}) {
      otlpshm_context parent = some_parent();
      parent.trace_state = state.data();
      parent.trace_state_bytes = static_cast<std::uint32_t>(state.size());
      otlpshm_start_options options = start_options();
      options.parent = &parent;
      REQUIRE(span_of(
                  writer, directory, [](otlpshm_span*) {}, &options)
                  .trace_state.empty());
    }
  });
}

TEST_CASE("span: a no-op gives its parent's context, and nothing else") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* nowhere = open_writer(directory.file("missing"));
    const otlpshm_context parent = some_parent();
    otlpshm_start_options options = start_options();
    options.parent = &parent;
    for (otlpshm_writer* writer : {nowhere, static_cast<otlpshm_writer*>(nullptr)}) {
      otlpshm_span span;
      std::memset(&span, 0xaa, sizeof span);  // start takes any bytes
      otlpshm_span_start_cstr(writer, &span, "s", &options);
      otlpshm_context context;
      otlpshm_span_get_context(&span, &context);
      REQUIRE(std::memcmp(&context, &parent, sizeof parent) == 0);
      REQUIRE(otlpshm_span_is_recording(&span) == 0);
      otlpshm_span_update_name(&span, "x", 1);
      otlpshm_span_set_status_cstr(&span, OTLPSHM_STATUS_ERROR, "x");
      otlpshm_span_add_event_cstr(&span, "x", nullptr, 0);
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    }
    otlpshm_span zero{};
    otlpshm_context context;
    otlpshm_span_get_context(&zero, &context);
    const otlpshm_context nothing{};
    REQUIRE(std::memcmp(&context, &nothing, sizeof nothing) == 0);
    REQUIRE(otlpshm_span_end(&zero) == OTLPSHM_OK);
    otlpshm_span_discard(&zero);
  });
}

TEST_CASE("span: null pointers do nothing anywhere") {
  in_child([] {
    otlpshm_context context;
    otlpshm_span_start(nullptr, nullptr, nullptr, 0, nullptr);
    otlpshm_span_get_context(nullptr, &context);
    otlpshm_span zero{};
    otlpshm_span_get_context(&zero, nullptr);
    REQUIRE(otlpshm_span_is_recording(nullptr) == 0);
    otlpshm_span_set_string_cstr(nullptr, "k", "v");
    otlpshm_span_set_int(nullptr, "k", 1, 1);
    otlpshm_span_add_event_cstr(nullptr, nullptr, nullptr, 0);
    otlpshm_span_set_status_cstr(nullptr, 2, nullptr);
    otlpshm_span_update_name(nullptr, nullptr, 0);
    otlpshm_span_discard(nullptr);
    REQUIRE(otlpshm_span_end(nullptr) == OTLPSHM_OK);
    REQUIRE(otlpshm_force_flush(nullptr, 0) == OTLPSHM_OK);
    REQUIRE(otlpshm_shutdown(nullptr, 0) == OTLPSHM_OK);
  });
}

TEST_CASE("span: a key that is set again has the last value, once, wherever it stood") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const Span read = span_of(writer, directory, [](otlpshm_span* span) {
      for (int round = 0; round < 3; ++round) {
        for (int key = 0; key < 40; ++key) {
          const std::string name = "key" + std::to_string(key * 7919);
          const std::string value(static_cast<std::size_t>((key + round) % 5) * 37, 'v');
          if ((key + round) % 3 == 0) {
            otlpshm_span_set_int_cstr(span, name.c_str(), round);
          } else {
            otlpshm_span_set_string_cstr(span, name.c_str(), value.c_str());
          }
          if (key == 20) otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "why");
          if (key == 30) otlpshm_span_add_event_cstr(span, "event", nullptr, 0);
        }
      }
    });
    REQUIRE(read.attributes.size() == 40);
    for (int key = 0; key < 40; ++key) {
      const Attribute* attribute = read.attribute("key" + std::to_string(key * 7919));
      REQUIRE(attribute != nullptr);
      if ((key + 2) % 3 == 0) {
        REQUIRE(attribute->value.word == 2);
      } else {
        REQUIRE(attribute->value.bytes ==
                std::string(static_cast<std::size_t>((key + 2) % 5) * 37, 'v'));
      }
    }
    REQUIRE(read.status_message == "why");
    REQUIRE(read.events.size() == 3);
    REQUIRE(read.dropped_attributes == 0);
  });
}

TEST_CASE("span: what is over a limit is dropped and counted, what replaces is not over it") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    otlpshm_writer_options options = options_of(directory.path());
    options.attribute_count_max = 3;
    options.attribute_value_length_max = 4;
    options.event_count_max = 2;
    otlpshm_writer* writer = open_writer(options);
    const Span read = span_of(writer, directory, [](otlpshm_span* span) {
      for (const char* key : {"a", "b", "c", "d", "a", "e"}) {
        otlpshm_span_set_string_cstr(span, key, "äöüßx");
      }
      otlpshm_span_set_string_cstr(span, "", "no key");
      otlpshm_span_set_string_cstr(span, "b", "\xff\xff\xff\xff\xff");
      for (int i = 0; i < 5; ++i) otlpshm_span_add_event_cstr(span, "event", nullptr, 0);
    });
    REQUIRE(read.attributes.size() == 3);
    REQUIRE(read.attribute("a")->value.bytes == "äöüß");
    REQUIRE(read.attribute("b")->value.number == 7);
    REQUIRE(read.attribute("b")->value.bytes == "\xff\xff\xff\xff");
    REQUIRE(read.dropped_attributes == 3);
    REQUIRE(read.events.size() == 2);
    REQUIRE(read.dropped_events == 3);
    REQUIRE(stats_of(writer).attributes_dropped == 3);
  });
}

TEST_CASE("span: an event keeps its attributes up to the limit, and counts the others") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    setenv("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "2", 1);
    otlpshm_writer* writer = open_writer(options_of(directory.path()));
    const Span read = span_of(writer, directory, [](otlpshm_span* span) {
      const otlpshm_attribute attributes[] = {string_attribute("", "x"), string_attribute("a", "1"),
                                              string_attribute("b", "\xff"),
                                              string_attribute("c", "3")};
      otlpshm_span_add_event(span, "bad \xff", 5, 42, attributes, 4);
      otlpshm_span_add_event(span, nullptr, 3, 43, nullptr, 9);
    });
    REQUIRE(read.events.size() == 2);
    REQUIRE(read.events[0].time == 42);
    REQUIRE(read.events[0].name == "bad " + kReplacement);
    REQUIRE(read.events[0].attributes.size() == 2);
    REQUIRE(read.events[0].attributes[0].key == "a");
    REQUIRE(read.events[0].attributes[1].value.number == 7);
    REQUIRE(read.events[0].dropped_attributes == 2);
    REQUIRE(read.events[1].name.empty());
  });
}

TEST_CASE("span: it grows beyond its inline bytes and loses nothing") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t before = allocations();
    const Span read = span_of(writer, directory, [](otlpshm_span* span) {
      for (int i = 0; i < 100; ++i) {
        otlpshm_span_set_string_cstr(span, ("key" + std::to_string(i)).c_str(),
                                     std::string(500, static_cast<char>('a' + i % 26)).c_str());
      }
    });
    REQUIRE(allocations() > before);
    REQUIRE(read.attributes.size() == 100);
    REQUIRE(read.attribute("key99")->value.bytes == std::string(500, 'v'));
  });
}

TEST_CASE("span: beyond 512 KiB attributes and events drop, and are counted") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string large(200 << 10, 'x');
    const Span read = span_of(writer, directory, [&](otlpshm_span* span) {
      for (const char* key : {"a", "b", "c"})
        otlpshm_span_set_string_cstr(span, key, large.c_str());
      const otlpshm_attribute attribute = string_attribute("k", large.c_str());
      otlpshm_span_add_event_cstr(span, "event", &attribute, 1);
      otlpshm_span_set_int_cstr(span, "small", 1);
      otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "why");
    });
    REQUIRE(read.attributes.size() == 3);
    REQUIRE(read.dropped_attributes == 1);
    REQUIRE(read.dropped_events == 1);
    REQUIRE(read.status_message == "why");
  });
}

TEST_CASE("span: a signal-safe span truncates and never allocates") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string value(300, 'x');
    const std::string name(1000, 'n');
    const std::uint64_t before = allocations();
    const otlpshm_start_options options = start_options(OTLPSHM_SPAN_SIGNAL_SAFE);
    otlpshm_span span{};
    otlpshm_span_start(writer, &span, name.data(), name.size(), &options);
    for (const char* key : {"a", "b", "c", "d"}) {
      otlpshm_span_set_string(&span, key, 1, value.data(), value.size());
    }
    otlpshm_span_add_event(&span, value.data(), value.size(), 1, nullptr, 0);
    otlpshm_span_set_status(&span, OTLPSHM_STATUS_ERROR, value.data(), value.size());
    const int status = otlpshm_span_end(&span);
    const std::uint64_t after = allocations();
    REQUIRE(status == OTLPSHM_OK);
    REQUIRE(after == before);
    const Span read = *parse_span(last_record(directory).body);
    REQUIRE(!read.name.empty());
    REQUIRE(name.compare(0, read.name.size(), read.name) == 0);
    REQUIRE(last_record(directory).name_hash == name_hash(read.name));
    REQUIRE(read.attributes.size() + read.dropped_attributes == 4);
    REQUIRE(read.dropped_events == 1);
    REQUIRE(read.status_code == 2);
  });
}

TEST_CASE("span: without memory it keeps what it has") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string value(5000, 'x');
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "name", nullptr);
    otlpshm_span_set_string(&span, "a", 1, value.data(), 100);
    fail_allocations(true);
    errno = 5;
    otlpshm_span_set_string(&span, "b", 1, value.data(), value.size());
    const int errno_then = errno;
    fail_allocations(false);
    REQUIRE(errno_then == 5);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    const Span read = *parse_span(last_record(directory).body);
    REQUIRE(read.attributes.size() == 1);
    REQUIRE(read.dropped_attributes == 1);
  });
}

TEST_CASE("span: an ordinary span of five attributes never allocates") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::uint64_t before = allocations();
    otlpshm_span span{};
    otlpshm_span_start(writer, &span, "GET /", 5, nullptr);
    for (const char* key : {"a", "b", "c", "d", "e"}) otlpshm_span_set_int(&span, key, 1, 1);
    const int status = otlpshm_span_end(&span);
    const std::uint64_t after = allocations();
    REQUIRE(status == OTLPSHM_OK);
    REQUIRE(after == before);
  });
}

TEST_CASE("span: the name changes, longer or shorter, and all around it stays") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (const std::size_t bytes : {0u, 1u, 3u, 100u, 127u, 128u, 600u, 1024u}) {
      for (const bool has_parent : {false, true}) {
        const std::string name(bytes, 'n');
        const otlpshm_context parent = some_parent();
        otlpshm_start_options options = start_options();
        if (has_parent) options.parent = &parent;
        const Span read = span_of(
            writer, directory,
            [&](otlpshm_span* span) {
              otlpshm_span_set_string_cstr(span, "a", "1");
              otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "why");
              otlpshm_span_set_string_cstr(span, "b", "2");
              otlpshm_span_update_name(span, "something between", 17);
              otlpshm_span_update_name(span, name.data(), name.size());
              otlpshm_span_set_string_cstr(span, "a", "3");
              otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "because");
            },
            &options);
        REQUIRE(read.name == name);
        REQUIRE(last_record(directory).name_hash == name_hash(name));
        REQUIRE(read.attribute("a")->value.bytes == "3");
        REQUIRE(read.attribute("b")->value.bytes == "2");
        REQUIRE(read.status_message == "because");
        REQUIRE(read.parent_id.size() == (has_parent ? 8 : 0));
      }
    }
  });
}

TEST_CASE("span: a name is cut at 1024 bytes, never inside a character, and is always text") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::pair<std::string, std::string> cases[] = {
        {std::string(1025, 'a'), std::string(1024, 'a')},
        {std::string(1023, 'a') + "ä", std::string(1023, 'a')},
        {std::string(1022, 'a') + "ä", std::string(1022, 'a') + "ä"},
        {"a\xff"
         "b",
         "a" + kReplacement + "b"},
        {"\xe2\x82", kReplacement + kReplacement},
        {std::string(1023, 'a') + "\xff", std::string(1023, 'a')},
        {std::string(4, '\0'), std::string(4, '\0')},
        {"", ""},
    };
    for (const auto& [given, expected] : cases) {
      REQUIRE(write_span(writer, given) == OTLPSHM_OK);
      REQUIRE(parse_span(last_record(directory).body)->name == expected);
      REQUIRE(last_record(directory).name_hash == name_hash(expected));
    }
    otlpshm_span span{};
    otlpshm_span_start(writer, &span, nullptr, 99, nullptr);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(parse_span(last_record(directory).body)->name.empty());
  });
}

TEST_CASE("span: Ok is final, Error beats Unset, Unset changes nothing") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    struct Case {
      std::vector<int> codes;
      std::uint64_t code;
      std::string message;
    };
    const Case cases[] = {
        {{}, 0, ""},          {{1}, 1, ""},    {{2}, 2, "0"},       {{2, 0}, 2, "0"},
        {{2, 1}, 1, ""},      {{1, 2}, 1, ""}, {{2, 2, 2}, 2, "2"}, {{0, 2, 1, 2, 0}, 1, ""},
        {{3, -1, 99}, 0, ""},
    };
    for (const Case& one : cases) {
      const Span read = span_of(writer, directory, [&](otlpshm_span* span) {
        for (std::size_t i = 0; i < one.codes.size(); ++i) {
          otlpshm_span_set_status_cstr(span, one.codes[i], std::to_string(i).c_str());
        }
      });
      REQUIRE(read.status_code == one.code);
      REQUIRE(read.status_message == one.message);
      REQUIRE(last_record(directory).status_code == one.code);
    }
    const Span bad = span_of(writer, directory, [](otlpshm_span* span) {
      otlpshm_span_set_status_cstr(span, OTLPSHM_STATUS_ERROR, "x\xff");
    });
    REQUIRE(bad.status_message == "x" + kReplacement);
  });
}

TEST_CASE("span: it ends once, and may be started again") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_span span{};
    for (int i = 1; i <= 3; ++i) {
      otlpshm_span_start_cstr(writer, &span, "s", nullptr);
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
      REQUIRE(otlpshm_span_end_at(&span, 1) == OTLPSHM_OK);
      REQUIRE(stats_of(writer).ended == static_cast<std::uint64_t>(i));
    }
  });
}

TEST_CASE("span: an end before the start is kept as it was given, and lasts 0") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_start_options options = start_options();
    options.start_unix_nano = 1000;
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "s", &options);
    REQUIRE(otlpshm_span_end_at(&span, 999) == OTLPSHM_OK);
    const Record record = last_record(directory);
    REQUIRE(record.duration == 0);
    REQUIRE(parse_span(record.body)->end == 999);
  });
}

TEST_CASE("span: without times of its own it ends no earlier than it starts, and about now") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    REQUIRE(write_span(writer) == OTLPSHM_OK);
    const Record record = last_record(directory);
    const Span read = *parse_span(record.body);
    REQUIRE(read.end >= read.start);
    REQUIRE(record.duration == read.end - read.start);
    const auto now = static_cast<std::uint64_t>(time(nullptr));
    REQUIRE(read.start / 1'000'000'000 + 60 > now);
    REQUIRE(read.start / 1'000'000'000 <= now + 60);
  });
}

TEST_CASE("span: one that is discarded leaves nothing and counts nowhere") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "s", nullptr);
    otlpshm_span_set_string_cstr(&span, "k", std::string(5000, 'x').c_str());
    otlpshm_span_discard(&span);
    REQUIRE(otlpshm_span_is_recording(&span) == 0);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(stats_of(writer).ended == 0);
  });
}

TEST_CASE("span: options without a size and kinds that are none are the defaults") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_start_options options = start_options();
    options.size = 0;
    options.kind = OTLPSHM_KIND_SERVER;
    REQUIRE(span_of(
                writer, directory, [](otlpshm_span*) {}, &options)
                .kind == 1);
    options.size = sizeof options;
    REQUIRE(span_of(
                writer, directory, [](otlpshm_span*) {}, &options)
                .kind == 2);
    for (const int kind : {-1, 0, 6, 257}) {
      options.kind = kind;
      REQUIRE(span_of(
                  writer, directory, [](otlpshm_span*) {}, &options)
                  .kind == 1);
    }
  });
}

TEST_CASE("span: no public call changes errno") {
  const PrivateDirectory directory;
  in_child([&] {
    const auto use_all = [&](const std::string& path) {
      forget_environment();
      const otlpshm_writer_options options = options_of(path);
      const otlpshm_context parent = some_parent();
      otlpshm_start_options start = start_options();
      start.parent = &parent;
      const std::string large(5000, 'x');
      const otlpshm_attribute attribute = string_attribute("k", large.c_str());
      otlpshm_writer* writer = nullptr;
      otlpshm_span span{};
      otlpshm_context context;
      otlpshm_stats stats{};
      stats.size = sizeof stats;
      char header[OTLPSHM_TRACEPARENT_BYTES + 1];
      const auto keeps = [](auto call) {
        errno = 4711;
        call();
        return errno == 4711;
      };
      REQUIRE(keeps([&] { otlpshm_writer_open(&writer, &options); }));
      for (int round = 0; round < 40; ++round) {  // full lanes, dropped spans
        REQUIRE(keeps([&] { otlpshm_span_start_cstr(writer, &span, "s", &start); }));
        REQUIRE(keeps([&] { otlpshm_span_get_context(&span, &context); }));
        REQUIRE(keeps([&] { otlpshm_traceparent_inject(&context, header); }));
        REQUIRE(keeps([&] { otlpshm_traceparent_extract(header, 55, &context); }));
        REQUIRE(keeps([&] { otlpshm_span_set_string_cstr(&span, "k", large.c_str()); }));
        REQUIRE(keeps([&] { otlpshm_span_add_event_cstr(&span, "e", &attribute, 1); }));
        REQUIRE(keeps([&] { otlpshm_span_set_status_cstr(&span, 2, large.c_str()); }));
        REQUIRE(keeps([&] { otlpshm_span_update_name(&span, large.data(), large.size()); }));
        REQUIRE(keeps([&] { otlpshm_span_end(&span); }));
      }
      REQUIRE(keeps([&] { otlpshm_writer_status(writer); }));
      REQUIRE(keeps([&] { otlpshm_writer_stats(writer, &stats); }));
      REQUIRE(keeps([&] { otlpshm_force_flush(writer, 1); }));
      REQUIRE(keeps([&] { otlpshm_shutdown(writer, 1); }));
      REQUIRE(keeps([&] { otlpshm_strerror(-5); }));
    };
    use_all(directory.path());
    use_all(directory.file("missing"));
    StateFile state(directory);
    use_all(directory.path());
  });
}

TEST_CASE("span: the room that an end needs is always there, whatever fills the span") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (std::size_t bytes = 0; bytes < 900; ++bytes) {
      const otlpshm_start_options options = start_options(OTLPSHM_SPAN_SIGNAL_SAFE);
      const std::string value(bytes, 'x');
      const std::string name(bytes % 7 == 0 ? 1024 : 3, 'n');
      otlpshm_span spans[2] = {};
      std::memset(&spans[1], 0x5a, sizeof spans[1]);  // what stands behind
      otlpshm_span_start_cstr(writer, &spans[0], "s", &options);
      otlpshm_span_set_string(&spans[0], "a", 1, value.data(), value.size());
      otlpshm_span_update_name(&spans[0], name.data(), name.size());
      for (int i = 0; i < 200; ++i) otlpshm_span_set_int(&spans[0], "", 0, 1);
      for (int i = 0; i < 200; ++i) otlpshm_span_set_int(&spans[0], "b", 1, i);
      for (int i = 0; i < 90; ++i) otlpshm_span_add_event(&spans[0], "e", 1, 1, nullptr, 0);
      otlpshm_span_set_status(&spans[0], OTLPSHM_STATUS_ERROR, value.data(), value.size());
      const int status = otlpshm_span_end(&spans[0]);
      REQUIRE(status == OTLPSHM_OK);
      for (const std::uint64_t word : spans[1].private_words) {
        REQUIRE(word == 0x5a5a5a5a5a5a5a5a);
      }
    }
    const auto read = SegmentFile(directory.segment()).spans();
    REQUIRE(read.size() == 900);
    for (const Span& span : read) REQUIRE(span.status_code == 2);
  });
}

}  // namespace otlpshm::library
