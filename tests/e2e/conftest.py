# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: one receiver for all, and for each test a directory of its own.

Asked  by the environment: OTLPSHM_BUILD_DIR (what to run), OTLPSHM_E2E_LOOP (io_uring or epoll).
Leaves nothing: every process and directory ends with its test.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "abi")]

from daemon import Daemon, environment  # noqa: E402
from journal import Journal  # noqa: E402
from waiting import SANITIZED, until  # noqa: E402
from workload import Workload  # noqa: E402

BUILD = Path(os.environ.get("OTLPSHM_BUILD_DIR", HERE.parents[1] / "build")).resolve()


@pytest.fixture(scope="session")
def loop():
    return os.environ.get("OTLPSHM_E2E_LOOP", "epoll")


@pytest.fixture(scope="session")
def build():
    return BUILD


@pytest.fixture(scope="session")
def size():
    """size(n): n spans or rounds, or fewer under sanitizers."""
    return lambda full: max(full // 10, 5) if SANITIZED else full


@pytest.fixture
def private():
    """A directory on tmpfs for the journal, ledgers and logs; other users may pass through."""
    path = Path(tempfile.mkdtemp(prefix="e2e-", dir=os.environ.get("OTLPSHM_TEST_SHM", "/dev/shm")))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def directory(private):
    """The shared directory."""
    path = private / "shared"
    path.mkdir()
    return path


class ReceiverProcess:
    """receiver.py in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "receiver.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment(),
        )
        self.port = self.tell(open="127.0.0.1:0")["port"]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def tell(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def plan(self, *answers):
        self.tell(plan=answers)

    def go_away(self):
        self.tell(close=True)

    def come_back(self):
        self.tell(open=f"127.0.0.1:{self.port}")

    def planned(self):
        """Answers that no request has had yet."""
        return self.tell()["planned"]

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def receiver_process():
    process = ReceiverProcess()
    yield process
    process.end()


@pytest.fixture
def receiver(receiver_process, private):
    """The receiver with a fresh journal, no plan, and its port open."""
    receiver_process.tell(reset=str(private / "journal"))
    yield receiver_process
    receiver_process.go_away()
    receiver_process.come_back()


@pytest.fixture
def journal(receiver, private):
    return Journal(private / "journal")


@pytest.fixture
def start_daemon(build, private, loop, receiver):
    """start_daemon(directory, options=…): a daemon that is ready."""
    daemons = []

    def start(directory, options=(), **more):
        log = private / f"otlpshmd-{len(daemons)}.log"
        program = more.pop("program", build / "sidecar/otlpshmd")
        endpoint = more.pop("endpoint", receiver.endpoint)
        daemon = Daemon(program, directory, log, loop, endpoint, options, **more)
        daemons.append(daemon)
        return daemon.start()

    yield start
    for daemon in daemons:
        daemon.end()
    for daemon in daemons:
        daemon.check_log()


@pytest.fixture
def emit(build, private):
    """emit(directory, threads=…, spans=…, …): a workload that is ready."""
    workloads = []

    def start(directory, **options):
        ledger = private / f"ledger-{len(workloads)}"
        program = options.pop("program", build / "tests/e2e/emit")
        workload = Workload(program, directory, ledger, **options)
        workloads.append(workload)
        return workload.ready()

    yield start
    for workload in workloads:
        workload.end()


def only_daemon_files(directory):
    """True when every segment and ack has gone."""
    return not [path for path in directory.iterdir() if path.suffix in (".seg", ".ack", ".tmp")]


@pytest.fixture
def reaped(directory):
    """reaped(): waits until the daemon removed every dead producer's files."""

    def wait():
        until(lambda: only_daemon_files(directory), lambda: f"left: {os.listdir(directory)}", 20)

    return wait
