# SPDX-License-Identifier: Apache-2.0
"""The manual says what the headers and the programs say.

Owns   the reading of the pages' source: NAME, SYNOPSIS, and what a page refers to.
Needs  tests/abi in PYTHONPATH, for the reading of the headers (meson.build here sets it).
Skips  the check of the markup where mandoc is not installed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import prototypes
import pytest

SOURCE = Path(os.environ["OTLPSHM_SOURCE_DIR"])
PAGES = {path.name: path.read_text() for path in sorted((SOURCE / "docs/man").glob("*.[1-8]"))}
DECLARATIONS = prototypes.declarations()
FUNCTION_PAGES = [name for name in PAGES if name.endswith(".3")]


def section(page, heading):
    found = re.search(rf"^\.Sh {heading}\n(.*?)(?=^\.Sh |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def names_of(page):
    return re.findall(r"^\.Nm (\S+)", section(page, "NAME"), re.MULTILINE)


def synopsis_of(page):
    """{function: (what it returns, [parameters])}"""
    found = {}
    for returns, name, arguments in re.findall(
        r"^\.Ft ([^\n]*)\n\.Fo (\w+)\n(.*?)^\.Fc", section(page, "SYNOPSIS"), re.MULTILINE | re.DOTALL
    ):
        parameters = re.findall(r'^\.Fa "?(.*?)"?$', arguments, re.MULTILINE)
        parameters = [prototypes.spaced(one) for one in parameters]
        found[name] = (prototypes.spaced(returns), [] if parameters == ["void"] else parameters)
    return found


def test_the_pages_are_there():
    assert {"otlpshm.1", "otlpshm.7", "otlpshm-ring.7", "otlpshmd.8"} <= set(PAGES)
    assert len(FUNCTION_PAGES) >= 10


def test_every_public_function_has_one_page():
    named = [name for page in FUNCTION_PAGES for name in names_of(page)]
    assert sorted(named) == sorted(DECLARATIONS)


@pytest.mark.parametrize("page", FUNCTION_PAGES)
def test_a_synopsis_is_what_the_header_declares(page):
    declared = {
        name: (DECLARATIONS[name].returns, DECLARATIONS[name].parameters) for name in names_of(page)
    }
    assert synopsis_of(page) == declared


@pytest.mark.parametrize("page", FUNCTION_PAGES)
def test_a_page_of_functions_has_what_a_reader_looks_for(page):
    for heading in ("DESCRIPTION", "EXAMPLES", "SAFETY", "SEE ALSO"):
        assert section(page, heading), f"{page} has no section {heading}"
    returning = [name for name in names_of(page) if DECLARATIONS[name].returns != "void"]
    assert bool(section(page, "RETURN VALUES")) == bool(returning)


# Structs that a caller fills or reads field by field, and the page that explains them.
STRUCTS = {
    "otlpshm_writer_options": "otlpshm_writer.3",
    "otlpshm_stats": "otlpshm_stats.3",
    "otlpshm_start_options": "otlpshm_span.3",
    "otlpshm_template_options": "otlpshm_template.3",
}


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_page_names_every_field_of_its_struct(struct):
    header = re.sub(r"/\*.*?\*/", "", (prototypes.INCLUDE / prototypes.HEADERS[0]).read_text(), flags=re.S)
    body = re.search(rf"^struct {struct} \{{(.*?)^\}}", header, re.MULTILINE | re.DOTALL).group(1)
    fields = re.findall(r"(\w+)(?:\[\w+\])?;", body)
    assert len(fields) >= 5
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^\.(?:It )?Va .*", PAGES[STRUCTS[struct]], re.M))))
    # Of an array the page may name the one of the two that points to it.
    missing = {field for field in fields if field not in named and field.removesuffix("_count") + "s" not in named}
    assert not missing


def test_the_links_that_are_installed_are_the_names_on_the_pages():
    build = (SOURCE / "docs/man/meson.build").read_text()
    listed = {
        f"{page}.3": re.findall(r"'(\w+)'", functions)
        for page, functions in re.findall(r"'(\w+)': \[(.*?)\]", build, re.DOTALL)
    }
    assert listed == {page: names_of(page) for page in FUNCTION_PAGES}


def test_a_reference_leads_to_a_page():
    leads = set(PAGES) | {f"{name}.3" for name in DECLARATIONS}
    for page, text in PAGES.items():
        for name, number in re.findall(r"^(?:\.It )?\.?Xr (\S+) (\d)", text, re.MULTILINE):
            assert not name.startswith("otlpshm") or f"{name}.{number}" in leads, f"{page}: {name}({number})"


@pytest.mark.parametrize(
    "page, sources",
    [("otlpshmd.8", ["sidecar/arguments.cc"]), ("otlpshm.1", ["sidecar/cli/main.cc"])],
)
def test_the_options_are_those_of_the_program(page, sources):
    code = "".join((SOURCE / path).read_text() for path in sources)
    options = set(re.findall(r'(?:add_option|add_flag|version_flag)\(\s*"--([a-z-]+)"', code)) | {"help"}
    listed = set(re.findall(r"Fl Fl ([a-z-]+)", PAGES[page]))
    assert len(options) >= 5 and listed == options


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("page", PAGES)
def test_the_markup_is_right(page, tmp_path):
    def complaints(path):
        linted = subprocess.run(
            ["mandoc", "-Tlint", "-Wwarning", str(path)], capture_output=True, text=True, timeout=30
        )
        return linted.stdout

    assert not complaints(SOURCE / "docs/man" / page)
    broken = tmp_path / page
    broken.write_text(PAGES[page] + ".Canary\n")
    assert complaints(broken)
