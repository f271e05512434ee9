# SPDX-License-Identifier: Apache-2.0
"""kill -9 of applications and of the daemon at random moments: nothing that was committed is lost.

Owns   a seed, printed; set OTLPSHM_E2E_SEED to run the same moments again.
Bounds from below: the ends that returned. From above: one more a thread, and what was in flight.
"""

import os
import random
import secrets
import time

import decoder
import pytest
from waiting import until

THREADS = 4
KILLS = 25


@pytest.fixture
def moments():
    seed = os.environ.get("OTLPSHM_E2E_SEED", secrets.token_hex(4))
    print(f"OTLPSHM_E2E_SEED={seed}", flush=True)
    return random.Random(seed)


def check_arrived(journal, workload):
    """Every end that returned arrived, and at most one more of each thread."""
    process = workload.process_number
    for thread in range(workload.threads):
        returned = workload.returned(thread)
        indexes = {key[2] for key in journal.kept if key[:2] == (process, thread)}
        missing = set(range(returned)) - indexes
        assert not missing, (
            f"process {process} thread {thread}: {len(missing)} of {returned} returned spans never"
            f" arrived, the first {min(missing)}"
        )
        assert indexes <= set(range(returned + 1)), "more than one span beyond the count"
        for index in indexes:
            assert journal.id_of[process, thread, index] == workload.id_at(thread, index)


def in_flight(directory):
    """Records that are committed and not settled, of living segments: an upper bound."""
    for _ in range(20):
        try:
            total = 0
            for segment, ack in decoder.segments(directory):
                settled = [slot.sequence for slot in ack.slots] if ack else [0] * len(segment.lanes)
                for lane, sequence in zip(segment.lanes, settled):
                    total += lane.sequence + 1 - sequence  # sequence may lag behind tail by one
            return total
        except (decoder.FormatError, FileNotFoundError):
            continue  # it moved while it was read
    raise AssertionError("the segments cannot be read")


def test_an_application_that_is_killed_loses_nothing_that_it_committed(
    directory, start_daemon, emit, journal, moments, reaped
):
    daemon = start_daemon(directory)
    workloads = []
    for number in range(KILLS):
        # Some are killed while lanes are full, some while the daemon has caught up.
        rate = moments.choice((0, 500, 5000))
        workload = emit(
            directory, process=number, threads=THREADS, spans=100_000, rate=rate, retry=True
        )
        until(workload.progress, "the first span", 20)
        time.sleep(moments.expovariate(1 / 0.03))
        workload.kill()
        workloads.append(workload)
    reaped()
    law = daemon.metrics().law()
    assert law.in_flight == 0 and daemon.metrics().holds(), law
    journal.read()
    assert journal.repeats == 0, "an application's death repeats nothing"
    for workload in workloads:
        check_arrived(journal, workload)
    counted = sum(workload.progress() for workload in workloads)
    print(f"{KILLS} kills, {counted} ends returned, {journal.distinct} spans arrived")
    assert counted <= journal.distinct <= counted + KILLS * THREADS
    assert law.exported == journal.distinct


def test_a_daemon_that_is_killed_loses_nothing_and_repeats_only_what_was_in_flight(
    directory, start_daemon, emit, journal, moments, size
):
    daemon = start_daemon(directory)
    # Enough for all kills: these are ended by a kill too.
    workloads = [
        emit(directory, process=number, threads=THREADS, spans=300_000, rate=rate, retry=True)
        for number, rate in enumerate((300, 3000))
    ]
    repeats_max = 0
    for number in range(KILLS):
        time.sleep(moments.uniform(0, 0.12))
        daemon.kill()
        repeats_max += in_flight(directory)
        if number % 5 == 4:  # a longer absence
            time.sleep(moments.uniform(0.05, 0.3))
        daemon.start()
    for workload in workloads:
        workload.kill()

    def all_gone():
        return not list(directory.glob("*.seg"))

    until(all_gone, lambda: f"{len(list(directory.glob('*.seg')))} segments are reaped", 60)
    journal.read()
    for workload in workloads:
        check_arrived(journal, workload)
    counted = sum(workload.progress() for workload in workloads)
    print(
        f"{KILLS} kills, {counted} ends returned, {journal.distinct} spans arrived,"
        f" {journal.repeats} repeats of at most {repeats_max}"
    )
    assert counted <= journal.distinct <= counted + len(workloads) * THREADS
    assert journal.repeats <= repeats_max
    assert daemon.metrics().holds()


def test_both_killed_at_once_lose_nothing_that_was_committed(
    directory, start_daemon, emit, journal, moments
):
    daemon = start_daemon(directory)
    workloads = []
    for number in range(5):
        workload = emit(
            directory, process=number, threads=THREADS, spans=100_000, rate=2000, retry=True
        )
        until(workload.progress, "the first span", 20)
        time.sleep(moments.expovariate(1 / 0.05))
        first, second = moments.sample((daemon, workload), 2)
        first.kill()
        second.kill()
        workloads.append(workload)
        daemon.start()
    until(lambda: not list(directory.glob("*.seg")), "the segments are drained and reaped", 60)
    journal.read()
    for workload in workloads:
        check_arrived(journal, workload)


def test_a_stopped_daemon_leaves_the_rest_to_the_next_and_nothing_is_lost_or_repeated(
    directory, start_daemon, emit, journal, moments
):
    daemon = start_daemon(directory)
    workload = emit(
        directory, threads=THREADS, spans=2000, rate=1000, retry=True, flush_ms=60000, wait=True
    )
    workload.go()
    for _ in range(3):
        time.sleep(moments.uniform(0.1, 0.3))
        daemon.stop()
        daemon.start()
    assert workload.done()["flush"] == 0
    journal.read()
    assert set(journal.ids) == set(workload.ids())
    assert journal.repeats == 0, "the backend answered: a clean stop knows what has settled"
    workload.go()
    workload.ended()
    assert daemon.metrics().holds()
