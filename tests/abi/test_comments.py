# SPDX-License-Identifier: Apache-2.0
"""What the headers say of each public function: units, results, threads, signals, fork.

Owns   the words that a comment must have.
Never  judges whether a comment is true: the tests of the library do.
"""

import re

import prototypes
import pytest

DECLARATIONS = prototypes.declarations()
AS = re.compile(r"Thread-safety, signals, fork: as (otlpshm_\w+)\b")
UNITS = {"_ms": "milliseconds", "_nano": "nanoseconds"}


def faults(declaration, of):
    """What its comment lacks; `of` are all declarations, for those that point at another."""
    comment = declaration.comment
    found = []
    pointed = AS.search(comment)
    if pointed:
        if pointed.group(1) not in of or AS.search(of[pointed.group(1)].comment):
            found.append(f"points at {pointed.group(1)}, which does not say it itself")
    else:
        found += [word for word in ("Thread-safety: ", "Signals: ", "Fork: ") if word not in comment]
    if declaration.returns != "void" and not re.search(r"\b[Rr]eturn(s|ed)\b", comment):
        found.append("what it returns")
    for parameter in declaration.parameters:
        for ending, unit in UNITS.items():
            if parameter.endswith(ending) and unit not in comment and "timeout_ms: as" not in comment:
                found.append(f"that {parameter} is in {unit}")
    return found


def test_the_headers_were_read():
    assert len(DECLARATIONS) >= 60
    start = DECLARATIONS["otlpshm_span_start_cstr"]
    assert start.parameters[2] == "const char*name" and start.returns == "void"
    assert start.comment.startswith("Starts a span.")
    assert DECLARATIONS["otlpshm_version"].parameters == []


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_public_function_says_what_its_caller_must_know(name):
    declaration = DECLARATIONS[name]
    lacking = faults(declaration, DECLARATIONS)
    where = f"{declaration.header}:{declaration.line}"
    assert not lacking, f"{where}: the comment of {name} lacks: {'; '.join(lacking)}"


CANARY = """\
/* Waits. Returns 0. Thread-safety: any. Signals: safe. Fork: safe. */
OTLPSHM_API int otlpshm_good(int a);

/* Waits for milliseconds. %s */
OTLPSHM_API int otlpshm_canary(unsigned timeout_ms);
"""


@pytest.mark.parametrize(
    "words, lacking",
    [
        ("Returns 0. Thread-safety, signals, fork: as otlpshm_good.", 0),
        ("Returns 0. Thread-safety, signals, fork: as otlpshm_canary.", 1),
        ("Returns 0. Thread-safety: any. Signals: safe.", 1),
        ("Thread-safety: any. Signals: safe. Fork: safe.", 1),
        ("", 4),
    ],
)
def test_a_comment_that_lacks_something_is_found(words, lacking):
    read = prototypes.declarations_of(CANARY % words, "canary.h")
    assert len(faults(read["otlpshm_canary"], read)) == lacking
    bare = prototypes.declarations_of(CANARY.replace("milliseconds", "it") % words, "canary.h")
    assert len(faults(bare["otlpshm_canary"], bare)) == lacking + 1
