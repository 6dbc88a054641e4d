"""Attempts that must leave their machine: they stop at a checkpoint, and their trials continue elsewhere."""

from __future__ import annotations

import time
from typing import Any

from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome, Report, RunningAttempt
from sweep.study import attributes
from sweep.system.directory import SweepDirectory
from tests.controller.test_controller import assigned, make_spec, returned


def must_end(controller: Controller, run: Assignment, *reports: Report) -> bool:
    return controller.must_end(run.number, run.attempt, reports, run.repeat)


def interrupted(run: Assignment, **more: Any) -> Outcome:
    return Outcome(run.number, run.attempt, "interrupted", repeat=run.repeat, **more)


def test_only_the_attempt_that_must_move_ends_and_its_trial_runs_again_before_new_ones(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(trial={"retries": 0, "backoff": "1h"}), directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    controller.move(first.number, first.attempt)
    assert must_end(controller, first, Report(0, 0.9))
    assert not must_end(controller, second)
    step = controller.next_step(interrupted(first))
    assert step.result is not None
    assert step.result.will_retry
    assert step.result.retry_in == 0
    again = step.assignment
    assert again is not None
    assert (again.number, again.attempt, again.params) == (0, 2, first.params)
    assert not must_end(controller, again), "the next attempt runs elsewhere"
    controller.finish(returned(again, 0.5))
    trial = controller._study.trials[0]
    assert attributes.FAILURES not in trial.user_attrs
    assert trial.intermediate_values == {0: 0.9}


def test_of_several_repeats_only_the_one_that_must_move_ends(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(repeats=3), directory, slots=3)
    runs = [assigned(controller) for _ in range(3)]
    controller.move(runs[1].number, runs[1].attempt, runs[1].repeat)
    assert [must_end(controller, run) for run in runs] == [False, True, False]
    again = controller.next_step(interrupted(runs[1])).assignment
    assert again is not None
    assert (again.number, again.repeat, again.attempt, again.seed) == (0, 1, 2, runs[1].seed)


def test_an_attempt_that_has_ended_is_not_moved(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(trial={"retries": 1}), directory, slots=1)
    first = assigned(controller)
    again = controller.next_step(Outcome(0, 1, "crash")).assignment
    assert again is not None
    controller.move(first.number, first.attempt)
    controller.move(99, 1)
    assert not must_end(controller, again)


def test_an_attempt_still_moves_after_the_controller_was_replaced(directory: SweepDirectory) -> None:
    spec = make_spec()
    dead = Controller(spec, directory, slots=2, run_id="r")
    first, second = assigned(dead), assigned(dead)
    dead.move(first.number, first.attempt)
    new = Controller(spec, directory, slots=2, run_id="r")
    new.adopt(RunningAttempt(a.number, a.attempt, time.time(), must_move=a is first) for a in (first, second))
    assert must_end(new, first)
    assert not must_end(new, second)
