# SPDX-License-Identifier: Apache-2.0
"""A program that was linked against the last release runs with this library.

Owns   the breaks on purpose, which show that a break is found.
Never  minds what was added: a new function or a new number hurts nobody.
Skips  where abidw is not installed, or where the baseline is of another processor.
"""

import os
import platform
import shutil

import baseline
import pytest

SHARED = os.environ.get("OTLPSHM_SHARED")
REMEDY = "if it is meant, ./dev abi --accept; after a release that needs a new soname"

has_abidw = pytest.mark.skipif(
    shutil.which("abidw") is None or platform.machine() != "x86_64" or SHARED is None,
    reason="needs abigail-tools, x86-64 and a shared library",
)


@has_abidw
def test_functions_and_types_are_those_of_the_baseline():
    found = baseline.changes(baseline.TYPES.read_text(), baseline.types_of(SHARED))
    assert not found, f"{found}\n{REMEDY}"


def test_public_numbers_are_those_of_the_baseline():
    now = baseline.numbers_of_headers()
    before = baseline.numbers_of_file()
    assert len(before) >= 50
    changed = {name: (value, now.get(name)) for name, value in before.items() if now.get(name) != value}
    assert not changed, f"{changed}\n{REMEDY}"


BREAKS = {
    "a function is gone": (
        "<elf-symbol name='otlpshm_version'",
        "<elf-symbol name='otlpshm_canary'",
    ),
    "a struct grew": (
        "class-decl name='otlpshm_context' size-in-bits='320'",
        "class-decl name='otlpshm_context' size-in-bits='256'",
    ),
    "a field moved": (
        "layout-offset-in-bits='192'",
        "layout-offset-in-bits='200'",
    ),
    "a parameter has another type": (
        "<parameter type-id='95e97e5e' name='status'/>",
        "<parameter type-id='b96825af' name='status'/>",
    ),
}


@has_abidw
@pytest.mark.parametrize("what", BREAKS)
def test_a_break_is_found(what):
    now = baseline.types_of(SHARED)
    here, before = BREAKS[what]
    assert here in now
    assert baseline.changes(now.replace(here, before), now)


@has_abidw
def test_a_new_function_is_no_break():
    now = baseline.types_of(SHARED)
    lines = now.splitlines(True)
    before = "".join(line for line in lines if "elf-symbol name='otlpshm_version'" not in line)
    assert before != now and not baseline.changes(before, now)
