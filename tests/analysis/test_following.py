"""A sweep that another process runs, followed from its files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.analysis.following import Follower
from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome, Progress, Report
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock


def make_controller(directory: SweepDirectory, **keys: Any) -> Controller:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            **({} if "metrics" in keys else {"metric": {"name": "loss", "goal": "minimize"}}),
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}, "epochs": 3},
            "trial": {"retries": 1, "backoff": 0},
            "stop": {"trials": 9},
            **keys,
        }
    )
    directory.spec.write_text(spec.to_yaml())
    return Controller(spec, directory, slots=4)


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def comparable(progress: Progress) -> Progress:
    """A progress without what the study does not have: times, some reports, and what the engine must kill."""
    running = tuple(
        replace(
            trial,
            started=0.0,
            last=trial.last if (trial.attempt, trial.repeat) == (1, 0) else None,
            is_cancelled=False,
        )
        for trial in progress.running
    )
    best = progress.best and replace(progress.best, finished=None)
    return replace(progress, running=running, best=best, elapsed=0.0)


GOALS = [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "minimize"}]


@pytest.mark.parametrize("keys", [{}, {"repeats": 2}, {"metrics": GOALS}])
def test_the_files_tell_the_same_as_the_controller(directory: SweepDirectory, keys: dict[str, Any]) -> None:
    controller = make_controller(directory, **keys)
    follower = Follower(SweepView(directory))

    def check() -> list[tuple[int, str | None]]:
        look = follower.look()
        assert comparable(look.progress) == comparable(controller.progress())
        assert look.progress.slots == 4
        return [(result.number, result.state) for result in look.results]

    assert check() == []
    runs = [assigned(controller) for _ in range(4)]
    for run in runs:
        controller.report(run.number, run.attempt, [Report(0, 0.5), Report(1, 0.25)], run.repeat)
    assert check() == []
    states: list[tuple[int, str | None]] = []
    kinds = ["returned", "error", "pruned", "crash"]
    for run, kind in zip(runs, kinds, strict=True):
        outcome = Outcome(run.number, run.attempt, kind, repeat=run.repeat, reason="no")  # type: ignore[arg-type]
        if kind == "returned":
            outcome = replace(outcome, value=0.5, metrics={"loss": 0.5, "size": 3.0}, reason="")
        result = controller.finish(outcome)
        assert result is not None
        expected = [(result.number, result.state)] if result.state is not None else []
        assert check() == expected
        states += expected
    while (run := controller.next_step(None).assignment) is not None:
        check()
        outcome = Outcome(run.number, run.attempt, "returned", 0.25, {"loss": 0.25, "size": 1.0})
        controller.finish(replace(outcome, repeat=run.repeat))
        states += check()
    assert len(states) == len(dict(states)) == 9, "each trial finishes once"
    assert len(Follower(SweepView(directory)).latest(5)) == 5


def test_reports_are_returned_once(directory: SweepDirectory) -> None:
    controller = make_controller(directory)
    run = assigned(controller)
    follower = Follower(SweepView(directory))
    controller.report(run.number, run.attempt, [Report(0, 0.5), Report(1, 0.25)])
    assert [event.report for event in follower.look().reports] == [(0, 0.5), (1, 0.25)]
    controller.report(run.number, run.attempt, [Report(2, 0.125)])
    assert [event.report for event in follower.look().reports] == [(2, 0.125)]
    assert follower.look().reports == []


def test_a_sweep_is_followed_before_it_has_a_study_and_after_it_was_started_again(
    directory: SweepDirectory,
) -> None:
    spec = make_controller(directory)._spec
    directory.journal.unlink()
    follower = Follower(SweepView(directory))
    assert follower.look().progress.finished == 0
    for value in (1.0, 2.0):  # the second time as after `--fresh`
        directory.journal.unlink(missing_ok=True)
        controller = Controller(spec, directory, slots=4)
        run = assigned(controller)
        controller.finish(Outcome(run.number, run.attempt, "returned", value))
        look = follower.look()
        assert [result.value for result in look.results] == [value]
        assert look.progress.counts["complete"] == 1


def test_it_is_known_whether_a_process_runs_the_sweep(directory: SweepDirectory) -> None:
    make_controller(directory)
    follower = Follower(SweepView(directory))
    assert not follower.is_running
    with SweepLock(directory.lock, "demo", ""):
        assert follower.is_running
    assert not follower.is_running
