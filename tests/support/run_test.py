#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run_test.py COMMAND...: runs one test program, counts its cases, and finds what it leaves behind.

Owns   the program's private TMPDIR and OTLPSHM_TEST_SHM (a directory on tmpfs), removed at the end.
Never  lets a process outlive the test: as a child subreaper it inherits every orphan.
Prints "[cases] passed=N failed=N skipped=N" last, for run_suites.py; each failure has a line before.
Exits  0 only when no case failed, at least one ran, and nothing was left behind.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import case_ledger

SKIPPED = 77  # meson's exit status for a skipped test
GRACE_S = 2.0  # an orphan that is already on its way out is not a leftover
PR_SET_CHILD_SUBREAPER = 36


def descendants():
    """Processes below this one: {pid: command line}, zombies left out."""
    parent_of, name_of = {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
            command = Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        state, parent = stat.rpartition(")")[2].split()[:2]
        parent_of[int(entry)] = int(parent)
        if state != "Z":
            name_of[int(entry)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    below, grew = {os.getpid()}, True
    while grew:
        more = {pid for pid, parent in parent_of.items() if parent in below} - below
        below |= more
        grew = bool(more)
    return {pid: name_of[pid] for pid in below - {os.getpid()} if pid in name_of}


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def processes_left():
    deadline = time.monotonic() + GRACE_S
    while True:
        reap()
        left = descendants()
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def kill(processes):
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + GRACE_S
    while descendants() and time.monotonic() < deadline:
        time.sleep(0.02)
    reap()


def files_left(directory):
    """What a test left in its directory; pytest keeps its own tmp_path there."""
    top = [path for path in Path(directory).iterdir() if not path.name.startswith("pytest-of-")]
    return sorted(str(path) for path in top)


def private_directories(run):
    """A TMPDIR short enough for a socket path, and a directory in shared memory."""
    made = [Path(tempfile.mkdtemp(prefix=f"otlpshm-{run}-"))]
    if os.access("/dev/shm", os.W_OK):
        made.append(Path(tempfile.mkdtemp(prefix=f"otlpshm-{run}-", dir="/dev/shm")))
    for directory in made:
        directory.chmod(0o755)  # a producer under another uid passes through
    return made


def count(ledger, status):
    """{case: state} of a program that ended with `status`."""
    has_runner, cases = case_ledger.read(ledger)
    for name, state in cases.items():
        if state == "begun":
            cases[name] = "failed"
    if not has_runner and not cases:  # a plain program is one case
        return {"exit status": {0: "passed", SKIPPED: "skipped"}.get(status, "failed")}
    if not cases:
        return {"it ran no test case": "failed"}
    if status != 0 and "failed" not in cases.values():
        cases[f"exit status {status} though no case failed"] = "failed"
    return cases


def main(command):
    if not command:
        sys.exit("run_test.py: no command given; usage: run_test.py COMMAND...")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("run_test.py: prctl(PR_SET_CHILD_SUBREAPER): " + os.strerror(ctypes.get_errno()))

    run = os.environ.get("OTLPSHM_TEST_RUN", f"alone-{os.getpid()}")
    directories = private_directories(run)
    descriptor, ledger = tempfile.mkstemp(prefix=f"otlpshm-{run}-cases-")
    os.close(descriptor)
    here = str(Path(__file__).resolve().parent)
    environment = dict(
        os.environ,
        OTLPSHM_TEST_RUN=run,
        OTLPSHM_TEST_CASES=ledger,
        TMPDIR=str(directories[0]),
        OTLPSHM_TEST_SHM=str(directories[-1]),
        PYTHONPATH=os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])),
        PYTHONDONTWRITEBYTECODE="1",
        PYTEST_PLUGINS="case_ledger",
    )

    def stop(signum, frame):  # meson's time limit, or Ctrl-C: no orphan may live on
        kill(descendants())
        clean()
        os._exit(128 + signum)

    def clean():
        for directory in directories:
            shutil.rmtree(directory, ignore_errors=True)
        Path(ledger).unlink(missing_ok=True)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    try:
        status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        print(f"run_test.py: cannot run {command[0]}: {error}", file=sys.stderr)
        status = 127
    cases = count(ledger, status)
    orphans = processes_left()
    kill(orphans)
    for pid, name in orphans.items():
        cases[f"left process {pid} behind: {name}"] = "failed"
    if status == 0:  # a failed test may leave its evidence; a passed one cleans up
        for directory in directories:
            for path in files_left(directory):
                cases[f"left file {path} behind"] = "failed"
    clean()

    states = list(cases.values())
    sys.stdout.flush()
    for name, state in cases.items():
        if state == "failed":
            print(f"[failed] {name}")
    tally = {state: states.count(state) for state in ("passed", "failed", "skipped")}
    print("[cases] " + " ".join(f"{state}={number}" for state, number in tally.items()))
    if tally["failed"]:
        sys.exit(1)
    sys.exit(0 if tally["passed"] else SKIPPED)


if __name__ == "__main__":
    main(sys.argv[1:])
