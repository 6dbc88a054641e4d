"""Trials in the process that calls, without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sweep
from tests.conftest import MakeSweep


def test_no_ray_is_started_or_imported_and_the_result_is_the_same(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep(
        """
        import sweep

        def train(trial):
            trial.report(trial.params.x, 0)
            if trial.number == 1:
                raise sweep.TrialPruned
            if trial.number == 2:
                raise SystemExit(3)
            return trial.params.x
        """,
        stop={"trials": 4},
    )
    code = (
        f"import sweep, sys; r = sweep.run({str(file)!r}, inline=True); "
        "print([t.state for t in r.trials]); print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['COMPLETE', 'PRUNED', 'FAIL', 'COMPLETE']", "False"]


def test_output_is_shown_and_kept(make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str]) -> None:
    file = make_sweep("def train(trial):\n    print('hello')\n    return 1.0\n", stop={"trials": 1})
    result = sweep.run(file, inline=True)
    assert capsys.readouterr().out == "hello\n"
    assert (result.directory / "trial-0000" / "output.log").read_text() == "hello\n"


def test_the_caller_keeps_its_directory_and_environment(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os

        def train(trial):
            os.chdir("/")
            os.environ["LEFT_BEHIND"] = "yes"
            return 1.0
        """,
        stop={"trials": 1},
    )
    here = os.getcwd()
    sweep.run(file, inline=True)
    assert os.getcwd() == here
    assert "LEFT_BEHIND" not in os.environ


def test_breakpoint_works(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    secret = 41\n    breakpoint()\n    return secret\n", stop={"trials": 1}
    )
    done = subprocess.run(
        [sys.executable, "-c", "from sweep.cli import main; main()", "run", str(file), "--inline"],
        input="p secret + 1\nc\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONBREAKPOINT": ""},
    )
    assert "42" in done.stdout
    assert "COMPLETE" in done.stdout
