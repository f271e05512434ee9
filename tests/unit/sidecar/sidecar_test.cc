// SPDX-License-Identifier: Apache-2.0
#include "sidecar.h"

#include <catch2/catch.hpp>

#include "held_exporter.h"
#include "io/test_loop.h"
#include "support/segment_writer.h"

namespace otlpshm::tests {
namespace {

constexpr std::uint64_t kWatchdogMs = 20000;

// A daemon with one producer, in one thread: what a case does, it does between the loop's turns.
struct SidecarRig {
  SidecarRig() : writer(directory) {
    writer.publish();
    writer.add_scope(resource_row("r"), scope_row("s"));
    config::Config config = config::default_config();
    config.dir = directory.path();
    config.admin_listen = {"127.0.0.1", 0};
    config.batch_age_ms_max = 60000;  // no batch leaves for its age
    auto own_loop = io::make_test_loop();
    loop = own_loop.get();
    std::string error;
    sidecar = Sidecar::make(
        config, std::move(own_loop),
        [this](io::Loop&, exporting::Exporter::OnOutcome on_outcome, std::string*) {
          auto made = std::make_unique<HeldExporter>(std::move(on_outcome));
          exporter = made.get();
          return made;
        },
        &error);
    INFO(error);
    REQUIRE(sidecar != nullptr);
  }

  // Runs the daemon until every step has returned true, one after the other; how many did.
  std::size_t run(const std::vector<std::function<bool()>>& steps) {
    std::size_t done = 0;
    const auto stop = [&] {
      exporter->acknowledge_all();
      exporter->requests_in_flight_max = 0;
      sidecar->stop();
    };
    loop->after(kWatchdogMs, stop);
    loop->every(1, [&] {
      if (done < steps.size() && steps[done]()) ++done;
      if (done == steps.size()) stop();
    });
    sidecar->run();
    return done;
  }

  // The newest flush whose spans the daemon has read, by its ack.
  std::uint64_t flush_echo() const {
    std::uint64_t echo = 0;
    const int fd = ::openat(directory.fd(), writer.id().ack_name().c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(::pread(fd, &echo, sizeof echo, offsetof(otlpshm_ack_header, flush_echo)) ==
            sizeof echo);
    ::close(fd);
    return echo;
  }

  SharedDirectory directory;
  SegmentWriter writer;
  io::Loop* loop = nullptr;
  HeldExporter* exporter = nullptr;
  std::unique_ptr<Sidecar> sidecar;
};

TEST_CASE("sidecar: a flush that comes while the exporter is busy is kept until it is not") {
  SidecarRig rig;
  rig.exporter->requests_in_flight_max = 1;
  rig.writer.commit(0, ids(1));
  int turns_after = 0;
  const std::size_t done = rig.run({
      [&] { return rig.exporter->submitted == 1; },
      [&] {
        rig.writer.commit(0, ids(1));
        rig.writer.control().flush_request = 1;
        return true;
      },
      [&] { return rig.flush_echo() == 1; },
      [&] { return ++turns_after == 5; },  // in which the request could be forgotten
      [&] {
        const bool waits = rig.exporter->submitted == 1;
        rig.exporter->requests_in_flight_max = 2;  // the first one is still under way
        return waits;
      },
      [&] { return rig.exporter->submitted == 2; },
  });
  CHECK(done == 6);
}

}  // namespace
}  // namespace otlpshm::tests
