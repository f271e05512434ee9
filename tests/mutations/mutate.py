#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutate.py [name…]: breaks the code on purpose, one patch at a time; the named test must notice.

Owns   build/mutants: a copy of the working tree, and its build.
Never  touches the working tree. Fails when a mutant survives, does not build, or does not apply.
Head   of a patch, above its first "---" line:
         # why: what would go wrong in production
         # test: the meson test that must fail            (or: # test: $ a command, run in the copy)
         # case: words of the case that must be among the failed (optional)
         # kills: build                                   (optional: an assertion stops the compiler)
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
BUILD = TREE / "build"
RUN_TEST = TREE / "tests" / "support" / "run_test.py"
TEST_S_MAX = 300


class Broken(Exception):
    """The mutant itself is wrong, whatever its test says."""


class Mutant:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        head = re.split(r"^(?:---|diff) ", path.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
        fields = dict(re.findall(r"^# (\w+): *(.*?) *$", head, re.MULTILINE))
        unknown = set(fields) - {"why", "test", "case", "kills"}
        if unknown:
            raise Broken(f"{path.name}: unknown field {', '.join(sorted(unknown))} in its head")
        if not fields.get("why"):
            raise Broken(f"{path.name}: its head says no '# why:'")
        self.kills_build = fields.get("kills") == "build"
        if not fields.get("test") and not self.kills_build:
            raise Broken(f"{path.name}: its head says no '# test:'")
        self.why = fields["why"]
        self.test = fields.get("test", "")
        self.case = fields.get("case", "")

    def patch(self, *options):
        return subprocess.run(
            ["patch", "-p1", "--batch", "--fuzz=0", "--no-backup-if-mismatch", "-r", "-", *options],
            cwd=TREE,
            stdin=open(self.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def say(text):
    print(f"▸ {text}", file=sys.stderr, flush=True)


def copy_tree():
    """Brings TREE to what the working tree is, leaving alone what is equal: ninja looks at times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.split(b"\0")
    wanted = {os.fsdecode(path) for path in listed if path and (ROOT / os.fsdecode(path)).is_file()}
    for path in wanted:
        source, target = ROOT / path, TREE / path
        if not target.exists() or source.read_bytes() != target.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    for target in TREE.rglob("*"):
        path = target.relative_to(TREE)
        if target.is_file() and path.parts[0] != "build" and str(path) not in wanted:
            target.unlink()
    BUILD.mkdir(parents=True, exist_ok=True)
    environment = BUILD / "venv"
    if not environment.exists():
        environment.symlink_to(ROOT / "build" / "venv")


def ninja(targets):
    if not targets:  # a test that needs nothing built; ninja would take it for "all"
        targets = ["-n"]
    return subprocess.run(
        ["ninja", "-C", str(BUILD), *targets],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def configure():
    if not (BUILD / "build.ninja").exists():
        subprocess.run(
            # Unoptimised: a mutant is compiled once and run once.
            ["meson", "setup", str(BUILD), str(TREE), "-Dtests=true", "-Dbuildtype=debug"],
            check=True,
            stdout=sys.stderr,
        )


def introspect(what):
    out = subprocess.run(
        ["meson", "introspect", f"--{what}", str(BUILD)], check=True, capture_output=True, text=True
    ).stdout
    return json.loads(out)


class Tests:
    """The registered tests, and what each must have built."""

    def __init__(self):
        self.by_name = {test["name"]: test for test in introspect("tests")}
        self.files = {
            target["id"]: [os.path.relpath(name, BUILD) for name in target["filename"]]
            for target in introspect("targets")
        }

    def targets(self, mutants):
        """What ninja must build for their tests: a command may need anything."""
        names = set()
        for mutant in mutants:
            test = self.by_name.get(mutant.test)
            if test is None:
                names.add("all")
            else:
                names |= {name for target in test["depends"] for name in self.files[target]}
        return sorted(names)

    def check(self, mutant):
        if mutant.test and not mutant.test.startswith("$ ") and mutant.test not in self.by_name:
            raise Broken(f"{mutant.path.name}: no test is named '{mutant.test}'")

    def run(self, mutant):
        """(did it pass, its output)"""
        if mutant.test.startswith("$ "):
            command, environment, limit = ["sh", "-c", mutant.test[2:]], {}, TEST_S_MAX
        else:
            test = self.by_name[mutant.test]
            command, environment, limit = test["cmd"], test["env"], max(test["timeout"], 1)
        process = subprocess.Popen(
            [sys.executable, str(RUN_TEST), *command],
            cwd=TREE,
            # The copy is not a checkout: git must not find the one around it.
            env=dict(os.environ, GIT_CEILING_DIRECTORIES=str(WORK), **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            process.terminate()  # run_test.py ends all that the test started
            output = process.communicate()[0] + f"[failed] not done after {limit} s\n"
            return False, output
        return process.returncode == 0, output


def baseline(mutants, tests):
    """A test that fails without a mutant proves nothing with one."""
    for mutant in {mutant.test: mutant for mutant in mutants if not mutant.kills_build}.values():
        passed, output = tests.run(mutant)
        if not passed:
            raise Broken(f"'{mutant.test}' fails without any mutant:\n{output[-4000:]}")
        say(f"passes unbroken: {mutant.test}")


def verdict(mutant, tests):
    """'killed', or why not; raises Broken."""
    applied = mutant.patch()
    if applied.returncode != 0:
        raise Broken(f"{mutant.path.name} no longer applies:\n{applied.stdout}")
    try:
        built = ninja(tests.targets([mutant]))
        if mutant.kills_build:
            return "survived" if built.returncode == 0 else "killed"
        if built.returncode != 0:
            raise Broken(f"{mutant.path.name} does not build:\n{built.stdout[-4000:]}")
        passed, output = tests.run(mutant)
        if passed:
            return "survived"
        failed = re.findall(r"^\[failed\] (.*)$", output, re.MULTILINE)
        if mutant.case and not any(mutant.case in case for case in failed):
            return f"survived in '{mutant.case}' (failed instead: {'; '.join(failed)})"
        return "killed"
    finally:
        reversed_ = mutant.patch("--reverse")
        if reversed_.returncode != 0:
            shutil.rmtree(TREE)  # a half-applied tree must not colour the next run
            raise Broken(f"{mutant.path.name} could not be taken back:\n{reversed_.stdout}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("name", nargs="*", help="a patch in tests/mutations, without .patch")
    asked = arguments.parse_args()
    paths = {path.stem: path for path in sorted(HERE.glob("*.patch"))}
    unknown = [name for name in asked.name if name not in paths]
    if unknown:
        sys.exit(f"mutate: no mutant '{unknown[0]}'; there are: {', '.join(paths)}")
    if not paths:
        sys.exit("mutate: tests/mutations holds no patch: nothing was proved")

    say("copying the tree and building it unbroken (build/mutants/)")
    copy_tree()
    results = []
    try:
        mutants = [Mutant(paths[name]) for name in asked.name or paths]
        configure()
        tests = Tests()
        for mutant in mutants:
            tests.check(mutant)
        built = ninja(tests.targets(mutants))
        if built.returncode != 0:
            raise Broken(f"the tree does not build without any mutant:\n{built.stdout[-4000:]}")
        baseline(mutants, tests)
    except Broken as reason:
        sys.exit(f"mutate: {reason}")

    for mutant in mutants:
        started = time.monotonic()
        try:
            result = verdict(mutant, tests)
        except Broken as reason:
            print(f"mutate: {reason}", file=sys.stderr)
            result = "broken"
        results.append(result)
        by = "the compiler" if mutant.kills_build else mutant.test
        print(
            f"{result:<9} {mutant.name:<32} by {by:<28} {time.monotonic() - started:4.0f} s  {mutant.why}",
            flush=True,
        )
        if not TREE.exists():
            sys.exit("mutate: stopped; run it again")
    ninja(tests.targets(mutants))  # the next run begins unbroken
    killed = results.count("killed")
    print(f"{killed} killed, {len(results) - killed} not")
    sys.exit(0 if killed == len(results) else 1)


if __name__ == "__main__":
    main()
