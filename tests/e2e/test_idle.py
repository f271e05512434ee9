# SPDX-License-Identifier: Apache-2.0
"""A daemon without work sleeps, and the doorbell wakes it."""

import statistics
import time

import decoder
from waiting import until


def sleeps(directory):
    return decoder.state(directory / "state").sleep_epoch % 2 == 1


def test_an_idle_daemon_sleeps_and_says_which_loop_it_runs(directory, start_daemon, loop):
    daemon = start_daemon(directory)
    until(lambda: sleeps(directory), "the daemon goes to sleep", 10)
    assert daemon.metrics().loop() == {loop}
    until(lambda: daemon.cpu_idle(3) <= 30, "a few wake-ups in 3 s", 30)
    assert "ok" in daemon.get("/livez").lower()
    assert daemon.get("/readyz") is not None


def test_a_span_after_3_s_of_silence_arrives_before_the_daemon_would_wake_by_itself(
    directory, start_daemon, emit, journal
):
    """Each span is written just after a heartbeat, into a sleep of a second if nobody rings."""
    start_daemon(directory, {"batch.age_ms_max": 10})
    spans = 7
    workload = emit(directory, spans=spans, step=True)
    time.sleep(3)
    waits = []
    for count in range(1, spans + 1):
        until(lambda: sleeps(directory), "the daemon falls asleep", 10)
        time.sleep(0.1)  # past the fence, behind which it looks at every lane once more
        beat = decoder.state(directory / "state").heartbeat
        until(lambda: decoder.state(directory / "state").heartbeat > beat, "a heartbeat", 10)
        time.sleep(0.05)
        assert sleeps(directory)
        started = time.monotonic()
        workload.go()
        until(lambda: journal.read().distinct == count, f"span {count}", 10)
        waits.append(time.monotonic() - started)
    workload.ended()
    print("from the line to the backend:", " ".join(f"{wait * 1000:.0f} ms" for wait in waits))
    # Without a ring each would wait for the next heartbeat, 0.95 s away.
    assert statistics.median(waits) < 0.5, "the doorbell did not ring"
