# SPDX-License-Identifier: Apache-2.0
"""docs/abi.md against layout.h: every offset, width, bound and reason, by asking a compiler.

Owns   the map from the page's tables to the header's structs.
Never  trusts a number that stands in the header as text: it prints what the compiler made of it.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import decoder

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/abi.md").read_text(encoding="utf-8")
INCLUDE = ROOT / "libotlpshm/include"
LAYOUT = INCLUDE / "otlpshm/layout.h"

# (a table's heading or the words before it, the struct, offset of the struct's start on the page)
TABLES = [
    ("## File header", "otlpshm_file_header"),
    ("**Header**", "otlpshm_segment_header"),
    ("**Control page**", "otlpshm_control"),
    ("**Lane control**", "otlpshm_lane_control"),
    ("## Record", "otlpshm_record_header"),
    ("## Ack", "otlpshm_ack_header"),
    ("A slot:", "otlpshm_ack_slot"),
    ("A copy:", "otlpshm_ack_copy"),
    ("## State", "otlpshm_state"),
]
NOT_FIELDS = {"–", "body", "slot of lane *i*"}


def rows_after(words):
    """The cells of the first table behind a line that begins with `words`."""
    lines = PAGE.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith(words))
    rows = []
    for line in lines[at + 1 :]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def bytes_of(width):
    """ "32 × 8" is 256."""
    total = 1
    for factor in width.split("×"):
        total *= int(factor)
    return total


def table_fields():
    """[(struct, field, offset, bytes)] of every table and of the two blocks in running text."""
    found = []
    for words, struct in TABLES:
        for offset, width, name, *_ in rows_after(words):
            if name.startswith("copy "):
                name = f"copies[{name[-1]}]"
            if name not in NOT_FIELDS:
                found.append((struct, name, int(offset), bytes_of(width)))
    for struct, start in (("otlpshm_policy", "**Policy**"), ("otlpshm_clock", "**Clock**")):
        (text,) = [line for line in PAGE.splitlines() if line.startswith(start)]
        for name, offset, width in re.findall(r"(\w+) \((\d+), (\d+)(?: bytes)?[):;]", text):
            found.append((struct, name, int(offset), int(width)))
    (entry,) = [line for line in PAGE.splitlines() if line.startswith("A row is 16 bytes")]
    at = 0
    for name, bits in re.findall(r"(\w+) \(u(\d+)", entry):
        found.append(("otlpshm_table_entry", name, at, int(bits) // 8))
        at += int(bits) // 8
    at = 0
    for name, width in re.findall(r"(area_\w+) \((\d)\)", PAGE):
        found.append(("otlpshm_lane_entry", name, at, int(width)))
        at += int(width)
    return found


def ask_compiler(tmp_path, expressions):
    """What the compiler makes of C expressions that use layout.h: [int]"""
    source = tmp_path / "ask.c"
    program = tmp_path / "ask"
    lines = "\n".join(f'  printf("%llu\\n", (unsigned long long)({one}));' for one in expressions)
    source.write_text(
        f'#include <stdio.h>\n#include "otlpshm/layout.h"\nint main(void) {{\n{lines}\n}}\n'
    )
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-std=c11", "-I", str(INCLUDE), "-o", str(program), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, f"layout.h does not hold what the page names:\n{built.stderr}"
    out = subprocess.run([program], capture_output=True, text=True, timeout=10, check=True).stdout
    return [int(line) for line in out.split()]


def test_every_field_of_the_page_lies_where_it_says(tmp_path):
    fields = table_fields()
    assert len(fields) >= 70, "the tables of docs/abi.md were not found"
    expressions = []
    for struct, name, _, _ in fields:
        expressions.append(f"offsetof(struct {struct}, {name})")
        expressions.append(f"sizeof(((struct {struct}*)0)->{name})")
    answers = ask_compiler(tmp_path, expressions)
    wrong = [
        f"{struct}.{name}: {offset}+{size} on the page, {at}+{width} in layout.h"
        for (struct, name, offset, size), at, width in zip(fields, answers[::2], answers[1::2])
        if (at, width) != (offset, size)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_field_of_the_header_is_on_the_page():
    named = {(struct, name.partition("[")[0]) for struct, name, _, _ in table_fields()}
    text = re.sub(r"/\*.*?\*/", "", LAYOUT.read_text(), flags=re.DOTALL)
    structs = re.findall(r"^struct (\w+) \{(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE)
    assert len(structs) >= 12
    missing = [
        f"{struct}.{name}"
        for struct, body in structs
        for name in re.findall(r"(\w+)(?:\[\w+\])?;", body)
        if not name.startswith("reserved") and (struct, name) not in named
    ]
    assert not missing, f"docs/abi.md does not name {', '.join(missing)}"


SIZES = {
    "sizeof(struct otlpshm_file_header)": 64,
    "sizeof(struct otlpshm_segment_header)": 4096,
    "sizeof(struct otlpshm_control)": 4096,
    "sizeof(struct otlpshm_lane_control)": 128,
    "sizeof(struct otlpshm_lane_entry)": 16,
    "sizeof(struct otlpshm_table_entry)": 16,
    "sizeof(struct otlpshm_record_header)": decoder.RECORD_HEADER,
    "sizeof(struct otlpshm_ack_header)": decoder.SLOTS,
    "sizeof(struct otlpshm_ack_slot)": decoder.SLOT_BYTES,
    "sizeof(struct otlpshm_ack_copy)": 320,
    "sizeof(struct otlpshm_policy)": 64,
    "sizeof(struct otlpshm_clock)": 64,
    "sizeof(struct otlpshm_state)": 4096,
    "OTLPSHM_ABI_MAJOR": 1,
    "OTLPSHM_ABI_MINOR": 0,
    "OTLPSHM_SEGMENT_MAGIC": int.from_bytes(b"OLSHMSEG", "little"),
    "OTLPSHM_ACK_MAGIC": int.from_bytes(b"OLSHMACK", "little"),
    "OTLPSHM_STATE_MAGIC": int.from_bytes(b"OLSHMSTA", "little"),
    "OTLPSHM_LANES_MAX": decoder.LANES_MAX,
    "OTLPSHM_RESOURCES_MAX": decoder.RESOURCES_MAX,
    "OTLPSHM_SCOPES_MAX": decoder.SCOPES_MAX,
    "OTLPSHM_TABLE_BYTES_MAX": decoder.TABLE_BYTES_SIZE,
    "OTLPSHM_LANE_ALIGNMENT": decoder.AREA_UNIT,
    "OTLPSHM_LANE_BYTES_MAX": decoder.AREA_BYTES_MAX,
    "OTLPSHM_RECORD_ALIGNMENT": 8,
    "OTLPSHM_RECORD_BYTES_MAX": decoder.RECORD_BYTES_MAX,
    "OTLPSHM_SEGMENT_HEADER_OFFSET": 0,
    "OTLPSHM_CONTROL_OFFSET": decoder.CONTROL,
    "OTLPSHM_LANE_CONTROLS_OFFSET": decoder.LANE_CONTROLS,
    "OTLPSHM_RESOURCE_TABLE_OFFSET": decoder.RESOURCE_TABLE,
    "OTLPSHM_SCOPE_TABLE_OFFSET": decoder.SCOPE_TABLE,
    "OTLPSHM_TABLE_BYTES_OFFSET": decoder.TABLE_BYTES,
    "OTLPSHM_LANE_AREAS_OFFSET": decoder.SEGMENT_BYTES_MIN,
    "OTLPSHM_ACK_SLOTS_OFFSET": decoder.SLOTS,
    "OTLPSHM_ACK_FILE_BYTES(1)": 8192,
    "OTLPSHM_ACK_FILE_BYTES(64)": 49152,
    "OTLPSHM_STATE_FILE_BYTES": 4096,
    "OTLPSHM_STATE_RULES_OFFSET": 1024,
    "OTLPSHM_STATE_RULES_BYTES_MAX": 3072,
    "OTLPSHM_RECORD_SPAN": 1,
    "OTLPSHM_RECORD_SPAN_INLINE_SCOPE": 2,
    "OTLPSHM_RECORD_ONLY": 1,
    "OTLPSHM_RECORD_PARENT_SAMPLED": 2,
    "OTLPSHM_RECORD_THRESHOLD_KNOWN": 4,
    "OTLPSHM_RECORD_MULTI_PRODUCER": 0x8000,
    "OTLPSHM_POLICY_THRESHOLD | OTLPSHM_POLICY_RATE << 8 | OTLPSHM_POLICY_LIMITS << 16": 0x40201,
    "OTLPSHM_POLICY_RULES": 8,
    "otlpshm_ack_live | otlpshm_ack_quarantined << 8 | otlpshm_ack_reaped << 16": 0x30201,
    "OTLPSHM_PRODUCER_REASONS": 32,
    "OTLPSHM_DAEMON_REASONS": 32,
    "OTLPSHM_DAEMON_REASON_FIRST": 32,
}


def test_sizes_bounds_and_bits_are_those_of_the_page(tmp_path):
    answers = dict(zip(SIZES, ask_compiler(tmp_path, SIZES)))
    assert answers == SIZES


def test_the_parts_of_a_segment_are_those_of_the_page(tmp_path):
    parts = [(int(offset), width) for offset, width, _ in rows_after("## Segment")]
    names = (
        "SEGMENT_HEADER CONTROL LANE_CONTROLS RESOURCE_TABLE SCOPE_TABLE TABLE_BYTES LANE_AREAS"
    )
    expressions = [f"OTLPSHM_{name}_OFFSET" for name in names.split()]
    assert ask_compiler(tmp_path, expressions) == [offset for offset, _ in parts]
    for (offset, width), (following, _) in zip(parts, parts[1:]):
        assert offset + bytes_of(width) <= following, f"the part at {offset} reaches the next"


def reasons_of_header():
    """{number: (name, sentence)} of the X-macro, by the preprocessor and not by its text."""
    source = '#include "otlpshm/layout.h"\n#define ROW(number, name, sentence) @@ number name sentence\n'
    source += "OTLPSHM_DROP_REASONS(ROW)\n"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-std=c11", "-I", str(INCLUDE), "-E", "-P", "-x", "c", "-"]
    out = subprocess.run(
        command, input=source, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    rows = re.findall(r'@@ (\d+) (\w+)\s+"([^"]*)"', out)
    assert rows
    return {int(number): (name, sentence) for number, name, sentence in rows}


def test_the_drop_reasons_of_the_page_are_those_of_the_header():
    page = {
        int(number): (name.strip("`"), meaning)
        for number, name, meaning in rows_after("## Drop reasons")
    }
    assert page == reasons_of_header()
    assert {number: name for number, (name, _) in page.items()} == decoder.REASONS
