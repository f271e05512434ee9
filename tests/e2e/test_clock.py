# SPDX-License-Identifier: Apache-2.0
"""The calibrated clock: spans tell the time by the TSC, as right as by the kernel, and when it expires."""

import json
import queue
import subprocess
import threading
from collections import namedtuple
from pathlib import Path

import decoder
import pytest
from daemon import environment
from waiting import PATIENCE, until

PUBLISHED = "otlpshm_clock_published"
HEAD_RATIO = "otlpshm_head_sampling_ratio"
NEAR_NS = 5_000_000
SPANS = 1000

Timed = namedtuple("Timed", "id before_start after_start before_end after_end")


class Times:
    """One run of times.c: batches of spans, with what the process read around each."""

    def __init__(self, program, directory):
        self.process = subprocess.Popen(
            [program, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
            env=environment(),
        )
        self.lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.timed = []
        self.asked = 0

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def write(self, spans, pause_us=0):
        """Writes a batch; afterwards `asked` says how often the library asked the kernel."""
        self.process.stdin.write(f"{spans} {pause_us}\n")
        self.process.stdin.flush()
        answer = json.loads(self.lines.get(timeout=60 * PATIENCE))
        batch = [Timed(bytes.fromhex(id), *around) for id, *around in answer["spans"]]
        assert len(batch) == spans, "spans were dropped"
        self.timed += batch
        self.asked = answer["asked"]

    def asks_the_kernel(self):
        """At each start and end, if it must; else a few times each 100 ms."""
        self.write(SPANS)
        return self.asked >= 2 * SPANS

    def asks_nobody(self):
        self.write(SPANS)
        return self.asked < SPANS

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30 * PATIENCE) == 0

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def times(build, directory):
    started = []

    def start():
        started.append(Times(build / "tests/e2e/times", directory))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="session")
def invariant_tsc():
    flags = set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split())
    if not {"constant_tsc", "nonstop_tsc"} <= flags:
        pytest.skip("this processor has no invariant TSC")


def published(daemon):
    until(lambda: daemon.metrics().value(PUBLISHED) == 1, "the clock is published", 20)


def all_were_right(times, journal):
    """Every span arrived, and its times lie where the process itself saw them, to 5 ms."""
    journal.whole = True
    until(lambda: journal.read().distinct >= len(times.timed), "every span arrives", 30)
    arrived = {arrived.span.span_id: arrived.span for arrived in journal.arrived}
    assert set(arrived) == {timed.id for timed in times.timed}
    for timed in times.timed:
        span = arrived[timed.id]
        start, end = span.start_time_unix_nano, span.end_time_unix_nano
        where = f"{timed}: {start} to {end}"
        assert end >= start, where
        assert timed.before_start - NEAR_NS <= start <= timed.after_start + NEAR_NS, where
        assert timed.before_end - NEAR_NS <= end <= timed.after_end + NEAR_NS, where


def test_with_the_calibrated_clock_spans_ask_no_kernel_and_are_right(
    directory, start_daemon, times, journal, invariant_tsc
):
    daemon = start_daemon(directory, {"clock": "on"})
    published(daemon)
    clock = decoder.state(directory / "state").clock
    assert clock["multiplier"] > 0 and clock["expiry_tsc"] > clock["tsc"]
    workload = times()
    until(workload.asks_nobody, "spans ask no kernel for the time", 30)
    # On through some publications, with spans that begin under one and end under the next.
    workload.write(60, pause_us=50_000)
    workload.write(2, pause_us=1_200_000)
    workload.close()
    all_were_right(workload, journal)


def test_when_the_daemon_is_killed_the_calibration_expires_and_spans_stay_right(
    directory, start_daemon, times, journal, invariant_tsc
):
    daemon = start_daemon(directory, {"clock": "on"})
    published(daemon)
    workload = times()
    until(workload.asks_nobody, "spans ask no kernel for the time", 30)
    daemon.kill()
    workload.write(5, pause_us=20_000)
    workload.write(1, pause_us=7_000_000)  # it outlives the calibration that it began with
    assert workload.asks_the_kernel(), "a dead daemon's calibration is used"
    daemon.start()
    published(daemon)
    until(workload.asks_nobody, "the next daemon's calibration is used", 30)
    workload.close()
    all_were_right(workload, journal)


def test_a_daemon_that_may_not_publish_the_clock_withdraws_its_predecessors(
    directory, start_daemon, times, journal, invariant_tsc
):
    first = start_daemon(directory, {"clock": "on"})
    published(first)
    first.kill()
    daemon = start_daemon(directory, {"clock": "off"})
    assert decoder.state(directory / "state").clock["multiplier"] == 0
    assert daemon.metrics().value(PUBLISHED) == 0
    workload = times()
    assert workload.asks_the_kernel()
    workload.close()
    all_were_right(workload, journal)


def test_the_ratio_of_new_traces_is_published_as_a_threshold(directory, start_daemon):
    daemon = start_daemon(directory, {"head_sampling.ratio": "0.25"})
    policy = decoder.state(directory / "state").policy
    assert (policy["flags"], policy["threshold"]) == (1, 0xC0000000000000)
    ratios = [value for name, _, value in daemon.metrics().series if name == HEAD_RATIO]
    assert ratios == [0.25]
    daemon.kill()
    start_daemon(directory)
    policy = decoder.state(directory / "state").policy
    assert (policy["flags"], policy["threshold"]) == (0, 0)
