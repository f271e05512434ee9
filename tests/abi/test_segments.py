# SPDX-License-Identifier: Apache-2.0
"""What libotlpshm writes, read by the decoder and by the published opentelemetry-proto package.

Owns   a private directory on tmpfs per test; write_spans.c says the same content in C.
Never  starts otlpshmd: where something must release, page_daemon.py does.
"""

import os
import queue
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import decoder
import pytest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from page_daemon import PageDaemon

PROGRAM = Path(os.environ.get("OTLPSHM_BUILD_DIR", "build")) / "tests/abi/write_spans"
START = 1_700_000_000_000_000_000
MILLISECOND = 1_000_000
TIMEOUT_S = 60
OK, DROPPED = 0, -12


@pytest.fixture
def directory():
    path = Path(tempfile.mkdtemp(prefix="abi-", dir=os.environ.get("OTLPSHM_TEST_SHM", "/dev/shm")))
    yield path
    shutil.rmtree(path)


def environment():
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    clean.pop("OTLPSHM_DIR", None)
    return clean


def written(text):
    """[(trace id, span id, trace flags, result)] of write_spans' lines."""
    found = []
    for line in text.splitlines():
        traceparent, result = line.split()
        version, trace_id, span_id, flags = traceparent.split("-")
        assert version == "00"
        found.append((bytes.fromhex(trace_id), bytes.fromhex(span_id), int(flags, 16), int(result)))
    return found


def run(directory, case):
    done = subprocess.run(
        [PROGRAM, directory, case], env=environment(), capture_output=True, text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_spans(directory, case):
    text = run(directory, case)
    (path,) = directory.iterdir()
    return decoder.segment(path), written(text)


def value_of(any_value):
    kind = any_value.WhichOneof("value")
    return kind, getattr(any_value, kind)


def attributes_of(message):
    found = {attribute.key: value_of(attribute.value) for attribute in message.attributes}
    assert len(found) == len(message.attributes), "a key occurs twice"
    return found


def parsed(record):
    """(resource, scope, span) by the published package; no field may be unknown to it."""
    resource_spans = trace_pb2.ResourceSpans.FromString(record.resource)
    scope_spans = trace_pb2.ScopeSpans.FromString(record.scope)
    span = trace_pb2.Span.FromString(record.span)
    for message, raw in ((resource_spans, record.resource), (scope_spans, record.scope)):
        assert message.ByteSize() == len(raw)
    assert span.ByteSize() == len(record.span), "a field occurs twice or is not known"
    return resource_spans, scope_spans, span


def test_every_field_of_every_kind_of_span_is_read_back(directory):
    before = time.time_ns()
    segment, lines = write_spans(directory, "kinds")
    after = time.time_ns()
    assert (segment.lanes_open, segment.library.split()[0]) == (1, "libotlpshm")
    assert not decoder.is_locked(segment.path), "the producer is dead, its lock must be free"
    assert before <= segment.header.created_unix_nano <= after
    assert not any(segment.dropped.values())
    records = segment.records(0)
    assert len(records) == len(lines) == 6
    for record, (trace_id, span_id, flags, result) in zip(records, lines):
        assert (record.trace_id, record.span_id, result) == (trace_id, span_id, OK)
        assert record.span_flags & 0xFF == flags
        assert (record.record_kind, record.scope_index) == (1, 0)

    resource_spans, scope_spans, _ = parsed(records[0])
    resource = attributes_of(resource_spans.resource)
    expected = {
        "service.name": ("string_value", "kinds"),
        "deployment.environment": ("string_value", "täst"),
        "workers": ("int_value", -3),
        "ratio": ("double_value", 0.25),
        "canary": ("bool_value", True),
    }
    assert expected.items() <= resource.items()
    assert resource_spans.schema_url == "https://example.org/resource"
    assert (scope_spans.scope.name, scope_spans.scope.version) == ("kinds.scope", "1.2.3")
    assert attributes_of(scope_spans.scope) == {"scope.key": ("string_value", "scope value")}
    assert scope_spans.schema_url == "https://example.org/scope"

    for kind, record in enumerate(records[:5], start=1):
        _, _, span = parsed(record)
        assert span.trace_id == bytes(range(0xA0, 0xB0))
        assert span.parent_span_id == bytes(range(0xB0, 0xB8))
        assert (span.kind, span.name) == (kind, "second é")
        assert span.start_time_unix_nano == START
        assert span.end_time_unix_nano == START + kind * MILLISECOND
        assert attributes_of(span) == {
            "string": ("string_value", "grüß 🐧"),
            "empty": ("string_value", ""),
            "not utf-8": ("bytes_value", b"\xff\xfe"),
            "int": ("int_value", -1),
            "int.min": ("int_value", -(2**63)),
            "int.max": ("int_value", 2**63 - 1),
            "double": ("double_value", -1.5e300),
            "true": ("bool_value", True),
            "false": ("bool_value", False),
            "twice": ("int_value", kind),
        }
        timed, bare = span.events
        assert (timed.name, timed.time_unix_nano) == ("timed", START + MILLISECOND)
        assert attributes_of(timed) == {
            "event.key": ("string_value", "event value"),
            "count": ("int_value", 1 << 20),
        }
        assert (bare.name, bare.time_unix_nano) == ("bare", START + 2 * MILLISECOND)
        assert not bare.attributes
        assert span.status.code == kind % 3
        assert span.status.message == ("because" if kind % 3 == 2 else "")
        # The low byte is the trace's flags; 0x100 and 0x200 say that the parent was remote.
        assert span.flags & 0x01 and span.flags & 0x300 == 0x300
        assert not span.dropped_attributes_count and not span.dropped_events_count
        assert record.record_flags & 2, "the parent was sampled"

    _, _, root = parsed(records[5])
    assert (root.name, root.kind, root.parent_span_id) == ("root", 1, b"")
    assert before <= root.start_time_unix_nano <= after
    assert records[5].duration_nano == 0 and not root.attributes and not root.HasField("status")
    assert root.flags & 0x300 == 0x100, "it has no remote parent, and says that it knows"
    assert len({record.span_id for record in records}) == 6
    assert root.trace_id != bytes(range(0xA0, 0xB0))


def test_resources_and_scopes_are_rows_that_equal_writers_share(directory):
    segment, lines = write_spans(directory, "scopes")
    assert (len(segment.resources), len(segment.scopes)) == (2, 3)
    records = [record for lane in segment.lanes for record in segment.records(lane.index)]
    found = {}
    for record in records:
        resource_spans, scope_spans, span = parsed(record)
        service = attributes_of(resource_spans.resource)["service.name"][1]
        assert scope_spans.scope.name == span.name
        found.setdefault((service, span.name), []).append(record)
    counts = {row: len(with_row) for row, with_row in found.items()}
    assert counts == {("a", "one"): 2, ("a", "two"): 1, ("b", "one"): 1}
    assert len({record.scope_index for record in found["a", "one"]}) == 1
    assert {line[1] for line in lines} == {record.span_id for record in records}


def test_what_has_no_room_is_counted_by_reason_and_the_rest_is_whole(directory):
    segment, lines = write_spans(directory, "full")
    kept = [line for line in lines if line[3] == OK]
    lost = [line for line in lines if line[3] == DROPPED]
    assert len(kept) + len(lost) == len(lines) and len(lost) == 7
    dropped = {reason: count for reason, count in segment.dropped.items() if count}
    assert dropped == {"lane_full": 7}
    assert segment.lanes_open == len(segment.lanes) > 1, "a full lane opens another"
    records = [record for lane in segment.lanes for record in segment.records(lane.index)]
    assert {record.span_id for record in records} == {line[1] for line in kept}
    for lane in segment.lanes:
        free = lane.area_bytes - lane.tail
        assert 0 <= free < 4096, f"lane {lane.index} was called full with {free} bytes free"
    for record in records[:: max(1, len(records) // 50)]:
        _, _, span = parsed(record)
        assert set(span.attributes[0].value.string_value) <= {"x"}
    law = decoder.balance(segment)
    assert law.ended == len(lines) and law.holds() and law.in_flight == len(kept)


def test_a_record_over_half_of_the_largest_lane_is_dropped_and_counted(directory):
    segment, lines = write_spans(directory, "small")
    assert [lane.area_bytes for lane in segment.lanes] == [65536]
    assert [line[3] for line in lines] == [OK, DROPPED, OK]
    dropped = {reason: count for reason, count in segment.dropped.items() if count}
    assert dropped == {"record_too_large": 1}
    fits, without = [parsed(record)[2] for record in segment.records(0)]
    assert attributes_of(fits) == {"text": ("string_value", "y" * 20000)}
    assert not without.attributes and without.dropped_attributes_count == 1


def test_records_that_wrap_are_read_back_whole_and_no_sequence_is_missing(directory):
    daemon = PageDaemon(directory)
    process = subprocess.Popen(
        [PROGRAM, directory, "wrap"], env=environment(), text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    lines = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout])
    reader.start()
    text, deadline = [], time.monotonic() + TIMEOUT_S
    try:
        while "flushed\n" not in text[-1:]:
            assert process.poll() is None, f"write_spans ended with {process.returncode}"
            assert time.monotonic() < deadline, f"no flush after {len(text)} spans"
            daemon.turn()
            while not lines.empty():
                text.append(lines.get())
            time.sleep(0.0005)
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
        daemon.close()
    while not lines.empty():
        text.append(lines.get())
    text.remove("flushed\n")

    (path,) = directory.glob("*.seg")
    segment, ack = decoder.segment(path), decoder.ack(path.with_suffix(".ack"))
    records = list(daemon.records[path])
    for lane in segment.lanes:
        slot = ack.slots[lane.index]
        records += segment.records(lane.index, slot.release, slot.sequence)
    ends = [line[1] for line in written("".join(text))]
    assert [record.span_id for record in records if record.lane == 0] == ends, "one thread, one lane"
    assert segment.lanes[0].tail > 3 * segment.lanes[0].area_bytes - 4096
    area = segment.lanes[0].area_bytes
    wrapped = [one for one in records if one.position // area != (one.end - 1) // area]
    assert len(wrapped) >= 2, "no record went round the end of the lane"
    for record in [*wrapped, *records[:: max(1, len(records) // 200)]]:
        _, _, span = parsed(record)
        (attribute,) = span.attributes
        assert set(attribute.value.string_value) <= {"w"}
    law = decoder.balance(segment, ack)
    assert law.ended == law.exported + law.in_flight == len(ends)
    assert law.in_flight == 100 and not law.dropped


def test_threads_write_into_lanes_of_their_own_and_each_span_once(directory):
    segment, _ = write_spans(directory, "threads")
    assert 1 <= segment.lanes_open <= len(segment.lanes)
    assert not any(segment.dropped.values())
    found = set()
    span_ids = set()
    for lane in segment.lanes:
        last = {}
        for record in segment.records(lane.index):
            _, _, span = parsed(record)
            attributes = attributes_of(span)
            thread, index = attributes["thread"][1], attributes["index"][1]
            assert index > last.get(thread, -1), "a lane keeps the order of a thread"
            last[thread] = index
            found.add((thread, index))
            span_ids.add(record.span_id)
    assert found == {(thread, index) for thread in range(8) for index in range(500)}
    assert len(span_ids) == 8 * 500


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs, to look while it is written"
)
def test_bytes_below_tail_are_there_when_tail_says_so(directory):
    looks, torn = map(int, run(directory, "watched").split())
    assert looks > 0, "nothing was seen"
    assert torn == 0, f"{torn} of {looks} records were not there when tail said so"
    (path,) = directory.iterdir()
    assert len(decoder.segment(path).records(0)) == 30


def test_the_two_parsers_agree_on_an_any_value():
    """The decoder's walk knows each kind of value that the published package can write."""
    import wire

    value = common_pb2.AnyValue()
    value.array_value.values.add().kvlist_value.values.add(key="ä").value.bytes_value = b"\xff"
    value.array_value.values.add().double_value = 2.5
    assert "array_value" in wire.check("AnyValue", value.SerializeToString())
    broken = value.SerializeToString().replace("ä".encode(), b"\xc3(")
    with pytest.raises(wire.WireError, match="UTF-8"):
        wire.check("AnyValue", broken)


def test_a_segment_with_one_moved_word_is_refused(directory):
    """The decoder reads what was written where the page says: each word elsewhere is an error."""
    segment, _ = write_spans(directory, "scopes")
    path = Path(segment.path)
    raw = bytearray(path.read_bytes())
    for at, width in ((4096, 4), (4104, 4), (8192, 8), (1024, 8), (20480 + 4, 4), (131072, 4)):
        moved = bytearray(raw)
        moved[at + width : at + 2 * width] = raw[at : at + width]
        moved[at : at + width] = bytes(width)
        path.write_bytes(moved)
        with pytest.raises(decoder.FormatError):
            found = decoder.segment(path)
            assert found.records(0)
            raise AssertionError(f"the word at {at} may lie at {at + width}")
    assert struct.unpack_from("<I", raw, 4096)[0] == segment.lanes_open
