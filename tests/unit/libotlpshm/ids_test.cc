// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "producer.h"

namespace otlpshm::library {
namespace {

void add_ids(struct otlpshm_thread* thread, std::size_t count, std::vector<std::uint64_t>& out) {
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(otlpshm_ids_of_span(thread));
  }
}

bool are_distinct(std::vector<std::uint64_t> ids) {
  std::sort(ids.begin(), ids.end());
  return ids.front() != 0 && std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

}  // namespace

TEST_CASE("ids: a million of a thread, and those of another, are distinct and never 0") {
  std::vector<std::uint64_t> ids;
  struct otlpshm_thread first {};
  struct otlpshm_thread second {};
  otlpshm_ids_seed(&first);
  otlpshm_ids_seed(&second);
  add_ids(&first, 1'000'000, ids);
  add_ids(&second, 1'000'000, ids);
  CHECK(are_distinct(ids));
}

TEST_CASE("ids: a trace id and its span id are three different words, none 0") {
  struct otlpshm_thread thread {};
  otlpshm_ids_seed(&thread);
  std::vector<std::uint64_t> words;
  for (int i = 0; i < 1000; ++i) {
    const otlpshm_ids ids = otlpshm_ids_of_root(&thread);
    words.insert(words.end(), {ids.trace[0], ids.trace[1], ids.span});
  }
  CHECK(are_distinct(words));
}

TEST_CASE("ids: seeding again never sets the count back, for a handler may have used the keys") {
  struct otlpshm_thread thread {};
  otlpshm_ids_seed(&thread);
  std::vector<std::uint64_t> ids;
  add_ids(&thread, 100, ids);
  const std::uint64_t counted = thread.counter;
  std::uint64_t keys[3];
  std::memcpy(keys, thread.keys, sizeof keys);
  otlpshm_ids_seed(&thread);
  CHECK(thread.counter == counted);
  CHECK(std::memcmp(keys, thread.keys, sizeof keys) != 0);
  add_ids(&thread, 100, ids);
  CHECK(are_distinct(ids));
}

TEST_CASE("ids: every bit of an id is set in about half of them") {
  struct otlpshm_thread thread {};
  otlpshm_ids_seed(&thread);
  std::vector<otlpshm_ids> all(20'000);
  for (otlpshm_ids& ids : all) ids = otlpshm_ids_of_root(&thread);
  const auto about_half = [&all](auto word_of) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      const auto set = std::count_if(all.begin(), all.end(), [&](const otlpshm_ids& ids) {
        return (word_of(ids) >> bit & 1) != 0;
      });
      CHECK(set > 9'000);
      CHECK(set < 11'000);
    }
  };
  about_half([](const otlpshm_ids& ids) { return ids.span; });
  about_half([](const otlpshm_ids& ids) { return ids.trace[0]; });
  about_half([](const otlpshm_ids& ids) { return ids.trace[1]; });
}

TEST_CASE("ids: no trace id is 0, whatever the keys") {
  for (const std::uint64_t last : {std::uint64_t{0}, std::uint64_t{7}, ~std::uint64_t{0}}) {
    struct otlpshm_thread thread {};
    thread.keys[1] = thread.keys[2] = last;
    otlpshm_ids_keep_apart(thread.keys);
    for (const std::uint64_t key : {thread.keys[1], thread.keys[2]}) {
      std::uint64_t trace[2];
      otlpshm_ids_of_trace(&thread, key, trace);  // of the span that makes one word 0
      CHECK((trace[0] == 0) != (trace[1] == 0));
    }
  }
}

}  // namespace otlpshm::library
