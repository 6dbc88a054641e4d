"""The progress displays, drawn into a string."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from sweep.console.display import LineDisplay, LiveDisplay
from sweep.messages import Assignment, AttemptResult, BestTrial, Progress, Report, RunningTrial
from sweep.sweepfile import SweepSpec
from sweep.tracking.hparams import Session

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
def test_the_display_has_progress_best_trial_and_running_trials_in_any_width(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False)
    live = LiveDisplay(SPEC, console)
    live.on_ready(2, progress(0))
    console.print(live._draw(progress(3)))
    lines = file.getvalue().splitlines()
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert "3/20 trials" in lines[0]
    assert "1m01s" in lines[0]
    assert "left" in lines[0]
    assert "1/2 slots busy" in lines[0]
    assert lines[1].split() == ["done", "3", "complete"]
    assert "loss 0.5  trial 2  lr=0.75" in lines[2]
    assert lines[4].split()[0] == "7"
    assert lines[4].split()[-3:] == ["3", "0.125", "lr=0.25"]
    assert "epochs" not in file.getvalue(), "constants are not displayed"


def test_the_time_left_is_counted_down_until_the_next_trial_finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    live = LiveDisplay(SPEC, Console(file=io.StringIO(), width=140))
    live.on_ready(2, progress(0))

    def after(seconds: float, finished: int) -> str:
        nonlocal now
        now = 1000.0 + seconds
        return live._time_left(progress(finished))

    assert after(5, 0) == ""
    assert after(10, 1) == ", 3m10s left"
    assert after(30, 1) == ", 2m50s left"
    assert after(40, 2) == ", 6m00s left"
    assert after(41, 2) == ", 5m59s left"
    assert after(999, 2) == "", "the estimate is exceeded"
    assert after(1000, 20) == ""


def test_the_time_left_is_at_most_that_of_the_time_limit() -> None:
    live = LiveDisplay(SPEC, Console(file=io.StringIO(), width=140))
    live.on_ready(2, progress(0))
    assert live._time_left(replace(progress(0), seconds_left=9.0)) == ", 9.0 s left"


def test_each_running_repeat_has_its_own_line() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, markup=False)
    live = LiveDisplay(SPEC, console)
    now = progress(1)
    repeats = tuple(replace(now.running[0], repeat=n, label=f"seed-{n}") for n in range(2))
    live.on_ready(4, progress(0))
    console.print(live._draw(replace(now, running=repeats)))
    lines = file.getvalue().splitlines()
    assert "2/4 slots busy" in lines[0]
    assert [line.split()[0] for line in lines[-2:]] == ["7/seed-0", "7/seed-1"]


def test_the_line_display_prints_the_outcome_of_each_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    log = LineDisplay(SPEC)
    log.on_attempt_start(Assignment(3, 1, {"lr": 0.5}, Session({}, "", 0.0), 7, repeat=1, label="seed-1"))
    over = AttemptResult(3, 1, None, "returned", 0.5, repeat=1, label="seed-1", is_repeat_finished=True)
    log.on_attempt_end(over)
    log.on_attempt_end(replace(over, kind="pruned", value=None))
    log.on_attempt_end(replace(over, kind="error", value=None, reason="ValueError: no"))
    log.on_attempt_end(
        replace(over, kind="stopped", value=None, reason="another repeat of the trial has failed")
    )
    log.on_attempt_end(replace(over, is_repeat_finished=False, kind="crash", value=None, reason="killed"))
    log.on_attempt_end(
        replace(over, is_repeat_finished=False, state="FAIL", value=None, reason="seed-2: ValueError: no")
    )
    assert capsys.readouterr().out.splitlines() == [
        "trial 3/seed-1 started: lr=0.5",
        "trial 3/seed-1 is done after 0.0 s: loss=0.5",
        "trial 3/seed-1 was pruned after 0.0 s",
        "trial 3/seed-1 failed after 0.0 s: ValueError: no",
        "trial 3/seed-1 was stopped after 0.0 s: another repeat of the trial has failed",
        "trial 3/seed-1 failed after 0.0 s and will run again: killed",
        "trial 3 FAIL after 0.0 s: seed-2: ValueError: no",
    ]


def test_failures_stay_on_the_screen() -> None:
    file = io.StringIO()
    live = LiveDisplay(SPEC, Console(file=file, width=80, markup=False))
    live.on_attempt_end(AttemptResult(4, 1, "FAIL", "error", reason="ValueError: [bold]no"))
    live.on_attempt_end(AttemptResult(5, 1, "COMPLETE", "returned", 0.5))
    assert file.getvalue() == "trial 4 failed: ValueError: [bold]no\n"


def test_the_terminal_shows_that_the_sweep_is_being_started_from_the_beginning() -> None:
    file = io.StringIO()
    with LiveDisplay(SPEC, Console(file=file, width=80, force_terminal=True)):
        assert "starting demo ..." in file.getvalue()
