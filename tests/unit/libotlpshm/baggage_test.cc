// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "text_room.h"

namespace otlpshm::library {
namespace {

struct Member {
  std::string key, value, properties;
  bool operator==(const Member&) const = default;
};

std::vector<Member> read(const std::string& header) {
  std::vector<Member> members;
  std::size_t offset = 0;
  otlpshm_baggage_member member;
  while (otlpshm_baggage_next(text(header), &offset, &member) == 1) {
    members.push_back({string(member.key), string(member.value), string(member.properties)});
  }
  return members;
}

std::string decode(std::string_view encoded) {
  Room room(3 * encoded.size() + 1);
  REQUIRE(otlpshm_baggage_decode(text(encoded), room.get()) == OTLPSHM_OK);
  return room.text();
}

std::string encode(const std::string& value) {
  Room room(3 * value.size() + 3);
  REQUIRE(otlpshm_baggage_append(room.get(), text("k"), text(value), {}) == OTLPSHM_OK);
  return room.text().substr(2);
}

std::ostream& operator<<(std::ostream& out, const Member& member) {
  return out << member.key << " = " << member.value << " ; " << member.properties;
}

}  // namespace

TEST_CASE("baggage: members are read in their order, with value and properties") {
  CHECK(read("userId=alice,serverNode=DF%2028,isProduction=false;p1;p2=v") ==
        std::vector<Member>{{"userId", "alice", "(absent)"},
                            {"serverNode", "DF%2028", "(absent)"},
                            {"isProduction", "false", "p1;p2=v"}});
}

TEST_CASE("baggage: blanks around keys, values and properties do not count") {
  CHECK(read(" \ta \t=\t 1 \t;\t p \t=\t q \t,\t b=\t") ==
        std::vector<Member>{{"a", "1", "p \t=\t q"}, {"b", "", "(absent)"}});
}

TEST_CASE("baggage: an equals sign may stand in a value, and a value may be empty") {
  CHECK(read("a=b=c,d=") == std::vector<Member>{{"a", "b=c", "(absent)"}, {"d", "", "(absent)"}});
}

TEST_CASE("baggage: a malformed member is dropped alone") {
  for (const char* member :
       {"",      " ",       "k",      "=v",      "k v=1",     "k\"=1",      "k(=1",
        "k=a b", "k=\"a\"", "k=a\\b", "k=\x01",  "k=\x7f",    "k=\xc3\xa4", "\xc3\xa4=1",
        "k=v;",  "k=v;;p",  "k=v;=p", "k=v;p q", "k=v;p=a b", ";p",         "k;p=v"}) {
    INFO(member);
    CHECK(read(std::string("a=1,") + member + ",b=2") ==
          std::vector<Member>{{"a", "1", "(absent)"}, {"b", "2", "(absent)"}});
    CHECK(read(member).empty());
  }
}

TEST_CASE("baggage: a NUL is no character of a key or a value") {
  CHECK(read(std::string("a\0=1,b=\0,c=3", 12)) == std::vector<Member>{{"c", "3", "(absent)"}});
}

TEST_CASE("baggage: 1000 members and long values are read as well") {
  std::string header;
  for (int i = 0; i < 1000; ++i) header += "key" + std::to_string(i) + "=value,";
  header += "long=" + std::string(100'000, 'v');
  const std::vector<Member> members = read(header);
  REQUIRE(members.size() == 1001);
  CHECK(members[1000].value.size() == 100'000);
}

TEST_CASE("baggage: a value is decoded, whatever the case of its digits") {
  CHECK(decode("plain") == "plain");
  CHECK(decode("%c3%A4%20%2C%25") == "\xc3\xa4 ,%");
  CHECK(decode("%00").size() == 1);
  CHECK(decode("a%F0%9F%98%80b") ==
        "a\xf0\x9f\x98\x80"
        "b");
  CHECK(decode("").empty());
}

TEST_CASE("baggage: bytes that are not UTF-8 become replacement characters") {
  CHECK(decode("a%ffb") ==
        "a\xef\xbf\xbd"
        "b");
  CHECK(decode("%C3") == "\xef\xbf\xbd");
  CHECK(decode("%C3%28") == "\xef\xbf\xbd(");
  CHECK(decode("%ED%A0%80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(decode("%E2%82x") == "\xef\xbf\xbd\xef\xbf\xbdx");
  CHECK(decode("\xff") == "\xef\xbf\xbd");
}

TEST_CASE("baggage: a percent sign without two digits stands for itself") {
  for (const char* same : {"%", "%2", "%zz", "100%", "%2g", "%%"}) CHECK(decode(same) == same);
  CHECK(decode("%%41") == "%A");
  CHECK(decode(std::string_view("%41").substr(0, 2)) == "%4");
}

TEST_CASE("baggage: what a value may not hold is encoded, and decoded again") {
  CHECK(encode("plain-~!#=") == "plain-~!#=");
  CHECK(encode(" ,;\\\"%\t") == "%20%2C%3B%5C%22%25%09");
  CHECK(encode("\xc3\xa4") == "%C3%A4");
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  all += "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
  CHECK(decode(encode(all)) == all);
  CHECK(read("k=" + encode(all)).size() == 1);
}

TEST_CASE("baggage: members are appended one after the other") {
  Room room(100);
  CHECK(otlpshm_baggage_append(room.get(), text("a"), text("1 2"), {}) == OTLPSHM_OK);
  CHECK(otlpshm_baggage_append(room.get(), text("b"), text(""), text("p;q=r")) == OTLPSHM_OK);
  CHECK(room.text() == "a=1%202,b=;p;q=r");
}

TEST_CASE("baggage: a member that was read is appended as it stood") {
  const std::string header = "a=%c3%A4;p , b= 2 ; q = r ,c=3";
  Room room(100);
  std::size_t offset = 0;
  otlpshm_baggage_member member;
  while (otlpshm_baggage_next(text(header), &offset, &member) == 1) {
    REQUIRE(otlpshm_baggage_append_member(room.get(), &member) == OTLPSHM_OK);
  }
  CHECK(room.text() == "a=%c3%A4;p,b=2;q = r,c=3");
}

TEST_CASE("baggage: a member that could break the header is not appended") {
  Room room(100);
  REQUIRE(otlpshm_baggage_append(room.get(), text("a"), text("1"), {}) == OTLPSHM_OK);
  const auto append = [&](const std::string& key, const std::string& value,
                          otlpshm_text properties) {
    return otlpshm_baggage_append(room.get(), text(key), text(value), properties);
  };
  for (const char* key : {"", " ", "k,", "k=", "k;", "k\r\nX: y", "\xc3\xa4"}) {
    CHECK(append(key, "v", {}) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  }
  CHECK(append("k", "\xff", {}) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  for (const char* properties : {"", "p,q=1", "p=\r\n", ";"}) {
    CHECK(append("k", "v", text(properties)) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  }
  otlpshm_baggage_member member{text("k"), text("a b"), {}};
  CHECK(otlpshm_baggage_append_member(room.get(), &member) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  member.value = {};
  CHECK(otlpshm_baggage_append_member(room.get(), &member) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(room.text() == "a=1");
}

TEST_CASE("baggage: a room that is too small stays as it was") {
  Room exact(10);  // "a=1,b=%20" and a NUL
  REQUIRE(otlpshm_baggage_append(exact.get(), text("a"), text("1"), {}) == OTLPSHM_OK);
  CHECK(otlpshm_baggage_append(exact.get(), text("b"), text(" 1"), {}) == OTLPSHM_ERROR_NO_MEMORY);
  CHECK(exact.text() == "a=1");
  CHECK(otlpshm_baggage_append(exact.get(), text("b"), text(" "), {}) == OTLPSHM_OK);
  CHECK(exact.text() == "a=1,b=%20");
  CHECK(otlpshm_baggage_append(exact.get(), text("c"), text(""), {}) == OTLPSHM_ERROR_NO_MEMORY);

  Room three(3);
  CHECK(otlpshm_baggage_decode(text("abc"), three.get()) == OTLPSHM_ERROR_NO_MEMORY);
  CHECK(three.text().empty());
  CHECK(otlpshm_baggage_decode(text("%41b"), three.get()) == OTLPSHM_OK);
  CHECK(three.text() == "Ab");
  CHECK(otlpshm_baggage_decode(text("%ff"), three.get()) == OTLPSHM_ERROR_NO_MEMORY);
  char none = 'x';
  otlpshm_text_room nothing{&none, 0, 0};
  CHECK(otlpshm_baggage_decode(text(""), &nothing) == OTLPSHM_ERROR_NO_MEMORY);
  CHECK(otlpshm_baggage_append(&nothing, text("k"), text(""), {}) == OTLPSHM_ERROR_NO_MEMORY);
  CHECK(none == 'x');
}

TEST_CASE("baggage: null pointers are refused, and are no members") {
  Room room(100);
  std::size_t offset = 0;
  otlpshm_baggage_member member{text("k"), text("v"), {}};
  CHECK(otlpshm_baggage_next({}, &offset, &member) == 0);
  CHECK(member.key.text == nullptr);
  CHECK(otlpshm_baggage_next(text("a=1"), nullptr, &member) == 0);
  CHECK(otlpshm_baggage_next(text("a=1"), &offset, nullptr) == 0);
  offset = 4;
  CHECK(otlpshm_baggage_next(text("a=1"), &offset, &member) == 0);
  CHECK(otlpshm_baggage_decode({}, room.get()) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(otlpshm_baggage_decode(text("a"), nullptr) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(otlpshm_baggage_append(nullptr, text("k"), text("v"), {}) != OTLPSHM_OK);
  CHECK(otlpshm_baggage_append(room.get(), {}, text("v"), {}) != OTLPSHM_OK);
  CHECK(otlpshm_baggage_append(room.get(), text("k"), {}, {}) != OTLPSHM_OK);
  CHECK(otlpshm_baggage_append_member(room.get(), nullptr) != OTLPSHM_OK);
  CHECK(otlpshm_baggage_append_member(nullptr, &member) != OTLPSHM_OK);
}

}  // namespace otlpshm::library
