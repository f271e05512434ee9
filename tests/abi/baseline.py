#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baseline.py LIBRARY: keeps the library's binary interface as that of the last release.

Owns   libotlpshm/abi/: libotlpshm-<major.minor>.abi, what abidw says of functions and types, and
       .numbers, the public constants, which no symbol mentions.
Never  renews them by itself: somebody who means it calls `./dev abi --accept`.
Needs  abidw and abidiff (Debian package abigail-tools), and debug information in the library.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import prototypes

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.search(r"^\s*version: '(\d+\.\d+)", (ROOT / "meson.build").read_text(), re.M).group(1)
DIRECTORY = ROOT / "libotlpshm/abi"
TYPES, NUMBERS = DIRECTORY / f"libotlpshm-{VERSION}.abi", DIRECTORY / f"libotlpshm-{VERSION}.numbers"
# Without places and paths: the page is the same wherever it is made.
ABIDW = ["abidw", "--exported-interfaces-only", "--drop-private-types", "--no-corpus-path"]
ABIDW += ["--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--type-id-style", "hash"]
ABIDW += ["--headers-dir", str(prototypes.INCLUDE)]


def run(*command, text=None, fine=(0,)):
    ended = subprocess.run(
        list(map(str, command)), input=text, capture_output=True, text=True, timeout=120
    )
    if ended.returncode not in fine:
        raise RuntimeError(f"$ {shlex.join(map(str, command))}\n{ended.stdout}{ended.stderr}")
    return ended


def types_of(library):
    """What abidw says. It calls each file by its path from the build directory, which differs."""
    written = run(*ABIDW, library).stdout
    if "<function-decl" not in written:
        raise RuntimeError(f"{library} has no debug information: build it with -g")
    return re.sub(r" path='[^']*/(libotlpshm/[^']*)'", r" path='\1'", written)


def numbers_of_headers():
    """{name: value} of the public enumerators and of the macros that are whole numbers."""
    names = []
    for header in prototypes.HEADERS:
        text = (prototypes.INCLUDE / header).read_text(encoding="utf-8")
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        for body in re.findall(r"^enum \w+ \{(.*?)\}", text, re.MULTILINE | re.DOTALL):
            names += re.findall(r"^\s*(OTLPSHM_\w+)", body, re.MULTILINE)
        names += re.findall(r"^#define (OTLPSHM_\w+) [\d(-]", text, re.MULTILINE)
    # The version says which baseline is asked for; it is no part of the interface.
    names = [name for name in names if not name.startswith("OTLPSHM_VERSION_")]
    rows = "\n".join(f'  printf("{name} %lld\\n", (long long){name});' for name in names)
    source = f'#include <otlpshm/otlpshm.h>\n#include <stdio.h>\nint main(void) {{\n{rows}\n}}\n'
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "numbers")
        run("cc", "-I", prototypes.INCLUDE, "-x", "c", "-", "-o", program, text=source)
        return dict(line.split() for line in run(program).stdout.splitlines())


def changes(old, new):
    """What abidiff finds that an old program would trip over: "" for none. Both are abidw's text."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "old.abi").write_text(old)
        Path(directory, "new.abi").write_text(new)
        # 4: changed. 8: also incompatible for sure. 1 and 2 say that it could not tell.
        found = run(
            "abidiff", "--no-added-syms", f"{directory}/old.abi", f"{directory}/new.abi",
            fine=(0, 4, 12),
        )
        return found.stdout if found.returncode else ""


def numbers_of_file():
    return dict(line.split() for line in NUMBERS.read_text().splitlines())


def accept(library):
    DIRECTORY.mkdir(exist_ok=True)
    TYPES.write_text(types_of(library))
    NUMBERS.write_text("".join(f"{name} {value}\n" for name, value in numbers_of_headers().items()))
    print(f"{TYPES.relative_to(ROOT)} and {NUMBERS.name} are the interface now: look at the difference")


if __name__ == "__main__":
    accept(sys.argv[1])
