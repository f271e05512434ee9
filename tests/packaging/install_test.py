# SPDX-License-Identifier: Apache-2.0
"""What `meson install` puts down is what a stranger can build against.

Owns   an installation under pytest's tmp_path, found through pkg-config alone.
Never  reads the source tree, but for the README's program and the list of exported symbols.
Needs  OTLPSHM_BUILD_DIR, OTLPSHM_SOURCE_DIR (meson.build here sets them).
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ["OTLPSHM_BUILD_DIR"])
SOURCE = Path(os.environ["OTLPSHM_SOURCE_DIR"])
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


def run(*command, **more):
    ended = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        **more,
    )
    assert ended.returncode == 0, f"$ {shlex.join(map(str, command))}\n{ended.stdout}"
    return ended.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The root of an installation."""
    root = tmp_path_factory.mktemp("install")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env=dict(os.environ, DESTDIR=str(root)))
    return root


def one(installed, name):
    found = sorted(path for path in installed.rglob(name))
    assert len(found) == 1, f"{name}: found {found or 'nothing'}"
    return found[0]


@pytest.fixture(scope="session")
def pkg_config(installed):
    where = one(installed, "libotlpshm.pc").parent
    environment = dict(
        os.environ, PKG_CONFIG_PATH=str(where), PKG_CONFIG_SYSROOT_DIR=str(installed)
    )

    def flags(*asked):
        return run("pkg-config", *asked, "libotlpshm", env=environment).split()

    return flags


@pytest.fixture(scope="session")
def readme_program(tmp_path_factory):
    """The README's ten lines of C, as a reader would copy them."""
    fences = re.findall(r"^```c\n(.*?)^```", (SOURCE / "README.md").read_text(), re.M | re.S)
    programs = [fence for fence in fences if "int main" in fence]
    assert len(programs) == 1, f"the README has {len(programs)} C programs"
    path = tmp_path_factory.mktemp("readme") / "program.c"
    path.write_text(programs[0])
    return path


@pytest.mark.parametrize(
    "name",
    [
        "otlpshm.h",
        "context.h",
        "layout.h",
        "libotlpshm.a",
        "libotlpshm.so",
        "libotlpshm.so.0",
        "libotlpshm.pc",
    ],
)
def test_a_file_of_the_library_is_installed_once(installed, name):
    assert one(installed, name).exists()


@pytest.mark.parametrize("name", ["otlpshm", "otlpshmd"])
def test_a_program_is_installed_and_tells_its_version(installed, name):
    program = [path for path in installed.rglob(name) if path.is_file() and path.parent.name == "bin"]
    assert len(program) == 1 and os.access(program[0], os.X_OK)
    version = re.search(r"version: '([\d.]+)'", (SOURCE / "meson.build").read_text()).group(1)
    assert version in run(program[0], "--version")


def test_headers_stand_in_their_own_directory(installed):
    headers = {str(path.relative_to(path.parents[1])) for path in installed.rglob("*.h")}
    assert {"otlpshm/otlpshm.h", "otlpshm/layout.h"} <= headers
    assert all(header.startswith("otlpshm/") for header in headers), headers


def test_nothing_of_the_tests_is_installed(installed):
    names = [path.name for path in installed.rglob("*") if re.search(r"test|bench|catch", path.name)]
    assert not names


@pytest.mark.parametrize(
    "header, compiler",
    [
        ("otlpshm.h", "gcc -std=c99"),
        ("otlpshm.h", "gcc -std=c11"),
        ("otlpshm.h", "g++ -std=c++17"),
        ("context.h", "gcc -std=c99"),
        ("context.h", "g++ -std=c++17"),
        ("layout.h", "gcc -std=c11"),
        ("layout.h", "g++ -std=c++17"),
    ],
)
def test_a_header_compiles_alone(pkg_config, tmp_path, header, compiler):
    source = tmp_path / ("alone.cc" if "++" in compiler else "alone.c")
    source.write_text(f"#include <otlpshm/{header}>\n#include <otlpshm/{header}>\nint alone;\n")
    run(*compiler.split(), *STRICT, *pkg_config("--cflags"), "-c", source, "-o", tmp_path / "alone.o")


@pytest.mark.parametrize("link", ["shared", "static"])
def test_the_readme_program_builds_through_pkg_config(
    installed, pkg_config, readme_program, tmp_path, link
):
    program = tmp_path / "program"
    libraries = pkg_config("--libs")
    if link == "static":
        libraries = ["-static", *pkg_config("--static", "--libs")]
    run("gcc", "-std=c99", *STRICT, *pkg_config("--cflags"), readme_program, *libraries, "-o", program)
    library_path = str(one(installed, "libotlpshm.so.0").parent)
    environment = dict(os.environ, LD_LIBRARY_PATH=library_path, OTLPSHM_DIR=str(tmp_path / "absent"))
    run(program, env=environment)  # without a directory every span is a no-op
    needed = run("readelf", "-d", program)
    assert ("libotlpshm.so.0" in needed) == (link == "shared")


def test_the_library_needs_libc_alone(installed):
    needed = re.findall(
        r"\(NEEDED\).*\[(.*?)\]", run("readelf", "-d", one(installed, "libotlpshm.so.0").resolve())
    )
    assert set(needed) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def test_the_library_exports_its_map_and_nothing_else(installed):
    promised = set(re.findall(r"^\s*(otlpshm_\w+);", (SOURCE / "libotlpshm/otlpshm.map").read_text(), re.M))
    listed = run("nm", "-D", "--defined-only", one(installed, "libotlpshm.so.0").resolve())
    exported = {line.split()[-1].partition("@")[0] for line in listed.splitlines() if " A " not in line}
    assert promised
    assert exported == promised


def test_the_header_declares_what_the_library_exports(installed):
    promised = set(re.findall(r"^\s*(otlpshm_\w+);", (SOURCE / "libotlpshm/otlpshm.map").read_text(), re.M))
    header = one(installed, "otlpshm.h").read_text() + one(installed, "context.h").read_text()
    missing = {name for name in promised if not re.search(rf"\b{name}\(", header)}
    assert not missing


def test_the_static_library_defines_no_foreign_name(installed):
    listed = run("nm", "-g", "--defined-only", one(installed, "libotlpshm.a"))
    names = {line.split()[-1] for line in listed.splitlines() if len(line.split()) == 3}
    assert names and all(name.startswith("otlpshm_") for name in names), names
