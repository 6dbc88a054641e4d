"""What a sweep has cost, what was lost, and what pruning has saved."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from sweep.analysis.cost import Cost, cost_statements, slot_time
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.controller.usage import Usage, stored_usage
from sweep.messages import STOPPED_BY_USER, Outcome, Report
from sweep.system.directory import SweepDirectory
from tests.analysis.test_timeline import assigned, finish, start


def set_usage(directory: SweepDirectory, **times: float) -> None:
    directory.usage.write_text(json.dumps({"until": time.time(), **times}))


def view_states(directory: SweepDirectory) -> list[str]:
    return [trial.state.name for trial in SweepView(directory).frozen_trials]


def by_key(directory: SweepDirectory) -> dict[str, Statement]:
    return {one.key: one for one in cost_statements(SweepView(directory))}


def run_trials(directory: SweepDirectory, kinds: str, **keys: Any) -> None:
    """Run trials of 20 ms each (p: pruned after 5 ms, f: failed)."""
    controller = start(directory, slots=1, stop={"trials": len(kinds)}, **keys)
    for kind in kinds:
        assignment = assigned(controller)
        controller.report(assignment.number, 1, [Report(0, 0.5)])
        time.sleep(0.005 if kind == "p" else 0.02)
        finish(controller, assignment, {"p": "pruned", "f": "error"}.get(kind, "returned"))
    controller.close()


def test_the_cost_is_what_the_slots_spent_on_trials(directory: SweepDirectory) -> None:
    run_trials(directory, "cc", resources={"gpu": 2})
    set_usage(directory, elapsed=3600.0, busy=9000.0, capacity=14400.0)
    view = SweepView(directory)
    assert (Cost.of(view).slot_hours, Cost.of(view).gpu_hours) == (2.5, 5.0)
    statement = by_key(directory)["cost"]
    assert statement.text == "The trials took 2.5 slot hours (5 GPU hours), in 1h00m."
    assert statement.evidence == "4 slots, busy 62% of the time"


def test_what_pruning_has_saved_is_an_estimate_from_complete_trials(directory: SweepDirectory) -> None:
    run_trials(directory, "ccccppp")
    assert "cannot be told from 4 complete trials" in by_key(directory)["saved"].text


def test_pruned_trials_have_saved_the_difference_to_complete_ones(directory: SweepDirectory) -> None:
    run_trials(directory, "ccccccppp")
    statement = by_key(directory)["saved"]
    assert statement.data["slot_hours"] * 3600 == pytest.approx(0.045, abs=0.04)
    assert statement.data["low"] <= statement.data["slot_hours"] <= statement.data["high"]
    assert "an estimate" in statement.evidence


def test_a_trial_that_the_user_has_stopped_is_not_what_pruning_has_saved(directory: SweepDirectory) -> None:
    controller = start(directory, slots=1, stop={"trials": 8})
    for _ in range(7):
        finish(controller, assigned(controller), "returned")
    attempt = assigned(controller)
    controller.finish(Outcome(attempt.number, 1, "stopped", reason=STOPPED_BY_USER))
    assert view_states(directory) == ["COMPLETE"] * 7 + ["PRUNED"]
    assert "saved" not in by_key(directory)


def test_attempts_that_another_one_follows_are_counted_before_it_has_started(
    directory: SweepDirectory,
) -> None:
    controller = start(directory, slots=1)
    attempt = assigned(controller)
    time.sleep(0.02)
    finish(controller, attempt, "interrupted")
    assert by_key(directory)["lost_to_failures"].text.startswith("1 attempt that failed or was interrupted")


def test_the_time_of_failures_includes_attempts_that_were_run_again(directory: SweepDirectory) -> None:
    controller = start(directory, slots=1, trial={"retries": 1, "retry_on": ["error"]})
    for kind in ("error", "returned", "error", "error"):
        attempt = assigned(controller)
        time.sleep(0.02)
        finish(controller, attempt, kind)
    data = by_key(directory)["lost_to_failures"].data
    assert (data["failed"], data["retried"]) == (1, 2)
    assert 0.5 < data["share"] < 0.9


def test_idle_slots_are_explained_by_what_is_recorded(directory: SweepDirectory) -> None:
    run_trials(directory, "cc")
    set_usage(directory, elapsed=1000.0, busy=1000.0, capacity=2000.0, startup=500.0, sampling=300.0)
    statement = by_key(directory)["idle"]
    assert statement.text == (
        "The slots were idle 50% of the time, 0.278 slot hours: 50% of it before the first trial, "
        "30% of it waiting for the sampler."
    )


def test_a_sweep_of_an_earlier_version_says_only_how_idle_it_was(directory: SweepDirectory) -> None:
    run_trials(directory, "cc")
    set_usage(directory, elapsed=1000.0, busy=1000.0, capacity=2000.0)
    assert by_key(directory)["idle"].text == "The slots were idle 50% of the time, 0.278 slot hours."


def test_busy_slots_and_short_sweeps_are_not_called_idle(directory: SweepDirectory) -> None:
    run_trials(directory, "cc")
    assert "idle" not in by_key(directory), "it took a second"
    set_usage(directory, elapsed=1000.0, busy=1900.0, capacity=2000.0)
    assert "idle" not in by_key(directory)


def test_the_usage_has_the_time_before_the_first_attempt_of_each_session(directory: SweepDirectory) -> None:
    for session in (1, 2):
        controller = start(directory, slots=2, stop={"trials": 2})
        time.sleep(0.1)
        finish(controller, assigned(controller))
        time.sleep(0.05)
        controller.close()
        startup = stored_usage(directory, None).startup
        assert 0.2 * session <= startup < 0.2 * session + 5
    assert stored_usage(directory, None).sampling < stored_usage(directory, None).capacity


def test_the_usage_of_an_earlier_version_is_read() -> None:
    assert Usage(elapsed=1.0, busy=1.0, capacity=2.0, until=3.0).startup == 0.0


def test_a_sweep_without_trials_has_no_cost(directory: SweepDirectory) -> None:
    start(directory, slots=1)
    assert by_key(directory) == {}


def test_slot_time_has_the_unit_that_fits() -> None:
    assert slot_time(12.0) == "12 s of slot time"
    assert slot_time(7200.0) == "2 slot hours"
