// SPDX-License-Identifier: Apache-2.0
// child_test.cc: what a child says, how it ends, and that it never outlives us.
#include "cli/child.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "cli/failure.h"

using namespace otlpshm::cli;

namespace {

struct Heard {
  std::vector<std::string> out;
  std::vector<std::string> err;

  Child::OnLine ear() {
    return [this](Child::Stream stream, const std::string& line) {
      (stream == Child::Stream::out ? out : err).push_back(line);
    };
  }
};

std::vector<std::string> shell(const std::string& script) {
  return {"/bin/sh", "-c", script};
}

// Until it has ended, ten seconds at most.
void run_out(Child& child) {
  for (int i = 0; i < 500 && child.running(); ++i) pump({&child}, 20);
}

bool wait_for_line(Child& child, const std::vector<std::string>& lines) {
  for (int i = 0; i < 500 && lines.empty(); ++i) pump({&child}, 20);
  return !lines.empty();
}

// Gone, or dead and waiting for its new parent to notice.
bool dead(pid_t pid) {
  for (int i = 0; i < 500; ++i) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    if (!std::getline(file, text) || text.find(") Z ") != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

TEST_CASE("cli: a child's lines arrive whole, the last one too") {
  Heard heard;
  Child child("x", shell("echo one; printf 'two\\n\\nthree'; echo bad >&2"), {}, heard.ear());
  run_out(child);
  CHECK_FALSE(child.running());
  CHECK(heard.out == std::vector<std::string>{"one", "two", "", "three"});
  CHECK(heard.err == std::vector<std::string>{"bad"});
  CHECK(child.ended_well());
}

TEST_CASE("cli: an endless line is cut, and what follows is heard") {
  Heard heard;
  Child child("x", shell("head -c 300000 /dev/zero | tr '\\0' x; echo; echo next"), {},
              heard.ear());
  run_out(child);
  REQUIRE(heard.out.size() == 2);
  CHECK(heard.out[0].size() == Child::kLineBytesMax);
  CHECK(heard.out[1] == "next");
}

TEST_CASE("cli: a child's end is told") {
  Heard heard;
  Child failing("x", shell("exit 3"), {}, heard.ear());
  run_out(failing);
  CHECK(failing.ending() == "exit status 3");
  CHECK_FALSE(failing.ended_well());
  Child killed("x", shell("kill -9 $$"), {}, heard.ear());
  run_out(killed);
  CHECK(killed.ending() == "signal 9 (Killed)");
  killed.terminate();  // of one that has ended: nothing
}

TEST_CASE("cli: a child's environment is ours with changes") {
  setenv("OTLPSHM_UNIT_OLD", "old", 1);
  setenv("OTLPSHM_UNIT_KEPT", "kept", 1);
  Heard heard;
  Child child("x", shell("echo \"$OTLPSHM_UNIT_OLD,$OTLPSHM_UNIT_KEPT,$OTLPSHM_UNIT_NEW\""),
              {{"OTLPSHM_UNIT_OLD", std::nullopt}, {"OTLPSHM_UNIT_NEW", "a=b"}}, heard.ear());
  run_out(child);
  CHECK(heard.out == std::vector<std::string>{",kept,a=b"});
}

TEST_CASE("cli: a program that is not there is named") {
  try {
    Child child("x", {"/nowhere/at-all"}, {}, nullptr);
    FAIL("it was started");
  } catch (const Failure& failure) {
    CHECK(failure.exit_status == kExitUnavailable);
    CHECK(failure.why.find("/nowhere/at-all") != std::string::npos);
  }
}

TEST_CASE("cli: a child that ignores SIGTERM does not survive its owner") {
  pid_t pid = 0;
  {
    Heard heard;
    Child child("x", shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done"), {},
                heard.ear());
    REQUIRE(wait_for_line(child, heard.out));
    pid = child.pid();
  }
  CHECK(kill(pid, 0) != 0);
}

TEST_CASE("cli: a child dies with us, however we die") {
  int told[2];
  REQUIRE(pipe(told) == 0);
  const pid_t middle = fork();
  if (middle == 0) {
    Child child("x", {"/bin/sleep", "60"}, {}, nullptr);
    const pid_t pid = child.pid();
    if (write(told[1], &pid, sizeof pid) == sizeof pid) kill(getpid(), SIGKILL);
    _exit(1);
  }
  pid_t pid = 0;
  REQUIRE(read(told[0], &pid, sizeof pid) == sizeof pid);
  int status = 0;
  REQUIRE(waitpid(middle, &status, 0) == middle);
  CHECK(dead(pid));
  close(told[0]);
  close(told[1]);
}
