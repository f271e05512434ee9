# SPDX-License-Identifier: Apache-2.0
"""What the built libraries export: the map, the headers and the symbols say the same.

Owns   the reading of otlpshm.map: {symbol: version}.
Never  trusts the linker to have read the map: it asks what came out.
Needs  OTLPSHM_SHARED and, where it was built, OTLPSHM_STATIC (meson.build here sets them).
"""

import os
import re
import subprocess
from pathlib import Path

import prototypes
import pytest

ROOT = Path(__file__).resolve().parents[2]
MAP = ROOT / "libotlpshm/otlpshm.map"
SHARED, STATIC = os.environ.get("OTLPSHM_SHARED"), os.environ.get("OTLPSHM_STATIC")

if SHARED is None:
    pytest.skip("no shared library was built", allow_module_level=True)


def promised(text):
    """{symbol: version} of a version script whose nodes are `VERSION { global: …; local: *; };`."""
    found = {}
    for version, body in re.findall(r"^(\S+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        exported = re.search(r"global:(.*?)(?:local:|$)", body, re.DOTALL)
        for symbol in re.findall(r"(\S+);", exported.group(1) if exported else ""):
            assert symbol not in found, f"{symbol} stands in two versions"
            found[symbol] = version
    return found


def symbols(*command):
    listed = subprocess.run(
        ["nm", "-P", "-g", "--defined-only", *command], capture_output=True, text=True, timeout=60
    )
    assert listed.returncode == 0, listed.stderr
    return [line.split() for line in listed.stdout.splitlines() if len(line.split()) >= 3]


def test_the_library_exports_its_map_with_its_versions_and_nothing_else():
    exported = {}
    for name, kind, *_ in symbols("-D", "--with-symbol-versions", SHARED):
        symbol, _, version = name.partition("@@")
        if kind != "A":  # the name of a version itself
            assert version and "@" not in symbol, f"{name} has no default version"
            exported[symbol] = version
    assert exported == promised(MAP.read_text(encoding="utf-8"))


def test_the_map_promises_what_the_headers_declare_and_nothing_else():
    assert set(promised(MAP.read_text(encoding="utf-8"))) == set(prototypes.declarations())


def test_no_pattern_in_the_map_exports_what_nobody_named():
    assert all(re.fullmatch(r"otlpshm_\w+", name) for name in promised(MAP.read_text()))


@pytest.mark.skipif(STATIC is None, reason="no static library was built")
def test_the_static_library_defines_no_foreign_name():
    names = {name for name, *_ in symbols(STATIC)}
    assert set(prototypes.declarations()) <= names
    assert not {name for name in names if not name.startswith("otlpshm_")}
