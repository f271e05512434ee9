# SPDX-License-Identifier: Apache-2.0
"""The content of emit.c's spans, said a second time: expected(process, thread, index)."""

import struct

EPOCH = 1_700_000_000_000_000_000
NAMES = ("GET /orders", "grüß dich", "🐧", "注文")


def expected(process, thread, index, padding=0):
    attributes = {
        "process": ("int_value", process),
        "thread": ("int_value", thread),
        "index": ("int_value", index),
        "negative": ("int_value", -index),
        "double": ("double_value", index / 8),
        "even": ("bool_value", index % 2 == 0),
        "text": ("string_value", f"café {index}"),
    }
    if index % 11 == 0:
        attributes["bytes"] = ("bytes_value", b"\xff\x00\xfe")
    if padding:
        attributes["padding"] = ("string_value", "\0" * padding)
    start = EPOCH + index * 1_000_000
    words = struct.pack("<QQQ", 0x1122334455667788, process << 32 | thread, index + 1)
    has_parent = index % 3 != 0
    return {
        "name": NAMES[index % 4],
        "kind": 1 + index % 5,
        "start": start,
        "end": start + index % 1000 * 1000 + 1,
        "attributes": attributes,
        "events": [
            (
                "evénement",
                start + event * 1000,
                {"event": ("int_value", event), "last": ("bool_value", event + 1 == index % 3)},
            )
            for event in range(index % 3)
        ],
        "status": {1: (1, ""), 2: (2, "no €")}.get(index % 7, (0, "")),
        "trace_id": words[:16] if has_parent else None,
        "parent_span_id": words[16:] if has_parent else b"",
        # 0x100: whether the parent is remote is known; 0x200: it is.
        "parent_flags": 0x300 if index % 3 == 1 else 0x100,
    }


def attributes_of(message):
    found = {}
    for attribute in message.attributes:
        kind = attribute.value.WhichOneof("value")
        assert attribute.key not in found, f"the key {attribute.key} occurs twice"
        found[attribute.key] = (kind, getattr(attribute.value, kind))
    return found


def observed(span):
    """The same shape, of a span that arrived."""
    return {
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes_of(span),
        "events": [
            (event.name, event.time_unix_nano, attributes_of(event)) for event in span.events
        ],
        "status": (span.status.code, span.status.message),
        "trace_id": span.trace_id if span.parent_span_id else None,
        "parent_span_id": span.parent_span_id,
        "parent_flags": span.flags & 0x300,
    }
