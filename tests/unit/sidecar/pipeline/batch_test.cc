// SPDX-License-Identifier: Apache-2.0
#include "pipeline/batch.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "pipeline/scopes.h"
#include "support/span_bytes.h"

namespace otlpshm::tests {
namespace {

using model::Bytes;
using model::ScopeRef;
using pipeline::Added;
using pipeline::Batcher;
using pipeline::Slabs;

Bytes view(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string text_of(const model::Batch& batch) {
  std::string text;
  for (const auto& part : batch.parts) text.append(part.begin(), part.end());
  CHECK(text.size() == batch.bytes);
  return text;
}

struct Rig {
  explicit Rig(pipeline::BatchLimits limits = {1000, 1 << 20}, std::uint64_t slab_bytes = 64 << 20)
      : slabs(std::make_shared<Slabs>(slab_bytes)), batcher(limits, slabs) {}

  ScopeRef scope(const std::string& resource, const std::string& name) {
    return scopes.intern(view(resource_row(resource)), view(scope_row(name)));
  }

  pipeline::Scopes scopes;
  std::shared_ptr<Slabs> slabs;
  Batcher batcher;
};

TEST_CASE("batch: spans of one scope are one ScopeSpans in one ResourceSpans") {
  Rig rig;
  const ScopeRef scope = rig.scope("r", "s");
  std::string spans;
  for (std::uint64_t i = 1; i <= 300; ++i) {
    const std::string span = full_span(i);
    REQUIRE(rig.batcher.add(scope, view(span), i) == Added::yes);
    spans += delimited(2, span);
  }
  const std::uint64_t id = rig.batcher.id();
  const auto batch = rig.batcher.close();
  CHECK(batch->id == id);
  CHECK(batch->span_count == 300);
  CHECK(text_of(*batch) == delimited(1, resource_row("r") + delimited(2, scope_row("s") + spans)));
  CHECK(batch->parts.size() <= 3);
  CHECK(rig.batcher.empty());
  CHECK(rig.batcher.id() == id + 1);
}

TEST_CASE("batch: alternating scopes are sorted by resource and scope, in few parts") {
  Rig rig({100000, 64 << 20});
  std::map<std::string, std::string> spans;
  for (std::uint64_t i = 1; i <= 4000; ++i) {
    const std::string resource = i % 2 == 0 ? "even" : "odd";
    const std::string name = i % 3 == 0 ? "three" : "other";
    const std::string span = full_span(i);
    REQUIRE(rig.batcher.add(rig.scope(resource, name), view(span), i) == Added::yes);
    spans[resource + name] += delimited(2, span);
  }
  const auto batch = rig.batcher.close();
  const auto group = [&](const std::string& resource, const std::string& name) {
    return delimited(2, scope_row(name) + spans[resource + name]);
  };
  CHECK(text_of(*batch) ==
        delimited(1, resource_row("odd") + group("odd", "other") + group("odd", "three")) +
            delimited(1, resource_row("even") + group("even", "other") + group("even", "three")));
  CHECK(batch->parts.size() < 120);
}

TEST_CASE("batch: lengths are right where their varints grow") {
  for (std::size_t name_bytes = 0; name_bytes < 400; ++name_bytes) {
    Rig rig;
    const std::string span = ids(1) + delimited(5, std::string(name_bytes, 'n'));
    REQUIRE(rig.batcher.add(rig.scope("r", "s"), view(span), 1) == Added::yes);
    REQUIRE(text_of(*rig.batcher.close()) ==
            delimited(1, resource_row("r") + delimited(2, scope_row("s") + delimited(2, span))));
  }
}

TEST_CASE("batch: it is full at its spans, or before it would pass its bytes") {
  Rig by_spans({3, 1 << 20});
  const ScopeRef scope = by_spans.scope("r", "s");
  const std::string span = full_span(1);
  for (int i = 0; i < 3; ++i) REQUIRE(by_spans.batcher.add(scope, view(span), 1) == Added::yes);
  CHECK(by_spans.batcher.add(scope, view(span), 1) == Added::full);
  CHECK(by_spans.batcher.span_count() == 3);

  Rig by_bytes({1000, 4096});
  for (int i = 0;
       by_bytes.batcher.add(by_bytes.scope("r", std::to_string(i)), view(span), 1) == Added::yes;
       ++i) {
  }
  CHECK(by_bytes.batcher.span_count() > 3);
  CHECK(by_bytes.batcher.close()->bytes <= 4096);
}

TEST_CASE("batch: a resource counts once in a request, and again in the next") {
  Rig rig({1000, 65536});
  const std::string resource(20000, 'r');
  const std::string span = full_span(1);
  for (int i = 0; i < 40; ++i) {
    REQUIRE(rig.batcher.add(rig.scope(resource, std::to_string(i)), view(span), 1) == Added::yes);
  }
  const std::uint64_t first = rig.batcher.envelope_bytes();
  CHECK(first > 20000);
  CHECK(first < 25000);
  REQUIRE(rig.batcher.add(rig.scope(resource, "0"), view(span), 1) == Added::yes);
  CHECK(rig.batcher.envelope_bytes() == first);
  (void)rig.batcher.close();
  REQUIRE(rig.batcher.add(rig.scope(resource, "0"), view(span), 1) == Added::yes);
  CHECK(rig.batcher.envelope_bytes() > first + 20000);
}

TEST_CASE("batch: a span that is larger than a batch goes alone") {
  Rig rig({1000, 4096});
  const ScopeRef scope = rig.scope("r", "s");
  const std::string large = ids(1) + delimited(5, std::string(3 << 20, 'n'));
  const std::string small = full_span(2);
  REQUIRE(rig.batcher.add(scope, view(small), 1) == Added::yes);
  CHECK(rig.batcher.add(scope, view(large), 1) == Added::full);
  (void)rig.batcher.close();
  REQUIRE(rig.batcher.add(scope, view(large), 1) == Added::yes);
  CHECK(rig.batcher.add(scope, view(small), 1) == Added::full);
  CHECK(text_of(*rig.batcher.close()) ==
        delimited(1, resource_row("r") + delimited(2, scope_row("s") + delimited(2, large))));
}

TEST_CASE("batch: memory is bounded, and comes back when the last owner lets go") {
  Rig rig({1u << 30, 1ull << 40}, 2 * pipeline::kSlabBytes);
  const ScopeRef scope = rig.scope("r", "s");
  const std::string span = full_span(1);
  Added added = Added::yes;
  while (added == Added::yes) added = rig.batcher.add(scope, view(span), 1);
  CHECK(added == Added::no_memory);
  CHECK(rig.slabs->bytes_out() == 2 * pipeline::kSlabBytes);
  auto batch = rig.batcher.close();
  auto second_owner = batch;
  batch.reset();
  CHECK(rig.batcher.add(scope, view(span), 1) == Added::no_memory);
  CHECK(rig.batcher.empty());
  second_owner.reset();
  CHECK(rig.slabs->bytes_out() == 0);
  CHECK(rig.batcher.add(scope, view(span), 1) == Added::yes);
  // The group that had no memory for its first span is this one now, and stands there once.
  CHECK(text_of(*rig.batcher.close()) ==
        delimited(1, resource_row("r") + delimited(2, scope_row("s") + delimited(2, span))));
}

TEST_CASE("batch: no envelope is built for a scope whose span found no memory") {
  Rig rig({1u << 30, 1ull << 40}, pipeline::kSlabBytes);
  const ScopeRef scope = rig.scope("r", "s");
  const std::string span = full_span(1);
  while (rig.batcher.add(scope, view(span), 1) == Added::yes) {
  }
  CHECK(rig.batcher.add(rig.scope("other", "t"), view(span), 1) == Added::no_memory);
  CHECK(text_of(*rig.batcher.close()).find("other") == std::string::npos);
}

TEST_CASE("batch: its end times are evenly taken") {
  Rig rig({100000, 64 << 20});
  const ScopeRef scope = rig.scope("r", "s");
  const std::string span = full_span(1);
  for (std::uint64_t i = 0; i < 1000; ++i)
    REQUIRE(rig.batcher.add(scope, view(span), i) == Added::yes);
  const auto samples = rig.batcher.close()->end_unix_nano_samples;
  REQUIRE(samples.size() == 250);
  for (std::size_t i = 0; i < samples.size(); ++i) CHECK(samples[i] == 4 * i);
}

TEST_CASE("scopes: long ones that nobody uses any more are forgotten before they are many") {
  Rig rig;
  for (int i = 0; i < 40; ++i) {
    const std::string name = std::to_string(i) + std::string(1 << 20, 'n');
    CHECK(rig.scopes.intern(view(resource_row(name)), view(scope_row("s"))) != nullptr);
    CHECK(rig.scopes.size() < 8);
  }
}

TEST_CASE("scopes: equal bytes are one scope, and unused ones are forgotten") {
  Rig rig;
  const ScopeRef one = rig.scope("r", "s");
  CHECK(rig.scope("r", "s") == one);
  CHECK(rig.scope("r", "t") != one);
  CHECK(rig.scope("r", "t")->resource == one->resource);
  CHECK(rig.scope("q", "s") != one);
  for (int i = 0; i < 10000; ++i) (void)rig.scope("r", std::to_string(i));
  CHECK(rig.scopes.size() <= 64);
  CHECK(rig.scope("r", "s") == one);
  CHECK(rig.scopes.intern(view("\x12"), view("")) == nullptr);
}

}  // namespace
}  // namespace otlpshm::tests
