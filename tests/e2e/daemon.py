# SPDX-License-Identifier: Apache-2.0
"""One otlpshmd: started, asked, stopped or killed.

Owns   the process and its log file; a sanitizer's report in the log fails the test.
Names  every metric that the tests read, in one place.
"""

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter, namedtuple

from waiting import PATIENCE, until

READY = re.compile(
    r"^otlpshmd ready dir=(?P<dir>\S+) admin=(?P<host>\S+):(?P<port>\d+) loop=(?P<loop>\S+)"
    r" pid=(?P<pid>\d+)$",
    re.MULTILINE,
)
SERIES = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
COMPLAINTS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "Assertion", "terminate called")

ENDED = "otlpshm_spans_ended_total"
EXPORTED = "otlpshm_spans_exported_total"
DROPPED = "otlpshm_spans_dropped_total"
IN_FLIGHT = "otlpshm_spans_in_flight"
RESENT = "otlpshm_export_resent_spans_total"
FAILURES = "otlpshm_export_failures_total"
LOOP = "otlpshm_loop_info"
WAKEUPS = "otlpshm_wakeups_total"

Law = namedtuple("Law", "ended exported dropped in_flight")


def environment(**more):
    """Ours without settings from outside; what the test runner looks for stays."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "OTLPSHM_")) or name == "OTLPSHM_TEST_RUN"
    }
    return kept | more


class Metrics:
    def __init__(self, text):
        self.text = text
        self.series = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = SERIES.match(line)
                assert match, f"not a line of /metrics: {line!r}"
                labels = dict(LABEL.findall(match["labels"] or ""))
                self.series.append((match["name"], labels, float(match["value"])))

    def value(self, name):
        values = [value for found, _, value in self.series if found == name]
        assert values, f"/metrics has no {name}:\n{self.text}"
        return int(sum(values))

    def dropped(self):
        counts = Counter()
        for name, labels, value in self.series:
            if name == DROPPED and value:
                counts[labels["reason"]] += int(value)
        return dict(counts)

    def law(self):
        return Law(
            self.value(ENDED), self.value(EXPORTED), self.dropped(), self.value(IN_FLIGHT)
        )

    def holds(self):
        law = self.law()
        return law.ended == law.exported + sum(law.dropped.values()) + law.in_flight

    def refused(self):
        """Requests that failed and are tried again, whether they reached the backend or not."""
        return int(
            sum(
                value
                for name, labels, value in self.series
                if name == FAILURES and labels["kind"] == "retryable"
            )
        )

    def resent(self):
        return self.value(RESENT)

    def loop(self):
        return {labels["loop"] for name, labels, value in self.series if name == LOOP and value}


class Daemon:
    def __init__(self, program, directory, log, loop, endpoint, options=(), user=None,
                 group=None, groups=()):
        settings = {"admin.listen": "127.0.0.1:0", "loop": loop, "export.endpoint": endpoint}
        settings |= dict(options)
        self.command = [program, "--dir", directory]
        for name, value in settings.items():
            self.command += ["--set", f"{name}={value}"]
        self.log = log
        self.loop = loop
        self.identity = {} if user is None else {
            "user": user, "group": group, "extra_groups": groups,
        }
        self.process = None
        self.ready = None

    def start(self):
        assert self.process is None or self.process.poll() is not None
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=environment(), **self.identity,
            )

        def said_ready():
            text = self.log.read_bytes()[begin:].decode(errors="replace")
            assert self.process.poll() is None, f"otlpshmd ended {self.process.returncode}: {text}"
            self.ready = READY.search(text)
            return self.ready

        until(said_ready, "otlpshmd says that it is ready", 20)
        assert int(self.ready["pid"]) == self.process.pid
        assert self.ready["loop"] == self.loop
        return self

    def get(self, path):
        address = f"http://{self.ready['host']}:{self.ready['port']}{path}"
        with urllib.request.urlopen(address, timeout=10 * PATIENCE) as answer:
            return answer.read().decode()

    def metrics(self):
        return Metrics(self.get("/metrics"))

    def settled(self, ended, timeout_s=60):
        """Waits until `ended` spans were seen and none is in flight; the law must then hold."""
        law = None

        def all_settled():
            nonlocal law
            law = self.metrics().law()
            return law.ended >= ended and law.in_flight == 0

        until(all_settled, lambda: f"{ended} spans settle: {law}", timeout_s)
        found = self.metrics()
        assert found.holds() and found.law().ended == ended, found.law()
        assert found.loop() == {self.loop}, "/metrics names another loop than asked"
        return found

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=20):
        try:
            return self.process.wait(timeout_s * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"otlpshmd does not stop:\n{self.text()[-4000:]}") from None

    def stop(self):
        """SIGTERM; a clean exit or a failed test."""
        if self.process is not None and self.process.poll() is None:
            self.terminate()
            code = self.wait()
            assert code == 0, f"otlpshmd ended with {code}:\n{self.text()[-4000:]}"
        self.check_log()

    def check_log(self):
        text = self.text()
        found = [word for word in COMPLAINTS if word in text]
        assert not found, f"{found[0]} in the daemon's log:\n{text[-8000:]}"

    def end(self):
        """For the fixture: leaves no process, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def cpu_idle(self, seconds):
        """Wake-ups of the loop in so many seconds."""
        before = self.metrics().value(WAKEUPS)
        time.sleep(seconds)
        return self.metrics().value(WAKEUPS) - before
