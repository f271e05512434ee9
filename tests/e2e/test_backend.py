# SPDX-License-Identifier: Apache-2.0
"""The backend's answers: gone, slow, retryable, final, partial."""

import time

import pytest
from waiting import until

RETRYABLE = "CANCELLED DEADLINE_EXCEEDED ABORTED OUT_OF_RANGE UNAVAILABLE DATA_LOSS".split()
FINAL = (
    "UNKNOWN INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED UNAUTHENTICATED"
    " FAILED_PRECONDITION UNIMPLEMENTED INTERNAL RESOURCE_EXHAUSTED"
).split()
QUICK = {"export.retry.initial_ms": 20, "export.retry.max_ms": 200}


def flushed(workload, flush=0):
    done = workload.done()
    assert done["flush"] == flush
    workload.ended()
    return done


def refused_spans(journal):
    return sum(request.spans for request in journal.requests if request.code != 0)


def test_a_backend_that_is_down_at_start_gets_every_span_when_it_comes(
    directory, start_daemon, emit, receiver, journal
):
    receiver.go_away()
    daemon = start_daemon(directory, QUICK)
    workload = emit(directory, threads=4, spans=500, flush_ms=60000, wait=True)
    workload.go()
    until(lambda: workload.progress() == 2000, "the application does not wait", 20)
    time.sleep(0.5)
    law = daemon.metrics().law()
    assert (law.exported, law.dropped) == (0, {}), "a backend that is away loses nothing"
    receiver.come_back()
    assert workload.done()["flush"] == 0
    journal.read()
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0
    metrics = daemon.settled(2000)
    assert metrics.refused() > 0, "the failures are counted"
    assert metrics.resent() == 0, "what found no backend was not sent"
    workload.go()
    workload.ended()


def test_a_backend_that_goes_away_mid_stream_loses_nothing(
    directory, start_daemon, emit, receiver, journal
):
    daemon = start_daemon(directory, QUICK)
    workload = emit(directory, threads=4, spans=1000, rate=1000, flush_ms=60000, retry=True)
    for _ in range(2):
        until(lambda: workload.progress() > 200, "some spans", 20)
        receiver.go_away()
        time.sleep(0.3)
        receiver.come_back()
    flushed(workload)
    journal.read()
    assert set(journal.ids) == set(workload.ids())
    law = daemon.settled(4000 + workload.drops()).law()
    assert law.exported == 4000
    # What was under way when it went may have been kept and not acknowledged.
    assert journal.repeats <= daemon.metrics().resent()


@pytest.mark.parametrize("code", RETRYABLE)
def test_a_retryable_code_is_retried_until_it_is_acknowledged(
    directory, start_daemon, emit, receiver, journal, code
):
    daemon = start_daemon(directory, QUICK)
    receiver.plan({"code": code}, {"code": code})
    workload = emit(directory, spans=100, flush_ms=30000)
    assert flushed(workload)["exported"] == 100
    until(lambda: receiver.planned() == 0, "the planned refusals", 5)
    metrics = daemon.settled(100)
    journal.read()
    assert [request.code for request in journal.requests].count(0) < len(journal.requests)
    assert set(journal.ids) == set(workload.ids()) and journal.repeats == 0
    assert metrics.resent() == refused_spans(journal) > 0, "each span of a resend is counted"
    assert metrics.law().dropped == {}


def test_resource_exhausted_is_retried_where_the_backend_says_when(
    directory, start_daemon, emit, receiver, journal
):
    daemon = start_daemon(directory, QUICK)
    receiver.plan({"code": "RESOURCE_EXHAUSTED", "retry_delay_s": 0.4})
    workload = emit(directory, spans=10, flush_ms=30000)
    assert flushed(workload)["exported"] == 10
    metrics = daemon.settled(10)
    journal.read()
    first = next(request for request in journal.requests if request.code == 8)
    sent_again = [
        request
        for request in journal.requests
        if request.code == 0 and request.bytes == first.bytes and request.spans == first.spans
    ]
    assert sent_again and metrics.resent() == first.spans
    assert sent_again[-1].unix_nano - first.unix_nano >= 0.39e9, "earlier than the backend wished"


@pytest.mark.parametrize("code", FINAL)
def test_a_final_code_is_not_retried_and_settles_as_export_rejected(
    directory, start_daemon, emit, receiver, journal, code
):
    daemon = start_daemon(directory, QUICK)
    receiver.plan({"code": code})
    workload = emit(directory, spans=100, flush_ms=30000)
    done = flushed(workload)
    assert done["settled"] == 100, "what is rejected has settled"
    metrics = daemon.settled(100)
    journal.read()
    refused = refused_spans(journal)
    assert refused > 0 and not set(journal.refused) & set(journal.ids), "it was sent again"
    law = metrics.law()
    assert law.dropped == {"export_rejected": refused} and law.exported == 100 - refused
    assert metrics.resent() == 0
    assert done["exported"] == law.exported


def test_a_partial_success_is_not_retried_and_its_rejected_spans_are_counted(
    directory, start_daemon, emit, receiver, journal
):
    daemon = start_daemon(directory, {"batch.age_ms_max": 500})
    receiver.plan({"partial": 3, "message": "three were too blue"})
    workload = emit(directory, spans=100, wait=True)
    workload.go()
    workload.done()
    metrics = daemon.settled(100)
    law = metrics.law()
    assert law.dropped == {"export_partial": 3} and law.exported == 97
    journal.read()
    assert journal.distinct == 97 and metrics.resent() == 0
    assert sum(request.spans for request in journal.requests) == 100
    assert "three were too blue" in daemon.text(), "the backend's words are logged"
    workload.go()
    workload.ended()


def test_a_warning_with_nothing_rejected_is_a_success(
    directory, start_daemon, emit, receiver, journal
):
    daemon = start_daemon(directory)
    receiver.plan({"message": "mind the step"})
    workload = emit(directory, spans=10, flush_ms=30000)
    assert flushed(workload)["exported"] == 10
    assert daemon.settled(10).law().dropped == {}
    assert journal.read().distinct == 10


def test_a_backend_that_hangs_times_out_and_is_tried_again(
    directory, start_daemon, emit, receiver, journal
):
    daemon = start_daemon(directory, QUICK | {"export.timeout_ms": 300})
    receiver.plan({"hang_s": 20})
    workload = emit(directory, spans=10, flush_ms=30000)
    assert flushed(workload)["exported"] == 10
    assert daemon.settled(10).resent() > 0
    assert journal.read().repeats == 0


def test_a_daemon_told_to_stop_while_the_backend_hangs_stops_and_loses_nothing(
    directory, start_daemon, emit, receiver, journal
):
    daemon = start_daemon(directory, {"shutdown.timeout_ms": 300})
    receiver.plan(*[{"hang_s": 30}] * 8)
    workload = emit(directory, threads=2, spans=500, wait=True, flush_ms=0)
    workload.go()
    workload.done()
    until(lambda: receiver.planned() < 8, "a request that hangs", 20)
    started = time.monotonic()
    daemon.stop()
    print(f"stopped after {time.monotonic() - started:.2f} s")
    receiver.plan()
    daemon.start()
    until(lambda: journal.read().distinct == 1000, lambda: f"{journal.distinct} of 1000", 30)
    assert set(journal.ids) == set(workload.ids())
    daemon.settled(1000)
    workload.go()
    workload.ended()
