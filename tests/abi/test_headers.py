# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, in every language that it promises, without a warning.

Owns   the table of compilers, languages and warnings.
Never  needs a build: it reads the source tree.
Skips  a compiler that is not installed; one of them always is.
"""

import shutil
import subprocess

import prototypes
import pytest

C = ["c99", "c11", "c17"]
CXX = ["c++11", "c++17", "c++20"]
WARNINGS = """-Wall -Wextra -Werror -Wpedantic -pedantic-errors -Wshadow -Wconversion
-Wsign-conversion -Wundef -Wcast-align -Wcast-qual -Wredundant-decls -Wfloat-equal
-Wdouble-promotion -Wformat=2 -Wvla -Wswitch-enum""".split()
WARNINGS_C = "-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition".split()
WARNINGS_CXX = "-Wold-style-cast -Wzero-as-null-pointer-constant -Wnon-virtual-dtor".split()
# Of everything that clang knows: not what forbids C99, C++98 or padding in general.
WARNINGS_CLANG = """-Wno-unknown-warning-option -Weverything -Wno-padded -Wno-c++98-compat -Wno-c++98-compat-pedantic
-Wno-declaration-after-statement -Wno-unsafe-buffer-usage -Wno-switch-default""".split()
# layout.h asserts at compile time: C11 and C++20, as both sides are written.
LANGUAGES = {
    "otlpshm/otlpshm.h": C + CXX,
    "otlpshm/context.h": C + CXX,
    "otlpshm/otlpshm.hpp": ["c++17", "c++20"],
    "otlpshm/layout.h": ["c11", "c17", "c++11", "c++17", "c++20"],
}
INCLUDES = [prototypes.INCLUDE, prototypes.INCLUDE.parents[1] / "bindings/c/include"]
COMPILERS = {"c": ["gcc", "clang"], "c++": ["g++", "clang++"]}


def cases():
    for header, languages in LANGUAGES.items():
        for language in languages:
            for compiler in COMPILERS["c++" if "+" in language else "c"]:
                yield pytest.param(header, language, compiler, id=f"{header} {compiler} {language}")


def test_every_public_header_is_in_the_table():
    headers = {str(path.relative_to(root)) for root in INCLUDES for path in root.glob("*/*.h*")}
    assert headers == set(LANGUAGES)


def compile_alone(compiler, language, text):
    command = [compiler, f"-std={language}", "-fsyntax-only", "-x", "c++" if "+" in language else "c"]
    command += WARNINGS + (WARNINGS_CXX if "+" in language else WARNINGS_C)
    command += WARNINGS_CLANG if "clang" in compiler else []
    for root in INCLUDES:  # -I and not -isystem, where warnings are silent
        command += ["-I", str(root)]
    return subprocess.run([*command, "-"], input=text, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("header, language, compiler", list(cases()))
def test_a_header_compiles_alone(header, language, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    text = f'#include "{header}"\n#include "{header}"\n'
    compiled = compile_alone(compiler, language, text)
    assert compiled.returncode == 0, compiled.stderr


def test_a_header_that_would_warn_fails():
    found = [name for name in COMPILERS["c"] if shutil.which(name)]
    assert found, "neither gcc nor clang is installed"
    for compiler in found:
        assert compile_alone(compiler, "c99", "int canary(); // not C99's\n").returncode != 0
