# SPDX-License-Identifier: Apache-2.0
"""The unit files: systemd accepts them, and finds little that the daemon could do beyond its work.

Skips  where systemd-analyze is not installed; the files themselves are read either way.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(os.environ["OTLPSHM_SOURCE_DIR"]) / "packaging/systemd"
EXPOSURE_MAX = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture
def units(tmp_path):
    """The units, with a program that is there in place of the installed daemon."""
    for unit in UNITS.glob("*.[sm]*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/otlpshmd", "/bin/true"))
    return tmp_path


def analyze(units, *arguments):
    return subprocess.run(
        ["systemd-analyze", *arguments],
        cwd=units,
        env=dict(os.environ, SYSTEMD_UNIT_PATH=f"{units}:", SYSTEMD_COLORS="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(units):
    verified = analyze(units, "verify", "./otlpshmd.service", "./run-otlpshm.mount")
    complaints = [line for line in verified.stdout.splitlines() if "otlpshm" in line]
    assert complaints == []


@needs_systemd
def test_the_service_can_do_little_beyond_its_work(units):
    scored = analyze(units, "security", "--offline=true", "./otlpshmd.service").stdout
    exposure = re.search(r"Overall exposure level for otlpshmd\.service: ([\d.]+)", scored)
    assert exposure, scored
    assert float(exposure.group(1)) <= EXPOSURE_MAX


def test_the_directory_is_a_mount_that_a_stop_of_the_daemon_leaves_alone():
    service = (UNITS / "otlpshmd.service").read_text()
    mount = (UNITS / "run-otlpshm.mount").read_text()
    assert not re.search(r"^RuntimeDirectory=", service, re.MULTILINE)
    assert "mode=3733" in mount and "Where=/run/otlpshm" in mount
