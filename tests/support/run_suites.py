#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run_suites.py: runs meson's suites in one or more build directories and counts every case.

Owns   one run id; all that the run starts or creates carries it.
Never  calls a run good in which a suite ran nothing, or that left a process or a file behind.
Prints meson's progress, then the log of what failed, then one line: "N passed, N failed".
"""

import argparse
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = re.compile(r"^\[cases\] passed=(\d+) failed=(\d+) skipped=(\d+)$", re.MULTILINE)
HEARTBEAT_S = 30
LOG_CHARACTERS_MAX = 20_000  # of one failing test


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.ran = {}  # suite: cases

    def add(self, suites, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        for suite in suites:
            self.ran[suite] = self.ran.get(suite, 0) + passed + failed

    def fail(self, what):
        print(f"FAILED: {what}", flush=True)
        self.failed += 1


def suites_of(test):
    """meson writes "project:suite"."""
    return [suite.rpartition(":")[2] for suite in test["suite"]]


def registered(build):
    out = subprocess.run(
        ["meson", "introspect", "--tests", str(build)], check=True, capture_output=True, text=True
    ).stdout
    return json.loads(out)


def heartbeat(process, build):
    """A line every half minute for whoever waits: meson prints only what has ended."""
    started = time.monotonic()
    while True:
        try:
            process.wait(HEARTBEAT_S)
            return
        except subprocess.TimeoutExpired:
            waited = int(time.monotonic() - started)
            print(f"… {build.name}: {waited} s, tests still running", flush=True)


def run(build, suites, without, sanitized, run_id, tally):
    tests = [
        test
        for test in registered(build)
        if (not suites or set(suites) & set(suites_of(test)))
        and not set(without) & set(suites_of(test))
    ]
    if not tests:
        tally.fail(f"{build.name}: no test is registered in {', '.join(suites) or 'any suite'}")
        return
    logbase = f"run-{run_id}"
    command = ["meson", "test", "-C", str(build), "--no-rebuild", "--logbase", logbase]
    # One more than there are CPUs: the end-to-end tests wait for as long as they compute.
    command += ["--num-processes", str(len(os.sched_getaffinity(0)) + 1)]
    command += ["--timeout-multiplier", "4" if sanitized else "1"]
    command += ["--wrapper", shlex.join([sys.executable, str(HERE / "run_test.py")])]
    for suite in suites:
        command += ["--suite", suite]
    for suite in without:
        command += ["--no-suite", suite]
    environment = dict(os.environ, OTLPSHM_TEST_RUN=run_id)
    if sanitized:
        environment["OTLPSHM_TEST_SANITIZED"] = "1"
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:strict_string_checks=1")
        environment.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    meson = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    watch = threading.Thread(target=heartbeat, args=(meson, build))
    watch.start()
    try:
        meson.wait()
    finally:
        if meson.poll() is None:
            meson.send_signal(signal.SIGINT)
            meson.wait()
        watch.join()

    # meson adds the wrapper's name to the logs' names.
    logs = list((build / "meson-logs").glob(f"{logbase}*"))
    results = [
        json.loads(line)
        for log in logs
        if log.suffix == ".json"
        for line in log.read_text().splitlines()
    ]
    for result in results:
        count(result, tally)
    if len(results) < len(tests):
        tally.fail(f"{build.name}: {len(tests) - len(results)} of {len(tests)} tests did not run")
    if not tally.failed:
        for log in logs:
            log.unlink()


def count(result, tally):
    # meson logs "project:suite+suite / name".
    suites = result["name"].partition(" / ")[0].rpartition(":")[2].split("+")
    output = result.get("stdout") or ""
    numbers = CASES.findall(output)
    if numbers:
        passed, failed, skipped = map(int, numbers[-1])
    else:  # it never came to its end: a time limit, or a killed wrapper
        passed, failed, skipped = 0, 1, 0
    if failed == 0 and result["result"] not in ("OK", "SKIP"):
        failed = 1
    tally.add(suites, passed, failed, skipped)
    if failed:
        text = output + (result.get("stderr") or "")
        if len(text) > LOG_CHARACTERS_MAX:
            text = "…" + text[-LOG_CHARACTERS_MAX:]
        print(f"\n──── {result['name']}: {result['result']} after {result['duration']:.1f} s ────")
        print(f"$ {shlex.join(result['command'])}\n{text}", flush=True)


def processes_of(run_id):
    """Processes that carry this run's mark in their environment: {pid: command line}."""
    mark = f"OTLPSHM_TEST_RUN={run_id}".encode()
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if int(entry) == os.getpid():
            continue
        try:
            if mark in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                command = Path("/proc", entry, "cmdline").read_bytes()
                found[int(entry)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended while we looked, or is another user's
    return {pid: name for pid, name in found.items() if name}


def places():
    """Where a test could leave something outside its own directories."""
    shared = set(Path("/dev/shm").iterdir()) if os.access("/dev/shm", os.R_OK) else set()
    return shared | set(Path(tempfile.gettempdir()).glob("otlpshm*"))


def in_use(path):
    """Does a living process have it open, mapped, as its directory, or on its command line?"""
    name = str(path)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if int(entry) == os.getpid():
            continue
        process = Path("/proc", entry)
        try:
            if name in (process / "maps").read_text(errors="replace"):
                return True
            if name.encode() in (process / "cmdline").read_bytes():
                return True
            if name.encode() in (process / "environ").read_bytes():
                return True
            for link in [process / "cwd", *(process / "fd").iterdir()]:
                try:
                    if os.readlink(link).startswith(name):
                        return True
                except OSError:
                    pass  # this one descriptor was closed
        except OSError:
            continue
    return False


def leftovers(run_id, before, tally):
    for pid, name in processes_of(run_id).items():
        tally.fail(f"the run left process {pid} behind: {name}")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + 5  # other runs on this machine come and go
    while True:
        left = [path for path in places() - before if not in_use(path)]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    for path in sorted(left):
        tally.fail(f"the run left {path} behind")
        if run_id in path.name:  # ours beyond doubt
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--build", action="append", type=Path, default=[], metavar="DIR")
    arguments.add_argument("--sanitized-build", action="append", type=Path, default=[])
    arguments.add_argument("--sanitized-suite", action="append", default=[], metavar="SUITE")
    arguments.add_argument("--no-suite", action="append", default=[], metavar="SUITE")
    arguments.add_argument("--require", action="append", default=[], metavar="SUITE",
                           help="a suite that must have run at least one case")
    arguments.add_argument("suite", nargs="*")
    asked = arguments.parse_args()

    run_id = secrets.token_hex(3)
    before = places()
    tally = Tally()
    started = time.monotonic()
    for build in asked.build:
        run(build, asked.suite, asked.no_suite, False, run_id, tally)
    for build in asked.sanitized_build:
        chosen = [suite for suite in asked.sanitized_suite if not asked.suite or suite in asked.suite]
        if chosen:
            run(build, chosen, asked.no_suite, True, run_id, tally)
    leftovers(run_id, before, tally)
    for suite in asked.require:
        if not tally.ran.get(suite):
            tally.fail(f"suite {suite} ran nothing")
    print()
    for suite, cases in sorted(tally.ran.items()):
        print(f"  {suite:<12} {cases} cases")
    print(f"  in {time.monotonic() - started:.0f} s")
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    print(f"{tally.passed} passed, {tally.failed} failed{skipped}", flush=True)
    sys.exit(0 if tally.failed == 0 and tally.passed > 0 else 1)


if __name__ == "__main__":
    main()
