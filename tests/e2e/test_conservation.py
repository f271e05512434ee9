# SPDX-License-Identifier: Apache-2.0
"""ended = exported + Σ dropped + in flight, by /metrics and by the files; each id exactly once."""

import decoder
from journal import Journal
from spans import attributes_of, expected, observed
from waiting import until

PROCESSES, THREADS = 4, 4


def law_of_files(directory):
    """The law's terms from segments and acks, counted record by record; nothing may move now."""
    total = decoder.Balance()
    for segment, ack in decoder.segments(directory):
        assert ack is not None, f"{segment.path} has no ack"
        one = decoder.balance(segment, ack)
        assert one.holds(), one
        assert ack.state == "live" and decoder.is_locked(segment.path)
        total.add(one)
    return total


def test_each_of_100_000_spans_arrives_exactly_once(
    directory, start_daemon, emit, journal, size, reaped
):
    daemon = start_daemon(directory)
    spans = size(6400)
    workloads = [
        emit(directory, process=number, threads=THREADS, spans=spans, retry=True, wait=True)
        for number in range(PROCESSES)
    ]
    for workload in workloads:
        workload.go()
    statistics = [workload.done() for workload in workloads]
    written = PROCESSES * THREADS * spans
    dropped = sum(workload.drops() for workload in workloads)
    law = daemon.settled(written + dropped).law()
    assert law.exported == written
    assert sum(law.dropped.values()) == dropped

    until(lambda: journal.read().distinct >= written, lambda: f"{journal.distinct} arrived", 10)
    ids = {one for workload in workloads for one in workload.ids()}
    assert len(ids) == written
    assert set(journal.ids) == ids, "an id that was not written, or one that did not arrive"
    assert journal.repeats == 0 and set(journal.kept.values()) == {1}

    files = law_of_files(directory)
    assert len(list(directory.glob("*.seg"))) == PROCESSES
    assert (files.ended, files.exported, files.in_flight) == (written + dropped, written, 0)
    assert files.dropped == law.dropped
    for found in statistics:
        assert found["ended"] == found["committed"] + sum(found["dropped"].values())
        assert found["committed"] == THREADS * spans

    for workload in workloads:
        workload.go()
        workload.ended()
    reaped()
    again = daemon.metrics()
    assert again.holds() and again.law() == law, "the counts outlive the producers"


def test_lanes_that_go_round_hundreds_of_times_lose_and_garble_nothing(
    directory, start_daemon, emit, private, receiver, size
):
    daemon = start_daemon(directory)
    spans = max(size(5000), 2000)
    workload = emit(
        directory, threads=THREADS, spans=spans, budget=65536, retry=True, flush_ms=60000, wait=True
    )
    assert workload.go().done()["flush"] == 0
    ((segment, _),) = decoder.segments(directory)
    assert sum(lane.tail // lane.area_bytes for lane in segment.lanes) > 20
    journal = Journal(private / "journal", whole=True).read()
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0
    for _, _, span in journal.arrived:
        where = attributes_of(span)
        assert observed(span) == expected(0, where["thread"][1], where["index"][1])
    law = daemon.settled(THREADS * spans + workload.drops()).law()
    assert law.exported == THREADS * spans
    workload.go()
    workload.ended()


def test_under_overload_every_span_is_exported_or_counted(
    directory, start_daemon, emit, journal, receiver, size
):
    """The backend hangs while more is written than the lanes hold."""
    daemon = start_daemon(directory, {"export.timeout_ms": 2000, "memory.slab_bytes_max": "8MiB"})
    receiver.plan(*[{"hang_s": 1.5}] * 4)
    spans = max(size(2500), 1200)
    workloads = [
        emit(directory, process=number, threads=THREADS, spans=spans, padding=4000, wait=True)
        for number in range(2)
    ]
    for workload in workloads:
        workload.go()
    statistics = [workload.done() for workload in workloads]
    ended = 2 * THREADS * spans
    kept = sum(workload.progress() for workload in workloads)
    dropped = sum(workload.drops() for workload in workloads)
    assert kept + dropped == ended and dropped > 0, "the overload was none"
    for found in statistics:
        assert found["ended"] == THREADS * spans
        assert set(found["dropped"]) <= {"lane_full", "lanes_busy"}

    law = daemon.settled(ended, 60).law()
    assert law.exported == kept and sum(law.dropped.values()) == dropped
    until(lambda: journal.read().distinct >= kept, lambda: f"{journal.distinct} arrived", 10)
    assert journal.distinct == kept and journal.repeats == 0
    ids = {one for workload in workloads for one in workload.ids()}
    assert set(journal.ids) <= ids
    files = law_of_files(directory)
    assert (files.ended, files.exported, files.in_flight) == (ended, kept, 0)
    assert files.dropped == law.dropped
    for segment, ack in decoder.segments(directory):
        assert ack.dropped_echo == segment.dropped, "drops that were counted are echoed"
    for workload in workloads:
        workload.go()
        workload.ended()


def test_what_the_daemon_writes_is_as_the_page_says(directory, start_daemon, emit, receiver):
    daemon = start_daemon(directory)
    workload = emit(directory, threads=2, spans=300, wait=True)
    workload.go()
    workload.done()
    daemon.settled(600)
    state = decoder.state(directory / "state")
    assert state.lives == 1 and state.doorbell == 0
    ((segment, ack),) = decoder.segments(directory)
    assert ack.header.id == segment.header.id and len(ack.slots) == len(segment.lanes)
    assert (ack.state, ack.adoptions) == ("live", 1)
    for lane, slot in zip(segment.lanes, ack.slots):
        assert (slot.release, slot.sequence) == (lane.tail, lane.sequence)
        assert slot.attempts == 0 and not any(slot.dropped.values())
    before = decoder.state(directory / "state").heartbeat
    until(lambda: decoder.state(directory / "state").heartbeat > before, "the heart beats", 5)

    daemon.stop()
    daemon.start()
    again = decoder.state(directory / "state")
    assert (again.header.id, again.lives) == (state.header.id, 2), "the file goes on"
    assert again.heartbeat >= before

    def adopted():
        return decoder.ack(ack.path).adoptions == 2

    until(adopted, "the next daemon takes the segment over", 5)
    workload.go()
    workload.ended()
