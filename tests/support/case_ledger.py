# SPDX-License-Identifier: Apache-2.0
"""The ledger of cases: what a test program writes, and how it is read.

Owns   the file named by OTLPSHM_TEST_CASES: lines of "state<TAB>name", appended at once.
States runner (who writes), begun, passed, failed, skipped.
Reads  everything as untrusted: a line it does not know is a failed case, not an exception.
Used   as a pytest plugin here, by catch_main.cc there, and by run_test.py, which counts.
"""

import os

WORST_LAST = ("begun", "skipped", "passed", "failed")  # begun: until any of the others


def read(path):
    """(has a runner written here, {case name: worst state})"""
    has_runner, cases = False, {}
    try:
        with open(path, encoding="utf-8", errors="replace") as ledger:
            lines = ledger.read().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        state, _, name = line.partition("\t")
        if state == "runner":
            has_runner = True
        elif state not in WORST_LAST:
            cases[f"unreadable ledger line {line!r}"] = "failed"
        else:
            before = cases.get(name, "begun")
            cases[name] = max(before, state, key=WORST_LAST.index)
    return has_runner, cases


def _write(state, name):
    path = os.environ.get("OTLPSHM_TEST_CASES")
    if path:
        with open(path, "a", encoding="utf-8") as ledger:
            ledger.write(f"{state}\t{name}\n".encode("utf-8", "replace").decode("utf-8"))


def pytest_configure(config):
    _write("runner", "pytest")


def pytest_runtest_logstart(nodeid, location):
    _write("begun", nodeid)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        _write(report.outcome, report.nodeid)
