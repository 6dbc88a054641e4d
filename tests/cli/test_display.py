"""The live display, drawn into a string."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sweep.cli.display import Live
from sweep.core.messages import BestTrial, Ending, Progress, Report, RunningTrial
from sweep.spec import SweepSpec

SPEC = SweepSpec.model_validate(
    {
        "name": "demo",
        "objective": "a.py:f",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": {"min": 0.0, "max": 1.0}, "epochs": 9},
    }
)


def progress(finished: int) -> Progress:
    running = (RunningTrial(7, 1, {"lr": 0.25, "epochs": 9}, 0.0, Report(3, 0.125)),)
    return Progress(
        counts={"complete": finished, "pruned": 0, "failed": 0, "running": 1, "waiting": 0},
        total=20,
        best=BestTrial(2, 0.5, {"lr": 0.75, "epochs": 9}) if finished else None,
        running=running,
        elapsed=61.0,
        seconds_left=None,
        stopped_by=None,
    )


@pytest.mark.parametrize("width", [60, 80, 140])
def test_it_shows_progress_the_best_trial_and_what_runs_in_any_width(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False)
    live = Live(SPEC, console)
    live.opened(2, progress(0))
    console.print(live._draw(progress(3)))
    lines = file.getvalue().splitlines()
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert "3/20 trials" in lines[0]
    assert "1m01s" in lines[0]
    assert "left" in lines[0]
    assert "1/2 slots busy" in lines[0]
    assert lines[1].split() == ["ended", "3", "complete"]
    assert "loss 0.5  trial 2  lr=0.75" in lines[2]
    assert lines[4].split()[0] == "7"
    assert lines[4].split()[-3:] == ["3", "0.125", "lr=0.25"]
    assert "epochs" not in file.getvalue(), "constants say nothing"


def test_failures_stay_on_the_screen() -> None:
    file = io.StringIO()
    live = Live(SPEC, Console(file=file, width=80, markup=False))
    live.ended(Ending(4, 1, "FAIL", "error", reason="ValueError: [bold]no"))
    live.ended(Ending(5, 1, "COMPLETE", "returned", 0.5))
    assert file.getvalue() == "trial 4 failed: ValueError: [bold]no\n"
