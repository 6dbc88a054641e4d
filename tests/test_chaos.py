"""A short form of the long run in docs/failures.md: kill processes at random, and lose nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.process
def test_nothing_is_lost_when_a_worker_the_driver_and_the_controller_are_killed() -> None:
    # With this seed the first three kills are of these three. The other kinds take minutes: see the script.
    command = [sys.executable, "scripts/chaos.py", "--minutes", "10", "--kills", "3", "--seed", "14"]
    command += ["--kinds", "worker", "driver", "controller"]
    done = subprocess.run(
        [*command, "--trials", "10"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    seen = dict(re.findall(r"^\| ([a-z ]+) \| (\d+) \|$", done.stdout, re.MULTILINE))
    assert int(seen.pop("trials")) >= 10, done.stdout + done.stderr
    for victim in ("worker", "driver", "controller"):
        assert int(seen.pop(victim)) == 1, done.stdout
    assert set(seen.values()) == {"0"}, done.stdout
    assert done.returncode == 0
