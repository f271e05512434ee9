# SPDX-License-Identifier: Apache-2.0
"""Field by field: what arrives is what was written."""

from journal import Journal
from spans import attributes_of, expected, observed
from waiting import until


def test_every_field_arrives_as_it_was_written(directory, private, start_daemon, emit, receiver):
    daemon = start_daemon(directory)
    workload = emit(directory, process=3, threads=2, spans=500, flush_ms=30000)
    done = workload.done()
    assert (done["flush"], done["status"], done["ended"], done["exported"]) == (0, 0, 1000, 1000)
    journal = Journal(private / "journal", whole=True).read()
    assert journal.distinct == 1000 and journal.repeats == 0
    assert set(journal.ids) == set(workload.ids())
    trace_ids_of_roots = set()
    for resource_spans, scope_spans, span in journal.arrived:
        where = attributes_of(span)
        process, thread, index = (where[key][1] for key in ("process", "thread", "index"))
        want, found = expected(process, thread, index), observed(span)
        assert found == want
        assert (span.trace_id, span.span_id) == workload.id_at(thread, index)
        assert span.flags & 0x01, "sampled"
        assert (
            span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count
        ) == (0, 0, 0)
        if not span.parent_span_id:
            trace_ids_of_roots.add(span.trace_id)
        resource = attributes_of(resource_spans.resource)
        assert resource["service.name"] == ("string_value", "emit-3")
        assert resource["emit.process"] == ("int_value", 3)
        assert resource["telemetry.sdk.language"][0] == "string_value"
        assert resource_spans.schema_url == "https://emit.example/resource/1"
        assert (scope_spans.scope.name, scope_spans.scope.version) == ("emit.scope", "7")
        assert attributes_of(scope_spans.scope) == {"odd": ("bool_value", thread % 2 == 1)}
        assert scope_spans.schema_url == "https://emit.example/scope/2"
        dropped = [
            part.dropped_attributes_count
            for part in (resource_spans.resource, scope_spans.scope, *span.events, *span.links)
        ]
        assert not any(dropped)
    roots = sum(1 for _, _, span in journal.arrived if not span.parent_span_id)
    assert len(trace_ids_of_roots) == roots, "each root has a trace of its own"
    assert len({span.span_id for _, _, span in journal.arrived}) == 1000
    workload.ended()
    daemon.settled(1000)


def test_spans_of_one_resource_and_scope_share_a_container(
    directory, start_daemon, emit, receiver, private
):
    daemon = start_daemon(directory, {"batch.age_ms_max": 200})
    workloads = [emit(directory, process=number, spans=200, wait=True) for number in (1, 2)]
    for workload in workloads:
        workload.go()
        workload.done()
    daemon.settled(400)
    journal = Journal(private / "journal", whole=True)
    until(lambda: journal.read().distinct == 400, lambda: f"{journal.distinct} of 400 arrived")
    containers = {id(arrived.resource) for arrived in journal.arrived}
    assert len(containers) <= 2 * len(journal.requests), "a container per resource and request"
    for resource_spans, _, span in journal.arrived:
        process = attributes_of(span)["process"][1]
        assert attributes_of(resource_spans.resource)["emit.process"] == ("int_value", process)
    for workload in workloads:
        workload.go()
        workload.ended()


def test_a_span_far_over_its_inline_bytes_arrives_whole(
    directory, start_daemon, emit, receiver, private
):
    start_daemon(directory)
    workload = emit(directory, spans=20, padding=60000, flush_ms=30000)
    assert workload.done()["flush"] == 0
    journal = Journal(private / "journal", whole=True).read()
    assert journal.distinct == 20
    for _, _, span in journal.arrived:
        index = attributes_of(span)["index"][1]
        assert observed(span) == expected(0, 0, index, padding=60000)
    workload.ended()
