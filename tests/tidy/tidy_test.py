# SPDX-License-Identifier: Apache-2.0
"""The rules of the house hold, and each of them can fail.

Owns   nothing: a canary is planted in memory, and once in a copy of the tree.
Never  trusts a rule whose canary it has not seen caught.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tidy

ROOT = Path(__file__).resolve().parents[2]
EACH_RULE = pytest.mark.parametrize("rule", tidy.RULES, ids=lambda rule: rule.name)


@pytest.fixture(scope="module")
def tree():
    tree = tidy.Tree(ROOT)
    assert "meson.build" in tree.files
    return tree


@EACH_RULE
def test_the_tree_keeps_the_rule(rule, tree):
    faults = [f"{fault.path}:{fault.line}: {fault.text}" for fault in rule.check(tree)]
    assert not faults, "\n" + "\n".join(faults)


@EACH_RULE
def test_the_rule_catches_its_canary(rule):
    planted = set(rule.canary)
    faults = list(rule.check(tidy.Tree(ROOT, rule.canary)))
    assert [fault for fault in faults if fault.path in planted]


@EACH_RULE
def test_the_rule_is_silent_about_a_decent_file(rule):
    decent = {
        "sidecar/pipeline/canary.cc": "// SPDX-License-Identifier: Apache-2.0\n"
        '// canary.cc: sings.\n\n#include "model/record.h"\n\n// memory_order_relaxed\nint x;\n',
        "docs/canary.md": "See [the readme](../README.md) and [below](#below).\n\n## Below\n",
        "README.md": "# A readme\n",
    }
    faults = [fault for fault in rule.check(tidy.Tree(ROOT, decent)) if "canary" in fault.path]
    assert not faults


def test_the_program_fails_on_a_planted_fault(tmp_path):
    shutil.copytree(ROOT / "sidecar", tmp_path / "sidecar")
    bad = tmp_path / "sidecar" / "pipeline" / "canary.cc"
    bad.parent.mkdir(exist_ok=True)
    bad.write_text("#include <liburing.h>\n")
    ended = subprocess.run(
        [sys.executable, ROOT / "tests" / "tidy" / "tidy.py", tmp_path],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "sidecar/pipeline/canary.cc:1: liburing.h belongs to sidecar/io/uring.cc" in ended.stdout
