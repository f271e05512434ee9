# SPDX-License-Identifier: Apache-2.0
"""Protobuf wire bytes of one OTLP Span, read by hand.

Owns   the field numbers that docs/abi.md takes from opentelemetry.proto.trace.v1 and .common.v1.
Never  imports a generated parser: the tests put one beside it and compare.
Raises WireError, which names the message and the field.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEPTH_MAX = 100  # of nested messages: what the published parsers accept

# message: {field number: (name, wire type, nested message, or "string" for text)}
FIELDS = {
    "Span": {
        1: ("trace_id", BYTES, None),
        2: ("span_id", BYTES, None),
        3: ("trace_state", BYTES, "string"),
        4: ("parent_span_id", BYTES, None),
        5: ("name", BYTES, "string"),
        6: ("kind", VARINT, None),
        7: ("start_time_unix_nano", FIXED64, None),
        8: ("end_time_unix_nano", FIXED64, None),
        9: ("attributes", BYTES, "KeyValue"),
        10: ("dropped_attributes_count", VARINT, None),
        11: ("events", BYTES, "Event"),
        12: ("dropped_events_count", VARINT, None),
        13: ("links", BYTES, "Link"),
        14: ("dropped_links_count", VARINT, None),
        15: ("status", BYTES, "Status"),
        16: ("flags", FIXED32, None),
    },
    "Event": {
        1: ("time_unix_nano", FIXED64, None),
        2: ("name", BYTES, "string"),
        3: ("attributes", BYTES, "KeyValue"),
        4: ("dropped_attributes_count", VARINT, None),
    },
    "Link": {
        1: ("trace_id", BYTES, None),
        2: ("span_id", BYTES, None),
        3: ("trace_state", BYTES, "string"),
        4: ("attributes", BYTES, "KeyValue"),
        5: ("dropped_attributes_count", VARINT, None),
        6: ("flags", FIXED32, None),
    },
    "Status": {2: ("message", BYTES, "string"), 3: ("code", VARINT, None)},
    "KeyValue": {1: ("key", BYTES, "string"), 2: ("value", BYTES, "AnyValue")},
    "AnyValue": {
        1: ("string_value", BYTES, "string"),
        2: ("bool_value", VARINT, None),
        3: ("int_value", VARINT, None),
        4: ("double_value", FIXED64, None),
        5: ("array_value", BYTES, "ArrayValue"),
        6: ("kvlist_value", BYTES, "KeyValueList"),
        7: ("bytes_value", BYTES, None),
    },
    "ArrayValue": {1: ("values", BYTES, "AnyValue")},
    "KeyValueList": {1: ("values", BYTES, "KeyValue")},
    "Resource": {
        1: ("attributes", BYTES, "KeyValue"),
        2: ("dropped_attributes_count", VARINT, None),
    },
    "InstrumentationScope": {
        1: ("name", BYTES, "string"),
        2: ("version", BYTES, "string"),
        3: ("attributes", BYTES, "KeyValue"),
        4: ("dropped_attributes_count", VARINT, None),
    },
    # The rows of the tables hold these two fields of the containers and no other.
    "ResourceSpans": {1: ("resource", BYTES, "Resource"), 3: ("schema_url", BYTES, "string")},
    "ScopeSpans": {
        1: ("scope", BYTES, "InstrumentationScope"),
        3: ("schema_url", BYTES, "string"),
    },
}


class WireError(Exception):
    pass


def varint(raw, at):
    """(value, position behind it)"""
    value = 0
    for index in range(10):
        if at + index >= len(raw):
            raise WireError("a varint runs over the end")
        byte = raw[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            if value >= 1 << 64:
                raise WireError("a varint has more than 64 bits")
            return value, at + index + 1
    raise WireError("a varint has more than 10 bytes")


def fields(raw):
    """Yields (field number, wire type, value) of one message; the value of BYTES is bytes."""
    at = 0
    while at < len(raw):
        tag, at = varint(raw, at)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise WireError(f"field number {number} is out of range")
        if wire_type == VARINT:
            value, at = varint(raw, at)
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
            if at + size > len(raw):
                raise WireError(f"field {number} runs over the end")
            value, at = int.from_bytes(raw[at : at + size], "little"), at + size
        elif wire_type == BYTES:
            size, at = varint(raw, at)
            if at + size > len(raw):
                raise WireError(f"field {number} runs over the end")
            value, at = raw[at : at + size], at + size
        else:
            raise WireError(f"field {number} has wire type {wire_type}")
        yield number, wire_type, value


def check(message, raw, depth=0):
    """Checks a whole message, nested ones too; returns {field name: [values]} of its top level."""
    if depth > DEPTH_MAX:
        raise WireError(f"{message}: nested deeper than {DEPTH_MAX}")
    found = {}
    for number, wire_type, value in fields(raw):
        known = FIELDS[message].get(number)
        if known is None:
            continue  # unknown fields are passed through
        name, expected_type, nested = known
        if wire_type != expected_type:
            raise WireError(f"{message}.{name}: wire type {wire_type}, not {expected_type}")
        if nested == "string":
            try:
                value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise WireError(f"{message}.{name} is not UTF-8: {error}") from None
        elif nested:
            check(nested, value, depth + 1)
        found.setdefault(name, []).append(value)
    return found
