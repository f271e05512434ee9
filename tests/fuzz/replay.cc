// SPDX-License-Identifier: Apache-2.0
// replay.cc: gives a target each file of a corpus, without a fuzzer: `<target>_replay DIRECTORY`.
//   Owns   a child process for each file: one that dies is one failed case, and the rest goes on.
//   Rule   with --must-fail it is the other way round: a file that does not end the child fails.
//   Counts as tests/support/case_ledger.py reads it; no file at all is a failure.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "fuzz.h"

namespace {

constexpr unsigned kFileSeconds = 60;

void write_ledger(const char* state, const std::string& name) {
  const char* path = std::getenv("OTLPSHM_TEST_CASES");
  if (path != nullptr) std::ofstream(path, std::ios::app) << state << '\t' << name << '\n';
}

std::vector<std::filesystem::path> files_of(const char* directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// In memory of exactly their size, so that a sanitizer sees who reads beyond it.
void run_target(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) _exit(1);
  const auto exact = std::make_unique<std::uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), bytes.size());
}

// The status of a child that ran the target, as waitpid gives it.
int status_of(const std::filesystem::path& path) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kFileSeconds);
    run_target(path);
    std::exit(0);  // a target may have something to give back
  }
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

int main(int count, char** arguments) {
  const bool must_fail = count == 3 && std::strcmp(arguments[1], "--must-fail") == 0;
  if (count != 2 && !must_fail) {
    std::fprintf(stderr, "usage: %s [--must-fail] DIRECTORY\n", arguments[0]);
    return 2;
  }
  const char* directory = arguments[count - 1];
  write_ledger("runner", "replay");
  int failed = 0;
  const auto files = files_of(directory);
  for (const auto& path : files) {
    const std::string name = path.filename();
    write_ledger("begun", name);
    const int status = status_of(path);
    const bool is_good = must_fail ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT
                                   : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    write_ledger(is_good ? "passed" : "failed", name);
    if (is_good) continue;
    ++failed;
    std::fprintf(stderr, "%s: %s (wait status %d)\n", path.c_str(),
                 must_fail ? "nothing failed" : "a property does not hold", status);
  }
  if (files.empty()) std::fprintf(stderr, "%s: there is no file to replay\n", directory);
  return failed == 0 && !files.empty() ? 0 : 1;
}
