// SPDX-License-Identifier: Apache-2.0
// catch_main.cc: main() of every Catch2 test program, and its ledger of cases.
//   Owns   the file named by OTLPSHM_TEST_CASES (see case_ledger.py), when that is set.
//   Never  changes what a test sees: without the variable it is Catch2's own main.
//   Loses  nothing: a line is written when a case begins and when it ends, so a case
//          that crashed stands there as begun and never ended.

#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

namespace {

class CaseLedger : public Catch::TestEventListenerBase {
 public:
  explicit CaseLedger(const Catch::ReporterConfig& config) : TestEventListenerBase(config) {
    const char* path = std::getenv("OTLPSHM_TEST_CASES");  // NOLINT(concurrency-mt-unsafe)
    if (path != nullptr) file_ = std::fopen(path, "ae");
    line("runner", "catch2");
  }
  CaseLedger(const CaseLedger&) = delete;
  CaseLedger& operator=(const CaseLedger&) = delete;
  ~CaseLedger() override {
    if (file_ != nullptr) std::fclose(file_);
  }

  void testCaseStarting(const Catch::TestCaseInfo& test) override {
    TestEventListenerBase::testCaseStarting(test);
    line("begun", test.name);
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    TestEventListenerBase::testCaseEnded(stats);
    const bool failed = !stats.totals.assertions.allOk() && !stats.testInfo.okToFail();
    line(failed ? "failed" : "passed", stats.testInfo.name);
  }

 private:
  // Flushed at once: a child that a test forks must not inherit an unwritten line.
  void line(const char* state, const std::string& name) {
    if (file_ == nullptr) return;
    std::fprintf(file_, "%s\t%s\n", state, name.c_str());
    std::fflush(file_);
  }

  std::FILE* file_ = nullptr;
};

}  // namespace

CATCH_REGISTER_LISTENER(CaseLedger)
