# SPDX-License-Identifier: Apache-2.0
"""The golden bytes, read by the decoder, and written by C: both must mean the same.

Owns   the values that golden/*.hex holds, once more, as values.
Never  compares what differs between machines: a process id, a time, two random ids.
"""

import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import decoder
import golden
import pytest
import samples
import wire
from opentelemetry.proto.trace.v1 import trace_pb2

BUILD = Path(os.environ.get("OTLPSHM_BUILD_DIR", "build")) / "tests/abi"
ID = bytes(0x11 * index for index in range(16))
TIME = 1_700_000_000_000_000_000
HALF = 1 << 55
RECORD, _ = golden.read("record")
SPAN_ID = bytes(range(0xC0, 0xC8))


def put(directory, name, raw):
    path = directory / name
    path.write_bytes(raw)
    path.chmod(0o644)
    return path


def whole_segment():
    """A file of the golden header and record, with what lies between them."""
    raw = bytearray(131072 + 65536)
    raw[0:4096] = golden.read("segment")[0]
    struct.pack_into("<III", raw, 4096, 1, 1, 1)
    struct.pack_into("<QQ", raw, 8192, decoder.round_up(len(RECORD), 8), 1)
    struct.pack_into("<IIH", raw, 16384, 0, len(samples.RESOURCE), 0)
    struct.pack_into("<IIH", raw, 20480, len(samples.RESOURCE), len(samples.SCOPE), 0)
    raw[24576 : 24576 + len(samples.RESOURCE + samples.SCOPE)] = samples.RESOURCE + samples.SCOPE
    raw[131072 : 131072 + len(RECORD)] = RECORD
    return raw


# ---- read by the decoder -----------------------------------------------------------------------


def test_the_golden_segment_and_record_are_read(tmp_path):
    found = decoder.segment(put(tmp_path, ID.hex() + ".seg", whole_segment()))
    assert (found.header.id, found.header.created_unix_nano) == (ID, TIME)
    assert (found.producer_pid, found.library) == (4242, "libotlpshm 0.1.0")
    assert found.lanes == [decoder.Lane(0, 131072, 65536, 408, 1)]
    (record,) = found.records(0)
    assert (record.size, record.position, record.sequence) == (len(RECORD), 0, 1)
    assert (record.trace_id, record.span_id) == (bytes(range(0xA0, 0xB0)), SPAN_ID)
    assert (record.duration_nano, record.threshold, record.record_flags) == (1_500_000, HALF, 6)
    assert (record.span_flags, record.span_kind, record.status_code) == (0x301, 3, 2)

    span = trace_pb2.Span.FromString(record.span)
    assert span.ByteSize() == len(record.span)
    assert span.SerializeToString() == record.span, "the published package writes it otherwise"
    assert {field.name for field, _ in span.ListFields()} == {
        field.name for field in span.DESCRIPTOR.fields
    }, "a field of the message is not in the golden record"
    values = [one.value for one in span.attributes]
    kinds = {value.WhichOneof("value") for value in values}
    assert kinds == {None} | {name for name, _, _ in wire.FIELDS["AnyValue"].values()}


def test_the_golden_ack_is_read(tmp_path):
    found = decoder.ack(put(tmp_path, ID.hex() + ".ack", golden.read("ack")[0]))
    assert (found.state, found.adoptions, found.flush_echo) == ("live", 2, 9)
    assert {name: n for name, n in found.dropped_echo.items() if n} == {
        "lane_full": 5, "record_too_large": 2,
    }  # fmt: skip
    (slot,) = found.slots
    assert (slot.selector, slot.release, slot.sequence, slot.exported) == (3, 4096, 12, 10)
    assert {name: n for name, n in slot.dropped.items() if n} == {
        "invalid_header": 1, "export_rejected": 1,
    }  # fmt: skip
    assert slot.attempts == 1


def test_the_golden_state_is_read(tmp_path):
    found = decoder.state(put(tmp_path, "state", golden.read("state")[0]))
    assert (found.lives, found.heartbeat, found.doorbell, found.sleep_epoch) == (3, 17, 1, 5)
    assert list(found.policy.values()) == [
        2, 15, 1, HALF, 1000, 64, 256, 32, 16, 65536, 1024, 4,
    ]  # fmt: skip
    tsc = 0x0102030405060708
    assert list(found.clock.values()) == [4, tsc, TIME, tsc + 12_500_000_000, 1717986918, 32]


# ---- written by Python from the page, and by C -------------------------------------------------


def test_the_pages_own_formulas_give_the_golden_record():
    """samples.py packs a header by the page's table; the golden one was written line by line."""
    made = samples.record(
        0, 1, span=RECORD[80:], trace_id=RECORD[16:32], span_id=SPAN_ID, duration=1_500_000,
        name_hash=decoder.name_hash("grüß".encode()), threshold=HALF, record_flags=6,
        span_flags=0x301, span_kind=3, status_code=2,
    )  # fmt: skip
    assert made == RECORD


@pytest.mark.parametrize("page", ["segment", "ack", "state"])
def test_c_writes_the_golden_page(page):
    written = subprocess.run([BUILD / "write_pages", page], capture_output=True, timeout=60, check=True)
    raw, lines = golden.read(page)
    assert len(written.stdout) == len(raw)
    for at, piece, says in lines:
        assert written.stdout[at : at + len(piece)] == piece, f"{page} at {at}: {says}"
    assert written.stdout == raw, "C writes something where no line of the page has a name"


@pytest.fixture
def directory():
    path = Path(tempfile.mkdtemp(prefix="golden-", dir=os.environ.get("OTLPSHM_TEST_SHM", "/dev/shm")))
    yield path
    shutil.rmtree(path)


def by_number(body):
    """The top-level fields in the order of their numbers: the page leaves their order free."""
    pieces, at = [], 0
    for number, wire_type, value in wire.fields(body):
        _, start = wire.varint(body, at)
        if wire_type == wire.BYTES:
            size, start = wire.varint(body, start)
        elif wire_type == wire.VARINT:
            _, end = wire.varint(body, start)
            size = end - start
        else:
            size = 8 if wire_type == wire.FIXED64 else 4
        pieces.append((number, body[at : start + size]))
        at = start + size
    return b"".join(piece for _, piece in sorted(pieces, key=lambda piece: piece[0]))


def test_the_library_writes_the_golden_segment_and_record(directory):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OTLPSHM_"))}
    before = time.time_ns()
    process = subprocess.Popen(
        [BUILD / "write_spans", directory, "golden"], env=clean, text=True, stdout=subprocess.PIPE
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    _, _, span_id, flags_and_result = out.split("-", 3)
    assert flags_and_result.split() == ["01", "0"]
    span_id = bytes.fromhex(span_id)
    (path,) = directory.iterdir()
    found = decoder.segment(path)
    raw = path.read_bytes()

    assert found.header.id.hex() == path.stem and found.producer_pid == process.pid
    assert before <= found.header.created_unix_nano <= time.time_ns()
    page = bytearray(raw[:4096])
    expected, _ = golden.read("segment")
    for at, size in ((32, 16), (48, 8), (68, 4)):
        page[at : at + size] = expected[at : at + size]
    assert bytes(page) == expected

    written = raw[131072 : 131072 + struct.unpack_from("<I", raw, 131072)[0]]
    assert written.count(span_id) == 2, "in the header and in the body"
    written = written.replace(span_id, SPAN_ID)
    assert written[:80].hex(" ") == RECORD[:80].hex(" ")
    assert by_number(written[80:]).hex(" ") == RECORD[80:].hex(" ")
