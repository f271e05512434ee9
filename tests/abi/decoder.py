# SPDX-License-Identifier: Apache-2.0
"""A second reader of segments, acks and state, written from docs/abi.md alone.

Owns   the rules of that page: each is checked, and a violation names the place and the rule.
Never  reads layout.h, imports anything of ours in another language, or corrects what it reads.
Raises FormatError; AbiSkew (one of them) for a file of another version.
Usage  decoder.py FILE...: prints what the files hold.
"""

import fcntl
import os
import stat
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import wire

SEGMENT_BYTES_MIN = 131072
CONTROL = 4096
LANE_CONTROLS = 8192
RESOURCE_TABLE = 16384
SCOPE_TABLE = 20480
TABLE_BYTES = 24576
TABLE_BYTES_SIZE = 65536
LANES_MAX, RESOURCES_MAX, SCOPES_MAX = 64, 64, 256
AREA_UNIT, AREA_BYTES_MAX = 65536, 1 << 30
RECORD_HEADER, RECORD_BYTES_MAX = 80, 4194304
SLOTS, SLOT_BYTES = 4096, 704
SCOPE_INSIDE = 65535

PRODUCER_REASONS = {
    1: "lane_full",
    2: "lanes_busy",
    3: "record_too_large",
    4: "forked",
    5: "no_segment",
    6: "shutdown",
}
DAEMON_REASONS = {
    32: "sampled_out",
    33: "invalid_header",
    34: "invalid_wire",
    35: "invalid_utf8",
    36: "invalid_ids",
    37: "invalid_scope",
    38: "skipped",
    39: "poison",
    40: "quarantined",
    41: "quota",
    42: "export_rejected",
    43: "export_partial",
    44: "export_too_large",
    45: "export_expired",
    46: "spool_full",
    47: "spool_corrupt",
    48: "spool_io",
    49: "memory_limit",
    50: "tail_evicted",
    51: "redacted",
    52: "segment_lost",
}
REASONS = PRODUCER_REASONS | DAEMON_REASONS
ACK_STATES = {1: "live", 2: "quarantined", 3: "reaped"}


class FormatError(Exception):
    pass


class AbiSkew(FormatError):
    """A file of another major, or with a required feature that this reader does not know."""


def require(holds, what):
    if not holds:
        raise FormatError(what)


def zero(raw, start, end, where):
    for at in range(start, end):
        if raw[at]:
            raise FormatError(f"{where}: byte {at} is {raw[at]:#04x}; it has no name and must be 0")


def u16(raw, at):
    return int.from_bytes(raw[at : at + 2], "little")


def u32(raw, at):
    return int.from_bytes(raw[at : at + 4], "little")


def u64(raw, at):
    return int.from_bytes(raw[at : at + 8], "little")


def round_up(number, unit):
    return -(-number // unit) * unit


def name_hash(raw):
    value = len(raw)
    for at in range(0, len(raw), 8):
        word = int.from_bytes(raw[at : at + 8], "little")
        value = (value ^ word) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 32
    return value


def reason_counts(raw, at, first, names, where):
    """{reason name: count} of the 32 counters at `at`, which begin with reason number `first`."""
    counts = {}
    for index in range(32):
        count = u64(raw, at + 8 * index)
        if first + index in names:
            counts[names[first + index]] = count
        else:
            require(count == 0, f"{where}: {count} drops with reason {first + index}, which is none")
    return counts


# ------------------------------------------------------------------------------------- file header


@dataclass
class FileHeader:
    magic: bytes
    major: int
    minor: int
    file_bytes: int
    features_required: int
    features_optional: int
    id: bytes
    created_unix_nano: int


def file_header(raw, magic, path):
    require(len(raw) >= 64, f"{path}: {len(raw)} bytes are no file header")
    found = FileHeader(
        raw[0:8], u16(raw, 8), u16(raw, 10), u64(raw, 16), u32(raw, 24), u32(raw, 28), raw[32:48],
        u64(raw, 48),
    )
    require(found.magic == magic, f"{path}: magic {found.magic!r}, not {magic!r}")
    if found.major != 1:
        raise AbiSkew(f"{path}: major {found.major}; this reader knows 1")
    if found.features_required:
        raise AbiSkew(f"{path}: unknown required feature bits {found.features_required:#x}")
    require(u32(raw, 12) == 64, f"{path}: header_bytes {u32(raw, 12)}, not 64")
    require(found.file_bytes == len(raw), f"{path}: file_bytes {found.file_bytes} of {len(raw)}")
    if found.minor == 0:
        require(found.features_optional == 0, f"{path}: optional feature bits in minor 0")
    require(any(found.id), f"{path}: the id is zero")
    zero(raw, 56, 64, f"{path}: file header")
    return found


def read_regular(path):
    """The bytes of a file that has its name, and its status."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        require(stat.S_ISREG(status.st_mode), f"{path}: not a regular file")
        raw = bytearray()
        while len(raw) < status.st_size:
            piece = os.pread(descriptor, status.st_size - len(raw), len(raw))
            require(piece, f"{path}: it became shorter while it was read")
            raw += piece
        return bytes(raw), status
    finally:
        os.close(descriptor)


# ----------------------------------------------------------------------------------------- segment


@dataclass
class Record:
    lane: int
    position: int
    size: int
    sequence: int
    trace_id: bytes
    span_id: bytes
    duration_nano: int
    name_hash: int
    threshold: int
    scope_index: int
    record_flags: int
    span_flags: int
    record_kind: int
    span_kind: int
    status_code: int
    resource: bytes  # as in a resource row
    scope: bytes  # as in a scope row
    span: bytes  # the fields of one OTLP Span

    @property
    def end(self):
        return self.position + round_up(self.size, 8)


@dataclass
class Scope:
    scope: bytes
    resource_index: int


@dataclass
class Lane:
    index: int
    area_offset: int
    area_bytes: int
    tail: int
    sequence: int


@dataclass
class Segment:
    path: str
    header: FileHeader
    producer_pid: int
    library: str
    lanes: list
    lanes_open: int
    flush_request: int
    dropped: dict
    resources: list
    scopes: list
    raw: bytes = field(repr=False)

    def bytes_at(self, lane, position, size):
        """Bytes of a lane from a position on; they may wrap around the end of its area."""
        start = position % lane.area_bytes
        first = min(size, lane.area_bytes - start)
        at = lane.area_offset
        return self.raw[at + start : at + start + first] + self.raw[at : at + size - first]

    def records(self, lane_index, release=0, sequence=0):
        """The committed records of a lane from `release` on; `sequence` is of the one before."""
        lane = self.lanes[lane_index]
        where = f"{self.path}: lane {lane_index}"
        require(release <= lane.tail, f"{where}: release {release} is beyond tail {lane.tail}")
        require(
            lane.tail - release <= lane.area_bytes,
            f"{where}: {lane.tail - release} bytes in use of {lane.area_bytes}",
        )
        require(release % 8 == 0, f"{where}: release {release} is no multiple of 8")
        found = []
        position = release
        while position < lane.tail:
            record = self.record(lane, position)
            sequence += 1
            require(
                record.sequence == sequence,
                f"{where} at {position}: sequence {record.sequence}, not {sequence}",
            )
            found.append(record)
            position = record.end
        require(position == lane.tail, f"{where}: a record ends at {position}, tail is {lane.tail}")
        require(
            sequence - 1 <= lane.sequence <= sequence,
            f"{where}: its sequence says {lane.sequence}, its newest record {sequence}",
        )
        return found

    def record(self, lane, position):
        where = f"{self.path}: lane {lane.index} at {position}"
        require(lane.tail - position >= RECORD_HEADER, f"{where}: no room for a header before tail")
        head = self.bytes_at(lane, position, RECORD_HEADER)
        size = u32(head, 0)
        require(
            RECORD_HEADER < size <= min(RECORD_BYTES_MAX, lane.area_bytes),
            f"{where}: size {size}",
        )
        require(position + round_up(size, 8) <= lane.tail, f"{where}: size {size} passes the tail")
        require(
            u32(head, 4) == position & 0xFFFFFFFF, f"{where}: position_low {u32(head, 4)}"
        )
        zero(head, 75, 80, where)
        body = self.bytes_at(lane, position + RECORD_HEADER, size - RECORD_HEADER)
        kind, scope_index = head[72], u16(head, 64)
        if kind == 1:
            require(
                scope_index < len(self.scopes),
                f"{where}: scope {scope_index} of {len(self.scopes)}",
            )
            scope = self.scopes[scope_index]
            resource, scope, span = self.resources[scope.resource_index], scope.scope, body
        elif kind == 2:
            require(scope_index == SCOPE_INSIDE, f"{where}: kind 2 with scope {scope_index}")
            resource, rest = prefixed(body, where)
            scope, span = prefixed(rest, where)
            check_row("ResourceSpans", resource, where)
            check_row("ScopeSpans", scope, where)
        else:
            raise FormatError(f"{where}: record_kind {kind}")
        record = Record(
            lane.index, position, size, u64(head, 8), head[16:32], head[32:40], u64(head, 40),
            u64(head, 48), u64(head, 56), scope_index, u16(head, 66), u32(head, 68), kind, head[73],
            head[74], resource, scope, span,
        )
        check_record(record, where)
        return record


def prefixed(raw, where):
    """(the bytes behind a u32 length, the rest)"""
    require(len(raw) >= 4, f"{where}: no room for a length")
    size = u32(raw, 0)
    require(4 + size <= len(raw), f"{where}: a length of {size} passes the record's end")
    return raw[4 : 4 + size], raw[4 + size :]


def check_record(record, where):
    """The header against the body, and the body against the wire format."""
    try:
        span = wire.check("Span", record.span)
    except wire.WireError as error:
        raise FormatError(f"{where}: {error}") from None
    for name, bytes_wanted in (("trace_id", 16), ("span_id", 8)):
        values = span.get(name, [])
        require(len(values) == 1, f"{where}: {name} occurs {len(values)} times")
        require(len(values[0]) == bytes_wanted, f"{where}: {name} has {len(values[0])} bytes")
        require(any(values[0]), f"{where}: {name} is zero")
        require(values[0] == getattr(record, name), f"{where}: {name} differs from the header's")

    def last(name, default=0):
        return span.get(name, [default])[-1]

    parent = last("parent_span_id", b"")
    require(len(parent) in (0, 8), f"{where}: parent_span_id has {len(parent)} bytes")
    status_code = 0
    for status in span.get("status", []):  # the parts of a message field are merged
        status_code = wire.check("Status", status).get("code", [status_code])[-1]
    duration = max(0, last("end_time_unix_nano") - last("start_time_unix_nano"))
    for name, header, body in (
        ("duration_nano", record.duration_nano, duration),
        ("name_hash", record.name_hash, name_hash(last("name", b""))),
        ("span_flags", record.span_flags, last("flags")),
        ("span_kind", record.span_kind, last("kind")),
        ("status_code", record.status_code, status_code),
    ):
        require(header == body, f"{where}: {name} {header:#x}, its body says {body:#x}")
    flags = record.record_flags
    require(flags & ~7 == 0, f"{where}: record_flags {flags:#x}")
    require(record.threshold < 1 << 56, f"{where}: threshold {record.threshold:#x}")
    require(flags & 4 or record.threshold == 0, f"{where}: a threshold that is not said to be known")


def check_row(message, raw, where):
    try:
        fields = {number for number, _, _ in wire.fields(raw)}
        wire.check(message, raw)
    except wire.WireError as error:
        raise FormatError(f"{where}: {error}") from None
    require(fields <= {1, 3}, f"{where}: {message} fields {sorted(fields - {1, 3})}")


def table(raw, at, rows, count, where):
    """[(bytes, resource_index)]; the rows from `count` on must be untouched."""
    found = []
    for index in range(count):
        row = at + 16 * index
        offset, size, resource_index = u32(raw, row), u32(raw, row + 4), u16(raw, row + 8)
        zero(raw, row + 10, row + 16, f"{where} {index}")
        require(
            offset + size <= TABLE_BYTES_SIZE, f"{where} {index}: bytes {offset}+{size} of 65536"
        )
        found.append((raw[TABLE_BYTES + offset :][:size], resource_index))
    zero(raw, at + 16 * count, at + 16 * rows, where)
    return found


def segment(path, *, check_file=True):
    """Reads <id>.seg."""
    raw, status = read_regular(path)
    name = Path(path).name
    header = file_header(raw, b"OLSHMSEG", path)
    require(name == header.id.hex() + ".seg", f"{path}: its header's id is {header.id.hex()}")
    require(status.st_nlink == 1, f"{path}: {status.st_nlink} links")
    require(len(raw) >= SEGMENT_BYTES_MIN, f"{path}: {len(raw)} bytes")

    lanes = lane_table(raw, path)
    control = CONTROL
    lanes_open = u32(raw, control)
    require(1 <= lanes_open <= len(lanes), f"{path}: lanes_open {lanes_open} of {len(lanes)}")
    resource_count, scope_count = u32(raw, control + 4), u32(raw, control + 8)
    require(resource_count <= RESOURCES_MAX, f"{path}: {resource_count} resources")
    require(scope_count <= SCOPES_MAX, f"{path}: {scope_count} scopes")
    for start, end in ((12, 128), (136, 256), (512, 4096)):
        zero(raw, control + start, control + end, f"{path}: control page")

    for lane in lanes:
        at = LANE_CONTROLS + 128 * lane.index
        lane.tail, lane.sequence = u64(raw, at), u64(raw, at + 8)
        require(lane.tail % 8 == 0, f"{path}: lane {lane.index}: tail {lane.tail}")
        if lane.index >= lanes_open:
            zero(raw, at, at + 16, f"{path}: lane {lane.index}, which is not open")
        zero(raw, at + 16, at + 128, f"{path}: lane control {lane.index}")
    zero(raw, LANE_CONTROLS + 128 * len(lanes), RESOURCE_TABLE, f"{path}: lane controls")

    resources = []
    for row, index in table(raw, RESOURCE_TABLE, RESOURCES_MAX, resource_count, f"{path}: resource"):
        require(index == 0, f"{path}: a resource with resource_index {index}")
        check_row("ResourceSpans", row, f"{path}: resource")
        resources.append(row)
    zero(raw, RESOURCE_TABLE + 16 * RESOURCES_MAX, SCOPE_TABLE, f"{path}: behind the resource table")
    scopes = []
    for row, index in table(raw, SCOPE_TABLE, SCOPES_MAX, scope_count, f"{path}: scope"):
        require(index < resource_count, f"{path}: a scope of resource {index} of {resource_count}")
        check_row("ScopeSpans", row, f"{path}: scope")
        scopes.append(Scope(row, index))
    zero(raw, TABLE_BYTES + TABLE_BYTES_SIZE, SEGMENT_BYTES_MIN, f"{path}: behind the tables")

    if check_file:
        allocated, needed = status.st_blocks * 512, SEGMENT_BYTES_MIN + lanes[0].area_bytes
        require(allocated >= needed, f"{path}: {allocated} bytes allocated, not even {needed}")
        directory = os.stat(Path(path).parent)
        for_all = directory.st_mode & stat.S_IWOTH and not directory.st_mode & stat.S_ISVTX
        mode = 0o640 if directory.st_mode & stat.S_ISGID and not for_all else 0o644
        require(
            stat.S_IMODE(status.st_mode) == mode,
            f"{path}: mode {stat.S_IMODE(status.st_mode):04o}, not {mode:04o}",
        )
    return Segment(
        str(path), header, u32(raw, 68), library_of(raw, path), lanes, lanes_open,
        u64(raw, control + 128),
        reason_counts(raw, control + 256, 0, PRODUCER_REASONS, path),
        resources, scopes, raw,
    )


def lane_table(raw, path):
    lane_count = u32(raw, 64)
    require(1 <= lane_count <= LANES_MAX, f"{path}: lane_count {lane_count}")
    lanes, areas = [], []
    for index in range(lane_count):
        at = 1024 + 16 * index
        offset, size = u64(raw, at), u64(raw, at + 8)
        where = f"{path}: lane {index}"
        require(offset % AREA_UNIT == 0 and size % AREA_UNIT == 0, f"{where}: {offset}+{size}")
        require(AREA_UNIT <= size <= AREA_BYTES_MAX, f"{where}: area_bytes {size}")
        require(offset >= SEGMENT_BYTES_MIN, f"{where}: area_offset {offset}")
        require(offset + size <= len(raw), f"{where}: its area passes the file's end")
        lanes.append(Lane(index, offset, size, 0, 0))
        areas.append((offset, offset + size))
    areas.sort()
    for (_, end), (start, _) in zip(areas, areas[1:]):
        require(end <= start, f"{path}: lane areas overlap at {start}")
    require(lanes[0].area_bytes == max(lane.area_bytes for lane in lanes), f"{path}: lane 0 is small")
    require(
        len(raw) == SEGMENT_BYTES_MIN + sum(lane.area_bytes for lane in lanes),
        f"{path}: the file is not its first pages and its lanes",
    )
    zero(raw, 72, 128, f"{path}: header")
    zero(raw, 192, 1024, f"{path}: header")
    zero(raw, 1024 + 16 * lane_count, 4096, f"{path}: header")
    return lanes


def library_of(raw, path):
    text = raw[128:192]
    name = text.rstrip(b"\0")
    require(b"\0" not in name, f"{path}: library {text!r} is not zero-padded text")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError(f"{path}: library {text!r} is not UTF-8") from None


# --------------------------------------------------------------------------------------------- ack


@dataclass
class Slot:
    selector: int
    release: int
    sequence: int
    exported: int
    attempts: int
    dropped: dict


@dataclass
class Ack:
    path: str
    header: FileHeader
    state: str
    dropped_echo: dict
    adoptions: int
    flush_echo: int
    slots: list


def ack_copy(raw, at, where):
    dropped = reason_counts(raw, at + 32, 32, DAEMON_REASONS, where)
    zero(raw, at + 28, at + 32, where)
    zero(raw, at + 288, at + 320, where)
    return Slot(0, u64(raw, at), u64(raw, at + 8), u64(raw, at + 16), u32(raw, at + 24), dropped)


def ack_slot(path, raw, at, where):
    """The valid copy of a slot. The file is read once more until its selector stands still."""
    deadline = time.monotonic() + 5
    while True:
        selector = u64(raw, at)
        found = ack_copy(raw, at + (384 if selector & 1 else 64), where)
        raw, _ = read_regular(path)
        if u64(raw, at) == selector:
            break
        require(time.monotonic() < deadline, f"{where}: the selector does not stand still")
    zero(raw, at + 8, at + 64, where)
    found.selector = selector
    settled = found.exported + sum(found.dropped.values())
    require(
        found.sequence == settled,
        f"{where}: sequence {found.sequence}, exported and dropped are {settled}",
    )
    require(found.release % 8 == 0, f"{where}: release {found.release}")
    return found


def ack(path, *, check_file=True):
    """Reads <id>.ack."""
    raw, status = read_regular(path)
    header = file_header(raw, b"OLSHMACK", path)
    require(
        Path(path).name == header.id.hex() + ".ack", f"{path}: its header's id is {header.id.hex()}"
    )
    lane_count = u32(raw, 64)
    require(1 <= lane_count <= LANES_MAX, f"{path}: lane_count {lane_count}")
    size = round_up(SLOTS + SLOT_BYTES * lane_count, 4096)
    require(len(raw) == size, f"{path}: {len(raw)} bytes for {lane_count} lanes, not {size}")
    state = u32(raw, 128)
    require(state in ACK_STATES, f"{path}: state {state}")
    for start, end in ((68, 128), (132, 256), (528, 4096)):
        zero(raw, start, end, f"{path}: header")
    zero(raw, SLOTS + SLOT_BYTES * lane_count, size, f"{path}: behind the slots")
    if check_file:
        check_daemon_file(path, status)
    slots = [
        ack_slot(path, raw, SLOTS + SLOT_BYTES * lane, f"{path}: slot {lane}")
        for lane in range(lane_count)
    ]
    return Ack(
        str(path), header, ACK_STATES[state],
        reason_counts(raw, 256, 0, PRODUCER_REASONS, path), u64(raw, 512), u64(raw, 520), slots,
    )


def check_daemon_file(path, status):
    require(
        status.st_blocks * 512 >= status.st_size,
        f"{path}: {status.st_blocks * 512} of {status.st_size} bytes allocated",
    )
    mode = stat.S_IMODE(status.st_mode)
    require(mode == 0o644, f"{path}: mode {mode:04o}, not 0644")


# ------------------------------------------------------------------------------------------- state


@dataclass
class State:
    path: str
    header: FileHeader
    lives: int
    heartbeat: int
    doorbell: int
    sleep_epoch: int
    policy: dict
    clock: dict


POLICY = struct.Struct("<QIIQQIIIIIII")
POLICY_FIELDS = (
    "generation flags pressure_level threshold spans_per_second attribute_count "
    "attribute_value_bytes event_count link_count record_bytes rules_offset rules_bytes"
).split()
CLOCK = struct.Struct("<QQQQII")
CLOCK_FIELDS = "generation tsc unix_nano expiry_tsc multiplier shift".split()


def seqlock(path, raw, at, layout, names):
    """A block whose generation is even and stands still; three tries, then None."""
    for _ in range(3):
        values = dict(zip(names, layout.unpack_from(raw, at)))
        raw, _ = read_regular(path)
        if values["generation"] % 2 == 0 and u64(raw, at) == values["generation"]:
            return values
    return None


def state(path, *, check_file=True):
    """Reads `state`."""
    raw, status = read_regular(path)
    header = file_header(raw, b"OLSHMSTA", path)
    require(len(raw) == 4096, f"{path}: {len(raw)} bytes, not 4096")
    for start, end in ((72, 128), (136, 256), (264, 384), (384 + 60, 448), (448, 512), (552, 1024)):
        zero(raw, start, end, str(path))
    if check_file:
        check_daemon_file(path, status)
    policy = seqlock(path, raw, 384, POLICY, POLICY_FIELDS)
    clock = seqlock(path, raw, 512, CLOCK, CLOCK_FIELDS)
    for block, name in ((policy, "policy"), (clock, "clock")):
        if block and block["generation"] == 0:
            require(not any(block.values()), f"{path}: {name} of generation 0 holds {block}")
    if policy:
        require(policy["flags"] & ~15 == 0, f"{path}: policy flags {policy['flags']:#x}")
        start, size = policy["rules_offset"], policy["rules_bytes"]
        require(
            size == 0 or (1024 <= start and start + size <= 4096), f"{path}: rules {start}+{size}"
        )
    return State(
        str(path), header, u64(raw, 64), u64(raw, 128), u32(raw, 256), u32(raw, 260), policy, clock
    )


# --------------------------------------------------------------------------------------- directory


def is_locked(path):
    """Does another open file description hold a lock: does the producer live?"""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
        return struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK
    finally:
        os.close(descriptor)


@dataclass
class Balance:
    """The terms of the law of conservation, of one segment or of several."""

    ended: int = 0
    exported: int = 0
    dropped: dict = field(default_factory=dict)
    in_flight: int = 0

    def add(self, other):
        self.ended += other.ended
        self.exported += other.exported
        self.in_flight += other.in_flight
        for reason, count in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def holds(self):
        return self.ended == self.exported + sum(self.dropped.values()) + self.in_flight


def balance(read, acknowledged=None):
    """The terms of one segment at a moment at which nothing moves. In flight is counted record by
    record, so that the law can fail."""
    found = Balance(
        ended=sum(read.dropped.values()),
        dropped={reason: count for reason, count in read.dropped.items() if count},
    )
    for lane in read.lanes:
        slot = acknowledged.slots[lane.index] if acknowledged else Slot(0, 0, 0, 0, 0, {})
        waiting = read.records(lane.index, slot.release, slot.sequence)
        found.ended += waiting[-1].sequence if waiting else slot.sequence
        found.exported += slot.exported
        found.in_flight += len(waiting)
        for reason, count in slot.dropped.items():
            if count:
                found.dropped[reason] = found.dropped.get(reason, 0) + count
    return found


def segments(directory):
    """Every segment of a directory with its ack, or None where there is no ack."""
    found = []
    for path in sorted(Path(directory).glob("*.seg")):
        beside = path.with_suffix(".ack")
        found.append((segment(path), ack(beside) if beside.exists() else None))
    return found


def main(paths):
    for path in map(Path, paths):
        if path.suffix == ".seg":
            read = segment(path)
            beside = path.with_suffix(".ack")
            read_ack = ack(beside) if beside.exists() else None
            print(f"{path}: {read.library}, pid {read.producer_pid}, {balance(read, read_ack)}")
            for lane in read.lanes[: read.lanes_open]:
                print(f"  {lane}")
        elif path.suffix == ".ack":
            print(ack(path))
        else:
            print(state(path))


if __name__ == "__main__":
    main(sys.argv[1:])
