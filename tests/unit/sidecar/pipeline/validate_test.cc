// SPDX-License-Identifier: Apache-2.0
#include "pipeline/validate.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "support/span_bytes.h"

namespace otlpshm::tests {
namespace {

using model::Bytes;
using model::Reason;
using pipeline::ValidSpan;

Bytes view(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::optional<Reason> fault(const std::string& body,
                            const otlpshm_record_header& header = header_for(1)) {
  ValidSpan valid;
  return pipeline::validate({header, view(body)}, &valid);
}

// An attribute, as field `number`, whose value is `depth` lists in each other.
std::string nested(unsigned depth, std::uint32_t number = 9) {
  std::string value = delimited(1, "x");
  for (unsigned i = 0; i < depth; ++i) value = delimited(5, delimited(1, value));
  return delimited(number, delimited(1, "deep") + delimited(2, value));
}

TEST_CASE("validate: a span with every field is good, and its end is known") {
  const std::string body = full_span(1);
  ValidSpan valid;
  CHECK_FALSE(pipeline::validate({header_for(1), view(body)}, &valid));
  CHECK(valid.end_unix_nano == 2001);
  CHECK(valid.fields.data() == view(body).data());
  CHECK(valid.fields.size() == body.size());
}

TEST_CASE("validate: ids alone are a span, in any order of fields") {
  CHECK_FALSE(fault(ids(1)));
  CHECK_FALSE(
      fault(delimited(5, "n") + delimited(2, id_bytes(8, 1)) + delimited(1, id_bytes(16, 1))));
}

TEST_CASE("validate: an attribute is judged the same however long and of what its texts are") {
  for (const std::size_t key_bytes : {0, 1, 3, 4, 7, 8, 9, 17, 121, 122, 127, 128, 200, 300}) {
    for (const std::size_t text_bytes : {0, 1, 5, 8, 16, 123, 124, 125, 126, 127, 128, 300}) {
      const std::string key(key_bytes, 'k');
      const std::string text(text_bytes, 't');
      CHECK_FALSE(fault(ids(1) + delimited(9, attribute(key, text))));
      CHECK_FALSE(fault(ids(1) + delimited(9, attribute(key + "ż", text + "世"))));
      CHECK(fault(ids(1) + delimited(9, attribute(key + "\xc5", text))) == Reason::invalid_utf8);
      CHECK(fault(ids(1) + delimited(9, attribute(key, text + "\xff"))) == Reason::invalid_utf8);
      const std::string whole = attribute(key, text);
      CHECK(fault(ids(1) + delimited(9, whole.substr(0, whole.size() - 1))) ==
            Reason::invalid_wire);
      CHECK(fault(ids(1) + delimited(9, whole + "\x0a")) == Reason::invalid_wire);
    }
  }
}

TEST_CASE("validate: unknown fields pass, whatever they hold") {
  CHECK_FALSE(fault(ids(1) + delimited(500, "\xff\xff") + field(17, 0, varint(9)) + fixed64(99, 1) +
                    fixed32(98, 1)));
  CHECK_FALSE(fault(ids(1) + delimited(9, attribute("k", "v") + field(3, 0, varint(4)))));
  CHECK_FALSE(
      fault(ids(1) + delimited(9, delimited(1, "k") + delimited(2, field(8, 0, varint(4))))));
}

TEST_CASE("validate: messages may lie 96 deep and no deeper") {
  // Span, attribute, value, and two for each list.
  CHECK_FALSE(fault(ids(1) + nested(46)));
  CHECK_FALSE(fault(ids(1) + delimited(11, nested(46, 3))));  // an event around it: 96
  CHECK(fault(ids(1) + nested(47)) == Reason::invalid_wire);
  CHECK(fault(ids(1) + nested(2000)) == Reason::invalid_wire);
}

TEST_CASE("validate: a span that is cut short anywhere inside a field is refused") {
  const std::string body = full_span(1);
  std::size_t good = 0;
  for (std::size_t bytes = 0; bytes < body.size(); ++bytes) {
    good += fault(body.substr(0, bytes)) ? 0 : 1;
  }
  // Only where one of its 21 fields ends, from the second id on.
  CHECK(good == 19);
}

TEST_CASE("validate: groups, field 0, and wire types that do not exist are refused") {
  CHECK(fault(ids(1) + field(9, 3, "") + field(9, 4, "")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(200, 3, "") + field(200, 4, "")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(0, 0, varint(1))) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(200, 6, "")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(200, 7, "")) == Reason::invalid_wire);
}

TEST_CASE("validate: a known field of another wire type is refused") {
  CHECK(fault(ids(1) + delimited(7, "12345678")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(5, 0, varint(1))) == Reason::invalid_wire);
  CHECK(fault(ids(1) + fixed64(6, 1)) == Reason::invalid_wire);
  CHECK(fault(ids(1) + fixed64(16, 1)) == Reason::invalid_wire);
  CHECK(fault(ids(1) + delimited(9, fixed32(1, 1))) == Reason::invalid_wire);
}

TEST_CASE("validate: a length or a varint that leads out of the message is refused") {
  CHECK(fault(ids(1) + field(5, 2, varint(2) + "x")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(5, 2, varint(UINT32_MAX) + "x")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(5, 2, varint(UINT64_MAX) + "x")) == Reason::invalid_wire);
  CHECK(fault(ids(1) + field(6, 0, std::string(11, '\x80'))) == Reason::invalid_wire);
  // The inner length fits the span and not the attribute around it.
  CHECK(fault(ids(1) + delimited(9, field(1, 2, varint(5) + "key")) + delimited(5, "long name")) ==
        Reason::invalid_wire);
}

TEST_CASE("validate: ids that are missing, zero, double or of another length are refused") {
  const std::string trace = delimited(1, id_bytes(16, 1));
  const std::string span = delimited(2, id_bytes(8, 1));
  CHECK(fault(trace) == Reason::invalid_ids);
  CHECK(fault(span) == Reason::invalid_ids);
  CHECK(fault("") == Reason::invalid_ids);
  CHECK(fault(trace + span + trace) == Reason::invalid_ids);
  CHECK(fault(trace + span + span) == Reason::invalid_ids);
  CHECK(fault(span + delimited(1, std::string(16, '\0'))) == Reason::invalid_ids);
  CHECK(fault(trace + delimited(2, std::string(8, '\0'))) == Reason::invalid_ids);
  CHECK(fault(span + delimited(1, id_bytes(15, 1))) == Reason::invalid_ids);
  CHECK(fault(trace + delimited(2, id_bytes(9, 1))) == Reason::invalid_ids);
  CHECK(fault(trace + delimited(2, "")) == Reason::invalid_ids);
}

TEST_CASE("validate: ids of a parent and of links are empty or whole") {
  CHECK_FALSE(fault(ids(1) + delimited(4, "")));
  CHECK(fault(ids(1) + delimited(4, "1234567")) == Reason::invalid_ids);
  CHECK_FALSE(fault(ids(1) + delimited(13, "")));
  CHECK(fault(ids(1) + delimited(13, delimited(1, "short"))) == Reason::invalid_ids);
  CHECK(fault(ids(1) + delimited(13, delimited(2, "short"))) == Reason::invalid_ids);
}

TEST_CASE("validate: ids that the header does not have are refused") {
  CHECK(fault(ids(2)) == Reason::invalid_header);
  otlpshm_record_header header = header_for(1);
  header.span_id[7] ^= 1;
  CHECK(fault(ids(1), header) == Reason::invalid_header);
}

TEST_CASE("validate: every string is UTF-8") {
  const std::string bad = "\xc3\x28";
  for (const std::string& body :
       {delimited(3, bad), delimited(5, bad), delimited(9, attribute(bad, "v")),
        delimited(9, attribute("k", bad)), delimited(11, delimited(2, bad)),
        delimited(11, delimited(3, attribute("k", bad))), delimited(13, delimited(3, bad)),
        delimited(15, delimited(2, bad)),
        delimited(9, delimited(2, delimited(6, delimited(1, attribute(bad, "v")))))}) {
    CHECK(fault(ids(1) + body) == Reason::invalid_utf8);
  }
}

TEST_CASE("validate: a header with an unknown kind, flag or threshold is refused") {
  const auto with = [](auto change) {
    otlpshm_record_header header = header_for(1);
    change(header);
    return fault(ids(1), header);
  };
  CHECK(with([](auto& header) { header.record_kind = 0; }) == Reason::invalid_header);
  CHECK(with([](auto& header) { header.record_kind = 3; }) == Reason::invalid_header);
  CHECK(with([](auto& header) { header.record_flags = 0x8000; }) == Reason::invalid_header);
  CHECK(with([](auto& header) { header.record_flags = 8; }) == std::nullopt);  // a later minor's
  CHECK(with([](auto& header) { header.threshold = 1; }) == Reason::invalid_header);
  CHECK(with([](auto& header) { header.scope_index = 0xffff; }) == Reason::invalid_header);
  CHECK_FALSE(with([](auto& header) {
    header.record_flags = 7;
    header.threshold = OTLPSHM_THRESHOLD_MASK;
  }));
  CHECK(with([](auto& header) {
          header.record_flags = 4;
          header.threshold = OTLPSHM_THRESHOLD_MASK + 1;
        }) == Reason::invalid_header);
}

TEST_CASE("validate: a record with its scope inside is cut into rows and fields") {
  otlpshm_record_header header = header_for(1);
  header.record_kind = OTLPSHM_RECORD_SPAN_INLINE_SCOPE;
  header.scope_index = 0xffff;
  const std::string body = prefixed(resource_row("r")) + prefixed(scope_row("s")) + full_span(1);
  ValidSpan valid;
  REQUIRE_FALSE(pipeline::validate({header, view(body)}, &valid));
  CHECK(valid.resource_row.size() == resource_row("r").size());
  CHECK(valid.scope_row.size() == scope_row("s").size());
  CHECK(valid.fields.size() == full_span(1).size());

  CHECK(fault(prefixed("") + prefixed("") + ids(1), header) == std::nullopt);
  CHECK(fault(prefixed("") + "\x01", header) == Reason::invalid_wire);
  CHECK(fault(std::string("\xff\xff\xff\xff", 4) + ids(1), header) == Reason::invalid_wire);
  CHECK(fault(prefixed(delimited(2, ids(9))) + prefixed("") + ids(1), header) ==
        Reason::invalid_scope);
  CHECK(fault(prefixed("") + prefixed(delimited(2, ids(9))) + ids(1), header) ==
        Reason::invalid_scope);
}

TEST_CASE("validate: a row holds fields 1 and 3, and never spans") {
  CHECK(pipeline::is_resource_row(view(resource_row("r"))));
  CHECK(pipeline::is_scope_row(view(scope_row("s"))));
  CHECK(pipeline::is_scope_row(view("")));
  const std::string spans = delimited(2, ids(1));
  CHECK_FALSE(pipeline::is_resource_row(view(resource_row("r") + spans)));
  CHECK_FALSE(pipeline::is_scope_row(view(scope_row("s") + spans)));
  CHECK_FALSE(pipeline::is_scope_row(view(delimited(4, "x"))));
  CHECK_FALSE(pipeline::is_resource_row(view(delimited(1000, "x"))));
  CHECK_FALSE(pipeline::is_resource_row(view(delimited(3, "\xff"))));
  CHECK_FALSE(pipeline::is_resource_row(view(resource_row("r") + "\x0a")));
}

TEST_CASE("validate: bytes that went bad anywhere are an answer and never a fault") {
  std::mt19937_64 random(20);
  const std::string good = full_span(1);
  for (int i = 0; i < 200000; ++i) {
    std::string body = good;
    for (std::uint64_t change = random() % 4 + 1; change > 0; --change) {
      body[random() % body.size()] = static_cast<char>(random());
    }
    if (random() % 3 == 0) body.resize(random() % body.size());
    // On the heap and of the exact size, so that a sanitizer sees a read behind it.
    const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[body.size()]);
    std::memcpy(exact.get(), body.data(), body.size());
    ValidSpan valid;
    (void)pipeline::validate({header_for(1), {exact.get(), body.size()}}, &valid);
  }
}

}  // namespace
}  // namespace otlpshm::tests
