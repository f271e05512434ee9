# SPDX-License-Identifier: Apache-2.0
"""Fit files, made by hand from docs/abi.md: what the tests of the decoder break one rule at a time.

Owns   one segment of two lanes with a record that wraps, its ack, and a state.
"""

import struct

import decoder

ID = bytes(range(1, 17))
LANES = ((131072, 131072), (262144, 65536))
NAME = b"GET /\xc3\xa4"
TRACE_ID, SPAN_ID = bytes(range(16, 32)), bytes(range(40, 48))


def wire_bytes(number, value):
    return bytes([number << 3 | 2, len(value)]) + value


def wire_fixed64(number, value):
    return bytes([number << 3 | 1]) + struct.pack("<Q", value)


def key_value(key, value):
    return wire_bytes(1, key) + wire_bytes(2, value)


RESOURCE = wire_bytes(
    1, wire_bytes(1, key_value(b"service.name", wire_bytes(1, b"sample")))
) + wire_bytes(3, b"https://example.org/schema")
SCOPE = wire_bytes(1, wire_bytes(1, b"scope") + wire_bytes(2, b"1.0"))
SPAN = (
    wire_bytes(1, TRACE_ID)
    + wire_bytes(2, SPAN_ID)
    + wire_bytes(5, NAME)
    + bytes([6 << 3, 3])
    + wire_fixed64(7, 1_000_000)
    + wire_fixed64(8, 1_004_000)
    + wire_bytes(9, key_value(b"k", bytes([3 << 3, 7])))
    + wire_bytes(15, wire_bytes(2, b"bad") + bytes([3 << 3, 2]))
    + bytes([0x80 | (16 << 3 & 0x7F) | 5, 1])
    + struct.pack("<I", 0x101)
)


def file_header(magic, size, identity=ID):
    return struct.pack("<8sHHIQII16sQQ", magic, 1, 0, 64, size, 0, 0, identity, 1, 0)


def record(position, sequence, span=SPAN, kind=1, scope_index=0, **changed):
    head = {
        "position_low": position & 0xFFFFFFFF, "sequence": sequence, "trace_id": TRACE_ID,
        "span_id": SPAN_ID, "duration": 4000, "name_hash": decoder.name_hash(NAME), "threshold": 0,
        "record_flags": 2, "span_flags": 0x101, "span_kind": 3, "status_code": 2,
    } | changed
    body = span
    if kind == 2:
        body = struct.pack("<I", len(RESOURCE)) + RESOURCE + struct.pack("<I", len(SCOPE)) + SCOPE
        body += span
    size = head.get("size", 80 + len(body))
    return struct.pack(
        "<IIQ16s8sQQQHHIBBB5x", size, head["position_low"], head["sequence"], head["trace_id"],
        head["span_id"], head["duration"], head["name_hash"], head["threshold"], scope_index,
        head["record_flags"], head["span_flags"], kind, head["span_kind"], head["status_code"],
    ) + body


def segment(records=None):
    """`records`: {lane: (first position, [record bytes])}; by default lane 0 wraps."""
    start = 3 * LANES[0][1] - 88  # the first header wraps too, after its record's 80th byte
    if records is None:
        first = record(start, 1)
        then = start + decoder.round_up(len(first), 8)
        records = {0: (start, [first, record(then, 2, kind=2, scope_index=65535)])}
    size = 131072 + sum(area for _, area in LANES)
    raw = bytearray(size)
    raw[0:64] = file_header(b"OLSHMSEG", size)
    struct.pack_into("<II", raw, 64, len(LANES), 42)
    raw[128:140] = b"sample 1.0.0"
    for index, lane in enumerate(LANES):
        struct.pack_into("<QQ", raw, 1024 + 16 * index, *lane)
    struct.pack_into("<III", raw, 4096, 2, 1, 1)
    struct.pack_into("<Q", raw, 4096 + 256 + 8, 5)  # lane_full
    struct.pack_into("<IIH", raw, 16384, 0, len(RESOURCE), 0)
    struct.pack_into("<IIH", raw, 20480, len(RESOURCE), len(SCOPE), 0)
    raw[24576 : 24576 + len(RESOURCE) + len(SCOPE)] = RESOURCE + SCOPE
    for index, (position, lane_records) in records.items():
        offset, area = LANES[index]
        for one in lane_records:
            for at, byte in enumerate(one):
                raw[offset + (position + at) % area] = byte
            position += decoder.round_up(len(one), 8)
        struct.pack_into("<QQ", raw, 8192 + 128 * index, position, len(lane_records))
    return raw


def ack(release=0, exported=0, dropped=0):
    size = decoder.round_up(4096 + 704 * len(LANES), 4096)
    raw = bytearray(size)
    raw[0:64] = file_header(b"OLSHMACK", size)
    struct.pack_into("<I", raw, 64, len(LANES))
    struct.pack_into("<I", raw, 128, 1)
    struct.pack_into("<Q", raw, 4096, 3)  # odd: copy 1
    struct.pack_into("<QQQI", raw, 4096 + 384, release, exported + dropped, exported, 0)
    struct.pack_into("<Q", raw, 4096 + 384 + 32 + 8 * (42 - 32), dropped)
    return raw


def state():
    raw = bytearray(4096)
    raw[0:64] = file_header(b"OLSHMSTA", 4096)
    struct.pack_into("<Q", raw, 64, 1)
    struct.pack_into("<Q", raw, 128, 17)
    struct.pack_into("<II", raw, 256, 0, 3)
    return raw
