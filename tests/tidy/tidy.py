#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py [DIR]: the rules of the house that a compiler does not know.

Owns   the tables below: who may include whom, who owns which foreign world, where threads meet.
Never  judges taste: a rule here has one reading, and a canary that proves it can fail.
Prints path:line: what is wrong and what to do instead; exits 1 when there is anything to print.
"""

import ast
import os
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path, PurePosixPath

# ---- tables ------------------------------------------------------------------------------------

# Rooms of the daemon, and the rooms whose headers each may include beside its own.
# Stages know model/ and nothing of their neighbours; sidecar.cc alone wires them.
MAY_INCLUDE = {
    "model": {"otlpshm/layout.h"},
    "telemetry": {"model"},
    "config": {"model"},
    "io": set(),
    "ingest": {"io", "model", "telemetry", "otlpshm/layout.h"},
    "pipeline": {"model", "telemetry"},
    "export": {"io", "model", "proto", "telemetry"},  # its timers and completions are the loop's
    "spool": {"io", "model", "telemetry"},
    "admin": {"io", "model", "telemetry"},
    "proto": set(),
    "cli": {"config", "model", "telemetry", "otlpshm/layout.h", "otlpshm/otlpshm.h"},
}

# A foreign world has one owner: replacing the library behind it touches that file alone.
FOREIGN = [
    (r"liburing\.h", ["sidecar/io/uring.cc"]),
    (r"grpc(pp)?/.*", ["sidecar/export/grpc_", "sidecar/export/pch/"]),
    (r"google/protobuf/.*|.*\.pb\.h", ["sidecar/export/", "sidecar/proto/"]),
    (r"spdlog/.*", ["sidecar/telemetry/log.cc"]),
    (r"yaml-cpp/.*", ["sidecar/config/"]),
    (r"CLI/.*", ["sidecar/arguments.cc", "sidecar/cli/main.cc"]),
    (r"boost/(beast|asio)[./].*", ["sidecar/admin/http.cc"]),
    (r"boost/interprocess/.*", ["sidecar/ingest/segment_view.cc", "sidecar/ingest/segment_view.h"]),
    (r"catch2/.*", ["tests/"]),
    (r"mimalloc.*", ["sidecar/main.cc"]),
]

# Where threads or processes meet, and why: only there do memory orders stand.
ORDERS = {
    "libotlpshm/src/ordering.h": "every order of the library, by name",
    "sidecar/ingest/segment_view.": "every order between the daemon and a segment",
}

# Labels that docs/abi.md defines and no code needs yet, and why.
SYNC_LATER = {}

BANNED_WORDS = "util utils common helper helpers misc manager handler processor data info message packet"
BANNED_WORDS = set(BANNED_WORDS.split())
OPENTELEMETRY_NAMES = {"message", "message_bytes"}  # exception.message
BANNED_ALONE = {"buffer", "queue"}  # unqualified

HEAD_LINES_MAX = 8
PATHS_OF_A_MACHINE = r"(?<![\w.~$}-])/(%s)/\w" % "|".join(["wor" + "k", "ro" + "ot", "hom" + "e", "far" + "m"])
REGISTRIES = "|".join(
    re.escape(host)
    for host in [
        "pypi." + "org", "pythonhosted." + "org", "deb.debian." + "org", "security.debian." + "org",
        "crates." + "io", "proxy.golang." + "org", "registry.npmjs." + "org", "repo1.maven." + "org",
        "registry" + "+",
    ]
)  # fmt: skip

# ---- the tree ----------------------------------------------------------------------------------

Fault = namedtuple("Fault", "path line text")
Rule = namedtuple("Rule", "name check canary")
RULES = []

C_FILE = re.compile(r"\.(c|h|cc)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Tree:
    """The text files of a checkout: {path: content}; `planted` are added or put in their place."""

    def __init__(self, root, planted=None):
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"],
            capture_output=True,
        )
        if listed.returncode == 0:
            paths = [os.fsdecode(path) for path in listed.stdout.split(b"\0") if path]
        else:  # a source archive has no git directory
            found = [path.relative_to(root) for path in Path(root).rglob("*") if path.is_file()]
            paths = [str(path) for path in found if path.parts[0] != "build"]
        self.files = {}
        for path in paths:
            try:
                self.files[path] = Path(root, path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # removed but still listed, or not text
        self.files.update(planted or {})
        self.paths = set(paths) | set(self.files)

    def matching(self, pattern):
        return sorted((p, text) for p, text in self.files.items() if re.search(pattern, p))


def lines(text):
    return enumerate(text.splitlines(), 1)


def without_comments(text):
    """C and C++ text with comments and string contents blanked, its lines kept."""
    token = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    return re.sub(token, blank, text, flags=re.DOTALL)


def includes(text):
    for number, line in lines(text):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def rule(name, **canary):
    """A rule is a generator of faults; its canary is one planted file that it must catch."""

    def register(check):
        RULES.append(Rule(name, check, {canary["path"]: canary["text"]}))
        return check

    return register


# ---- who may include whom ----------------------------------------------------------------------


@rule(
    "a stage includes model/ and nothing of its neighbours",
    path="sidecar/pipeline/canary.cc",
    text='#include "export/exporter.h"\n',
)
def rooms(tree):
    for path, text in tree.matching(r"^sidecar/[a-z]+/.*\.(h|cc)$"):
        room = path.split("/")[1]
        allowed = MAY_INCLUDE.get(room, set()) | {room}
        for number, quote, header in includes(text):
            if quote == "<" and not header.startswith("otlpshm/"):
                continue
            if header in allowed or header.split("/")[0] in allowed:
                continue
            yield Fault(path, number, f"{room}/ may not include {header}; sidecar.cc wires rooms")


@rule(
    "only what wires the rooms stands above them",
    path="sidecar/shortcut.cc",
    text='#include "ingest/drain.h"\n',
)
def roof(tree):
    for path, _ in tree.matching(r"^sidecar/[^/]*\.(h|cc)$"):
        if PurePosixPath(path).stem not in {"main", "arguments", "sidecar", "path", "metrics_page"}:
            yield Fault(path, 1, "a file of the daemon stands in a room: sidecar/<room>/")


@rule(
    "layout.h is all that the daemon shares with the library",
    path="sidecar/ingest/canary.cc",
    text='#include "otlpshm/otlpshm.h"\n',
)
def one_shared_header(tree):
    for path, text in tree.matching(r"^sidecar/.*\.(h|cc)$"):
        for number, _, header in includes(text):
            from_library = header.startswith(("otlpshm/", "libotlpshm/"))
            is_user = path.startswith("sidecar/cli/")  # the commands are users of the library
            if from_library and header != "otlpshm/layout.h" and not is_user:
                yield Fault(path, number, f"{header}: the daemon includes otlpshm/layout.h alone")


@rule(
    "the library includes itself and libc",
    path="libotlpshm/src/canary.c",
    text='#include <glib.h>\n',
)
def library_alone(tree):
    own = {PurePosixPath(path).name for path in tree.paths if path.startswith("libotlpshm/")}
    libc = re.compile(r"(sys|linux|asm|arpa|netinet)/[\w-]+\.h|(%s)\.h" % "|".join(LIBC))
    for path, text in tree.matching(r"^libotlpshm/.*\.(c|h)$"):
        for number, quote, header in includes(text):
            fine = PurePosixPath(header).name in own if quote == '"' else libc.fullmatch(header)
            if not fine:
                yield Fault(path, number, f"{header} is neither ours nor libc's")


LIBC = """assert ctype cpuid dirent errno fcntl float inttypes limits locale math poll pthread sched
signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib string strings time ucontext
unistd x86intrin immintrin""".split()


@rule(
    "a foreign world has one owner",
    path="sidecar/pipeline/canary.cc",
    text="#include <spdlog/spdlog.h>\n",
)
def foreign_owners(tree):
    for path, text in tree.matching(r"^(sidecar|libotlpshm|bindings)/.*\.(c|h|cc)$"):
        for number, _, header in includes(text):
            for pattern, owners in FOREIGN:
                if re.fullmatch(pattern, header) and not path.startswith(tuple(owners)):
                    yield Fault(path, number, f"{header} belongs to {owners[0]}")


@rule(
    "memory orders stand where threads meet",
    path="sidecar/pipeline/canary.cc",
    text="int f(int* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }\n",
)
def orders(tree):
    order = re.compile(r"\b(memory_order\w*|__ATOMIC_\w+|__sync_\w+|atomic_\w*fence)\b")
    for path, text in tree.matching(r"^(sidecar|libotlpshm)/.*\.(c|h|cc)$"):
        if path.startswith(tuple(ORDERS)):
            continue
        for number, line in lines(without_comments(text)):
            found = order.search(line)
            if found:
                yield Fault(path, number, f"{found.group()} outside {', '.join(ORDERS)}")


@rule(
    "the second reader knows nothing of the first",
    path="tests/abi/canary.py",
    text="import ctypes_of_otlpshm\n",
)
def independent_reader(tree):
    own = {Path(path).stem for path in tree.paths if path.startswith("tests/abi/")} - {"canary"}
    for path, text in tree.matching(r"^tests/abi/.*\.py$"):
        for node in ast.walk(ast.parse(text, path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names | own | {"pytest", "opentelemetry", ""}:
                    yield Fault(path, node.lineno, f"{name}: the decoder stands on docs/abi.md and Python alone")


# ---- how a file reads --------------------------------------------------------------------------


@rule("SPDX line first", path="sidecar/model/canary.h", text="// canary.h: a file.\n")
def spdx(tree):
    named = r"\.(c|h|cc|py|sh|proto)$|(^|/)(meson\.build|meson_options\.txt)$|^dev$|^\.ci/run$"
    for path, text in tree.matching(named):
        if "SPDX-License-Identifier: Apache-2.0" not in "".join(text.splitlines(True)[:2]):
            yield Fault(path, 1, "its first line says SPDX-License-Identifier: Apache-2.0")


@rule(
    "a head of at most eight lines that begins with the file's name",
    path="sidecar/model/canary.h",
    text="// SPDX-License-Identifier: Apache-2.0\n" + "// canary.h: long.\n" * 9 + "\nint x;\n",
)
def head(tree):
    for path, text in tree.matching(C_FILE):
        body = text.splitlines()[1:]
        comment = []
        if body and body[0].startswith("/*"):
            for line in body:
                comment.append(line)
                if "*/" in line:
                    break
        else:
            for line in body:
                if not line.startswith("//"):
                    break
                comment.append(line)
        is_test = path.startswith("tests/")  # the names of its cases say what it is
        if not is_test and not re.match(r"(//|/\*+)\s*%s[:\s]" % re.escape(Path(path).name), "".join(comment)):
            yield Fault(path, 2, f"its head begins '{Path(path).name}: what it is'")
        if len(comment) > HEAD_LINES_MAX:
            yield Fault(path, 2, f"a head of {len(comment)} lines; {HEAD_LINES_MAX} are enough")


@rule(
    "include guards are the path",
    path="sidecar/model/canary.h",
    text="// SPDX-License-Identifier: Apache-2.0\n// canary.h: a file.\n#pragma once\n",
)
def guards(tree):
    for path, text in tree.matching(r"^(sidecar|libotlpshm)/(?!.*/pch/).*\.h$"):
        inside = re.sub(r"^(sidecar|libotlpshm/include/otlpshm|libotlpshm)/", "", path)
        guard = "OTLPSHM_" + re.sub(r"\W", "_", inside).upper()
        code = re.search(r"^\s*#.*$", text, re.MULTILINE)
        if not code or code.group().split() != ["#ifndef", guard]:
            yield Fault(path, 1, f"its first directive is '#ifndef {guard}'")


@rule(
    "no file named after nothing",
    path="sidecar/model/record_utils.h",
    text="// SPDX-License-Identifier: Apache-2.0\n// record_utils.h: things.\n",
)
def file_names(tree):
    for path in sorted(tree.paths):
        for part in PurePosixPath(path).parts:
            words = set(re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", part).lower()))
            for word in sorted(words & BANNED_WORDS):
                yield Fault(path, 1, f"'{word}' says nothing; a thing without a name has no clear job")
            if PurePosixPath(part).stem in BANNED_ALONE:
                yield Fault(path, 1, f"'{part}' of what?")


@rule(
    "no name after nothing in a public header",
    path="libotlpshm/include/otlpshm/canary.h",
    text="int otlpshm_span_info(void);\n",
)
def public_names(tree):
    for path, text in tree.matching(r"^libotlpshm/include/.*\.h$"):
        for number, line in lines(without_comments(text)):
            for name in re.findall(r"[A-Za-z_]\w*", line):
                words = set(re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().split("_"))
                if name in OPENTELEMETRY_NAMES:
                    continue
                if words & BANNED_WORDS or name in BANNED_ALONE:
                    yield Fault(path, number, f"{name} says nothing of what it holds or does")


@rule(
    "no path of one machine",
    path="docs/canary.md",
    text="See /" + "wor" + "k/main/README.md.\n",
)
def machine_paths(tree):
    for path, text in tree.matching(""):
        for number, line in lines(text):
            if re.search(PATHS_OF_A_MACHINE, line):
                yield Fault(path, number, "names a path of one machine")


@rule(
    "no registry is named",
    path="tests/canary.txt",
    text="--index-url https://pypi." + "org/simple\n",
)
def registries(tree):
    for path, text in tree.matching(""):
        for number, line in lines(text):
            found = re.search(REGISTRIES, line)
            if found:
                yield Fault(path, number, f"{found.group()}: the machine's own settings say where from")


# ---- what must agree with what -----------------------------------------------------------------


@rule(
    "every SYNC label has two sides",
    path="libotlpshm/src/canary.c",
    text="/* SYNC(canary) */\nint x;\n",
)
def sync_pairs(tree):
    places = {}
    for path, text in tree.matching(r"^(sidecar|libotlpshm)/.*\.(c|h|cc)$"):
        for number, line in lines(text):
            for label in re.findall(r"SYNC\((\w+)\)", line):
                places.setdefault(label, []).append((path, number))
    listed = {}
    for number, line in lines(tree.files.get("docs/abi.md", "")):
        for label in re.findall(r"^\|\s*SYNC\((\w+)\)", line):
            listed[label] = number
    for label, where in sorted(places.items()):
        if len(where) < 2:
            yield Fault(*where[0], f"SYNC({label}) stands on one side only; name it on the other too")
        if label not in listed:
            yield Fault(*where[0], f"SYNC({label}) is not in the table of docs/abi.md")
    for label, number in listed.items():
        if (label in places) == (label in SYNC_LATER):
            where = "in the code, so not 'later'" if label in places else "nowhere in the code"
            yield Fault("docs/abi.md", number, f"SYNC({label}) stands {where}")


@rule(
    "every link in a document leads somewhere",
    path="docs/canary.md",
    text="See [the moon](moon.md).\n",
)
def links(tree):
    for path, text in tree.matching(r"\.md$"):
        fenced = False
        for number, line in lines(text):
            if line.lstrip().startswith("```"):
                fenced = not fenced
            if fenced:
                continue
            for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                there = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
                is_directory = any(other.startswith(there.rstrip("/") + "/") for other in tree.paths)
                if there not in tree.paths and not is_directory and there != ".":
                    yield Fault(path, number, f"{target} is not in the tree")
                elif anchor and there in tree.files and anchor not in anchors(tree.files[there]):
                    yield Fault(path, number, f"{there} has no heading '#{anchor}'")


def anchors(text):
    made = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#+\s+(.*?)\s*$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        made.add(plain.replace(" ", "-"))
    return made


@rule(
    "a unit test mirrors the room it tests",
    path="tests/unit/sidecar/attic/canary_test.cc",
    text="// SPDX-License-Identifier: Apache-2.0\n",
)
def mirrors(tree):
    for path, _ in tree.matching(r"^tests/unit/.*_test\.(c|cc)$"):
        room = str(PurePosixPath(path).parent.relative_to("tests/unit"))
        if not any(other.startswith(room + "/") for other in tree.paths):
            yield Fault(path, 1, f"{room}/ is not in the tree")


# ---- the program -------------------------------------------------------------------------------


def main(root):
    tree = Tree(root)
    faults = sorted({fault for each in RULES for fault in each.check(tree)})
    for fault in faults:
        print(f"{fault.path}:{fault.line}: {fault.text}")
    return 1 if faults else 0


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[2]
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
