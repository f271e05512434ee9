# SPDX-License-Identifier: Apache-2.0
"""A producer under another uid, in a host's directory and in a pod's."""

import os
import shutil
import stat

import decoder
import pytest

DAEMON, APPLICATION, STRANGER = 61001, 61002, 61003
NO_DAEMON, UNTRUSTED = -5, -6

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root, to run the daemon and the application as other users"
)


@pytest.fixture
def programs(build, tmp_path):
    """Copies that any user can run: a checkout may lie below a directory that is closed to them."""
    place = tmp_path / "programs"
    place.mkdir()
    for path in (build / "sidecar/otlpshmd", build / "tests/e2e/emit"):
        shutil.copy2(path, place)
    for path in build.glob("libotlpshm/libotlpshm.so*"):
        if path.is_file():
            shutil.copy2(path, place)
    directory = place
    while directory != directory.parent:  # pytest closes its directories to others
        if directory.stat().st_uid == os.geteuid() and directory.name.startswith(
            ("programs", "test_", "pytest-")
        ):
            directory.chmod(directory.stat().st_mode | 0o055)
        directory = directory.parent
    return place


@pytest.fixture
def pair(programs, start_daemon, emit, loop):
    """pair(directory): a daemon of one user that is ready, and a producer of another."""

    def start(directory, **options):
        daemon = start_daemon(
            directory, program=programs / "otlpshmd", user=DAEMON, group=DAEMON
        )
        workload = emit(
            directory, program=programs / "emit", user=APPLICATION, group=APPLICATION, wait=True,
            environment_more={"LD_LIBRARY_PATH": str(programs)}, threads=2, spans=500,
            **options,
        )
        return daemon, workload

    return start


def check_all_arrive(daemon, workload, journal, directory, mode):
    workload.go()
    done = workload.done()
    assert (done["status"], done["flush"]) == (0, 0)
    daemon.settled(1000)
    journal.read()
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0
    (segment,) = directory.glob("*.seg")
    found = segment.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (APPLICATION, mode)
    assert (directory / "state").stat().st_uid == DAEMON
    ((read, ack),) = decoder.segments(directory)
    assert decoder.balance(read, ack).holds() and ack.state == "live"
    workload.go()
    workload.ended()


def test_in_a_hosts_directory_of_mode_3733(directory, pair, journal, reaped):
    os.chown(directory, DAEMON, DAEMON)
    directory.chmod(0o3733)
    daemon, workload = pair(directory, flush_ms=30000)
    check_all_arrive(daemon, workload, journal, directory, 0o640)
    reaped()


@pytest.mark.parametrize("mode", [0o2777, 0o0777])
def test_in_a_pods_directory(directory, pair, journal, reaped, mode):
    """Root owns it, and its containers need not share a group."""
    directory.chmod(mode)
    daemon, workload = pair(directory, flush_ms=30000)
    check_all_arrive(daemon, workload, journal, directory, 0o644)
    reaped()


def test_a_killed_producer_of_another_user_is_drained_and_removed(
    directory, pair, journal, reaped
):
    os.chown(directory, DAEMON, DAEMON)
    directory.chmod(0o3733)
    _, workload = pair(directory)
    workload.go()
    workload.done()
    workload.kill()
    reaped()
    journal.read()
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0


def test_a_strangers_state_is_not_believed(directory, emit, programs, start_daemon, journal):
    """Who may create files in a host's directory cannot play the daemon there."""
    os.chown(directory, DAEMON, DAEMON)
    directory.chmod(0o3733)
    daemon = start_daemon(directory, program=programs / "otlpshmd", user=DAEMON, group=DAEMON)
    daemon.stop()
    os.chown(directory / "state", STRANGER, STRANGER)
    workload = emit(
        directory, program=programs / "emit", user=APPLICATION, group=APPLICATION, wait=True,
        environment_more={"LD_LIBRARY_PATH": str(programs)}, spans=10, flush_ms=100,
    )
    assert workload.go().done()["status"] in (NO_DAEMON, UNTRUSTED)
    workload.go()
    workload.ended()
    daemon.start()
    assert (directory / "state").stat().st_uid == DAEMON, "the daemon replaces a foreign state"
    daemon.settled(10)
    assert journal.read().distinct == 10, "what waited is exported"


def test_names_that_a_stranger_took_do_not_keep_the_daemon_out(directory, pair, journal):
    os.chown(directory, DAEMON, DAEMON)
    directory.chmod(0o3733)
    (directory / ".otlpshmd.lock").symlink_to("/nowhere")
    (directory / "state").mkdir()
    (directory / "state" / "file").touch()
    os.mkfifo(directory / ".state.tmp")
    for name in (".otlpshmd.lock", "state", ".state.tmp"):
        os.chown(directory / name, STRANGER, STRANGER, follow_symlinks=False)
    daemon, workload = pair(directory, flush_ms=30000)
    check_all_arrive(daemon, workload, journal, directory, 0o640)
    said = daemon.log.read_text()
    for name in (".otlpshmd.lock", "state", ".state.tmp"):
        assert f"had taken a name that the daemon needs: {name}" in said
    (kept,) = directory.glob(".state.*.tmp/file")
    assert kept.stat().st_uid == 0
