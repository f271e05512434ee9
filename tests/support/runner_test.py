# SPDX-License-Identifier: Apache-2.0
"""The tests' own runner must catch a liar: each way to look green without being so is tried on it.

Owns   nothing outside pytest's tmp_path.
Never  runs the project's programs: shell one-liners stand in for tests.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import run_suites

RUN_TEST = Path(__file__).with_name("run_test.py")


def run(script):
    """(exit status, {passed, failed, skipped}, output) of a shell script under run_test.py"""
    ended = subprocess.run(
        [sys.executable, RUN_TEST, "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    numbers = run_suites.CASES.findall(ended.stdout)
    assert len(numbers) == 1, ended.stdout
    return ended.returncode, tuple(map(int, numbers[0])), ended.stdout


def ledger(*lines):
    return "".join(f"printf '%s\\n' '{line}' >>\"$OTLPSHM_TEST_CASES\"; " for line in lines)


def test_a_plain_program_is_one_case():
    assert run("exit 0")[:2] == (0, (1, 0, 0))
    assert run("exit 3")[:2] == (1, (0, 1, 0))
    assert run("exit 77")[:2] == (77, (0, 0, 1))


def test_the_cases_of_a_ledger_are_counted():
    script = ledger("runner\tx", "begun\ta", "passed\ta", "begun\tb", "passed\tb", "skipped\tc")
    assert run(script)[:2] == (0, (2, 0, 1))


@pytest.mark.parametrize(
    "lie, script",
    [
        ("no case ran", ledger("runner\tx")),
        ("a case never ended", ledger("runner\tx", "begun\ta")),
        ("a case failed and the program says 0", ledger("runner\tx", "begun\ta", "failed\ta")),
        ("a case passed and its teardown failed", ledger("runner\tx", "passed\ta", "failed\ta")),
        ("all passed and the program says 1", ledger("runner\tx", "passed\ta") + "exit 1"),
        ("it died of a signal", ledger("runner\tx", "passed\ta") + "kill -9 $$"),
        ("an unknown word", ledger("runner\tx", "passed\ta", "splendid\tb")),
    ],
)
def test_a_lie_is_a_failure(lie, script):
    status, (_, failed, _), output = run(script)
    assert status == 1 and failed == 1, output


@pytest.mark.parametrize("where", ["TMPDIR", "OTLPSHM_TEST_SHM"])
def test_a_file_left_behind_is_named_and_removed(where):
    status, counts, output = run(f': >"${where}/forgotten"')
    assert status == 1 and counts == (1, 1, 0)
    path = re.search(r"left file (\S+/forgotten) behind", output).group(1)
    assert not Path(path).parent.exists()


def test_a_process_left_behind_is_named_and_killed():
    status, counts, output = run("env -i setsid sleep 345 >/dev/null 2>&1 &")
    assert status == 1 and counts == (1, 1, 0)
    pid = re.search(r"left process (\d+) behind: sleep 345", output).group(1)
    assert not Path("/proc", pid).exists()


def test_a_test_without_a_last_line_has_failed(capsys):
    tally = run_suites.Tally()
    run_suites.count(
        {"name": "otlpshm:unit / x", "result": "TIMEOUT", "duration": 1, "command": ["x"]}, tally
    )
    assert (tally.passed, tally.failed) == (0, 1)


def test_meson_has_the_last_word(capsys):
    tally = run_suites.Tally()
    run_suites.count(
        {
            "name": "otlpshm:unit+loop_epoll / x",
            "result": "FAIL",
            "duration": 1,
            "command": ["x"],
            "stdout": "[cases] passed=3 failed=0 skipped=0\n",
        },
        tally,
    )
    assert (tally.passed, tally.failed) == (3, 1)
    assert tally.ran == {"unit": 4, "loop_epoll": 4}
