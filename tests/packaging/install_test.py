# SPDX-License-Identifier: Apache-2.0
"""What `meson install` puts down is what a stranger can build against.

Owns   an installation under pytest's tmp_path, found through pkg-config alone.
Never  reads the source tree, but for what a reader copies: the README, the manual, the examples.
Needs  OTLPSHM_BUILD_DIR, OTLPSHM_SOURCE_DIR (meson.build here sets them).
"""

import os
import re
import shlex
import shutil
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
        "otlpshmConfig.cmake",
        "otlpshmConfigVersion.cmake",
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


MANUAL = sorted((SOURCE / "docs/man").glob("*.[1-8]"))


def examples():
    """Every program and piece of C of the manual's EXAMPLES, as a reader would copy them."""
    found = []
    for page in MANUAL:
        text = page.read_text().partition("\n.Sh EXAMPLES\n")[2].partition("\n.Sh ")[0]
        for block in re.findall(r"^\.Bd -literal\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL):
            found.append(pytest.param(block.replace("\\e", "\\"), id=page.name))
    return found


def test_the_manual_has_examples():
    assert len(examples()) >= 10


@pytest.mark.parametrize("text", examples())
def test_an_example_of_the_manual_compiles_and_runs(installed, pkg_config, tmp_path, text):
    source, program = tmp_path / "example.c", tmp_path / "example"
    source.write_text(text)
    is_program = "int main(" in text
    what = [*pkg_config("--libs"), "-o", program] if is_program else ["-c", "-o", program]
    run("gcc", "-std=c99", *STRICT, *pkg_config("--cflags"), source, *what)
    if is_program:
        library_path = str(one(installed, "libotlpshm.so.0").parent)
        absent = str(tmp_path / "absent")
        run(program, env=dict(os.environ, LD_LIBRARY_PATH=library_path, OTLPSHM_DIR=absent))


EXAMPLES = SOURCE / "bindings/c/examples"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.c*")))
def test_an_example_service_compiles_against_what_is_installed(pkg_config, tmp_path, name):
    compiler = ["g++", "-std=c++17"] if name.endswith(".cc") else ["gcc", "-std=c11", "-D_GNU_SOURCE"]
    shared = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-c", EXAMPLES / "http.c", "-o", tmp_path / "http.o"]
    run(*shared, *pkg_config("--cflags"))
    if name != "http.c":
        flags = [*pkg_config("--cflags"), EXAMPLES / name, tmp_path / "http.o", *pkg_config("--libs")]
        run(*compiler, *flags, "-o", tmp_path / "service")


def test_every_function_has_a_page_that_leads_to_one(installed):
    pages = {path.name: path for path in installed.rglob("man3/*.3")}
    header = one(installed, "otlpshm.h").read_text() + one(installed, "context.h").read_text()
    functions = re.findall(r"^OTLPSHM_API[^;(]*?\b(otlpshm_\w+)\(", header, re.MULTILINE)
    assert len(functions) >= 60
    for name in functions:
        link = re.fullmatch(r"\.so man3/(\w+\.3)\n", pages[f"{name}.3"].read_text())
        assert link and f".Nm {name}" in pages[link.group(1)].read_text()


CMAKE = """\
cmake_minimum_required(VERSION 3.18)
project(stranger C)
find_package(otlpshm {version} REQUIRED CONFIG)
find_package(otlpshm {version} REQUIRED CONFIG) # a second time: targets are made once
add_executable(program program.c)
target_link_libraries(program PRIVATE {target})
"""


def cmake(installed, tmp_path, program, version, target):
    (tmp_path / "program.c").write_text(program.read_text())
    (tmp_path / "CMakeLists.txt").write_text(CMAKE.format(version=version, target=target))
    config = one(installed, "otlpshmConfig.cmake")
    configured = ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build"]
    if "lib64" in config.parts:  # Debian's CMake looks for no package there
        return [*configured, f"-Dotlpshm_DIR={config.parent}"]
    prefix = config
    while not (prefix / "include").is_dir():
        prefix = prefix.parent
    # One architecture's library directory, as Debian's own CMake knows it.
    architecture = one(installed, "libotlpshm.a").parent.name
    return [
        *configured,
        f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_LIBRARY_ARCHITECTURE={architecture}",
    ]


needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")


@needs_cmake
@pytest.mark.parametrize("target", ["otlpshm::otlpshm", "otlpshm::otlpshm_static"])
def test_the_readme_program_builds_through_cmake(installed, readme_program, tmp_path, target):
    run(*cmake(installed, tmp_path, readme_program, "0.1", target))
    run("cmake", "--build", tmp_path / "build")
    program = tmp_path / "build/program"
    run(program, env=dict(os.environ, OTLPSHM_DIR=str(tmp_path / "absent")))  # finds it by its rpath
    needed = run("readelf", "-d", program)
    assert ("[libotlpshm.so.0]" in needed) == (target == "otlpshm::otlpshm")


@needs_cmake
@pytest.mark.parametrize("version", ["0.2", "1.0", "0.1.99", "0.0.1"])
def test_cmake_refuses_another_version(installed, readme_program, tmp_path, version):
    command = cmake(installed, tmp_path, readme_program, version, "otlpshm::otlpshm")
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "version: 0.1.0" in refused.stderr, refused.stderr


def test_what_is_installed_names_no_place_of_the_build(installed):
    for name in ("libotlpshm.pc", "otlpshmConfig.cmake", "otlpshmConfigVersion.cmake"):
        text = one(installed, name).read_text()
        assert str(SOURCE) not in text and str(BUILD) not in text and str(installed) not in text


def test_a_static_archive_goes_into_a_shared_object(installed, pkg_config, readme_program, tmp_path):
    """As a plugin has it: position-independent, and not exporting the functions again."""
    plugin = tmp_path / "plugin.so"
    archive = one(installed, "libotlpshm.a")
    run(
        "gcc", "-shared", "-fPIC", *pkg_config("--cflags"), readme_program, archive, "-pthread",
        "-Wl,-z,nodelete", "-Wl,--exclude-libs,libotlpshm.a", "-Wl,-z,defs", "-o", plugin,
    )  # fmt: skip
    assert "otlpshm_" not in run("nm", "-D", "--defined-only", plugin)
