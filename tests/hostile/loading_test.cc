// SPDX-License-Identifier: Apache-2.0
// loading_test.cc: the library comes and goes with a plugin, and is there more than once. This
//   program itself holds a static copy; no plugin is linked to it.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "host.h"
#include "plugin.h"

namespace otlpshm::hostile {
namespace {

class Plugin {
 public:
  explicit Plugin(const std::string& name)
      : handle_(dlopen(program(name).c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) FAIL("dlopen: " << dlerror());  // NOLINT(concurrency-mt-unsafe)
  }
  ~Plugin() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  int open(const std::string& directory) const {
    return call<decltype(plugin_open)>("plugin_open")(directory.c_str());
  }
  unsigned long write(unsigned long count) const {
    return call<decltype(plugin_write)>("plugin_write")(count);
  }
  unsigned long ended() const { return call<decltype(plugin_ended)>("plugin_ended")(); }
  int shutdown() const { return call<decltype(plugin_shutdown)>("plugin_shutdown")(); }

 private:
  template <typename Function>
  Function* call(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(handle_, name));
  }
  void* handle_;
};

const char* const kShared = "libhostile_plugin.so";
const char* const kStatic = "libhostile_plugin_static.so";

bool is_mapped(const std::string& name) {
  FILE* const maps = fopen("/proc/self/maps", "re");
  char line[1024];
  bool found = false;
  while (maps != nullptr && fgets(line, sizeof line, maps) != nullptr) {
    found = found || std::string(line).find(name) != std::string::npos;
  }
  if (maps != nullptr) fclose(maps);
  return found;
}

std::uint64_t records_in(const PrivateDirectory& directory) {
  std::uint64_t count = 0;
  for (const std::string& path : segments_of(directory)) count += check_records(SegmentFile(path));
  return count;
}

}  // namespace

TEST_CASE("loading: a plugin that comes and goes a hundred times loses no span") {
  const PrivateDirectory directory;
  in_child([&] {
    for (int i = 0; i < 100; ++i) {
      const Plugin plugin(kShared);
      REQUIRE(plugin.open(directory.path()) == OTLPSHM_OK);
      REQUIRE(plugin.write(5) == 5);
      (void)plugin.shutdown();
    }
    REQUIRE(is_mapped("libotlpshm.so"));  // nodelete: threads may still be in it
    REQUIRE(records_in(directory) == 500);
  });
}

TEST_CASE(
    "loading: a plugin that goes without a word leaves its spans, and its return adds to them") {
  const PrivateDirectory directory;
  in_child([&] {
    for (int i = 0; i < 10; ++i) {
      const Plugin plugin(kShared);
      REQUIRE(plugin.open(directory.path()) == OTLPSHM_OK);
      REQUIRE(plugin.write(5) == 5);
    }
    REQUIRE(segments_of(directory).size() == 1);
    REQUIRE(records_in(directory) == 50);
  });
}

TEST_CASE("loading: threads that used an unloaded plugin end, and the process forks, unharmed") {
  for (const char* const kind : {kShared, kStatic}) {
    const PrivateDirectory directory;
    in_child([&] {
      std::mutex mutex;
      std::condition_variable changed;
      int step = 0;
      auto plugin = std::make_unique<Plugin>(kind);
      REQUIRE(plugin->open(directory.path()) == OTLPSHM_OK);
      std::thread thread([&] {
        std::unique_lock<std::mutex> lock(mutex);
        (void)plugin->write(5);
        step = 1;
        changed.notify_all();
        changed.wait(lock, [&] { return step == 2; });
      });
      {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return step == 1; });
        (void)plugin->shutdown();
        plugin.reset();
        step = 2;
        changed.notify_all();
      }
      thread.join();
      REQUIRE(status_of_child([&] {
                const Plugin again(kind);
                REQUIRE(again.open(directory.path()) == OTLPSHM_OK);
                REQUIRE(again.write(3) == 3);
              }) == 0);
      REQUIRE(records_in(directory) == 8);
    });
  }
}

TEST_CASE("loading: two static copies and a shared one in a process each lose and repeat no span") {
  const PrivateDirectory directory;
  in_child([&] {
    otlpshm_writer* writer = open_writer(directory.path());
    const Plugin first(kStatic);
    const Plugin second(kShared);
    REQUIRE(first.open(directory.path()) == OTLPSHM_OK);
    REQUIRE(second.open(directory.path()) == OTLPSHM_OK);
    std::vector<std::thread> threads;
    std::atomic<std::uint64_t> kept{0};
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < 20; ++turn) {
          kept += write_spans(writer, 3) + first.write(3) + second.write(3);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    REQUIRE(kept == 360);
    REQUIRE(stats_of(writer).ended == 120);
    REQUIRE(first.ended() == 120);
    REQUIRE(second.ended() == 120);
    REQUIRE(records_in(directory) == 360);
    std::set<std::string> ids;
    for (const std::string& path : segments_of(directory)) {
      for (const library::Span& span : SegmentFile(path).spans()) ids.insert(span.span_id);
    }
    REQUIRE(ids.size() == 360);

    // All copies have handlers of fork.
    in_child([&] {
      REQUIRE(write_spans(writer, 2) == 2);
      REQUIRE(first.write(2) == 2);
      REQUIRE(second.write(2) == 2);
      REQUIRE(stats_of(writer).ended == 2);
      REQUIRE(first.ended() == 2);
      REQUIRE(second.ended() == 2);
    });
    REQUIRE(first.write(1) + second.write(1) + write_spans(writer, 1) == 3);
    REQUIRE(records_in(directory) == 369);
    REQUIRE(errno_changes == 0);
  });
}

}  // namespace otlpshm::hostile
