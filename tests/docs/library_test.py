# SPDX-License-Identifier: Apache-2.0
"""docs/library.md and otlpshm(7) name every environment variable that the library reads.

Owns   what counts as a name in the sources: a whole string literal of that form.
"""

import os
import re
from pathlib import Path

SOURCE = Path(os.environ["OTLPSHM_SOURCE_DIR"])
PAGE = (SOURCE / "docs/library.md").read_text()
CODE = {path.name: path.read_text() for path in sorted((SOURCE / "libotlpshm/src").glob("*.c"))}


def first_column(heading):
    """The names in backquotes that begin the rows of the first table behind a line."""
    rows = PAGE[PAGE.index(heading) :].split("|---", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)


def variables_of_code():
    return {name for text in CODE.values() for name in re.findall(r'"((?:OTEL|OTLPSHM)_[A-Z_]+)"', text)}


def test_every_variable_is_in_the_table_and_no_other():
    listed = first_column("## Environment")
    assert len(listed) >= 10 and len(set(listed)) == len(listed)
    assert set(listed) == variables_of_code()


def test_the_manual_lists_the_same_variables():
    page = (SOURCE / "docs/man/otlpshm.7").read_text()
    assert set(re.findall(r"^\.It Ev (\w+)", page, re.MULTILINE)) == variables_of_code()


def test_no_variable_is_read_under_a_name_that_a_reader_cannot_find():
    """Each reading is of a literal, or in limits.c of one of the two that limit_of was given."""
    read = [(name, what) for name, text in CODE.items() for what in re.findall(r"getenv\((.*?)\)", text)]
    assert len(read) >= 8
    odd = [(name, what) for name, what in read if not re.fullmatch(r'"\w+"', what)]
    assert odd == [("limits.c", "names[i]")]
    assert not [name for name, text in CODE.items() if re.search(r"(?<!secure_)\bgetenv\(", text)]


def test_detectors_and_samplers_are_those_of_the_code():
    detectors = set(re.findall(r'\{"(\w+)", &chosen\.\1\}', CODE["detect.c"]))
    assert set(first_column("**Detectors**")) == detectors | {"all", "none"}
    samplers = set(re.findall(r'\] = \{"(\w+)", root_', CODE["sampling.c"]))
    assert len(samplers) >= 6 and set(first_column("**Samplers**")) == samplers
