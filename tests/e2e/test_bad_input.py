# SPDX-License-Identifier: Apache-2.0
"""What the daemon cannot run with: one line that names the thing and the remedy, and no hang."""

import os
import socket
import subprocess

import pytest
from daemon import environment
from waiting import PATIENCE

NOBODY = 65534


@pytest.fixture
def refuse(build, directory, loop):
    """refuse(arguments…): runs otlpshmd, which must say no; returns its line (and excerpt)."""

    def run(*arguments, excerpt=0, prefix=("--dir", directory), **more):
        command = [build / "sidecar/otlpshmd", *prefix, "--set", "admin.listen=127.0.0.1:0",
                   "--set", f"loop={loop}", *arguments]
        without_marks = {  # it warns of variables that look like options and are none
            name: text for name, text in environment().items() if not name.startswith("OTLPSHM_")
        }
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20 * PATIENCE, cwd="/",
            stdin=subprocess.DEVNULL, env=without_marks, **more,
        )
        assert done.returncode > 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        assert "otlpshmd ready" not in done.stdout
        lines = done.stderr.splitlines()
        assert len(lines) == 1 + excerpt, f"not one line but {len(lines)}:\n{done.stderr}"
        return done.stderr

    return run


def test_an_unknown_option_is_named_with_the_nearest(refuse):
    line = refuse("--set", "export.endpont=http://localhost:4317")
    assert "export.endpont" in line and "export.endpoint" in line


def test_an_unknown_flag_is_named(refuse):
    assert "--frobnicate" in refuse("--frobnicate")


@pytest.mark.parametrize(
    "endpoint", ["nonsense", "http://", "http://host:port", "http://host:99999", "ftp://host:1"]
)
def test_a_malformed_endpoint_is_named(refuse, endpoint):
    line = refuse("--set", f"export.endpoint={endpoint}")
    assert "export.endpoint" in line and ("http://host:port" in line or "a port of 1 to" in line)


def test_an_endpoint_that_wants_tls_is_refused_and_not_sent_in_the_clear(refuse):
    assert "https" in refuse("--set", "export.endpoint=https://localhost:4317")


def test_a_value_out_of_bounds_is_named_with_the_bounds(refuse):
    line = refuse("--set", "batch.spans_max=0")
    assert "batch.spans_max" in line and "1 to 65536" in line


def test_a_loop_that_is_none_is_named_with_the_choices(refuse):
    line = refuse("--set", "loop=spin")
    assert "spin" in line and "io_uring" in line and "epoll" in line


def test_a_directory_that_is_not_there_is_named(refuse, private):
    line = refuse(prefix=("--dir", private / "missing"))
    assert str(private / "missing") in line


def test_a_file_in_place_of_the_directory_is_named(refuse, private):
    (private / "file").touch()
    assert str(private / "file") in refuse(prefix=("--dir", private / "file"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user who may not")
def test_a_directory_that_cannot_be_read_is_named(refuse, directory, build):
    reachable = subprocess.run(
        ["test", "-x", build / "sidecar/otlpshmd"], user=NOBODY, group=NOBODY, extra_groups=[]
    )
    if reachable.returncode != 0:
        pytest.skip("the build lies where another user cannot run it")
    directory.chmod(0o700)
    line = refuse(user=NOBODY, group=NOBODY, extra_groups=[])
    assert str(directory) in line


def test_a_file_with_an_unknown_key_is_named_with_its_line(refuse, private):
    file = private / "config.yaml"
    file.write_text("export:\n  endpoint: http://localhost:4317\nbatch:\n  spams_max: 5\n")
    text = refuse("--config", file, excerpt=3)  # the line of the file, and a caret below it
    assert f"{file}:4:3: batch.spams_max" in text and 'did you mean "spans_max"' in text


def test_a_file_that_is_not_there_is_named(refuse, private):
    assert str(private / "none.yaml") in refuse("--config", private / "none.yaml")


def test_an_admin_port_that_is_taken_is_named(refuse):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        line = refuse("--set", f"admin.listen={address}")
    assert address in line and "choose another port" in line


def test_a_second_daemon_on_one_directory_is_refused_and_the_first_goes_on(
    refuse, directory, start_daemon, emit
):
    first = start_daemon(directory)
    line = refuse()
    assert str(directory) in line
    workload = emit(directory, spans=10, flush_ms=20000)
    assert workload.done()["flush"] == 0
    workload.ended()
    first.settled(10)
