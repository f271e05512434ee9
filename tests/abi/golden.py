# SPDX-License-Identifier: Apache-2.0
"""golden/*.hex: whole pages and a whole record, byte by byte, written from docs/abi.md alone.

Form   `size BYTES`, then lines `OFFSET  HEX BYTES  # what it is`; what no line names is 0.
Never  changes once a version of the format is released: a new version gets new files.
"""

import re
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent / "golden"


def read(name):
    """(the bytes, [(offset, bytes, what the line says)])"""
    raw, lines, end = None, [], 0
    for line in (DIRECTORY / f"{name}.hex").read_text(encoding="utf-8").splitlines():
        words, _, says = line.partition("#")
        if not words.strip():
            continue
        if words.startswith("size "):
            raw = bytearray(int(words.split()[1]))
            continue
        offset, *octets = words.split()
        assert re.fullmatch("[0-9a-f]+", offset) and octets, f"{name}.hex: {line}"
        at, piece = int(offset, 16), bytes.fromhex("".join(octets))
        assert end <= at <= at + len(piece) <= len(raw), f"{name}.hex: {line}: out of its place"
        raw[at : at + len(piece)] = piece
        lines.append((at, piece, says.strip()))
        end = at + len(piece)
    return bytes(raw), lines
