# SPDX-License-Identifier: Apache-2.0
"""The oracle itself: it reads what is fit, and says no to each single breach of docs/abi.md."""

import os
import struct

import decoder
import pytest
import samples

START = 3 * samples.LANES[0][1] - 88
SEG, ACK = samples.ID.hex() + ".seg", samples.ID.hex() + ".ack"


def put(directory, name, raw, mode=0o644):
    path = directory / name
    path.write_bytes(raw)
    path.chmod(mode)
    return path


def test_a_fit_segment_is_read_back_whole(tmp_path):
    found = decoder.segment(put(tmp_path, SEG, samples.segment()))
    assert (found.producer_pid, found.library, found.lanes_open) == (42, "sample 1.0.0", 2)
    assert found.resources == [samples.RESOURCE]
    assert found.scopes == [decoder.Scope(samples.SCOPE, 0)]
    assert found.dropped["lane_full"] == 5
    records = found.records(0, START)
    assert [record.sequence for record in records] == [1, 2]
    assert all(record.span == samples.SPAN for record in records)
    assert all(record.resource == samples.RESOURCE for record in records)
    assert all(record.scope == samples.SCOPE for record in records)
    assert records[0].duration_nano == 4000 and found.records(1) == []


def test_a_fit_ack_and_state_are_read_and_the_law_is_counted(tmp_path):
    seg = decoder.segment(put(tmp_path, SEG, samples.segment()))
    first = seg.records(0, START)[0]
    ack = decoder.ack(put(tmp_path, ACK, samples.ack(first.end, 1)))
    assert (ack.state, ack.slots[0].release, ack.slots[0].exported) == ("live", first.end, 1)
    found = decoder.balance(seg, ack)
    assert (found.ended, found.exported, found.in_flight) == (7, 1, 1)
    assert found.dropped == {"lane_full": 5} and found.holds()
    state = decoder.state(put(tmp_path, "state", samples.state()))
    assert (state.lives, state.heartbeat, state.sleep_epoch) == (1, 17, 3)


def test_a_producers_lock_is_seen(tmp_path):
    import fcntl

    path = put(tmp_path, SEG, samples.segment())
    assert not decoder.is_locked(path)
    with open(path, "r+b") as held:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        assert decoder.is_locked(path)


def poke(at, layout, value):
    return lambda raw: struct.pack_into(layout, raw, at, value)


FIRST_AREA = samples.LANES[0][0]
SEGMENT_BREACHES = {
    "magic": poke(0, "B", 0x20),
    "major": poke(8, "<H", 2),
    "header_bytes": poke(12, "<I", 128),
    "file_bytes": poke(16, "<Q", 131072),
    "features_required": poke(24, "<I", 1),
    "features_optional": poke(28, "<I", 1),
    "id": poke(32, "B", 0),
    "byte 56": poke(56, "B", 1),
    "lane_count 0": poke(64, "<I", 0),
    "lane_count 65": poke(64, "<I", 65),
    "byte 72": poke(72, "B", 1),
    "library": poke(150, "B", 1),
    "area_offset is no multiple": poke(1024, "<Q", 131072 + 8),
    "area_offset too low": poke(1024, "<Q", 65536),
    "area_offset overlaps": poke(1024 + 16, "<Q", 131072 + 65536),
    "area_bytes 0": poke(1024 + 8, "<Q", 0),
    "area beyond the file": poke(1024 + 8, "<Q", 1 << 20),
    "lane 0 is not the largest": poke(1024 + 8, "<Q", 65536),
    "a row beyond lane_count": poke(1024 + 32, "<Q", 131072),
    "lanes_open 0": poke(4096, "<I", 0),
    "lanes_open 3": poke(4096, "<I", 3),
    "resource_count": poke(4100, "<I", 65),
    "scope_count": poke(4104, "<I", 257),
    "control page": poke(4096 + 2048, "B", 1),
    "no such reason": poke(4096 + 256, "<Q", 1),
    "tail is no multiple of 8": poke(8192, "<Q", 4),
    "a tail in a lane that is not open": poke(4096, "<I", 1),
    "lane control": poke(8192 + 16, "B", 1),
    "a resource row's resource_index": poke(16384 + 8, "<H", 1),
    "a resource row's end": poke(16384 + 15, "B", 1),
    "a row's bytes": poke(16384, "<I", 65536),
    "a row beyond the count": poke(16384 + 16, "B", 1),
    "a scope's resource": poke(20480 + 8, "<H", 1),
    "a resource's bytes": poke(24576, "B", 0xFF),
    "behind the tables": poke(24576 + 65536, "B", 1),
}


@pytest.mark.parametrize("breach", SEGMENT_BREACHES)
def test_a_breach_of_the_segments_rules_is_refused(tmp_path, breach):
    # Both lanes hold nothing, so that only the breach can be what is refused.
    raw = samples.segment({1: (0, [samples.record(0, 1)])})
    SEGMENT_BREACHES[breach](raw)
    with pytest.raises(decoder.FormatError):
        found = decoder.segment(put(tmp_path, SEG, raw))
        found.records(0)


def with_span(span, **changed):
    return samples.record(0, 1, span=span, **changed)


WITHOUT_TRACE_ID = samples.SPAN[18:]
RECORD_BREACHES = {
    "size of a header alone": samples.record(0, 1, span=b"", size=80),
    "size beyond the tail": samples.record(0, 1, size=4000),
    "size beyond the lane": samples.record(0, 1, size=70000),
    "position_low": samples.record(0, 1, position_low=8),
    "sequence 0": samples.record(0, 0),
    "sequence 2": samples.record(0, 2),
    "trace_id": samples.record(0, 1, trace_id=bytes(range(16))),
    "span_id": samples.record(0, 1, span_id=bytes(range(8))),
    "duration": samples.record(0, 1, duration=4001),
    "name_hash": samples.record(0, 1, name_hash=1),
    "threshold without its flag": samples.record(0, 1, threshold=1),
    "threshold of 57 bits": samples.record(0, 1, threshold=1 << 56, record_flags=4),
    "scope_index": samples.record(0, 1, scope_index=1),
    "the reserved record flag": samples.record(0, 1, record_flags=0x8000),
    "an unknown record flag": samples.record(0, 1, record_flags=8),
    "span_flags": samples.record(0, 1, span_flags=1),
    "record_kind": samples.record(0, 1, kind=3),
    "kind 2 with a row": samples.record(0, 1, kind=2, scope_index=0),
    "span_kind": samples.record(0, 1, span_kind=1),
    "status_code": samples.record(0, 1, status_code=1),
    "byte 75": samples.record(0, 1)[:75] + b"\1" + samples.record(0, 1)[76:],
    "no trace_id": with_span(WITHOUT_TRACE_ID),
    "two trace_ids": with_span(samples.SPAN + samples.SPAN[:18]),
    "zero trace_id": with_span(
        samples.wire_bytes(1, bytes(16)) + WITHOUT_TRACE_ID, trace_id=bytes(16)
    ),
    "short trace_id": with_span(samples.wire_bytes(1, bytes(range(16, 31))) + WITHOUT_TRACE_ID),
    "a name that is not UTF-8": with_span(samples.SPAN + samples.wire_bytes(5, b"\xc3(")),
    "a key that is not UTF-8": with_span(
        samples.SPAN + samples.wire_bytes(9, samples.key_value(b"\xff", b""))
    ),
    "a field that runs over the end": with_span(samples.SPAN + b"\x4a\x05x"),
    "a group": with_span(samples.SPAN + b"\x4b\x4c"),
    "a wrong wire type": with_span(samples.SPAN + bytes([9 << 3, 1])),
    "field number 0": with_span(samples.SPAN + b"\x02\x00"),
}


@pytest.mark.parametrize("breach", RECORD_BREACHES)
def test_a_breach_of_the_records_rules_is_refused(tmp_path, breach):
    raw = samples.segment({0: (0, [RECORD_BREACHES[breach]])})
    found = decoder.segment(put(tmp_path, SEG, raw))
    with pytest.raises(decoder.FormatError):
        found.records(0)


def test_a_lane_that_claims_more_than_it_holds_is_refused(tmp_path):
    raw = samples.segment()
    struct.pack_into("<Q", raw, 8192 + 8, 4)  # sequence leads
    with pytest.raises(decoder.FormatError, match="its newest record"):
        decoder.segment(put(tmp_path, SEG, raw)).records(0, START)
    fit = decoder.segment(put(tmp_path, SEG, samples.segment()))
    with pytest.raises(decoder.FormatError, match="in use"):
        fit.records(0, 0)
    with pytest.raises(decoder.FormatError, match="beyond tail"):
        fit.records(0, START + 4096)


def test_names_links_modes_and_holes_are_checked(tmp_path):
    with pytest.raises(decoder.FormatError, match="id"):
        decoder.segment(put(tmp_path, "00" * 16 + ".seg", samples.segment()))
    path = put(tmp_path, SEG, samples.segment(), 0o600)
    with pytest.raises(decoder.FormatError, match="mode"):
        decoder.segment(path)
    path.chmod(0o644)
    os.link(path, tmp_path / "second")
    with pytest.raises(decoder.FormatError, match="links"):
        decoder.segment(path)
    with pytest.raises(OSError):
        (tmp_path / "link.seg").symlink_to(path)
        decoder.segment(tmp_path / "link.seg")
    sparse = tmp_path / "state"
    with open(sparse, "wb") as file:
        file.write(samples.state()[:2048])
        file.truncate(4096)
    sparse.chmod(0o600)
    with pytest.raises(decoder.FormatError):
        decoder.state(sparse)


ACK_BREACHES = {
    "magic": poke(0, "B", 0),
    "lane_count": poke(64, "<I", 20),
    "state": poke(128, "<I", 0),
    "unnamed": poke(132, "B", 1),
    "selector": poke(4096, "<Q", 2),  # the other copy is empty, and then sequence is not
    "sequence": poke(4096 + 384 + 8, "<Q", 9),
    "exported": poke(4096 + 384 + 16, "<Q", 9),
    "release": poke(4096 + 384, "<Q", 9),
    "byte 28": poke(4096 + 384 + 28, "B", 1),
    "no such reason": poke(4096 + 384 + 32 + 8 * 31, "<Q", 1),
    "the copy's end": poke(4096 + 384 + 319, "B", 1),
    "the selector's line": poke(4096 + 8, "B", 1),
    "behind the slots": poke(8191, "B", 1),
}


@pytest.mark.parametrize("breach", ACK_BREACHES)
def test_a_breach_of_the_acks_rules_is_refused(tmp_path, breach):
    raw = samples.ack(8, 2, 1)
    struct.pack_into("<Q", raw, 4096 + 64 + 8, 1)
    ACK_BREACHES[breach](raw)
    with pytest.raises(decoder.FormatError):
        decoder.ack(put(tmp_path, ACK, raw))


STATE_BREACHES = {
    "magic": poke(0, "B", 0),
    "unnamed": poke(80, "B", 1),
    "policy of generation 0": poke(384 + 16, "<Q", 1),
    "clock of generation 0": poke(512 + 8, "<Q", 1),
    "behind the clock": poke(552, "B", 1),
}


@pytest.mark.parametrize("breach", STATE_BREACHES)
def test_a_breach_of_the_states_rules_is_refused(tmp_path, breach):
    raw = samples.state()
    STATE_BREACHES[breach](raw)
    with pytest.raises(decoder.FormatError):
        decoder.state(put(tmp_path, "state", raw))
