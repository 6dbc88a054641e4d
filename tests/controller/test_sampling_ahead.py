"""A slow sampler delays only the slot that waits for it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sweep.controller.controller import Controller
from sweep.messages import Assignment, NextStep, Outcome, Report
from sweep.study.constrained_sampler import ConstrainedSampler
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.commands import PATIENCE


class Permission:
    """The sampler samples as many configurations as it has permission for."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)

    def give(self, count: int) -> None:
        self._permits.release(count)

    def take(self) -> None:
        assert self._permits.acquire(timeout=PATIENCE)


@pytest.fixture
def permission(monkeypatch: pytest.MonkeyPatch) -> Permission:
    permission = Permission()
    original = ConstrainedSampler.sample_relative

    def sample(*arguments: Any) -> Any:
        permission.take()
        return original(*arguments)

    monkeypatch.setattr(ConstrainedSampler, "sample_relative", sample)
    monkeypatch.setattr("sweep.study.sampling_ahead._QUICK", 0.0)  # the sampler counts as slow from the start
    return permission


def make(directory: SweepDirectory, **keys: Any) -> Controller:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "sampler": {"type": "tpe", "seed": 1},
            "pruner": {"type": "median", "startup_trials": 1},
            "stop": {"trials": 6},
            **keys,
        }
    )
    return Controller(spec, directory, slots=2, samples_ahead=True)


def assigned(controller: Controller, outcome: Outcome | None = None) -> Assignment:
    step = NextStep(None, None)
    while step.assignment is None:
        step = controller.next_step(outcome)
        outcome = None
    return step.assignment


def returned(assignment: Assignment, value: float) -> Outcome:
    return Outcome(assignment.number, assignment.attempt, "returned", value)


def test_reports_verdicts_and_outcomes_do_not_wait_for_the_sampler(
    directory: SweepDirectory, permission: Permission
) -> None:
    permission.give(4)
    controller = make(directory)
    first, second = assigned(controller), assigned(controller)
    controller.report(first.number, first.attempt, [Report(1, 0.1)])
    third = assigned(controller, returned(first, 0.1))
    fourth = assigned(controller, returned(third, 0.2))
    step = controller.next_step(returned(fourth, 0.3))
    assert step.result is not None
    assert step.assignment is None
    assert step.ask_again_in is not None
    assert 0 < step.ask_again_in <= 1
    assert controller.should_prune(second.number, second.attempt, [Report(1, 9.0)])
    assert controller.progress().counts["complete"] == 3
    assert controller.progress().counts["running"] == 1
    permission.give(10)
    assert assigned(controller).number == 4


def test_a_retry_does_not_wait_for_the_sampler(directory: SweepDirectory, permission: Permission) -> None:
    permission.give(2)
    controller = make(directory, trial={"retries": 1, "backoff": 0})
    first, second = assigned(controller), assigned(controller)
    assert controller.next_step(None).assignment is None
    step = controller.next_step(Outcome(first.number, first.attempt, "crash", reason="killed"))
    assert step.assignment is not None
    assert (step.assignment.number, step.assignment.attempt) == (0, 2)
    permission.give(10)
    assert assigned(controller, returned(second, 0.5)).number == 2


def test_nothing_is_sampled_for_trials_that_will_not_start(
    directory: SweepDirectory, permission: Permission
) -> None:
    permission.give(2)
    controller = make(directory, stop={"trials": 2})
    first, second = assigned(controller), assigned(controller)
    assert controller.next_step(returned(first, 0.5)).ask_again_in is None
    assert controller.next_step(returned(second, 0.5)).ask_again_in is None
    assert controller.close().finished == 2


def test_a_slot_without_a_worker_takes_no_configuration(
    directory: SweepDirectory, permission: Permission
) -> None:
    permission.give(10)
    controller = make(directory)
    first = assigned(controller)
    failed = Outcome(first.number, first.attempt, "error", reason="no such region")
    assert controller.next_step(failed, has_worker=False).assignment is None
    assert assigned(controller).number == 1
