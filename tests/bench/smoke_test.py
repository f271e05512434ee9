# SPDX-License-Identifier: Apache-2.0
"""smoke_test.py: a short run of each bench, so that none can rot; times are not asserted."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["OTLPSHM_BUILD_DIR"])

NAMES = {
    "span": {
        "span_w5_cpu_ns",
        "span_floor_ns",
        "span_w5_floor_ratio",
        "span_w5_least_cpu_ns",
        "span_w5_least_ratio",
        "span_w0_cpu_ns",
        "span_w20_cpu_ns",
        "span_attribute_cpu_ns",
        "span_attribute_least_cpu_ns",
        "span_unsampled_cpu_ns",
        "span_unsampled_least_cpu_ns",
        "span_unsampled_w5_cpu_ns",
        "span_first_lap_cpu_ns",
        "span_allocations",
        "span_syscalls",
        "span_w5_prepared_cpu_ns",
        "span_floor_tsc_ns",
        "span_w5_prepared_floor_ratio",
        "span_w5_prepared_least_cpu_ns",
        "span_w5_prepared_least_ratio",
        "span_w5_calibrated_cpu_ns",
        "span_event_cpu_ns",
        "span_threads16_ratio",
        "span_threads64_rejects",
    },
    "drain": {"drain_w5_spans_per_cpu_s", "drain_w5_cpu_ns_per_span"},
    "e2e": {
        "e2e_spans_per_s",
        "e2e_lost",
        "e2e_cpu_ns_per_span",
        "e2e_application_cpu_ns_per_span",
        "e2e_daemon_cpu_ns_per_span",
    },
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_bench_delivers_what_it_commits_and_prints_its_names(name):
    run = subprocess.run(
        [sys.executable, ROOT / "bench/run.py", "--build", BUILD, name, "--json", "--seconds", "0.5"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    values = {row["name"]: row["value"] for row in json.loads(run.stdout)}
    assert set(values) == NAMES[name]
    assert values.pop("e2e_lost", 0) == 0
    assert values.pop("span_allocations", 0) == 0
    for count in ("span_syscalls", "span_threads64_rejects"):  # depend on how busy the machine is
        assert values.pop(count, 0) >= 0
    assert all(value > 0 for value in values.values())


def test_a_bench_that_is_not_there_is_named():
    run = subprocess.run(
        [sys.executable, ROOT / "bench/run.py", "--build", BUILD, "nothing"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert "nothing" in run.stderr and "drain" in run.stderr
