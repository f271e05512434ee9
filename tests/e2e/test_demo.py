# SPDX-License-Identifier: Apache-2.0
"""`otlpshm demo`, as a newcomer runs it: its traces, its numbers, its endings.

Owns   a private XDG_RUNTIME_DIR, in which the demo makes its directory and must leave nothing.
Reads  the trees that the console exporter draws, and, with --endpoint, the receiver's journal.
"""

import collections
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from journal import Journal
from opentelemetry.proto.trace.v1 import trace_pb2
from waiting import PATIENCE

TIMEOUT_S = 60 * PATIENCE
CLOCK_SLACK_NS = 1_000_000
SERVICES = {"order", "user", "inventory", "payment"}

# (service, name, kind, depth): the tree of one order.
TREE = [
    ("order", "POST /orders", "server", 0),
    ("order", "GET /users/{id}", "client", 1),
    ("user", "GET /users/{id}", "server", 2),
    ("user", "SELECT users", "internal", 3),
    ("order", "GET /stock/{article}", "client", 1),
    ("inventory", "GET /stock/{article}", "server", 2),
    ("inventory", "SELECT stock", "internal", 3),
    ("order", "POST /payments", "client", 1),
    ("payment", "POST /payments", "server", 2),
    ("payment", "authorize card", "internal", 3),
]
FAILING = {  # where a declined payment shows
    ("order", "POST /orders", "server"),
    ("order", "POST /payments", "client"),
    ("payment", "POST /payments", "server"),
    ("payment", "authorize card", "internal"),
}
DECLINED = "card declined: over its limit"


class Place:
    """A runtime directory on tmpfs, and what is run in it."""

    def __init__(self, directory, program, loop):
        self.directory = directory
        self.command = [str(program), "demo", "--loop", loop]
        outside = ("OTEL_", "OTLPSHM_DIR")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(outside)}
        self.options = {
            "stdin": subprocess.DEVNULL,
            "text": True,
            "env": clean | {"XDG_RUNTIME_DIR": str(directory)},
        }

    def demo(self, *arguments):
        command = self.command + list(map(str, arguments))
        return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, **self.options)

    def start(self, *arguments):
        return Running(self, arguments)


@pytest.fixture
def place(private, build, loop):
    directory = private / "runtime"
    directory.mkdir(mode=0o700)
    yield Place(directory, build / "sidecar/cli/otlpshm", loop)
    left = os.listdir(directory)
    assert not left, f"the demo left {left} behind"
    assert not processes_with(str(directory)), "the demo left processes behind"


def processes_with(text):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            seen = Path("/proc", entry, "cmdline").read_bytes()
            seen += Path("/proc", entry, "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in seen and int(entry) != os.getpid():
            found.append(int(entry))
    return found


class Running:
    """A demo in the background, until it has said that it sends."""

    def __init__(self, place, arguments):
        self.errors = []
        command = place.command + list(map(str, arguments))
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **place.options
        )
        self.sends = threading.Event()
        self.readers = [
            threading.Thread(target=self._read_errors),
            threading.Thread(target=self.process.stdout.read),
        ]
        for reader in self.readers:
            reader.start()

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)
            if "sending" in line:
                self.sends.set()

    def children(self):
        """{name of the program: pid}"""
        pid = self.process.pid
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {Path(os.readlink(f"/proc/{child}/exe")).name: int(child) for child in pids}

    def end(self):
        try:
            status = self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
        for reader in self.readers:
            reader.join()
        return status, "".join(self.errors)

    def __enter__(self):
        if not self.sends.wait(TIMEOUT_S):
            self.process.kill()
            raise AssertionError(f"it does not send: {self.end()}")
        time.sleep(0.3)  # some orders are under way
        return self

    def __exit__(self, *_):
        self.end()


Line = collections.namedtuple("Line", "service name kind depth rest")
LINE = re.compile(r"^((?:[│ ]  )*)[├└]─ (\S+)  (.+?) \((server|client|internal)\)  (.*)$")
HEAD = re.compile(r"^trace ([0-9a-f]{32})  (\d+) spans?\b")


def trees(text):
    """{trace id: [Line]} of what the console exporter drew."""
    found, current = {}, None
    for line in text.splitlines():
        head, span = HEAD.match(line), LINE.match(line)
        if head:
            assert head.group(1) not in found, "a trace was drawn in two pieces"
            current = found[head.group(1)] = []
        elif span and current is not None:
            indent, service, name, kind, rest = span.groups()
            current.append(Line(service, name, kind, len(indent) // 3, rest))
    return found


def check_numbers(summary, orders, loop):
    assert summary["ended"] == orders * len(TREE)
    assert summary["exported"] == summary["ended"]
    assert summary["dropped"] == {}
    assert summary["in_flight"] == 0
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]
    assert summary["orders"] == orders
    assert summary["declined"] == orders // 10
    assert summary["loop"] == loop


def test_json_is_one_object_whose_numbers_add_up(place, loop):
    ended = place.demo("--json", "--orders", 20, "--rate", 50)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    check_numbers(json.loads(ended.stdout), 20, loop)
    drawn = trees(ended.stderr)
    assert len(drawn) == 20
    assert sum(map(len, drawn.values())) == 200


def test_every_trace_is_a_tree_of_four_services(place):
    ended = place.demo("--orders", 10, "--rate", 50)
    assert ended.returncode == 0, ended.stderr
    drawn = trees(ended.stdout)
    assert len(drawn) == 10
    for lines in drawn.values():
        assert [line[:4] for line in lines] == TREE
        shown = " ".join(line.rest for line in lines)
        for key in ("order.id", "customer.id", "user.name", "inventory.available", "payment.status"):
            assert f"{key}=" in shown
    assert 'user.name="Zoë Müller"' in ended.stdout
    assert re.search(r"ended +100 spans", ended.stdout)
    assert re.search(r"exported +100\b", ended.stdout)


def test_a_declined_order_is_an_error_up_its_tree_and_nowhere_else(place):
    ended = place.demo("--orders", 20, "--rate", 50)
    assert ended.returncode == 0, ended.stderr
    declined = 0
    for lines in trees(ended.stdout).values():
        failing = {line[:3] for line in lines if f'ERROR "{DECLINED}"' in line.rest}
        assert failing in (set(), FAILING)
        assert failing == {line[:3] for line in lines if "ERROR" in line.rest}
        if failing:
            declined += 1
            assert any("payment.status=declined" in line.rest for line in lines)
            assert any(line.name == "authorize card" and "1 event" in line.rest for line in lines)
    assert declined == 2


# ---- a backend -----------------------------------------------------------------------------------


def attributes(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_backend_gets_every_span_once(place, loop, receiver, private):
    ended = place.demo("--json", "--orders", 20, "--rate", 50, "--endpoint", receiver.endpoint)
    assert ended.returncode == 0, ended.stderr
    check_numbers(json.loads(ended.stdout), 20, loop)
    journal = Journal(private / "journal", whole=True).read()
    assert journal.distinct == 200 and journal.repeats == 0
    spans = []
    for resource_spans, scope_spans, span in journal.arrived:
        resource = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
        assert resource["service.namespace"] == "otlpshm-demo"
        assert scope_spans.scope.name == "example." + resource["service.name"]
        spans.append((resource["service.name"], span))
    by_id = {span.span_id: (service, span) for service, span in spans}

    traces = collections.defaultdict(list)
    for service, span in spans:
        traces[span.trace_id].append((service, span))
        if span.parent_span_id:
            _, parent = by_id[span.parent_span_id]
            assert parent.trace_id == span.trace_id
            # Two processes read the clock for themselves: a little slack.
            assert parent.start_time_unix_nano <= span.start_time_unix_nano + CLOCK_SLACK_NS
            assert span.end_time_unix_nano <= parent.end_time_unix_nano + CLOCK_SLACK_NS
        else:
            assert (service, span.name) == ("order", "POST /orders")
    assert len(traces) == 20
    declined = 0
    for members in traces.values():
        assert {service for service, _ in members} == SERVICES
        found = {(service, span.name): attributes(span) for service, span in members if span.kind == 2}
        order = found["order", "POST /orders"]
        assert 1001 <= order["order.id"] <= 1020
        assert found["payment", "POST /payments"]["order.id"] == order["order.id"]
        assert found["user", "GET /users/{id}"]["customer.id"] == order["customer.id"]
        assert found["inventory", "GET /stock/{article}"]["inventory.low"] in (True, False)
        errors = [span for _, span in members if span.status.code == trace_pb2.Status.STATUS_CODE_ERROR]
        if not errors:
            assert order["http.response.status_code"] == 200
            continue
        declined += 1
        assert order["order.id"] % 10 == 0 and order["http.response.status_code"] == 402
        assert len(errors) == 4 and {span.status.message for span in errors} == {DECLINED}
        (event,) = [event for span in errors for event in span.events]
        assert event.name == "exception"
        assert attributes(event) == {"exception.type": "CardDeclined", "exception.message": DECLINED}
    assert declined == 2


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_backend_that_is_not_there_is_named(place):
    url = f"http://127.0.0.1:{closed_port()}"
    ended = place.demo("--json", "--orders", 1, "--endpoint", url)
    assert ended.returncode == 69
    assert f"does an OTLP/gRPC backend listen at {url}?" in ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["in_flight"] == summary["ended"] == len(TREE)


def test_a_backend_that_refuses_everything_fails_the_demo(place, receiver):
    receiver.plan(*[{"code": "INVALID_ARGUMENT"}] * 50)
    ended = place.demo("--json", "--orders", 2, "--endpoint", receiver.endpoint)
    assert ended.returncode == 1
    assert "not one span was exported" in ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["dropped"] == {"export_rejected": summary["ended"]}


# ---- bad ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, names",
    [
        (["--endpoint", "nonsense"], "nonsense"),
        (["--endpoint", "http://127.0.0.1:0"], "--endpoint"),
        (["--orders", "0"], "--orders"),
        (["--orders", "many"], "--orders"),
        (["--rate", "0"], "--rate"),
        (["--nosuch"], "--nosuch"),
    ],
)
def test_bad_usage_is_one_line_that_names_it(place, arguments, names):
    ended = place.demo(*arguments)
    assert ended.returncode == 64
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and names in ended.stderr


def test_a_daemon_that_is_not_there_is_named(place):
    ended = place.demo("--otlpshmd", "/nowhere/otlpshmd")
    assert ended.returncode == 69
    assert ended.stderr.count("\n") == 1 and "/nowhere/otlpshmd" in ended.stderr


@pytest.mark.parametrize("name", ["order", "inventory", "payment"])
def test_the_death_of_a_service_is_told(place, name):
    with place.start("--orders", 2000, "--rate", 50) as running:
        os.kill(running.children()[f"otlpshm-demo-{name}"], signal.SIGKILL)
        status, errors = running.end()
    assert status == 1
    assert f"the service {name} ended early: signal 9 (Killed)" in errors


def test_the_death_of_the_daemon_is_told(place):
    with place.start("--orders", 2000, "--rate", 50) as running:
        os.kill(running.children()["otlpshmd"], signal.SIGKILL)
        status, errors = running.end()
    assert status == 1
    assert "otlpshmd ended early: signal 9 (Killed)" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_cleans_up(place, number):
    with place.start("--orders", 2000, "--rate", 50) as running:
        children = running.children()
        assert len(children) == 5
        running.process.send_signal(number)
        status, errors = running.end()
    assert status == 128 + number
    assert "interrupted" in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())


def test_children_die_with_a_demo_that_is_killed(place):
    with place.start("--orders", 2000, "--rate", 50) as running:
        children = running.children()
        running.process.kill()
        assert running.end()[0] == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in children.values()):
        assert time.monotonic() < deadline, "a child outlived the demo"
        time.sleep(0.02)
    for directory in place.directory.iterdir():  # all that such an end may leave
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- a daemon that lies --------------------------------------------------------------------------

LIAR = """#!{python}
import http.server, signal, sys
PAGE = '''{page}'''
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PAGE.encode())
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.HTTPServer(("127.0.0.1", 0), Page)
print("otlpshmd ready dir=x admin=127.0.0.1:%d loop=none pid=1" % server.server_port, flush=True)
server.serve_forever()
"""


def liar(tmp_path, page):
    path = tmp_path / "otlpshmd"
    path.write_text(LIAR.format(python=sys.executable, page=page))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("exported", [9, 11])
def test_numbers_that_do_not_add_up_are_a_failure(place, tmp_path, exported):
    page = f"otlpshm_spans_exported_total {exported}\\notlpshm_spans_in_flight 0\\n"
    ended = place.demo("--json", "--orders", 1, "--otlpshmd", liar(tmp_path, page))
    assert ended.returncode == 1
    assert "do not add up" in ended.stderr and "ended 10 spans" in ended.stderr
    assert json.loads(ended.stdout)["exported"] == exported


def test_counters_that_are_missing_are_named(place, tmp_path):
    ended = place.demo("--json", "--orders", 1, "--otlpshmd", liar(tmp_path, "up 1\\n"))
    assert ended.returncode == 1
    assert "otlpshm_spans_exported_total" in ended.stderr and ended.stdout == ""


def test_a_daemon_that_cannot_start_is_quoted(place, tmp_path):
    path = tmp_path / "otlpshmd"
    path.write_text("#!/bin/sh\necho 'otlpshmd: no room at the inn' >&2\nexit 7\n")
    path.chmod(0o755)
    ended = place.demo("--otlpshmd", path)
    assert ended.returncode == 69
    assert "exit status 7" in ended.stderr and "no room at the inn" in ended.stderr
