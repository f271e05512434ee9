# SPDX-License-Identifier: Apache-2.0
"""The public functions, as the headers declare them.

Owns   the reading of the headers' text: what a declaration is, and which comment speaks for it.
Never  knows C: a declaration begins with OTLPSHM_API and ends with a semicolon.
Gives  declarations(): {name: Declaration}, in the headers' order.
"""

import re
from dataclasses import dataclass
from pathlib import Path

INCLUDE = Path(__file__).resolve().parents[2] / "libotlpshm/include"
HEADERS = ["otlpshm/otlpshm.h", "otlpshm/context.h"]


@dataclass
class Declaration:
    header: str
    line: int
    returns: str
    name: str
    parameters: list  # as text, like "const char* key"
    comment: str  # the last one at the left margin before it; one may speak for several


def spaced(text):
    """One spelling for all: no blank but between words, "char* key" and "char *key" alike."""
    return re.sub(r"\s*([*()\[\],])\s*", r"\1", " ".join(text.split()))


def split_parameters(text):
    """At the commas outside of brackets; "(void)" has none."""
    found, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    found = [spaced(one) for one in found]
    return [] if found == ["void"] else found


def declarations_of(text, header):
    found = {}
    comment = ""
    for part in re.finditer(r"^/\*.*?\*/|^OTLPSHM_API\b(.*?);", text, re.MULTILINE | re.DOTALL):
        if part.group().startswith("/*"):
            comment = " ".join(re.sub(r"^\s*\*?/?\*?", "", line) for line in part.group().splitlines())
            comment = " ".join(comment.removesuffix("*/").split())
            continue
        returns, name, parameters = re.fullmatch(
            r"\s*(.*?)\s*\b(otlpshm_\w+)\((.*)\)\s*", part.group(1), re.DOTALL
        ).groups()
        line = text[: part.start()].count("\n") + 1
        found[name] = Declaration(
            header, line, spaced(returns), name, split_parameters(parameters), comment
        )
    return found


def declarations():
    found = {}
    for header in HEADERS:
        found |= declarations_of((INCLUDE / header).read_text(encoding="utf-8"), header)
    return found
