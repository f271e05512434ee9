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
    rich = index % 13 == 5
    if rich:
        attributes |= rich_attributes(index)
    if padding:
        attributes["padding"] = ("string_value", "\0" * padding)
    start = EPOCH + index * 1_000_000
    words = struct.pack("<QQQ", 0x1122334455667788, process << 32 | thread, index + 1)
    has_parent = index % 3 != 0
    return {
        "name": "from a templäte" if rich else NAMES[index % 4],
        "kind": 2 if rich else 1 + index % 5,
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
        ]
        + [exception(start + 5000)] * rich,
        "links": rich_links(index) if rich else [],
        "trace_state": "parent=state" if rich and has_parent else "",
        "status": {1: (1, ""), 2: (2, "no €")}.get(index % 7, (0, "")),
        "trace_id": words[:16] if has_parent else None,
        "parent_span_id": words[16:] if has_parent else b"",
        # 0x100: whether the parent is remote is known; 0x200: it is.
        "parent_flags": 0x300 if index % 3 == 1 else 0x100,
    }


def rich_attributes(index):
    values = [
        ("string_value", "ä"),
        ("int_value", -index),
        ("double_value", 0.5),
        ("bool_value", True),
        ("bytes_value", b"\x01\xff"),
        (None, None),
        ("array_value", []),
    ]
    deepest = ("kvlist_value", {"k": ("string_value", "v")})
    return {
        "list": ("array_value", values),
        "map": (
            "kvlist_value",
            {
                "twice": ("int_value", 2),
                "list": ("array_value", values),
                "map": ("kvlist_value", {"deeper": deepest}),
                "empty": ("kvlist_value", {}),
            },
        ),
        "empty": (None, None),
        "unsigned": ("int_value", index),
        "unsigned.large": ("string_value", str(2**63 + index)),
        "raw": ("bytes_value", b"\0\xfe"),
        "prepared": ("int_value", index),
        "template": ("string_value", "yes"),
        "replaced": ("int_value", index),
    }


def rich_links(index):
    """Trace id, span id, trace state, flags (0x100: remote or not is known; 0x200: it is)."""
    trace_id, span_id = b"\xaa" * 16, b"\xbb" * 8
    attributes = {"link": ("array_value", [("string_value", "x"), ("int_value", index)])}
    return [
        (trace_id, span_id, "", 0x101, {}),
        (trace_id, span_id, "emit=1,other=2", 0x302, attributes),
        (b"", b"", "", 0x100, attributes),
    ]


def exception(time):
    return (
        "exception",
        time,
        {
            "exception.type": ("string_value", "emit::Error"),
            "exception.message": ("string_value", "no €"),
            "exception.stacktrace": ("string_value", "at emit\nat main"),
            "exception.escaped": ("bool_value", True),
        },
    )


def value_of(any_value):
    kind = any_value.WhichOneof("value")
    if kind is None:
        return (None, None)
    value = getattr(any_value, kind)
    if kind == "array_value":
        value = [value_of(one) for one in value.values]
    elif kind == "kvlist_value":
        value = pairs_of(value.values)
    return (kind, value)


def pairs_of(pairs):
    found = {}
    for pair in pairs:
        assert pair.key not in found, f"the key {pair.key} occurs twice"
        found[pair.key] = value_of(pair.value)
    return found


def attributes_of(message):
    return pairs_of(message.attributes)


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
        "links": [
            (link.trace_id, link.span_id, link.trace_state, link.flags, attributes_of(link))
            for link in span.links
        ],
        "trace_state": span.trace_state,
        "status": (span.status.code, span.status.message),
        "trace_id": span.trace_id if span.parent_span_id else None,
        "parent_span_id": span.parent_span_id,
        "parent_flags": span.flags & 0x300,
    }
