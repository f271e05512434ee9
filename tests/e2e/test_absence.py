# SPDX-License-Identifier: Apache-2.0
"""One side without the other: no directory, no daemon, a daemon that comes later."""

import json
import os

import decoder
from waiting import until

OK, NO_DIRECTORY, NO_DAEMON, TIMEOUT = 0, -4, -5, -10
LIVE, REAPED = 1, 3


def test_without_a_directory_spans_are_no_ops_and_nothing_is_made(private, emit):
    missing = private / "nothing-here"
    workload = emit(missing, threads=2, spans=1000, flush_ms=200, shutdown_ms=200)
    done = workload.done()
    assert workload.progress() == 2000, "a no-op's end returns OK"
    assert done["status"] == NO_DIRECTORY and done["flush"] in (OK, NO_DAEMON)
    assert done["committed"] == 0 and done["ended"] == sum(done["dropped"].values())
    workload.shutdown_status()
    workload.ended()
    assert not missing.exists()


def test_without_a_daemon_spans_wait_and_then_drop_as_lane_full(directory, emit):
    workload = emit(directory, threads=2, spans=4000, padding=4000, flush_ms=100, wait=True)
    done = workload.go().done()
    assert (done["status"], done["flush"]) == (NO_DAEMON, NO_DAEMON)
    assert set(done["dropped"]) == {"lane_full"}
    assert done["dropped"]["lane_full"] == workload.drops() > 0
    assert done["committed"] == workload.progress() > 0
    ((segment, ack),) = decoder.segments(directory)
    assert ack is None and segment.dropped["lane_full"] == workload.drops()
    law = decoder.balance(segment)
    assert law.ended == 8000 and law.holds() and law.in_flight == workload.progress()
    workload.go()
    workload.ended()


def test_a_daemon_that_comes_later_gets_all_that_waits_and_counts_what_dropped(
    directory, start_daemon, emit, journal
):
    workload = emit(directory, threads=2, spans=4000, padding=4000, wait=True)
    workload.go()
    done = workload.done()
    assert done["dropped"]["lane_full"] > 0
    daemon = start_daemon(directory)
    law = daemon.settled(8000).law()
    assert law.exported == workload.progress()
    assert law.dropped == {"lane_full": workload.drops()}
    until(lambda: journal.read().distinct >= law.exported, "the spans that waited", 10)
    assert journal.distinct == law.exported and journal.repeats == 0
    ((segment, ack),) = decoder.segments(directory)
    assert ack.dropped_echo == segment.dropped
    workload.go()
    workload.ended()
    until(lambda: not list(directory.glob("*.seg")), "a clean exit removes the segment", 20)
    assert daemon.metrics().law() == law


def test_a_producer_that_died_before_the_daemon_came_is_drained_and_removed(
    directory, start_daemon, emit, journal, reaped
):
    workload = emit(directory, threads=4, spans=500, wait=True)
    workload.go()
    workload.done()
    workload.kill()
    daemon = start_daemon(directory)
    reaped()
    journal.read()
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0
    assert daemon.metrics().law().exported == 2000 and daemon.metrics().holds()


def ack_state(descriptor):
    return int.from_bytes(os.pread(descriptor, 4, 128), "little")


def test_a_reaped_segments_ack_says_so_before_it_goes(
    directory, start_daemon, emit, receiver, reaped
):
    daemon = start_daemon(directory)
    workload = emit(directory, spans=10, wait=True)
    workload.go()
    workload.done()
    daemon.settled(10)
    (path,) = directory.glob("*.ack")
    descriptor = os.open(path, os.O_RDONLY)  # as a producer's mapping does, it outlives the name
    try:
        assert ack_state(descriptor) == LIVE
        workload.kill()
        reaped()
        assert ack_state(descriptor) == REAPED
    finally:
        os.close(descriptor)


def test_a_producer_whose_segment_lost_its_name_is_told_and_attaches_anew(
    directory, start_daemon, emit, journal
):
    start_daemon(directory)
    workload = emit(directory, spans=4, step=True)
    workload.go().go()
    until(lambda: journal.read().distinct == 2, "two spans", 10)
    (segment,) = directory.glob("*.seg")
    (path,) = directory.glob("*.ack")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        segment.unlink()
        until(lambda: ack_state(descriptor) == REAPED, "the daemon sees it", 10)
    finally:
        os.close(descriptor)
    workload.go()
    until(lambda: journal.read().distinct == 3, "a span by way of a new segment", 10)
    (anew,) = directory.glob("*.seg")
    assert anew != segment
    workload.go()
    workload.done()
    until(lambda: journal.read().distinct == 4, "the last span", 10)
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0
    workload.ended()


def test_drops_around_the_loss_of_a_name_are_counted_once(
    directory, start_daemon, emit, receiver, journal
):
    """They go on from the last echo, through the daemon's last word, into the next segment."""
    daemon = start_daemon(directory)
    receiver.go_away()
    workload = emit(directory, spans=24_000, padding=4000, rate=4000)
    until(lambda: workload.drops() > 100, "the lanes are full", 20)
    (segment,) = directory.glob("*.seg")
    segment.unlink()
    until(lambda: set(directory.glob("*.seg")) - {segment}, "a new segment", 20)
    receiver.come_back()
    workload.done()
    kept, dropped = workload.progress(), workload.drops()
    assert kept + dropped == 24_000
    law = daemon.settled(24_000, 60).law()
    assert (law.exported, sum(law.dropped.values())) == (kept, dropped)
    until(lambda: journal.read().distinct == kept, lambda: f"{journal.distinct} arrived", 10)
    workload.ended()


def test_a_directory_that_appears_later_is_found(private, start_daemon, emit, journal):
    late = private / "late"
    workload = emit(late, spans=100_000, rate=200)
    until(workload.progress, "the first no-op", 10)
    late.mkdir()
    start_daemon(late)
    until(lambda: journal.read().distinct > 10, "spans after the directory appeared", 20)
    workload.kill()


def test_force_flush_and_shutdown_say_what_became_of_the_spans(
    directory, start_daemon, emit, receiver, journal, reaped
):
    daemon = start_daemon(directory)
    workload = emit(directory, spans=100, flush_ms=30000, shutdown_ms=30000)
    done = workload.done()
    assert (done["flush"], done["settled"], done["exported"]) == (OK, 100, 100)
    assert journal.read().distinct == 100, "flush returned before the backend had the spans"
    assert workload.shutdown_status() == OK
    workload.ended()
    assert not list(directory.glob("*.seg")), "a clean exit unlinks the segment itself"

    receiver.plan({"hang_s": 3})
    late = emit(directory, spans=100, flush_ms=300, shutdown_ms=300)
    done = late.done()
    assert (done["flush"], done["settled"]) == (TIMEOUT, 0)
    assert late.shutdown_status() == TIMEOUT
    late.ended()
    until(lambda: journal.read().distinct == 200, "what was left is exported", 30)
    reaped()
    daemon.settled(200)


def test_the_environment_sets_the_directory_the_resource_and_the_off_switch(
    directory, start_daemon, emit, build, journal, private
):
    start_daemon(directory)
    off = emit(directory, spans=10, environment_more={"OTEL_SDK_DISABLED": "true"}, flush_ms=100)
    assert off.done()["committed"] == 0
    off.ended()
    assert not list(directory.glob("*.seg")) and not os.listdir(private / "shared") == []
    attributes = "deployment.environment=staging,emit.process=9"
    on = emit(
        directory, spans=10, flush_ms=20000,
        environment_more={"OTEL_RESOURCE_ATTRIBUTES": attributes},
    )
    assert on.done()["flush"] == OK
    journal.whole = True
    journal.read()
    assert journal.distinct == 10
    text = json.dumps([str(arrived.resource) for arrived in journal.arrived])
    assert "staging" in text
    (process,) = {
        attribute.value.int_value
        for arrived in journal.arrived
        for attribute in arrived.resource.resource.attributes
        if attribute.key == "emit.process"
    }
    assert process == 0, "what the program says beats the environment"
    on.ended()
