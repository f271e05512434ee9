// SPDX-License-Identifier: Apache-2.0
// otlpshm_hpp_test.cc: the C++ header: spans that end with their scope, values of every type.
// What the library makes of them is tested with the library; here it is enough to find them in the
// bytes of the segment.
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>

#include "otlpshm/otlpshm.hpp"

namespace fs = std::filesystem;
using otlpshm::Kind;
using otlpshm::Span;
using otlpshm::Writer;

static_assert(!std::is_copy_constructible_v<Span> && !std::is_move_constructible_v<Span>);
static_assert(!std::is_copy_assignable_v<Writer> && !std::is_move_assignable_v<Writer>);
static_assert(std::is_trivially_copyable_v<otlpshm::Context>);
static_assert(sizeof(Span) == sizeof(::otlpshm_span));

namespace {

// A directory without a daemon: spans wait in the segment. One for all tests, as in a program.
class Directory {
 public:
  Directory() {
    const char* shared = getenv("OTLPSHM_TEST_SHM");
    path_ = std::string(shared ? shared : "/dev/shm") + "/otlpshm-hpp-XXXXXX";
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  ~Directory() { fs::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  otlpshm::WriterOptions options() const {
    otlpshm::WriterOptions made;
    made.directory = path_.c_str();
    made.service_name = "hpp";
    made.scope_name = "hpp.test";
    return made;
  }
  bool holds(const std::string& bytes) const {
    for (const auto& entry : fs::directory_iterator(path_)) {
      std::ifstream file(entry.path(), std::ios::binary);
      std::string all(fs::file_size(entry.path()), '\0');
      file.read(all.data(), static_cast<std::streamsize>(all.size()));
      if (all.find(bytes) != std::string::npos) return true;
    }
    return false;
  }

 private:
  std::string path_;
};

const Directory& directory() {
  static const Directory one;
  return one;
}

std::string bytes_of(const std::uint8_t* id, std::size_t count) {
  return {reinterpret_cast<const char*>(id), count};
}

// An attribute as OTLP spells it: KeyValue{1: key, 2: AnyValue}.
std::string key_value(const std::string& key, const std::string& any_value) {
  return "\n" + std::string(1, static_cast<char>(key.size())) + key + "\x12" +
         std::string(1, static_cast<char>(any_value.size())) + any_value;
}

}  // namespace

TEST_CASE("hpp: a span ends with its scope, or before, or never") {
  const Writer writer(directory().options());
  const std::uint64_t before = writer.stats().ended;
  {
    Span span(writer, "ends with its scope");
    CHECK(span.is_recording());
    CHECK(writer.stats().ended == before);
  }
  CHECK(writer.stats().ended == before + 1);
  CHECK(directory().holds("ends with its scope"));
  {
    Span span(writer, "ends before");
    CHECK(span.end() == OTLPSHM_OK);
    CHECK(writer.stats().ended == before + 2);
    CHECK_FALSE(span.is_recording());
  }
  {
    Span span(writer, "is never heard of");
    span.discard();
  }
  CHECK(writer.stats().ended == before + 2);
  CHECK_FALSE(directory().holds("is never heard of"));
  CHECK(writer.status() == OTLPSHM_ERROR_NO_DAEMON);
}

TEST_CASE("hpp: a span ends when an exception leaves its scope") {
  const Writer writer(directory().options());
  const std::uint64_t before = writer.stats().ended;
  try {
    Span span(writer, "left");
    throw std::runtime_error("out");
  } catch (const std::runtime_error& error) {
    CHECK(writer.stats().ended == before + 1);
  }
}

TEST_CASE("hpp: a value keeps its type") {
  const Writer writer(directory().options());
  {
    const std::string text = "from a string";
    const char array[8] = "array";
    Span span(writer, "typed");
    span.set("a", "literal").set("b", text).set("c", std::string_view("view")).set("d", array);
    span.set("e", true).set("f", 7).set("g", 7u).set("h", static_cast<short>(7));
    span.set("i", std::numeric_limits<std::uint64_t>::max()).set("j", 0.5).set("k", 0.5f);
    span.set("l", -1).set("m", 'A');
  }
  const std::string half("\x21\0\0\0\0\0\0\xe0\x3f", 9);  // double_value
  CHECK(directory().holds(key_value("a", "\n\x07literal")));
  CHECK(directory().holds(key_value("b",
                                    "\n\x0d"
                                    "from a string")));
  CHECK(directory().holds(key_value("c", "\n\x04view")));
  CHECK(directory().holds(key_value("d",
                                    "\n\x05"
                                    "array")));
  CHECK(directory().holds(key_value("e", "\x10\x01")));
  CHECK(directory().holds(key_value("f", "\x18\x07")));
  CHECK(directory().holds(key_value("g", "\x18\x07")));
  CHECK(directory().holds(key_value("h", "\x18\x07")));
  CHECK(directory().holds(key_value("i", "\x18" + std::string(8, '\xff') + "\x7f")));
  CHECK(directory().holds(key_value("j", half)));
  CHECK(directory().holds(key_value("k", half)));
  CHECK(directory().holds(key_value("l", "\x18" + std::string(9, '\xff') + "\x01")));
  CHECK(directory().holds(key_value("m",
                                    "\x18"
                                    "A")));
}

TEST_CASE("hpp: an exception is an event and an error") {
  const Writer writer(directory().options());
  { Span(writer, "failing").record_exception("Boom", "it went off"); }
  CHECK(directory().holds(key_value("exception.type",
                                    "\n\x04"
                                    "Boom")));
  CHECK(directory().holds(key_value("exception.message", "\n\x0bit went off")));
  CHECK(directory().holds("\x12\x0bit went off\x18\x02"));  // Status{2: message, 3: ERROR}
}

TEST_CASE("hpp: a child has its parent's trace, near and far") {
  const Writer writer(directory().options());
  Span parent(writer, "parent", Kind::server);
  const otlpshm::Context near = parent.context();
  CHECK_FALSE(near.is_remote);

  const otlpshm::Traceparent sent = parent.traceparent();
  CHECK(sent.view().size() == OTLPSHM_TRACEPARENT_BYTES);
  const otlpshm::Context far = otlpshm::extract(sent.view());
  CHECK(far.is_remote);
  CHECK(std::memcmp(far.trace_id, near.trace_id, sizeof near.trace_id) == 0);
  CHECK(std::memcmp(far.span_id, near.span_id, sizeof near.span_id) == 0);

  { const Span child(writer, "child", parent, Kind::client); }
  const std::string parent_id = "\x22\x08" + bytes_of(near.span_id, 8);  // Span.parent_span_id
  CHECK(directory().holds(parent_id));
  Span remote_child(writer, "remote child", far, Kind::server);
  CHECK(std::memcmp(remote_child.context().trace_id, near.trace_id, 16) == 0);
}

TEST_CASE("hpp: a traceparent that is none starts a new trace") {
  const Writer writer(directory().options());
  for (const char* text : {"", "nonsense", "00-0-0-00"}) {
    const otlpshm::Context context = otlpshm::extract(text);
    CHECK(otlpshm::Traceparent(context).view().empty());
    Span span(writer, "new", context);
    CHECK(span.traceparent().view().size() == OTLPSHM_TRACEPARENT_BYTES);
  }
}

TEST_CASE("hpp: without a directory everything is a no-op") {
  otlpshm::WriterOptions options;
  options.directory = "/nowhere/at-all";
  Writer writer(options);
  {
    Span span(writer, "nothing");
    CHECK_FALSE(span.is_recording());
    span.set("key", 1).add_event("event", {otlpshm::attribute("key", "value")}).set_error("no");
    CHECK(span.traceparent().view().empty());
  }
  CHECK(writer.status() == OTLPSHM_ERROR_NO_DIRECTORY);
  writer.shutdown(0);
  CHECK(writer.shutdown(0) == OTLPSHM_ERROR_SHUTDOWN);
  Span late(writer, "after shutdown");
  CHECK_FALSE(late.is_recording());
}
