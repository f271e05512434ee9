# SPDX-License-Identifier: Apache-2.0
"""Commands that a document promises are executed.

Runs   each ```sh fence whose opening line says "test" (```sh test), from the top of the tree.
Never  runs a fence that is not marked: some need a cluster, or minutes.
Keeps  a count: a document that loses its marks fails, for then nothing is checked any more.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ["OTLPSHM_SOURCE_DIR"])
FENCE = re.compile(r"^```sh test\n(.*?)^```", re.MULTILINE | re.DOTALL)


def marked():
    for document in sorted([*SOURCE.glob("*.md"), *SOURCE.glob("docs/**/*.md")]):
        for fence in FENCE.finditer(document.read_text()):
            line = document.read_text()[: fence.start()].count("\n") + 1
            yield pytest.param(fence.group(1), id=f"{document.relative_to(SOURCE)}:{line}")


@pytest.mark.parametrize("script", marked())
def test_a_marked_command_works(script):
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}"


def test_the_readme_has_marked_commands():
    assert FENCE.search((SOURCE / "README.md").read_text())


def test_the_readme_names_the_command_that_ci_runs():
    readme = (SOURCE / "README.md").read_text()
    assert re.search(r"^\./dev demo\b", readme, re.MULTILINE)
    assert re.search(r"^\./dev test\b", readme, re.MULTILINE)
    assert (SOURCE / ".ci" / "run").read_text().rstrip().endswith('/../dev" test')
