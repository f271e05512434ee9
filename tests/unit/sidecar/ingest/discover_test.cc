// SPDX-License-Identifier: Apache-2.0
#include "ingest/discover.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <set>

#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

using ingest::Discover;
using ingest::SegmentId;

struct Heard {
  Heard() {
    events.there = [this](const SegmentId& id) { there.insert(id); };
    events.closed = [this](const SegmentId& id) { closed.insert(id); };
    events.unnamed = [this](const SegmentId& id) { unnamed.insert(id); };
    events.ack = [this](const SegmentId& id) { acks.insert(id); };
    events.overflow = [this] { ++overflows; };
  }
  std::set<SegmentId> there, closed, unnamed, acks;
  int overflows = 0;
  Discover::Events events;
};

TEST_CASE("discover: a directory has one daemon, and the next one when that is gone") {
  SharedDirectory directory;
  std::string error;
  auto first = Discover::open(directory.path(), &error);
  REQUIRE(first != nullptr);
  CHECK(Discover::open(directory.path(), &error) == nullptr);
  CHECK(error.find(directory.path()) != std::string::npos);
  CHECK(error.find("running otlpshmd") != std::string::npos);
  first.reset();
  CHECK(Discover::open(directory.path(), &error) != nullptr);
}

TEST_CASE("discover: a lock file that others can open is replaced") {
  SharedDirectory directory;
  { std::ofstream planted(directory.path() + "/.otlpshmd.lock"); }
  REQUIRE(::chmod((directory.path() + "/.otlpshmd.lock").c_str(), 0666) == 0);
  std::string error;
  REQUIRE(Discover::open(directory.path(), &error) != nullptr);
  struct stat status = {};
  REQUIRE(::stat((directory.path() + "/.otlpshmd.lock").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("discover: a path that is missing, a file or a link is named with its remedy") {
  SharedDirectory directory;
  std::string error;
  CHECK(Discover::open(directory.path() + "/missing", &error) == nullptr);
  CHECK(error.find("/missing: ") != std::string::npos);
  CHECK(error.find("create it") != std::string::npos);
  { std::ofstream file(directory.path() + "/file"); }
  CHECK(Discover::open(directory.path() + "/file", &error) == nullptr);
  CHECK(error.find("not a file") != std::string::npos);
  REQUIRE(::symlinkat(directory.path().c_str(), directory.fd(), "link") == 0);
  CHECK(Discover::open(directory.path() + "/link", &error) == nullptr);
}

TEST_CASE("discover: a scan finds what was there, by and by, and hints tell what comes and goes") {
  SharedDirectory directory;
  SegmentWriter first(directory, 1);
  first.publish();
  std::string error;
  const auto discover = Discover::open(directory.path(), &error);
  REQUIRE(discover != nullptr);
  Heard heard;
  int calls = 1;
  while (!discover->scan(1, heard.events)) REQUIRE(++calls < 20);
  CHECK(calls > 3);
  CHECK(heard.there == std::set<SegmentId>{first.id()});

  SegmentWriter second(directory, 2);
  second.publish();
  discover->read_hints(heard.events);
  CHECK(heard.there.contains(second.id()));
  CHECK(heard.closed.empty());
  second.die();
  discover->read_hints(heard.events);
  CHECK(heard.closed == std::set<SegmentId>{second.id()});
  ::unlinkat(directory.fd(), first.id().segment_name().c_str(), 0);
  discover->read_hints(heard.events);
  CHECK(heard.unnamed == std::set<SegmentId>{first.id()});
  heard.there.clear();
  while (!discover->scan(100, heard.events)) {
  }
  CHECK(heard.there == std::set<SegmentId>{second.id()});
}

TEST_CASE("discover: names that are not exactly a segment's are nobody's") {
  SharedDirectory directory;
  const std::string digits(32, 'a');
  for (const std::string& name : {digits + ".segx", digits.substr(1) + ".seg", digits + "a.seg",
                                  "A" + digits.substr(1) + ".seg", "." + digits + ".seg",
                                  std::string("state"), digits + ".txt"}) {
    std::ofstream file(directory.path() + "/" + name);
  }
  { std::ofstream file(directory.path() + "/" + digits + ".ack"); }
  std::string error;
  const auto discover = Discover::open(directory.path(), &error);
  Heard heard;
  while (!discover->scan(100, heard.events)) {
  }
  CHECK(heard.there.empty());
  CHECK(heard.acks.size() == 1);
}

TEST_CASE("discover: a young or a locked temporary file is not swept") {
  SharedDirectory directory;
  { std::ofstream file(directory.path() + "/.young.seg.tmp"); }
  std::string error;
  const auto discover = Discover::open(directory.path(), &error);
  Heard heard;
  while (!discover->scan(100, heard.events)) {
  }
  CHECK(directory.has(".young.seg.tmp"));
}

}  // namespace
}  // namespace otlpshm::tests
