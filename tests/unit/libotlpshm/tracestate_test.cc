// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "text_room.h"

extern "C" {
#include "src/tracestate.h"
}

namespace otlpshm::library {
namespace {

std::string get(const std::string& list, const std::string& key) {
  return string(otlpshm_tracestate_get(text(list), text(key)));
}

std::string set(const std::string& list, const std::string& key, const std::string& value) {
  Room room;
  REQUIRE(otlpshm_tracestate_set(text(list), text(key), text(value), room.get()) == OTLPSHM_OK);
  return room.text();
}

int status_of_set(const std::string& key, const std::string& value) {
  Room room;
  const int status = otlpshm_tracestate_set(text("a=1"), text(key), text(value), room.get());
  CHECK(room.text().empty() == (status != OTLPSHM_OK));
  return status;
}

std::string remove(const std::string& list, const std::string& key) {
  Room room;
  REQUIRE(otlpshm_tracestate_remove(text(list), text(key), room.get()) == OTLPSHM_OK);
  return room.text();
}

// A list is read as a whole: a key that nobody has is removed from it.
std::string normal(const std::string& list) {
  return remove(list, "nobody");
}

std::string members(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += "k" + std::to_string(i) + "=" + std::to_string(i) + ",";
  return list.substr(0, list.size() - 1);
}

std::string member(char key, std::size_t bytes) {
  return std::string(1, key) + "=" + std::string(bytes - 2, key);
}

}  // namespace

TEST_CASE("tracestate: a value is found by its key, wherever the member stands") {
  const std::string list = "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE ,tenant@vendor= a b";
  CHECK(get(list, "rojo") == "00f067aa0ba902b7");
  CHECK(get(list, "congo") == "t61rcWkgMzE");
  CHECK(get(list, "tenant@vendor") == " a b");
  CHECK(get(list, "roj") == "(absent)");
  CHECK(get(list, "") == "(absent)");
  CHECK(get("", "rojo") == "(absent)");
}

TEST_CASE("tracestate: what is set moves to the front, once; the others keep their order") {
  CHECK(set("a=1,b=2,c=3", "b", "9") == "b=9,a=1,c=3");
  CHECK(set("a=1,b=2,c=3", "c", "3") == "c=3,a=1,b=2");
  CHECK(set("a=1,b=2", "new", "x") == "new=x,a=1,b=2");
  CHECK(set("", "new", "x") == "new=x");
}

TEST_CASE("tracestate: what is removed is gone, and nothing else") {
  CHECK(remove("a=1,b=2,c=3", "b") == "a=1,c=3");
  CHECK(remove("a=1,b=2,c=3", "c") == "a=1,b=2");
  CHECK(remove("a=1", "a").empty());
  CHECK(remove("a=1", "b") == "a=1");
}

TEST_CASE("tracestate: blanks around members and empty members are not passed on") {
  CHECK(normal(" \ta=1\t , ,, \tb=2,") == "a=1,b=2");
  CHECK(normal("a= 1") == "a= 1");
  CHECK(normal(",").empty());
  CHECK(normal(" ").empty());
}

TEST_CASE("tracestate: a list that is malformed in one place counts as empty") {
  for (const char* list : {"a=1,b", "a=1,=2", "a=1,b=", "a=1,b=2=3", "a=1,B=2", "a=1,b c=2",
                           "a=1,b =2", "a=1,_b=2", "a=1,b=\t2", "a=1,b=\x7f", "a=1,b=\xc3\xa4",
                           "a=1,b\xc3\xa4=2", "a=1,@b=2", "a=1,b.c=2", "a=1,a=1", "a=1,b=2,a=3"}) {
    INFO(list);
    CHECK(normal(list).empty());
    CHECK(get(list, "a") == "(absent)");
    CHECK(set(list, "z", "1") == "z=1");
  }
}

TEST_CASE("tracestate: keys and values have 256 characters at most") {
  const std::string most(256, 'k');
  CHECK(normal(most + "=v") == most + "=v");
  CHECK(normal("k=" + most) == "k=" + most);
  CHECK(normal(most + "k=v").empty());
  CHECK(normal("k=" + most + "k").empty());
}

TEST_CASE("tracestate: 32 members are a list, 33 are none") {
  CHECK(normal(members(32)) == members(32));
  CHECK(normal(members(33)).empty());
  CHECK(normal(members(32) + ",,") == members(32));
}

TEST_CASE("tracestate: a member that is added to a full list takes the last one's place") {
  CHECK(set(members(32), "new", "x") == "new=x," + members(31));
  CHECK(set(members(32), "k31", "x") == "k31=x," + members(31));
}

TEST_CASE("tracestate: only keys and values of the grammar can be set") {
  CHECK(status_of_set("k", "v") == OTLPSHM_OK);
  CHECK(status_of_set("0a_-*/@", " v") == OTLPSHM_OK);
  for (const std::string& key :
       {std::string(), std::string("K"), std::string("_"), std::string("k,"), std::string("k\0", 2),
        std::string("k="), std::string(257, 'k')}) {
    INFO(key);
    CHECK(status_of_set(key, "v") == OTLPSHM_ERROR_INVALID_ARGUMENT);
  }
  for (const std::string& value :
       {std::string(), std::string("v "), std::string("v,w"), std::string("v=w"), std::string("\n"),
        std::string("v\0", 2), std::string("\x80"), std::string(257, 'v')}) {
    INFO(value);
    CHECK(status_of_set("k", value) == OTLPSHM_ERROR_INVALID_ARGUMENT);
  }
}

TEST_CASE("tracestate: what does not fit goes: long members first, from the end, then the last") {
  const std::string a = member('a', 128), b = member('b', 129), c = member('c', 128);
  const std::string d = member('d', 129);
  // 517 bytes: one long member is enough, and the last one is taken.
  CHECK(normal(a + "," + b + "," + c + "," + d) == a + "," + b + "," + c);
  // 128 * 4 + 3 = 515 bytes and nothing long: the last.
  const std::string e = member('e', 128), f = member('f', 128);
  CHECK(normal(a + "," + c + "," + e + "," + f) == a + "," + c + "," + e);
  // 513 bytes: the long member, though the last one would do.
  const std::string h = member('h', 125);
  CHECK(normal(b + "," + a + "," + c + "," + h) == a + "," + c + "," + h);
  // 512 bytes fit.
  CHECK(normal(a + "," + c + "," + e + "," + h) == a + "," + c + "," + e + "," + h);
  CHECK(normal(a + "," + c + "," + e + "," + member('g', 126)) == a + "," + c + "," + e);
}

TEST_CASE("tracestate: what was set is never what goes") {
  const std::string value(250, 'v');
  const std::string a = member('a', 129), b = member('b', 128), c = member('c', 128);
  CHECK(set(b + "," + a + "," + c, "ot", value) == "ot=" + value + "," + b + "," + c);
  CHECK(set(b + "," + c + "," + member('d', 128), "ot", value) ==
        "ot=" + value + "," + b + "," + c);
}

TEST_CASE("tracestate: a member that alone is too large is refused") {
  const std::string most(256, 'k');
  Room room;
  CHECK(otlpshm_tracestate_set(text("a=1"), text(most), text(most), room.get()) ==
        OTLPSHM_ERROR_NO_MEMORY);
  CHECK(room.text().empty());
  Room larger(OTLPSHM_TRACESTATE_BYTES + 2);
  CHECK(otlpshm_tracestate_set(text("a=1"), text(most), text(most), larger.get()) == OTLPSHM_OK);
  CHECK(larger.text() == most + "=" + most);
}

TEST_CASE("tracestate: a room that may hold less than the standard demands is refused") {
  Room small(OTLPSHM_TRACESTATE_BYTES);
  CHECK(otlpshm_tracestate_set(text(""), text("k"), text("v"), small.get()) ==
        OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(small.text().empty());
  CHECK(otlpshm_tracestate_remove(text("a=1"), text("k"), small.get()) ==
        OTLPSHM_ERROR_INVALID_ARGUMENT);
  CHECK(small.text().empty());
}

TEST_CASE("tracestate: null pointers are absent text, or refused") {
  const otlpshm_text absent{};
  Room room;
  CHECK(string(otlpshm_tracestate_get(absent, text("k"))) == "(absent)");
  CHECK(string(otlpshm_tracestate_get(text("a=1"), absent)) == "(absent)");
  CHECK(otlpshm_tracestate_set(absent, text("k"), text("v"), room.get()) == OTLPSHM_OK);
  CHECK(room.text() == "k=v");
  CHECK(otlpshm_tracestate_set(absent, absent, text("v"), room.get()) != OTLPSHM_OK);
  CHECK(otlpshm_tracestate_set(absent, text("k"), absent, room.get()) != OTLPSHM_OK);
  CHECK(otlpshm_tracestate_set(absent, text("k"), text("v"), nullptr) != OTLPSHM_OK);
  CHECK(otlpshm_tracestate_remove(text("a=1"), absent, room.get()) != OTLPSHM_OK);
  CHECK(otlpshm_tracestate_remove(text("a=1"), text("a"), nullptr) != OTLPSHM_OK);
  otlpshm_text_room nowhere{nullptr, 1000, 7};
  CHECK(otlpshm_tracestate_set(absent, text("k"), text("v"), &nowhere) != OTLPSHM_OK);
  CHECK(nowhere.bytes == 0);
}

TEST_CASE("tracestate: a rewrite sets, removes, and never passes on what is not allowed") {
  char out[OTLPSHM_TRACESTATE_BYTES + 1];
  const auto rewrite = [&](const std::string& value) {
    const std::size_t bytes =
        otlpshm_tracestate_rewrite(text("a=1,ot=th:8"), text("ot"), text(value), out);
    CHECK(std::string(out).size() == bytes);
    return std::string(out);
  };
  CHECK(rewrite("th:c;rv:1") == "ot=th:c;rv:1,a=1");
  CHECK(rewrite("") == "a=1");
  CHECK(rewrite("th=c") == "a=1");
}

}  // namespace otlpshm::library
