# SPDX-License-Identifier: Apache-2.0
"""mutate.py on a project of one function: it must tell a killed mutant from every other kind.

Owns   a small meson project in pytest's tmp_path, with a copy of mutate.py and run_test.py.
Never  builds this project.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = {
    "meson.build": "project('small', 'c')\n"
    "test('adds', executable('adds', 'adds.c'), timeout: 5)\n",
    "meson_options.txt": "option('tests', type: 'boolean', value: false)\n",
    ".gitignore": "/build/\n",
    "adds.c": "static int add(int a, int b) {\n  return a + b;\n}\n\n"
    "_Static_assert(1 + 1 == 2, \"\");\n\nint main(void) {\n  return add(2, 1) != 3;\n}\n",
}


HUNK = "@@ -1,3 +1,3 @@\n static int add(int a, int b) {\n-  return a + b;\n+  return %s;\n }\n"
ASSERTION = "@@ -5 +5 @@\n-_Static_assert(1 + 1 == 2, \"\");\n+_Static_assert(1 + 1 == %s, \"\");\n"
HEAD = "# why: sums would be wrong\n# test: adds\n"
MUTANTS = {
    "killed": (0, HEAD, HUNK % "a - b", "1 killed, 0 not"),
    "hangs": (0, HEAD, HUNK.replace("%s", "({ for (;;) { } a; })"), "1 killed, 0 not"),
    "stops_the_compiler": (0, HEAD + "# kills: build\n", ASSERTION % "3", "1 killed, 0 not"),
    "by_a_command": (0, "# why: x\n# test: $ ! grep -q 'a - b' adds.c\n", HUNK % "a - b", "1 killed"),
    "survives": (1, HEAD, HUNK % "b + a", "survived"),
    "compiles_after_all": (1, HEAD + "# kills: build\n", ASSERTION % "1 + 1", "survived"),
    "kills_another_case": (1, HEAD + "# case: carries\n", HUNK % "a - b", "survived in 'carries'"),
    "does_not_apply": (1, HEAD, HUNK.replace("{\n", "{ // moved\n") % "a - b", "no longer applies"),
    "does_not_build": (1, HEAD, HUNK % "a +", "does not build"),
    "names_no_test": (1, "# why: x\n", HUNK % "a - b", "says no '# test:'"),
    "names_a_test_that_is_not": (1, "# why: x\n# test: gone\n", HUNK % "a - b", "no test is named"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    for name, text in PROJECT.items():
        (root / name).write_text(text)
    for name in ["tests/mutations/mutate.py", "tests/support/run_test.py", "tests/support/case_ledger.py"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "build").mkdir()
    (root / "build" / "venv").mkdir()
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    return root


def mutate(project, *names):
    return subprocess.run(
        [sys.executable, "tests/mutations/mutate.py", *names],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_gets_its_verdict(project, name):
    status, head, hunk, said = MUTANTS[name]
    planted = project / "tests" / "mutations" / f"{name}.patch"
    planted.write_text(f"{head}--- a/adds.c\n+++ b/adds.c\n{hunk}")
    try:
        ended = mutate(project, name)
    finally:
        planted.unlink()
    assert ended.returncode == status and said in ended.stdout, ended.stdout
    assert (project / "adds.c").read_text() == PROJECT["adds.c"]


def test_no_mutant_at_all_proves_nothing(project):
    ended = mutate(project)
    assert ended.returncode == 1 and "nothing was proved" in ended.stdout


def test_a_test_that_fails_unbroken_proves_nothing(project):
    planted = project / "tests" / "mutations" / "x.patch"
    planted.write_text(HEAD + "--- a/adds.c\n+++ b/adds.c\n" + HUNK % "a - b")
    (project / "adds.c").write_text(PROJECT["adds.c"].replace("!= 3", "!= 4"))
    try:
        ended = mutate(project)
    finally:
        planted.unlink()
        (project / "adds.c").write_text(PROJECT["adds.c"])
    assert ended.returncode == 1 and "fails without any mutant" in ended.stdout
