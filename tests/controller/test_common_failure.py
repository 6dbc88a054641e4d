"""A failure that the first trials have in common stops the sweep."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.controller.common_failure import failure_patterns
from sweep.controller.controller import Controller
from sweep.messages import Assignment, NextStep, Outcome, Report
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

MANY = {"trials": 50}


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0.0, "max": 1.0}, "opt": {"values": ["sgd", "adam"]}},
            "stop": MANY,
            **keys,
        }
    )


def ended(run: Assignment, reason: str = "", value: float | None = None) -> Outcome:
    kind = "error" if reason else "returned"
    return Outcome(run.number, run.attempt, kind, value, reason=reason, repeat=run.repeat)


def run_all(controller: Controller, reasons: list[str], limit: int = 30) -> int:
    """Run one trial after another, with these reasons, the last one again and again; returns how many end.

    An empty reason is a complete trial.
    """
    step = controller.next_step(None)
    for count in range(limit):
        if step.assignment is None:
            assert step.ask_again_in is None
            return count
        reason = reasons[min(count, len(reasons) - 1)].format(**step.assignment.params)
        step = controller.next_step(ended(step.assignment, reason, None if reason else 1.0))
    return limit


@pytest.mark.parametrize(
    ("reasons", "stop", "count"),
    [
        (["broken"], MANY, 5),
        (["ValueError: {x} is too large for {opt}"], MANY, 5),
        (["broken"], {"trials": 4}, 4),
        (["broken"], {**MANY, "failures": 8}, 8),
        (["broken"], {**MANY, "failures": 3}, 3),
        (["broken"], {**MANY, "failures": "unlimited"}, 30),
        (["broken", "broken", "broken", "broken", "late", "broken"], MANY, 30),
        (["", "broken"], MANY, 30),
        (["broken", "broken", "broken", "broken", "", "broken"], MANY, 30),
    ],
)
def test_five_equal_failures_at_the_beginning_stop_a_sweep(
    directory: SweepDirectory, reasons: list[str], stop: dict[str, Any], count: int
) -> None:
    controller = Controller(make_spec(stop=stop), directory, slots=1)
    assert run_all(controller, reasons) == count
    failure = controller.progress().common_failure
    assert (failure is not None) == (controller.progress().stopped_by == "same_failure")
    assert (failure is not None) == (count == 5)


def test_only_trials_that_end_after_a_resume_count(directory: SweepDirectory) -> None:
    spec = make_spec()
    assert run_all(Controller(spec, directory, slots=1), ["broken"]) == 5
    assert run_all(Controller(spec, directory, slots=1), ["another"]) == 5, "it was not corrected"
    resumed = Controller(spec, directory, slots=1)
    assert resumed.progress().common_failure is None
    assert run_all(resumed, ["broken", "broken", ""]) == 30
    assert run_all(Controller(spec, directory, slots=1), ["broken"]) == 10, (
        "trials of this sweep have succeeded"
    )


def test_a_failed_attempt_that_is_retried_is_not_the_end_of_its_trial(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 1, "retry_on": ["error"]})
    assert run_all(Controller(spec, directory, slots=1), ["broken"]) == 10


def test_a_trial_with_repeats_fails_once(directory: SweepDirectory) -> None:
    assert run_all(Controller(make_spec(repeats=3), directory, slots=1), ["broken"]) == 5


def start(controller: Controller, count: int) -> list[Assignment]:
    runs = [controller.next_step(None).assignment for _ in range(count)]
    assert None not in runs
    return [run for run in runs if run is not None]


def fail(controller: Controller, runs: list[Assignment]) -> NextStep:
    for run in runs:
        step = controller.next_step(ended(run, "broken"), has_worker=False)
    return step


def test_running_trials_show_whether_trials_can_succeed(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=8)
    runs = start(controller, 8)
    fail(controller, runs[:5])
    held = controller.next_step(None)
    assert (held.assignment, held.ask_again_in) == (None, 1.0), "wait for those that are running"
    assert controller.progress().stopped_by is None
    fail(controller, runs[5:7])
    assert controller.next_step(None).assignment is None
    controller.finish(ended(runs[7], value=0.5))
    assert controller.next_step(None).assignment is not None
    assert controller.progress().common_failure is None


def test_a_sweep_whose_running_trials_fail_as_well_stops(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=8)
    runs = start(controller, 8)
    assert fail(controller, runs).ask_again_in is None
    assert controller.next_step(None).assignment is None
    assert controller.close().stopped_by == "same_failure"


@pytest.mark.parametrize("fails_late", [False, True])
def test_a_running_trial_that_has_come_further_than_those_that_failed_is_different(
    directory: SweepDirectory, fails_late: bool
) -> None:
    controller = Controller(make_spec(), directory, slots=8)
    runs = start(controller, 6)
    if fails_late:
        controller.report(runs[0].number, runs[0].attempt, [Report(0, 1.0)])
    fail(controller, runs[:5])
    controller.report(runs[5].number, runs[5].attempt, [Report(0, 1.0)])
    assert (controller.next_step(None).assignment is None) == fails_late


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("loss is 1.5e-07", "loss is 22"),
        ("loss is nan", "loss is -1"),
        ("<X at 0x7f01>", "<X at 0x7fab>"),
        (
            "t.py: error: unrecognized arguments: --lr=0.1 --mom=1",
            "t.py: error: unrecognized arguments: --lr=2",
        ),
        ("Error: No such option: --lr", "Error: No such option: --batch"),
        ("KeyError: 'sgd'", "KeyError: 'adam'"),
        ("ValueError: amp=True", "ValueError: amp=False"),
        ("{'lr': 0.1, 'opt': 'sgd'} is invalid", "{'lr': 0.1} is invalid"),
        ("unknown optimizer sgd", "unknown optimizer adam"),
        ("No such file: /tmp/runs/demo/trial-0001/x.pt", "No such file: /tmp/runs/demo/trial-0012/x.pt"),
        ("[Errno 2] /tmp/tmpab3/a", "[Errno 2] /tmp/tmpzz/b"),
        (
            "CUDA out of memory. Tried to allocate 2.00 GiB",
            "CUDA out of memory. Tried to allocate 512.00 MiB",
        ),
        (
            "mat1 and mat2 shapes cannot be multiplied (64x3 and 2x10)",
            "mat1 and mat2 shapes cannot be multiplied (8x3 and 16x1)",
        ),
        ("shape [3, 64, 64] is invalid", "shape [1] is invalid"),
        ("seed-1: no data", "seed-42: no data"),
        ("ran longer than 60 s", "ran longer than 61.5 s"),
        ("run 3fa9c1d2 not found", "run 77b0e4aa not found"),
    ],
)
def test_messages_of_the_same_failure_are_equal(one: str, other: str) -> None:
    first, second = failure_patterns([(one, {"opt": "sgd", "x": 1}), (other, {"opt": "adam", "x": 2})])
    assert first == second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no data", "KeyError: no data"),
        ("ValueError: no data", "ValueError: no model"),
        ("exit status 1", "exit status 2"),
        ("exit status 12", "exit status 13"),
        ("killed by SIGKILL", "killed by SIGSEGV"),
        (
            "t.py: error: unrecognized arguments: --lr=0.1",
            "t.py: error: the following arguments are required: --lr",
        ),
    ],
)
def test_messages_of_different_failures_differ(one: str, other: str) -> None:
    first, second = failure_patterns([(one, {}), (other, {})])
    assert first != second


def test_a_value_of_a_parameter_can_be_a_word_of_the_message() -> None:
    reason = "train.py: error: no data"
    first, second = failure_patterns([(reason, {"mode": "train"}), (reason, {"mode": "error"})])
    assert first == second
