#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prove.py: what the ring promises, checked for every interleaving, and that the check can fail.

Runs    the model of the library's own object code (relacy, C11 memory) and the models of the
        doorbell and of death (Spin); with --weaken, each order in turn taken away.
Owns    the table of orders that nothing needs, and why.
Prints  a line for each scenario: executions or states, exhaustive or bounded; exits 1 on a fault.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCES = ROOT / "libotlpshm/src"
TIMEOUT_S = 600

# Whose orders are the ring's; those of the clock and of sampling have tests of their own.
FILES = {
    "lane.c", "lane.h", "segment.c", "segment.h", "attach.c", "attach.h", "attach_counts.c",
    "attach_tables.c", "attach_watch.c", "doorbell.c", "doorbell.h",
}  # fmt: skip

GONE = "who takes over asks the kernel first, which orders all that the dead thread stored"
AGAIN = "otlpshm_attach_use loads it again, seq_cst, before anything is read through it"
MAPPED = "the scenarios where this runs begin with the ack mapped"
LATE = "no scenario lets a thread die while it looks at the daemon's files, or opens a lane"
PREOPEN = "no scenario opens all lanes at once: preopen, which waits for a lease with the lane's holder"

# Orders that can be taken away one by one and unseen, by function and operation, and why.
EQUIVALENT = {
    "use_current load_acquire_pointer": AGAIN,
    "otlpshm_attach_drop load_acquire_pointer": AGAIN,
    "wants_ack load_acquire_pointer": "only asks whether there is an ack",
    "otlpshm_attach_use store_release_u32": "takes a use back through which nothing was touched",
    "otlpshm_attach_again load_acquire_pointer": "only asks whether there is a segment",
    "otlpshm_lane_commit load_acquire_pointer": "the lease orders what is read behind it",
    "commit_elsewhere load_acquire_pointer": "the lease orders what is read behind it",
    "otlpshm_doorbell_ring take_u32": "no memory goes with the epoch",
    "publish_next_lane store_release_u32: lanes_open": "a lane's words are zero before it opens",
    "publish_next_lane store_release_u32: lanes[index].lease":
        "a lane's words are made before the segment is",
    "write_record store_release_u64: &lane->sequence": GONE,
    "otlpshm_segment_read_release load_acquire_u64": "one word: the fence behind it acquires as well",
    "otlpshm_segment_read_release acquire_fence": "one word: the selector's load acquires as well",
    "recover store_release_u64": "the lease that is given back behind it releases as well",
    "otlpshm_lane_reclaim take_u32": GONE,
    "otlpshm_segment_close_leases take_u32": "the load beside it, of the same word, acquires as well",
    "otlpshm_segment_close_leases load_acquire_u32": "the exchange beside it acquires as well",
    "daemon SYNC(open) lanes_open": "a lane's words are zero before it opens; tail publishes records",
}

# Orders that something needs which no scenario does yet. Not proved.
NOT_MODELLED = {
    "take_unechoed load_acquire_u32": "no scenario echoes drops before it writes reaped",
    "daemon SYNC(reaped) state": "no scenario echoes drops before it writes reaped",
    "otlpshm_lane_reclaim store_release_u32": "only the heir itself writes to the lane afterwards",
    "forget_gone load_ordered_u32": "no thread dies while the segment is closed",
    "take_unechoed load_acquire_pointer": MAPPED,
    "is_read_out load_acquire_pointer": MAPPED,
}

# Uses of a label that no scenario runs at all, by file and a piece of the line. Not proved.
NOT_RUN = {
    "attach_watch.c take_u32(&attachment->tick_lease, other, otlpshm_attach_holder())": LATE,
    "lane.c if (!take_u32(&segment->open_lease, opener, tid)) return": LATE,
    "lane.c (void)take_u32(&lane->lease, OTLPSHM_LEASE_CLOSED, OTLPSHM_LEASE_FREE)": LATE,
    "lane.c store_release_u32(&segment->open_lease, 0)": LATE,
    "segment.c if (take_u32(lease, from, tid)) return true": PREOPEN,
    "segment.c store_release_u32(&lane->lease, OTLPSHM_LEASE_FREE)": PREOPEN,
    "segment.c OTLPSHM_LEASE_CLOSED); /* SYNC(lease) */":
        "no scenario takes a segment's name away under its writers",
}
# A call that has its accesses elsewhere, and a load without an order: nothing to take away.
WITHOUT_ORDER = ("otlpshm_segment_read_release(segment, index, &release)", "load_relaxed_u32(&ack->state)")

Scenario = namedtuple("Scenario", "name executions extent fault")
Site = namedtuple("Site", "key label codes what order text")


# ---- the library's object code --------------------------------------------------------------------


def run_model(model, *arguments):
    """Scenarios, sites and trace lines of one run."""
    done = subprocess.run(
        [model, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"prove: {model} ended with {done.returncode}: {done.stderr.strip()}")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    scenarios = [Scenario(r[1], int(r[2]), r[3], r[4]) for r in rows if r[0] == "scenario"]
    return scenarios, [r[1:] for r in rows if r[0] == "site"], [r[1] for r in rows if r[0] == "trace"]


def frames(model, codes):
    """Where each address is in the sources: {code: [(function, file, line), …]}, innermost first."""
    calls = [hex(int(code, 16) - 1) for code in codes]
    out = subprocess.run(
        ["addr2line", "-a", "-f", "-i", "-e", model, *calls],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    found, current = [], None
    for line in out:
        if line.startswith("0x"):
            current = []
            found.append(current)
        else:
            current.append(line)
    result = {}
    for code, lines in zip(codes, found):
        result[code] = []
        for function, place in zip(lines[::2], lines[1::2]):
            path, _, line = place.partition(" ")[0].rpartition(":")
            result[code].append((function, path, int(line) if line.isdigit() else 0))
    return result


def statement(name, line):
    """A line of one of the library's sources and those that belong to its statement.

    Only the file's name is asked for: the directory that the debug information has is the one where
    the unit was compiled, and a compiler cache may have that from another clone.
    """
    lines = (SOURCES / name).read_text(encoding="utf-8").splitlines()
    first = last = line - 1
    while last + 1 < len(lines) and not re.search(r"[;{}]", lines[last]):
        last += 1
    while first > 0 and not re.search(r"[;{}]\s*(/\*.*\*/)?\s*$|^\s*$|\*/\s*$", lines[first - 1]):
        first -= 1
    return "\n".join(lines[first : last + 1])


def gather_sites(model, rows):
    """The accesses that have an order, by their place in the sources."""
    codes = [row[0] for row in rows if row[0].startswith("0x")]
    where = frames(model, codes)
    sites = {}
    for name, what, order in rows:
        if name.startswith(("mutex", "kernel")):  # the model's own
            continue
        if not name.startswith("0x"):
            label = re.search(r"SYNC\(\w+\)", name)
            sites[name] = Site(name, label.group() if label else "", [name], what, order, "")
            continue
        inner = where[name]
        operation = next((f for f, path, _ in inner if path.endswith("/ordering.h")), None)
        function, path, line = next(f for f in inner if not f[1].endswith("/ordering.h"))
        if Path(path).name not in FILES:
            continue
        text = statement(Path(path).name, line)
        if operation is None:
            macro = re.search(r"(load|store)_\w+_pointer", text)
            operation = macro.group() if macro else what
        label = re.search(r"SYNC\(\w+\)", text)
        key = f"{Path(path).name}:{line} {function} {operation}"
        if key in sites:
            sites[key].codes.append(name)
        else:
            sites[key] = Site(key, label.group() if label else "", [name], what, order, text)
    return list(sites.values())


def is_equivalent(site):
    """Why nothing needs it, or null. A key may end with a piece of the statement after a colon."""
    for key, why in EQUIVALENT.items():
        place, _, piece = key.partition(": ")
        if site.key.endswith(place) and piece in site.text:
            return why
    return None


def uses_of_labels():
    """(file, line) of each SYNC(label) that stands at an access of the ring."""
    for path in sorted(SOURCES.iterdir()):
        if path.name not in FILES:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            is_use = re.search(r"^(?!\s*/?\*).*/\* SYNC\(\w+\) \*/", line)
            if is_use and not any(piece in line for piece in WITHOUT_ORDER):
                yield path.name, line.strip()


def unseen_uses(sites):
    """Uses of a label that no scenario runs, each with why, or with null where nobody says."""
    for name, line in uses_of_labels():
        if any(site.key.startswith(f"{name}:") and line in site.text for site in sites):
            continue
        known = [
            why for key, why in NOT_RUN.items()
            if key.partition(" ")[0] == name and key.partition(" ")[2] in line
        ]  # fmt: skip
        yield name, line, known[0] if known else None


def prove_code(model):
    print("The library's object code, every interleaving and every stale load (relacy):")
    scenarios, _, trace = run_model(model, "--trace")
    for each in scenarios:
        print(f"  {each.name:<14} {each.executions:>9} executions  {each.extent}  {each.fault}")
    if trace:
        show_trace(model, trace)
    return all(not each.fault for each in scenarios) and bool(scenarios)


def show_trace(model, trace):
    codes = sorted(set(re.findall(r"\((0x[1-9a-f][0-9a-f]*)\)", "\n".join(trace))))
    where = frames(model, codes)

    def place(match):
        function, path, line = next(
            f for f in where[match.group(1)] if not f[1].endswith("/ordering.h")
        )
        return f"({Path(path).name}:{line} {function})"

    last = None
    for line in trace:
        line = re.sub(r"\((0x[1-9a-f][0-9a-f]*)\)", place, line)
        if line != last:
            print(f"    {line}")
        last = line


def prove_weakened(model):
    """Each order taken away in turn must be found, or be known to be equivalent."""
    print("Each order in turn taken away:")
    _, rows, _ = run_model(model, "--sites")
    sound = True
    sites = sorted(gather_sites(model, rows))
    for name, line, why in unseen_uses(sites):
        print(f"  {name}: {line}\n      " + (f"not modelled: {why}" if why else "NOT RUN BY ANY SCENARIO"))
        sound = sound and why is not None
    for site in sites:
        arguments = [part for code in site.codes for part in ("--weaken", code)]
        scenarios, _, _ = run_model(model, "--first-fault", *arguments)
        found = [f"{each.name}: {each.fault}" for each in scenarios if each.fault]
        why = is_equivalent(site)
        if found and why is None:
            verdict = f"found by {found[0]}"
        elif found:
            verdict, sound = f"FOUND by {found[0]}, though listed as equivalent", False
        elif why is not None:
            verdict = f"equivalent: {why}"
        elif any(site.key.endswith(key) for key in NOT_MODELLED):
            verdict = "not modelled: " + next(w for k, w in NOT_MODELLED.items() if site.key.endswith(k))
        else:
            verdict, sound = "NOT FOUND", False
        print(f"  {site.key} ({site.order}) {site.label}\n      {verdict}", flush=True)
    return sound


# ---- Spin ------------------------------------------------------------------------------------------

SPIN = ["doorbell.pml", "death.pml"]


def spin(model, *defines):
    """Runs one model; (states, exhaustive, errors)."""
    with tempfile.TemporaryDirectory(prefix="otlpshm-spin-") as directory:
        shutil.copy(HERE / model, directory)
        subprocess.run(
            ["spin", *[f"-D{name}" for name in defines], "-a", model],
            cwd=directory, check=True, capture_output=True, timeout=TIMEOUT_S,
        )  # fmt: skip
        subprocess.run(
            ["cc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c"],
            cwd=directory, check=True, capture_output=True, timeout=TIMEOUT_S,
        )  # fmt: skip
        out = subprocess.run(
            ["./pan", "-m1000000", "-n"],
            cwd=directory, check=False, capture_output=True, text=True, timeout=TIMEOUT_S,
        ).stdout  # fmt: skip
    errors = re.search(r"errors: (\d+)", out)
    states = re.search(r"(\d+) states, stored", out)
    if errors is None or states is None:
        sys.exit(f"prove: {model}: Spin's verifier did not finish:\n{out}")
    is_cut = "max search depth too small" in out or "Search not completed" in out
    return int(states.group(1)), not is_cut, int(errors.group(1))


def variants_of(model):
    """What a model can be broken by: lines '#ifdef BROKEN_…'."""
    return sorted(set(re.findall(r"BROKEN_\w+", (HERE / model).read_text(encoding="utf-8"))))


def prove_spin():
    print("The doorbell, and death at every step (Spin):")
    sound = True
    for model in SPIN:
        states, is_whole, errors = spin(model)
        extent = "exhaustive" if is_whole else "bounded"
        print(f"  {model:<14} {states:>9} states      {extent}  {'FAULT' if errors else ''}")
        sound = sound and errors == 0 and is_whole
        for variant in variants_of(model):
            _, _, errors = spin(model, variant)
            print(f"    {variant:<42} {'refuted' if errors else 'NOT REFUTED'}", flush=True)
            sound = sound and errors > 0
    return sound


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--build", type=Path, required=True, help="where the model is built")
    arguments.add_argument("--weaken", action="store_true", help="take each order away in turn")
    asked = arguments.parse_args()
    model = os.fspath(asked.build / "tests/model/model")
    sound = prove_code(model)
    sound = prove_spin() and sound
    if asked.weaken:
        sound = prove_weakened(model) and sound
    print("proved" if sound else "NOT PROVED")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
