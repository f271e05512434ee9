// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "allocations.h"
#include "in_child.h"
#include "shown.h"

namespace otlpshm::library {
namespace {

const std::string kReplacement = "\xef\xbf\xbd";

void set(otlpshm_span* span, const std::string& key, const otlpshm_value& value) {
  otlpshm_span_set_value(span, key.data(), key.size(), &value);
}

// `around` is put around a value so often.
class Nested {
 public:
  Nested(unsigned times, bool of_arrays) : values_(times + 1), entries_(times + 1) {
    values_[0] = int_value(7);
    for (unsigned i = 1; i <= times; ++i) {
      if (of_arrays) {
        values_[i].type = OTLPSHM_VALUE_ARRAY;
        values_[i].as.array = {&values_[i - 1], 1};
      } else {
        entries_[i] = {"k", 1, values_[i - 1]};
        values_[i].type = OTLPSHM_VALUE_MAP;
        values_[i].as.map = {&entries_[i], 1};
      }
    }
  }
  const otlpshm_value& value() const { return values_.back(); }

 private:
  std::vector<otlpshm_value> values_;
  std::vector<otlpshm_attribute> entries_;
};

std::string repeated(const std::string& text, unsigned times) {
  std::string out;
  for (unsigned i = 0; i < times; ++i) out += text;
  return out;
}

otlpshm_writer* writer_with(const PrivateDirectory& directory,
                            const std::function<void(otlpshm_writer_options*)>& set_options) {
  forget_environment();
  otlpshm_writer_options options = options_of(directory.path());
  set_options(&options);
  return open_writer(options);
}

}  // namespace

TEST_CASE("attribute: each type is its own value, and empty is not nothing") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const Shown read = shown_span(writer, directory, [](otlpshm_span* span) {
      otlpshm_span_set_string_cstr(span, "s", "");
      otlpshm_span_set_string_cstr(span, "s.null", nullptr);
      otlpshm_span_set_int_cstr(span, "i", 0);
      otlpshm_span_set_int_cstr(span, "i.min", std::numeric_limits<std::int64_t>::min());
      otlpshm_span_set_double_cstr(span, "d", 0);
      otlpshm_span_set_bool_cstr(span, "f", 0);
      otlpshm_span_set_bytes_cstr(span, "y", "\0\xff", 2);
      otlpshm_span_set_bytes_cstr(span, "y.null", nullptr, 9);
      otlpshm_span_set_uint_cstr(span, "u", 0);
      otlpshm_span_set_uint_cstr(span, "u.fits", std::numeric_limits<std::int64_t>::max());
      otlpshm_span_set_uint_cstr(span, "u.over", std::uint64_t{1} << 63);
      otlpshm_span_set_uint_cstr(span, "u.max", std::numeric_limits<std::uint64_t>::max());
      const otlpshm_value empty{};
      otlpshm_span_set_value_cstr(span, "e", &empty);
      otlpshm_span_set_value_cstr(span, "e.null", nullptr);
      set(span, "a", array_value({}));
      set(span, "m", map_value({}));
    });
    REQUIRE(read.attributes ==
            "s=\"\" s.null=\"\" i=0 i.min=-9223372036854775808 d=0 f=false "
            "y=b\"" +
                std::string("\0\xff", 2) +
                "\" y.null=b\"\" u=0 "
                "u.fits=9223372036854775807 u.over=\"9223372036854775808\" "
                "u.max=\"18446744073709551615\" e=() e.null=() a=[] m={}");
    REQUIRE(read.dropped_attributes == 0);
  });
}

TEST_CASE("attribute: arrays are mixed and keep their order, maps nest, and both keep empties") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_value> inner = {otlpshm_value{}, int_value(1), otlpshm_value{}};
    const std::vector<otlpshm_attribute> entries = {
        pair("list", array_value(inner)), pair("none", otlpshm_value{}), pair("x", text_value("y")),
        pair("u", uint_value(~std::uint64_t{0}))};
    const std::vector<otlpshm_value> all = {
        text_value("t"),     int_value(-1),      double_value(0.5), bool_value(1),
        bytes_value("\x01"), map_value(entries), array_value({}),   text_value("\xff")};
    const Shown read = shown_span(writer, directory,
                                  [&](otlpshm_span* span) { set(span, "k", array_value(all)); });
    REQUIRE(read.attributes ==
            "k=[\"t\", -1, 0.5, true, b\"\x01\", {list: [(), 1, ()], none: (), x: \"y\", u: "
            "\"18446744073709551615\"}, [], b\"\xff\"]");
  });
}

TEST_CASE("attribute: of equal keys the last value wins, in a span, a list and a map") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_attribute> twice = {pair("a", int_value(1)), pair("b", int_value(2)),
                                                  pair("a", text_value("3")),
                                                  pair("B", int_value(4)), pair("a", int_value(5))};
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      set(span, "m", map_value(twice));
      otlpshm_span_set_attributes(span, twice.data(), twice.size());
      otlpshm_span_set_int(span, "b", 1, 6);
    });
    REQUIRE(read.attributes == "m={a: 5, b: 2, B: 4} B=4 a=5 b=6");
    REQUIRE(read.dropped_attributes == 0);
  });
}

TEST_CASE(
    "attribute: of a thousand keys all are kept, and of equal ones among them the last value") {
  constexpr int kMany = 1000;
  const PrivateDirectory directory;
  std::vector<std::string> keys;
  for (int i = 0; i < kMany; ++i) keys.push_back("k" + std::to_string(i));
  std::vector<otlpshm_attribute> entries;
  for (int i = 0; i < kMany; ++i) entries.push_back(pair(keys[i].c_str(), int_value(i)));
  const auto shown = [&](int again, int value) {  // what remains when k<again> comes once more
    std::string all = "m={";
    for (int i = 0; i < kMany; ++i) {
      all += (i == 0 ? "" : ", ") + keys[i] + ": " + std::to_string(i == again ? value : i);
    }
    return all + "}";
  };
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const auto show = [&] {
      return shown_span(writer, directory,
                        [&](otlpshm_span* span) { set(span, "m", map_value(entries)); })
          .attributes;
    };
    REQUIRE(show() == shown(0, 0));
    for (const int again : {0, 499, kMany - 1}) {
      entries.push_back(pair(keys[again].c_str(), int_value(-1)));
      REQUIRE(show() == shown(again, -1));
      entries.pop_back();
    }
  });
}

TEST_CASE("attribute: keys that are no text are mended, and equal when they look alike") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_attribute> alike = {
        pair("x\xff", int_value(1)),     pair("x\xfe", int_value(2)),
        pair("x\xc3", int_value(3)),     pair("x\xef\xbf\xbd", int_value(4)),
        pair("x\xff\xff", int_value(5)), pair("\xe2\x82y", int_value(6)),
        pair("x", int_value(7))};
    const std::string shown = "x" + kReplacement + ": 4, x" + kReplacement + kReplacement +
                              ": 5, " + kReplacement + kReplacement + "y: 6, x: 7";
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      set(span, "m", map_value(alike));
      otlpshm_span_add_event_cstr(span, "e", alike.data(), alike.size());
      for (const otlpshm_attribute& one : alike) {
        otlpshm_span_set_int(span, one.key, one.key_bytes, one.value.as.integer);
      }
    });
    REQUIRE(read.attributes == "m={" + shown + "} x" + kReplacement + "=4 x" + kReplacement +
                                   kReplacement + "=5 " + kReplacement + kReplacement + "y=6 x=7");
    REQUIRE(read.events.at(0).attributes == "x" + kReplacement + "=4 x" + kReplacement +
                                                kReplacement + "=5 " + kReplacement + kReplacement +
                                                "y=6 x=7");
  });
}

TEST_CASE("attribute: below the depth limit an array or a map is the empty value") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = writer_with(
        directory, [](otlpshm_writer_options* options) { options->value_depth_max = 2; });
    const Shown read = shown_span(writer, directory, [](otlpshm_span* span) {
      for (const bool of_arrays : {true, false}) {
        for (const unsigned times : {1u, 2u, 3u}) {
          set(span, (of_arrays ? "a" : "m") + std::to_string(times),
              Nested(times, of_arrays).value());
        }
      }
    });
    REQUIRE(read.attributes ==
            "a1=[7] a2=[[7]] a3=[[()]] m1={k: 7} m2={k: {k: 7}} m3={k: {k: ()}}");
    REQUIRE(read.dropped_attributes == 0);
  });
}

TEST_CASE("attribute: by default values nest as deep as parsers of OTLP read, and no deeper") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (const unsigned times : {46u, 47u, 64u, 65u, 1000u}) {
      const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
        set(span, "k", Nested(times, true).value());
      });
      REQUIRE(read.attributes ==
              "k=" + repeated("[", 46) + (times == 46 ? "7" : "()") + repeated("]", 46));
    }
    for (const unsigned times : {30u, 31u, 64u, 65u, 1000u}) {
      const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
        set(span, "k", Nested(times, false).value());
      });
      REQUIRE(read.attributes ==
              "k=" + repeated("{k: ", 30) + (times == 30 ? "7" : "()") + repeated("}", 30));
    }
  });
}

TEST_CASE("attribute: text is cut by characters of any length, bytes by bytes, wherever they lie") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = writer_with(directory, [](otlpshm_writer_options* options) {
      options->attribute_value_length_max = 2;
    });
    const std::string pairs[][2] = {{"a", "ab"}, {"ä", "äö"},    {"€", "€€"},
                                    {"🐧", "🐧🐧"}, {"aä€🐧", "aä"}, {"🐧€äa", "🐧€"}};
    for (const auto& [unit, kept] : pairs) {
      const std::string given = unit == "a" ? "abcdef" : repeated(unit, 3) + "äöx";
      const std::string expected = unit == "ä" ? "ää" : kept;
      const std::vector<otlpshm_attribute> entries = {pair("k", text_value(given))};
      const std::vector<otlpshm_value> values = {text_value(given), bytes_value("\x01\x02\x03"),
                                                 map_value(entries), int_value(12345),
                                                 text_value("\xff\xfe\xfd")};
      const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
        set(span, "a", array_value(values));
        otlpshm_span_set_string(span, "s", 1, given.data(), given.size());
        otlpshm_key key;
        REQUIRE(otlpshm_key_prepare_cstr(&key, "p") == OTLPSHM_OK);
        otlpshm_span_set_string_prepared(span, &key, given.data(), given.size());
        otlpshm_span_set_double(span, "d", 1, 0.125);
        otlpshm_span_set_uint(span, "u", 1, ~std::uint64_t{0});
      });
      REQUIRE(read.attributes == "a=[\"" + expected + "\", b\"\x01\x02\", {k: \"" + expected +
                                     "\"}, 12345, b\"\xff\xfe\"] s=\"" + expected + "\" p=\"" +
                                     expected + "\" d=0.125 u=\"18446744073709551615\"");
    }
  });
}

TEST_CASE("attribute: a map of more than 1024 entries is dropped, a list keeps what comes first") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = writer_with(directory, [](otlpshm_writer_options* options) {
      options->event_attribute_count_max = 5000;
    });
    std::vector<std::string> keys;
    for (int i = 0; i < 1030; ++i) keys.push_back(std::to_string(i));
    std::vector<otlpshm_attribute> many;
    for (const std::string& key : keys) many.push_back(pair(key, int_value(1)));
    std::vector<otlpshm_attribute> fits(many.begin(), many.begin() + 1024);
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      set(span, "over", map_value(many));
      set(span, "fits", map_value(fits));
      otlpshm_span_add_event_cstr(span, "e", many.data(), many.size());
    });
    REQUIRE(read.attribute_count == 1);
    REQUIRE(read.attributes.rfind("1023: 1}") == read.attributes.size() - 8);
    REQUIRE(read.dropped_attributes == 1);
    REQUIRE(read.events.at(0).dropped == 6);
    REQUIRE(stats_of(writer).attributes_dropped == 7);
  });
}

TEST_CASE("attribute: one that cannot be kept leaves no trace but its count") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::string long_key(1025, 'k');
    otlpshm_value unknown = int_value(1);
    unknown.type = 9;
    const std::vector<otlpshm_value> with_unknown = {int_value(1), unknown};
    const std::vector<otlpshm_attribute> with_long = {pair("a", int_value(1)),
                                                      pair(long_key, int_value(2))};
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_set_int(span, long_key.data(), long_key.size(), 1);
      otlpshm_span_set_int(span, nullptr, 5, 1);
      otlpshm_span_set_int(span, "k", 0, 1);
      otlpshm_span_set_string(span, nullptr, 0, "v", 1);
      set(span, "unknown", unknown);
      set(span, "array", array_value(with_unknown));
      set(span, "map", map_value(with_long));
      otlpshm_span_set_int(span, long_key.data(), 1024, 2);
      otlpshm_span_set_attributes(span, nullptr, 3);
    });
    REQUIRE(read.attributes == std::string(1024, 'k') + "=2");
    REQUIRE(read.dropped_attributes == 7);
    REQUIRE(stats_of(writer).attributes_dropped == 7);
  });
}

TEST_CASE("attribute: a prepared key is the same key as a plain one") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (const std::string& text :
         {std::string("k"), std::string("ä"), std::string(28, 'a'), std::string(29, 'a'),
          std::string(63, 'b'), std::string(64, 'c')}) {
      for (const std::size_t bytes : {0u, 1u, 55u, 56u, 57u, 500u}) {
        otlpshm_key key;
        REQUIRE(otlpshm_key_prepare(&key, text.data(), text.size()) == OTLPSHM_OK);
        const std::string value(bytes, 'v');
        const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
          otlpshm_span_set_int(span, text.data(), text.size(), 1);
          otlpshm_span_set_string_prepared(span, &key, value.data(), value.size());
        });
        REQUIRE(read.attributes == text + "=\"" + value + "\"");
        const Shown again = shown_span(writer, directory, [&](otlpshm_span* span) {
          otlpshm_span_set_bool_prepared(span, &key, 1);
          otlpshm_span_set_int_prepared(span, &key, -1);
          otlpshm_span_set_double_prepared(span, &key, 0.5);
          otlpshm_span_set_string(span, text.data(), text.size(), value.data(), value.size());
        });
        REQUIRE(again.attributes == text + "=\"" + value + "\"");
      }
    }
  });
}

TEST_CASE("attribute: a key of 0, of more than 64 bytes or of no text is not prepared") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_key key;
    const otlpshm_key nothing{};
    const auto is_refused = [&](const char* text, std::size_t bytes) {
      std::memset(&key, 0x55, sizeof key);
      return otlpshm_key_prepare(&key, text, bytes) == OTLPSHM_ERROR_INVALID_ARGUMENT &&
             std::memcmp(&key, &nothing, sizeof key) == 0;
    };
    REQUIRE(is_refused("", 0));
    REQUIRE(is_refused(nullptr, 3));
    REQUIRE(is_refused(std::string(65, 'k').data(), 65));
    REQUIRE(is_refused("k\xff", 2));
    REQUIRE(otlpshm_key_prepare(nullptr, "k", 1) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    REQUIRE(otlpshm_key_prepare_cstr(&key, nullptr) == OTLPSHM_ERROR_INVALID_ARGUMENT);
    otlpshm_writer* writer = open_writer(directory.path());
    const Shown read = shown_span(writer, directory, [&](otlpshm_span* span) {
      otlpshm_span_set_string_prepared(span, &nothing, "v", 1);
      otlpshm_span_set_int_prepared(span, &nothing, 1);
      otlpshm_span_set_double_prepared(span, &nothing, 1);
      otlpshm_span_set_bool_prepared(span, &nothing, 1);
      otlpshm_span_set_int_prepared(span, nullptr, 1);
    });
    REQUIRE(read.attributes.empty());
    REQUIRE(read.dropped_attributes == 4);
  });
}

TEST_CASE("attribute: 129 of them are 128 and one that was dropped; what replaces still does") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const Shown read = shown_span(writer, directory, [](otlpshm_span* span) {
      for (int i = 0; i < 129; ++i) otlpshm_span_set_int_cstr(span, std::to_string(i).c_str(), i);
      otlpshm_span_set_string_cstr(span, "0", "replaced");
      otlpshm_span_set_bytes_cstr(span, "1", "x", 1);
    });
    REQUIRE(read.attribute_count == 128);
    REQUIRE(read.dropped_attributes == 1);
    REQUIRE(read.attributes.rfind("127=127 0=\"replaced\" 1=b\"x\"") != std::string::npos);
    REQUIRE(stats_of(writer).attributes_dropped == 1);
  });
}

TEST_CASE("attribute: a start sets attributes and links as the calls do") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const std::vector<otlpshm_attribute> attributes = {
        pair("a", int_value(1)), pair("b", text_value("2")), pair("a", int_value(3))};
    otlpshm_link links[2]{};
    std::memset(links[0].context.trace_id, 1, 16);
    std::memset(links[0].context.span_id, 2, 8);
    links[1].attributes = attributes.data();
    links[1].attribute_count = 1;
    otlpshm_start_options options = start_with();
    options.attributes = attributes.data();
    options.attribute_count = attributes.size();
    options.links = links;
    options.link_count = 2;
    const Shown read = shown_span(
        writer, directory, [](otlpshm_span*) {}, &options);
    REQUIRE(read.attributes == "b=\"2\" a=3");
    REQUIRE(read.links.size() == 2);
    REQUIRE(read.links[1].attributes == "a=1");
    options.attributes = nullptr;
    options.links = nullptr;
    REQUIRE(shown_span(
                writer, directory, [](otlpshm_span*) {}, &options)
                .attributes.empty());
  });
}

TEST_CASE("attribute: a span grows as it needs, is counted once, and loses nothing by it") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    for (std::size_t bytes = 0; bytes < 3000; bytes += 7) {
      const std::uint64_t grown = stats_of(writer).spans_grown;
      const std::uint64_t before = allocations();
      const std::string value(bytes, 'v');
      otlpshm_span span{};
      otlpshm_span_start_cstr(writer, &span, "name", nullptr);
      otlpshm_span_set_string(&span, "a", 1, value.data(), bytes);
      otlpshm_span_set_int(&span, "b", 1, 1);
      otlpshm_span_set_string(&span, "a", 1, value.data(), bytes / 2);
      const std::uint64_t allocated = allocations() - before;
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
      const Shown read = shown(records_of(directory).back().body);
      REQUIRE(read.attributes == "b=1 a=\"" + std::string(bytes / 2, 'v') + "\"");
      REQUIRE(stats_of(writer).spans_grown - grown == (allocated != 0 ? 1 : 0));
    }
    REQUIRE(stats_of(writer).spans_grown > 0);
  });
}

TEST_CASE("attribute: a signal-safe span takes what fits, of every kind, and allocates never") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const otlpshm_start_options options = start_with(OTLPSHM_SPAN_SIGNAL_SAFE);
    const std::vector<otlpshm_attribute> entries = {pair("k", text_value("value"))};
    const otlpshm_value map = map_value(entries);
    otlpshm_link link{};
    link.attributes = entries.data();
    link.attribute_count = 1;
    otlpshm_exception exception{};
    exception.message = "what happened";
    const std::uint64_t before = allocations();
    otlpshm_span span{};
    otlpshm_span_start_cstr(writer, &span, "name", &options);
    for (int i = 0; i < 50; ++i) {
      const auto key = static_cast<char>('A' + i);
      otlpshm_span_set_value(&span, &key, 1, &map);
      otlpshm_span_add_link(&span, &link);
      otlpshm_span_record_exception(&span, &exception);
    }
    const std::uint64_t allocated = allocations() - before;
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(allocated == 0);
    const Shown read = shown(records_of(directory).back().body);
    REQUIRE(read.attribute_count > 0);
    REQUIRE(read.attribute_count + read.dropped_attributes == 50);
    REQUIRE(read.links.size() + read.dropped_links == 50);
    REQUIRE(read.events.size() + read.dropped_events == 50);
    REQUIRE(stats_of(writer).spans_grown == 0);
  });
}

TEST_CASE("attribute: every call after the end is counted, and changes nothing") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    otlpshm_span span{};
    otlpshm_span_set_int_cstr(&span, "before any start", 1);
    REQUIRE(stats_of(writer).late_calls == 0);
    otlpshm_span_start_cstr(writer, &span, "name", nullptr);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    const otlpshm_value value = int_value(1);
    const otlpshm_attribute attribute = pair("k", value);
    const otlpshm_link link{};
    const otlpshm_exception exception{};
    otlpshm_key key;
    REQUIRE(otlpshm_key_prepare_cstr(&key, "k") == OTLPSHM_OK);
    const std::vector<std::function<void()>> late = {
        [&] { otlpshm_span_set_string_cstr(&span, "k", "v"); },
        [&] { otlpshm_span_set_int_cstr(&span, "k", 1); },
        [&] { otlpshm_span_set_double_cstr(&span, "k", 1); },
        [&] { otlpshm_span_set_bool_cstr(&span, "k", 1); },
        [&] { otlpshm_span_set_uint_cstr(&span, "k", 1); },
        [&] { otlpshm_span_set_bytes_cstr(&span, "k", "v", 1); },
        [&] { otlpshm_span_set_value_cstr(&span, "k", &value); },
        [&] { otlpshm_span_set_attributes(&span, &attribute, 1); },
        [&] { otlpshm_span_set_string_prepared(&span, &key, "v", 1); },
        [&] { otlpshm_span_set_int_prepared(&span, &key, 1); },
        [&] { otlpshm_span_set_double_prepared(&span, &key, 1); },
        [&] { otlpshm_span_set_bool_prepared(&span, &key, 1); },
        [&] { otlpshm_span_add_event_cstr(&span, "e", nullptr, 0); },
        [&] { otlpshm_span_record_exception(&span, &exception); },
        [&] { otlpshm_span_add_link(&span, &link); },
        [&] { otlpshm_span_set_status_cstr(&span, OTLPSHM_STATUS_ERROR, "late"); },
        [&] { otlpshm_span_update_name(&span, "late", 4); },
        [&] { REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK); },
        [&] { REQUIRE(otlpshm_span_end_at(&span, 1) == OTLPSHM_OK); },
        [&] { otlpshm_span_discard(&span); },
    };
    for (std::size_t i = 0; i < late.size(); ++i) {
      late[i]();
      REQUIRE(stats_of(writer).late_calls == i + 1);
    }
    REQUIRE(records_of(directory).size() == 1);
    REQUIRE(shown(records_of(directory)[0].body).attributes.empty());
    otlpshm_context context;
    otlpshm_span_get_context(&span, &context);
    const otlpshm_context nothing{};
    REQUIRE(std::memcmp(&context, &nothing, sizeof nothing) == 0);
    REQUIRE(otlpshm_span_is_recording(&span) == 0);
    REQUIRE(stats_of(writer).late_calls == late.size());
    otlpshm_span_start_cstr(writer, &span, "again", nullptr);
    otlpshm_span_set_int_cstr(&span, "k", 1);
    REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
    REQUIRE(stats_of(writer).late_calls == late.size());
    REQUIRE(shown(records_of(directory).back().body).attributes == "k=1");
  });
}

TEST_CASE("attribute: options beat the environment, and the environment the defaults") {
  const PrivateDirectory directory;
  in_child([&] {
    forget_environment();
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "9", 1);
    setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3", 1);
    setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2", 1);
    otlpshm_writer_options options = options_of(directory.path());
    otlpshm_writer* of_environment = open_writer(options);
    options.attribute_count_max = 2;
    options.attribute_value_length_max = 1;
    otlpshm_writer* of_options = open_writer(options);
    const auto fill = [](otlpshm_span* span) {
      for (const char* key : {"a", "b", "c", "d"}) otlpshm_span_set_string_cstr(span, key, "xyz");
    };
    const Shown first = shown_span(of_environment, directory, fill);
    REQUIRE(first.attributes == "a=\"xy\" b=\"xy\" c=\"xy\"");
    REQUIRE(first.dropped_attributes == 1);
    const Shown second = shown_span(of_options, directory, fill);
    REQUIRE(second.attributes == "a=\"x\" b=\"x\"");
    REQUIRE(second.dropped_attributes == 2);
  });
}

TEST_CASE("attribute: an unsampled span has ids of its own and leaves no record") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = writer_with(directory, [](otlpshm_writer_options* options) {
      options->sampler = OTLPSHM_SAMPLER_ALWAYS_OFF;
    });
    otlpshm_context parent{};
    std::memset(parent.trace_id, 1, 16);
    std::memset(parent.span_id, 2, 8);
    otlpshm_start_options options = start_with();
    options.parent = &parent;
    otlpshm_context contexts[2];
    for (otlpshm_context& context : contexts) {
      otlpshm_span span;
      otlpshm_span_start_cstr(writer, &span, "name", &options);
      REQUIRE(otlpshm_span_is_recording(&span) == 0);
      otlpshm_span_set_string_cstr(&span, "k", std::string(5000, 'x').c_str());
      otlpshm_span_get_context(&span, &context);
      REQUIRE(otlpshm_span_end(&span) == OTLPSHM_OK);
      REQUIRE(std::memcmp(context.trace_id, parent.trace_id, 16) == 0);
      REQUIRE(std::memcmp(context.span_id, parent.span_id, 8) != 0);
      REQUIRE((context.trace_flags & 1) == 0);
    }
    REQUIRE(std::memcmp(contexts[0].span_id, contexts[1].span_id, 8) != 0);
    const otlpshm_stats stats = stats_of(writer);
    REQUIRE((stats.ended == 0 && stats.late_calls == 0 && stats.spans_grown == 0));
    REQUIRE(records_of(directory).empty());
  });
}

}  // namespace otlpshm::library
