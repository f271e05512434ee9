# SPDX-License-Identifier: Apache-2.0
"""run.py: runs one bench by its name, or lists them.

   Never  sums up what a bench did not print: with --json its one array goes through as it is.
"""

import argparse
import pathlib
import subprocess
import sys

BENCHES = {
    "span": "what a span costs the thread that records it",
    "drain": "spans that the daemon carries per second of its own CPU",
    "e2e": "spans per second over the whole path, their cost, and what is lost",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=sorted(BENCHES), help="the bench; none: list")
    parser.add_argument("--build", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one array of name, value, unit")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time (default 4)")
    options = parser.parse_args()
    if options.name is None:
        for name, question in BENCHES.items():
            print(f"{name:8} {question}")
        return 0
    command = [str(options.build / "bench" / f"bench-{options.name}")]
    command += ["--seconds", str(options.seconds)]
    if options.json:
        command.append("--json")
    else:
        print(f"▸ {options.name}: {BENCHES[options.name]}", file=sys.stderr)
    return subprocess.run(command, check=False, timeout=600).returncode


if __name__ == "__main__":
    sys.exit(main())
