# SPDX-License-Identifier: Apache-2.0
"""The model holds, and it can fail: the commit's store, weakened, is found."""

import os
from pathlib import Path

import prove
import pytest

MODEL = os.path.join(os.environ["OTLPSHM_BUILD_DIR"], "tests/model/model")


def test_every_promise_of_the_ring_holds_in_every_interleaving(capsys):
    assert prove.prove_code(MODEL), capsys.readouterr().out


def test_every_model_in_spin_holds_and_each_broken_one_is_refuted(capsys):
    assert prove.prove_spin(), capsys.readouterr().out


def sites():
    return prove.gather_sites(MODEL, prove.run_model(MODEL, "--sites")[1])


@pytest.mark.parametrize("operation", ["store_release_u64", "load"])
def test_a_commit_without_its_order_is_found(operation):
    """Either side of SYNC(commit)."""
    weakened = [
        site
        for site in sites()
        if site.label == "SYNC(commit)" and (operation in site.key or operation == site.what)
    ]
    assert weakened
    for site in weakened:
        arguments = [part for code in site.codes for part in ("--weaken", code)]
        faults = [each.fault for each in prove.run_model(MODEL, *arguments, "commit")[0]]
        assert faults == ["a data race"], site.key


def test_every_label_of_the_ring_is_exercised():
    """What docs/abi.md lists for lanes, leases, acks and the doorbell stands at a modelled access."""
    seen = {site.label for site in sites()}
    page = (Path(prove.ROOT) / "docs/abi.md").read_text(encoding="utf-8")
    for label in ("commit", "note", "release", "lease", "open", "tables", "sleep", "reaped"):
        assert f"| SYNC({label}) |" in page
        assert f"SYNC({label})" in seen


def test_every_use_of_a_label_is_run_or_listed_as_not_modelled():
    unlisted = [(name, line) for name, line, why in prove.unseen_uses(sites()) if why is None]
    assert not unlisted
