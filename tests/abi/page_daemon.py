# SPDX-License-Identifier: Apache-2.0
"""A daemon of one room, written from docs/abi.md alone: it drains, settles and releases.

Owns   a directory's `state` and the acks of its segments; every record that it drained.
Drains only when a producer asks by force_flush, and then settles all of it as exported.
Never  sleeps on the doorbell: sleep_epoch stays even.
"""

import ctypes
import mmap
import os
import struct
import time
from pathlib import Path

import decoder

COPY_BYTES = 320


def write_file(path, raw):
    """Under a temporary name, complete and fully allocated, then renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "xb") as file:
        file.write(raw)
        os.fchmod(file.fileno(), 0o644)
    temporary.rename(path)


def file_header(magic, size, identity):
    return struct.pack(
        "<8sHHIQII16sQQ", magic, 1, 0, 64, size, 0, 0, identity, time.time_ns(), 0
    )


class MappedFile:
    """A file of the daemon's; each store is one aligned access of its full width."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def store64(self, at, value):
        ctypes.c_uint64.from_buffer(self.memory, at).value = value

    def load64(self, at):
        return ctypes.c_uint64.from_buffer(self.memory, at).value

    def store32(self, at, value):
        ctypes.c_uint32.from_buffer(self.memory, at).value = value

    def close(self):
        self.memory.close()


class PageDaemon:
    def __init__(self, directory):
        self.directory = Path(directory)
        path = self.directory / "state"
        raw = bytearray(4096)
        raw[0:64] = file_header(b"OLSHMSTA", 4096, os.urandom(16))
        write_file(path, raw)
        self.state = MappedFile(path)
        self.state.store64(64, 1)
        self.acks = {}  # segment path: its mapped ack
        self.records = {}  # segment path: [records in the order they were drained]

    def close(self):
        for file in (self.state, *self.acks.values()):
            file.close()

    def turn(self):
        self.state.store64(128, self.state.load64(128) + 1)
        for path in sorted(self.directory.glob("*.seg")):
            if path not in self.acks:
                self.adopt(path)
            with open(path, "rb") as file:
                asked = struct.unpack("<Q", os.pread(file.fileno(), 8, 4096 + 128))[0]
            if asked != self.acks[path].load64(520):
                self.settle(path)
                self.acks[path].store64(520, asked)

    def adopt(self, path):
        lane_count = struct.unpack_from("<I", path.read_bytes()[:68], 64)[0]
        size = decoder.round_up(decoder.SLOTS + decoder.SLOT_BYTES * lane_count, 4096)
        raw = bytearray(size)
        raw[0:64] = file_header(b"OLSHMACK", size, bytes.fromhex(path.stem))
        struct.pack_into("<I", raw, 64, lane_count)
        struct.pack_into("<I", raw, 128, 1)  # live
        struct.pack_into("<Q", raw, 512, 1)
        write_file(path.with_suffix(".ack"), raw)
        self.acks[path] = MappedFile(path.with_suffix(".ack"))
        self.records[path] = []

    def settle(self, path):
        """Everything committed counts as exported; its bytes go back to the producer."""
        ack = self.acks[path]
        segment = decoder.segment(path)
        for lane in segment.lanes:
            slot = decoder.SLOTS + decoder.SLOT_BYTES * lane.index
            selector = ack.load64(slot)
            old, new = (slot + 64 + COPY_BYTES * (number & 1) for number in (selector, selector + 1))
            records = segment.records(lane.index, ack.load64(old), ack.load64(old + 8))
            if not records:
                continue
            self.records[path] += records
            for at, value in ((0, records[-1].end), (8, records[-1].sequence)):
                ack.store64(new + at, value)
            ack.store64(new + 16, ack.load64(old + 16) + len(records))
            ack.store64(slot, selector + 1)
