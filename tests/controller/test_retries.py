"""Which failed attempts are retried, and when."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.controller.controller import Controller
from sweep.controller.retries import FREE_LOSSES, allows_retry, counts, retry_delay
from sweep.messages import AttemptResult, Outcome, Report
from sweep.sweepfile.model import TrialRules
from sweep.system.directory import SweepDirectory
from tests.controller.test_controller import assigned, make_spec


def rules(**keys: Any) -> TrialRules:
    return TrialRules.model_validate(keys)


@pytest.mark.parametrize("kind", ["crash", "oom", "lost_node"])
def test_crashes_are_retried_twice_by_default(kind: Any) -> None:
    assert allows_retry(rules(), kind, 1, 0)
    assert allows_retry(rules(), kind, 2, 0)


@pytest.mark.parametrize("kind", ["error", "timeout", "returned"])
def test_errors_of_the_objective_are_not_retried_by_default(kind: Any) -> None:
    assert not allows_retry(rules(), kind, 1, 0)
    assert allows_retry(rules(retry_on=["error", "timeout"], retries=1), kind, 1, 0)
    assert not allows_retry(rules(retry_on=["error", "timeout"], retries=1), kind, 2, 0)


def test_a_lost_machine_does_not_count_against_the_retries() -> None:
    assert not counts("lost_node", FREE_LOSSES)
    assert allows_retry(rules(), "lost_node", 99, FREE_LOSSES)
    assert not allows_retry(rules(retry_on=["crash"]), "lost_node", 0, 1)
    assert not allows_retry(rules(), "crash", 3, 0)


def test_many_lost_machines_in_a_row_count_against_the_retries() -> None:
    assert counts("lost_node", FREE_LOSSES + 1)
    assert allows_retry(rules(), "lost_node", 2, FREE_LOSSES + 1)
    assert not allows_retry(rules(), "lost_node", 3, FREE_LOSSES + 1)


def test_the_delay_doubles_with_each_failure_up_to_a_maximum() -> None:
    slow = rules(backoff="5s")
    assert [retry_delay(slow, failures) for failures in (1, 2, 3)] == [5, 10, 20]
    assert retry_delay(slow, 1000) == 600
    assert retry_delay(rules(backoff="1h"), 3) == 3600
    assert retry_delay(rules(), 3) == 0


def lose(controller: Controller, *reports: Report, kind: Any = "lost_node") -> AttemptResult:
    """Start the next attempt, which reports something and loses its machine."""
    run = assigned(controller)
    assert run.number == 0
    result = controller.finish(Outcome(0, run.attempt, kind, reports=reports, reason="its machine was lost"))
    assert result is not None
    return result


def test_a_trial_that_takes_down_each_of_its_machines_fails(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    results = [lose(controller, Report(3, 0.5)) for _ in range(FREE_LOSSES + 3)]
    assert [result.will_retry for result in results] == [True] * (FREE_LOSSES + 2) + [False]
    assert results[-1].state == "FAIL"
    assert results[-1].reason == (
        f"its machine was lost {FREE_LOSSES + 3} times in a row; "
        "perhaps it needs more memory than the machine has"
    )
    assert assigned(controller).number == 1


def test_a_trial_that_makes_progress_can_lose_any_number_of_machines(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    for step in range(3 * FREE_LOSSES):
        assert lose(controller, Report(step, 0.5)).will_retry
    for _ in range(FREE_LOSSES - 1):
        assert lose(controller, Report(0, 0.5)).will_retry
    assert lose(controller, kind="interrupted").will_retry
    for _ in range(FREE_LOSSES):
        assert lose(controller).will_retry
    assert controller._live.trials[0].runs[0].failures == 0


@pytest.mark.parametrize("lost_step", [0, 7])
def test_a_repeat_that_loses_its_machines_makes_progress_of_its_own(
    directory: SweepDirectory, lost_step: int
) -> None:
    controller = Controller(make_spec(repeats=2, trial={"retries": 0}), directory, slots=2)
    first = assigned(controller)
    controller.report(0, first.attempt, [Report(9, 0.5)], first.repeat)
    for step in range(FREE_LOSSES + 1):
        run = assigned(controller)
        assert run.repeat == 1
        reports = (Report(min(step, lost_step), 0.5),)
        result = controller.finish(Outcome(0, run.attempt, "lost_node", reports=reports, repeat=1))
        assert result is not None
    assert result.will_retry is (lost_step > 0)
