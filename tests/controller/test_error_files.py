"""`error.txt` is the error of a failed run; a run that has not failed has none."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome, OutcomeKind
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory


def make(directory: SweepDirectory, **keys: Any) -> Controller:
    data = {
        "name": "demo",
        "objective": "a.py:f",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
        "stop": {"trials": 4},
        **keys,
    }
    return Controller(SweepSpec.model_validate(data), directory, slots=2)


def begin(controller: Controller) -> Assignment:
    run = controller.next_step(None).assignment
    assert run is not None
    return run


def end(controller: Controller, run: Assignment, kind: OutcomeKind, value: float | None = None) -> None:
    outcome = Outcome(run.number, run.attempt, kind, value, reason="killed", repeat=run.repeat)
    assert controller.finish(outcome) is not None


def texts(directory: SweepDirectory, label: str = "") -> tuple[str | None, str | None]:
    """The contents of `error.txt` and `earlier-error.txt` of trial 0."""
    trial = directory.trial(0, label)
    return tuple(  # type: ignore[return-value]
        path.read_text() if path.exists() else None for path in (trial.error, trial.earlier_error)
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("returned", 1.0, (None, "killed\n")),
        ("pruned", None, (None, "killed\n")),
        ("returned", float("nan"), ("the metric is NaN\n", None)),
        ("error", None, ("killed\n", None)),
    ],
)
@pytest.mark.parametrize("is_resumed", [False, True])
def test_only_a_failed_trial_has_an_error_file(
    directory: SweepDirectory,
    kind: OutcomeKind,
    value: float | None,
    expected: tuple[str | None, str | None],
    is_resumed: bool,
) -> None:
    controller = make(directory)
    end(controller, begin(controller), "crash")
    assert texts(directory) == ("killed\n", None)
    current = make(directory) if is_resumed else controller
    again = begin(current)
    assert (again.number, again.attempt) == (0, 2)
    end(current, again, kind, value)
    assert texts(directory) == expected


def test_a_repeat_that_completes_has_no_error_file_and_one_that_fails_has(directory: SweepDirectory) -> None:
    controller = make(directory, repeats=2)
    first, second = begin(controller), begin(controller)
    end(controller, first, "crash")
    end(controller, second, "crash")
    end(controller, begin(controller), "returned", 1.0)
    end(controller, begin(controller), "error")
    assert texts(directory, "seed-0") == (None, "killed\n")
    assert texts(directory, "seed-1") == ("killed\n", None)


@pytest.mark.parametrize("repeats", [None, 2])
def test_a_trial_that_the_user_stops_while_it_waits_for_a_retry_has_no_error_file(
    directory: SweepDirectory, repeats: int | None
) -> None:
    controller = make(directory, repeats=repeats, trial={"backoff": 1000})
    run = begin(controller)
    end(controller, run, "crash")
    controller.stop_trial(0, "stopped by the user")
    assert texts(directory, run.label) == (None, "killed\n")
