"""A short form of the long run in docs/: kill things at random, and lose nothing."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_nothing_is_lost_when_everything_is_killed_at_random() -> None:
    command = [sys.executable, "scripts/chaos.py", "--minutes", "15", "--kills", "10", "--seed", "6"]
    done = subprocess.run(
        [*command, "--trials", "16"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=2400,
    )
    seen = dict(re.findall(r"^\| ([a-z ]+) \| (\d+) \|$", done.stdout, re.MULTILINE))
    assert int(seen.pop("trials")) >= 16, done.stdout + done.stderr
    for victim in ("worker", "driver", "controller", "raylet", "node"):
        assert int(seen.pop(victim)) >= 1, done.stdout
    assert set(seen.values()) == {"0"}, done.stdout
    assert done.returncode == 0
