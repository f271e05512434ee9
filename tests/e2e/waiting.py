# SPDX-License-Identifier: Apache-2.0
"""Waiting with an end, and with a line now and then for whoever watches."""

import os
import time

SANITIZED = os.environ.get("OTLPSHM_TEST_SANITIZED") == "1"
PATIENCE = 4 if SANITIZED else 1
PROGRESS_S = 5


def until(condition, what, timeout_s=30):
    """Polls until condition() is true and returns what it returned; `what` may be a function."""
    started = time.monotonic()
    told = started
    pause = 0.001
    while True:
        found = condition()
        if found:
            return found
        now = time.monotonic()
        text = what() if callable(what) else what
        if now - started > timeout_s * PATIENCE:
            raise AssertionError(f"not within {timeout_s * PATIENCE} s: {text}")
        if now - told > PROGRESS_S:
            told = now
            print(f"… {now - started:.0f} s: {text}", flush=True)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
