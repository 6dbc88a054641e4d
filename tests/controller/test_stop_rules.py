"""The stop rules of a sweep."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from optuna.trial import TrialState

from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.controller.stop_rules import REASONS, StopRules, StopState, stop_notes
from sweep.messages import Assignment, NextStep, Outcome, Report
from sweep.space import SearchSpace
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.model import Stop
from sweep.system.directory import SweepDirectory

MINIMIZE, MAXIMIZE = "minimize", "maximize"
COMPLETE, FAIL = TrialState.COMPLETE, TrialState.FAIL


def rules(stop: dict[str, Any], goal: str = MINIMIZE, grid: int | None = None) -> tuple[StopRules, SweepSpec]:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": goal},
            "parameters": {"x": {"min": 1, "max": grid or 9}},
            "sampler": "grid" if grid else "tpe",
            "stop": stop,
        }
    )
    return StopRules(spec, SearchSpace.of(spec)), spec


@pytest.mark.parametrize(
    ("stop", "goal", "grid", "state", "rule"),
    [
        ({}, MINIMIZE, None, (10**6, 0.0, 1e9), None),
        ({"trials": 3}, MINIMIZE, None, (2, 0.0, 0.0), None),
        ({"trials": 3}, MINIMIZE, None, (3, None, 0.0), "trials"),
        ({"trials": 9}, MINIMIZE, 6, (6, 0.0, 0.0), "grid"),
        ({"hours": 0.5}, MINIMIZE, None, (0, None, 1799.0), None),
        ({"hours": 0.5}, MINIMIZE, None, (0, None, 1800.0), "hours"),
        ({"time": "30m"}, MINIMIZE, None, (0, None, 1799.0), None),
        ({"time": "30m"}, MINIMIZE, None, (0, None, 1800.0), "time"),
        ({"target": 0.1}, MINIMIZE, None, (1, 0.11, 0.0), None),
        ({"target": 0.1}, MINIMIZE, None, (1, 0.1, 0.0), "target"),
        ({"target": 0.9}, MAXIMIZE, None, (1, 0.89, 0.0), None),
        ({"target": 0.9}, MAXIMIZE, None, (1, 0.95, 0.0), "target"),
        ({"target": 0.9, "trials": 1}, MAXIMIZE, None, (0, None, 0.0), None),
    ],
)
def test_a_rule_is_reached_or_not(
    stop: dict[str, Any], goal: str, grid: int | None, state: tuple[Any, ...], rule: str | None
) -> None:
    found, spec = rules(stop, goal, grid)
    complete, best, elapsed = state
    assert found.reached(StopState(spec.metric, Counter({COMPLETE: complete}), best), 0, elapsed) == rule


def test_failures_and_a_plateau_are_counted() -> None:
    found, spec = rules({"failures": 2, "plateau": 3})
    one_failed, two_failed = Counter({FAIL: 1}), Counter({FAIL: 2})
    assert found.reached(StopState(spec.metric, one_failed, longest_plateau=2), 0, 0.0) is None
    assert found.reached(StopState(spec.metric, two_failed), 0, 0.0) == "failures"
    assert found.reached(StopState(spec.metric, two_failed), 1, 0.0) is None, "one of them was resubmitted"
    assert found.reached(StopState(spec.metric, longest_plateau=3), 0, 0.0) == "plateau"


def test_resubmissions_do_not_count() -> None:
    found, spec = rules({"trials": 3})
    assert found.reached(StopState(spec.metric, Counter({COMPLETE: 3})), 1, 0.0) is None


def test_the_number_of_trials_is_the_smaller_of_grid_size_and_stop_trials() -> None:
    assert rules({"trials": 9}, grid=6)[0].total == 6
    assert rules({"trials": 5}, grid=6)[0].total == 5
    assert rules({})[0].total is None


def sweep_of(directory: SweepDirectory, **stop: Any) -> tuple[Controller, SweepSpec]:
    _, spec = rules({"trials": 20, **stop})
    directory.spec.write_text(spec.to_yaml())
    return Controller(spec, directory, slots=3), spec


def end(controller: Controller, assignment: Assignment | None, value: float | None) -> NextStep:
    """Record that a trial returned a value or raised an exception; returns the next step."""
    assert assignment is not None
    kind = "returned" if value is not None else "raised"
    return controller.next_step(Outcome(assignment.number, assignment.attempt, kind, value, reason="broken"))


def test_a_plateau_stops_the_sweep_even_if_a_running_trial_improves_the_best_value(
    directory: SweepDirectory,
) -> None:
    controller, _ = sweep_of(directory, plateau=2)
    begun = [controller.next_step(None).assignment for _ in range(3)]
    fourth = end(controller, begun[0], 1.0).assignment
    fifth = end(controller, begun[1], 2.0).assignment
    assert end(controller, begun[2], 3.0).assignment is None
    assert controller.progress().stopped_by == "plateau"
    assert end(controller, fourth, 0.5).assignment is None, "no slot gets another attempt"
    assert end(controller, fifth, 4.0).assignment is None
    controller.close()
    view = SweepView(directory)
    assert view.stopped_by == "plateau"
    assert view.best is not None
    assert view.best.number == 3


def test_resubmitted_failures_no_longer_stop_the_sweep(
    directory: SweepDirectory,
) -> None:
    controller, spec = sweep_of(directory, failures=2)
    second = end(controller, controller.next_step(None).assignment, None).assignment
    assert end(controller, second, None).assignment is None
    assert controller.progress().stopped_by == "failures"
    assert controller.resubmit([0, 1]) == [0, 1]
    again = controller.next_step(None).assignment
    assert again is not None
    assert again.number == 2
    end(controller, again, None)
    assert controller.progress().stopped_by is None, "one failure was not resubmitted"
    controller.close()
    assert SweepView(directory).stopped_by is None
    resumed = Controller(spec, directory, slots=1)
    assert end(resumed, resumed.next_step(None).assignment, None).assignment is None
    assert resumed.progress().stopped_by == "failures"


def test_a_metric_that_another_trial_reports_is_not_missing(directory: SweepDirectory) -> None:
    controller, _ = sweep_of(directory)
    silent, other = controller.next_step(None).assignment, controller.next_step(None).assignment
    assert silent is not None
    assert other is not None
    never = Outcome(silent.number, silent.attempt, "unreported", reason="never")
    controller.report(other.number, other.attempt, [Report(0, 0.5)])
    assert controller.next_step(never).assignment is not None
    assert controller.progress().stopped_by is None


def test_a_metric_that_no_trial_reports_is_missing(directory: SweepDirectory) -> None:
    controller, _ = sweep_of(directory)
    silent, last = controller.next_step(None).assignment, controller.next_step(None).assignment
    assert silent is not None
    assert last is not None
    waiting = controller.next_step(Outcome(silent.number, silent.attempt, "unreported"))
    assert waiting.assignment is None
    assert waiting.ask_again_in, "the running trial may report it"
    assert controller.progress().stopped_by is None
    end = controller.next_step(Outcome(last.number, last.attempt, "unreported"))
    assert (end.assignment, end.ask_again_in) == (None, None)
    assert controller.progress().stopped_by == "metric"


def test_a_sweep_goes_on_if_only_its_first_trial_does_not_report_the_metric(
    directory: SweepDirectory,
) -> None:
    controller, _ = sweep_of(directory)
    silent, other = controller.next_step(None).assignment, controller.next_step(None).assignment
    assert silent is not None
    assert other is not None
    controller.next_step(Outcome(silent.number, silent.attempt, "unreported"))
    assert controller.next_step(Outcome(other.number, other.attempt, "returned", value=1.0)).assignment
    assert controller.next_step(None).assignment, "the slot that waited"


def test_a_crash_of_the_last_trial_is_final_if_none_reports_the_metric(directory: SweepDirectory) -> None:
    controller, _ = sweep_of(directory)
    silent, other = controller.next_step(None).assignment, controller.next_step(None).assignment
    assert silent is not None
    assert other is not None
    controller.next_step(Outcome(silent.number, silent.attempt, "unreported"))
    assert "a trial has ended without reporting the metric" in controller.progress().hold
    result = controller.next_step(Outcome(other.number, other.attempt, "crash")).result
    assert result is not None
    assert result.state == "FAIL", "no other attempt follows"
    assert controller.progress().stopped_by == "metric"


def test_every_stop_rule_has_a_reason_for_the_summary() -> None:
    assert REASONS.keys() == {*Stop.model_fields, "grid"}


@pytest.mark.parametrize(
    ("stop", "note"),
    [
        ({"trials": 3}, None),
        ({"time": 60, "plateau": 2}, None),
        ({}, "nothing stops this sweep except Ctrl-C; write"),
        ({"target": 0.5}, "except Ctrl-C, if stop.target is never reached; write"),
        ({"failures": 3, "plateau": 2}, "Ctrl-C, if stop.failures or stop.plateau is never reached; write"),
    ],
)
def test_a_sweep_that_might_never_stop_gets_a_note(stop: dict[str, float], note: str | None) -> None:
    notes = stop_notes(rules(stop)[1])
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]
