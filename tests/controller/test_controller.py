"""The life of trials, decided by a Controller, without Ray."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.controller.hparams_writer import HParamsWriter
from sweep.messages import Assignment, Outcome, Report, RunningAttempt
from sweep.space import SearchSpace
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.tracking.read import has_ended
from sweep.tracking.run_logger import RunLogger


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}, "epochs": 3},
            "stop": {"trials": 4},
            **keys,
        }
    )


def returned(assignment: Assignment, value: float, **more: Any) -> Outcome:
    return Outcome(assignment.number, assignment.attempt, "returned", value, **more)


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def view(spec: SweepSpec, directory: SweepDirectory) -> SweepView:
    directory.spec.write_text(spec.to_yaml())
    return SweepView(directory)


def test_no_more_trials_start_than_the_sweep_has(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    assert (first.number, second.number) == (0, 1)
    assert first.params.keys() == {"x", "epochs"}
    assert first.seed != second.seed
    third = controller.next_step(returned(first, 0.5)).assignment
    fourth = controller.next_step(returned(second, 0.6)).assignment
    assert third is not None
    assert fourth is not None
    last = controller.next_step(returned(third, 0.7))
    assert last.assignment is None
    result = controller.next_step(returned(fourth, 0.1)).result
    assert result is not None
    assert result.is_best
    assert controller.progress().stopped_by == "trials"


def test_an_outcome_is_recorded_once(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    assignment = assigned(controller)
    assert controller.finish(returned(assignment, 0.5)) is not None
    assert controller.finish(returned(assignment, 0.9)) is None
    assert controller.finish(Outcome(17, 1, "returned", 0.1)) is None
    assert controller.progress().counts["complete"] == 1


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        ({"kind": "returned", "value": math.nan}, "FAIL", "the metric is NaN"),
        ({"kind": "returned", "value": math.inf}, "COMPLETE", ""),
        ({"kind": "pruned"}, "PRUNED", ""),
        ({"kind": "error", "reason": "ValueError: no"}, "FAIL", "ValueError: no"),
        ({"kind": "crash", "reason": "killed"}, "FAIL", "killed"),
        ({"kind": "timeout", "reason": "too slow"}, "FAIL", "too slow"),
    ],
)
def test_each_kind_of_outcome_gives_a_state_and_a_reason(
    directory: SweepDirectory, outcome: dict[str, Any], state: str, reason: str
) -> None:
    spec = make_spec(trial={"retries": 0})
    controller = Controller(spec, directory, slots=1)
    assignment = assigned(controller)
    reports = (Report(0, 3.0), Report(1, 2.0), Report(1, 9.0))
    result = controller.finish(Outcome(0, assignment.attempt, **{"reports": reports, **outcome}))
    assert result is not None
    assert (result.state, result.reason) == (state, reason)
    (row,) = view(spec, directory).rows()
    assert (row.state, row.reason or "") == (state, reason)
    assert row.metrics["best/loss"] == 2.0
    (trial,) = controller._study.trials
    assert trial.intermediate_values == {0: 3.0, 1: 2.0}, "a step keeps its first value"
    if state == "FAIL":
        assert reason in (directory.trial(0).error).read_text()


def test_messages_from_an_old_attempt_are_ignored(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(trial={"retries": 1}), directory, slots=1)
    first = assigned(controller)
    failed = controller.finish(Outcome(0, first.attempt, "crash", reason="killed"))
    assert failed is not None
    assert failed.state is None, "it is retried"
    second = assigned(controller)
    assert (second.number, second.attempt) == (0, 2)
    assert (second.params, second.seed) == (first.params, first.seed)
    controller.report(0, first.attempt, [Report(0, 99.0)])
    assert not controller.should_prune(0, first.attempt, [Report(1, 99.0)])
    assert controller.finish(returned(first, 99.0)) is None
    controller.finish(returned(second, 0.5))
    (trial,) = controller._study.trials
    assert (trial.value, trial.intermediate_values) == (0.5, {})


def test_retries_are_counted(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 2, "retry_on": ["error"]})
    controller = Controller(spec, directory, slots=1)
    for attempt in (1, 2, 3):
        assignment = assigned(controller)
        assert (assignment.number, assignment.attempt) == (0, attempt)
        result = controller.finish(Outcome(0, attempt, "error", reason="no"))
    assert result is not None
    assert result.state == "FAIL"
    (row,) = view(spec, directory).rows()
    assert row.attempts == 3


def test_the_pruner_sees_reports_that_come_with_the_question(directory: SweepDirectory) -> None:
    spec = make_spec(pruner={"type": "median", "startup_trials": 1})
    controller = Controller(spec, directory, slots=2)
    good, bad = assigned(controller), assigned(controller)
    controller.finish(returned(good, 0.1, reports=(Report(0, 0.1),)))
    assert not controller.should_prune(bad.number, bad.attempt, [])
    assert controller.should_prune(bad.number, bad.attempt, [Report(0, 0.9)])


def test_reaching_the_target_stops_the_sweep(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(stop={"target": 0.2}), directory, slots=1)
    next_step = controller.next_step(returned(assigned(controller), 0.3))
    assert next_step.assignment is not None
    next_step = controller.next_step(returned(next_step.assignment, 0.2))
    assert next_step.assignment is None
    assert controller.progress().stopped_by == "target"


def test_a_grid_sweep_stops_after_its_last_configuration(directory: SweepDirectory) -> None:
    spec = make_spec(
        sampler="grid", parameters={"a": {"values": [1, 2]}, "b": {"min": 1, "max": 3}}, stop={"trials": 100}
    )
    controller = Controller(spec, directory, slots=1)
    seen = []
    while (assignment := controller.next_step(None).assignment) is not None:
        seen.append((assignment.params["a"], assignment.params["b"]))
        controller.finish(Outcome(assignment.number, 1, "error" if len(seen) == 2 else "returned", 1.0))
    assert seen == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert controller.progress().stopped_by == "grid"


def test_a_session_continues_where_the_last_one_was_killed(directory: SweepDirectory) -> None:
    spec = make_spec()
    killed = Controller(spec, directory, slots=2)
    done, interrupted = assigned(killed), assigned(killed)
    killed.finish(returned(done, 0.5))
    killed.report(interrupted.number, interrupted.attempt, [Report(0, 0.7)])
    before = view(spec, directory).rows()[0]
    time.sleep(5.0)

    resumed = Controller(spec, directory, slots=2)
    assert resumed.progress().counts["waiting"] == 1
    again = assigned(resumed)
    assert (again.number, again.attempt) == (interrupted.number, 2)
    assert (again.params, again.seed) == (interrupted.params, interrupted.seed)
    resumed.finish(returned(again, 0.6, reports=(Report(0, 0.8), Report(1, 0.6))))
    rest = [assigned(resumed), assigned(resumed)]
    assert [assignment.number for assignment in rest] == [2, 3]
    assert resumed.next_step(None).assignment is None
    for assignment in rest:
        resumed.finish(returned(assignment, 1.0))
    rows = view(spec, directory).rows()
    assert rows[0] == before
    assert [row.state for row in rows] == ["COMPLETE"] * 4
    assert rows[1].attempts == 2
    assert rows[1].duration_s is not None
    assert rows[1].duration_s < 5.0, "of the last attempt; Optuna's own duration includes the downtime"


def test_a_resumed_sweep_does_not_repeat_its_first_suggestions(directory: SweepDirectory) -> None:
    spec = make_spec(stop={"trials": 8})
    values = []
    for _ in range(2):
        controller = Controller(spec, directory, slots=1)
        for _ in range(4):
            assignment = assigned(controller)
            values.append(assignment.params["x"])
            controller.finish(returned(assignment, 1.0))
    assert len(set(values)) == 8


def test_the_same_seed_gives_the_same_configurations(tmp_path: Path) -> None:
    def configurations(name: str) -> list[Any]:
        (tmp_path / name).mkdir()
        controller = Controller(make_spec(), SweepDirectory(tmp_path / name), slots=1)
        return [(a.params, a.seed) for a in (assigned(controller) for _ in range(4))]

    assert configurations("one") == configurations("two")


@pytest.mark.parametrize("storage", [None, "sqlite:///{folder}/study.db"])
def test_any_optuna_storage_works(directory: SweepDirectory, storage: str | None) -> None:
    url = storage.format(folder=directory.root) if storage else None
    spec = make_spec(storage=url)
    controller = Controller(spec, directory, slots=1)
    while (assignment := controller.next_step(None).assignment) is not None:
        controller.finish(returned(assignment, assignment.params["x"], reports=(Report(0, 1.0),)))
    assert directory.journal.exists() == (url is None)
    found = view(spec, directory)
    assert found.counts["complete"] == 4
    assert found.best is not None
    if url is not None:
        assert optuna.load_study(study_name="demo", storage=url).best_value == found.best.value


@pytest.mark.parametrize(
    "pruner",
    [
        "none",
        "median",
        {"type": "percentile", "percentile": 75},
        "asha",
        {"type": "asha", "min_resource": 2, "reduction_factor": 2},
        "hyperband",
        {"type": "hyperband", "max_resource": 9},
    ],
)
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_every_sampler_works_with_every_pruner(directory: SweepDirectory, sampler: str, pruner: Any) -> None:
    spec = make_spec(
        sampler=sampler, pruner=pruner, parameters={"x": {"min": 0, "max": 30}, "a": {"values": ["b", "c"]}}
    )
    spec = spec.model_copy(update={"stop": spec.stop.model_copy(update={"trials": 15})})
    controller = Controller(spec, directory, slots=1)
    while (assignment := controller.next_step(None).assignment) is not None:
        number, attempt = assignment.number, assignment.attempt
        for step in range(9):
            if controller.should_prune(number, attempt, [Report(step, float(number + step))]):
                controller.finish(Outcome(number, attempt, "pruned"))
                break
        else:
            controller.finish(returned(assignment, float(number)))
    counts = controller.progress().counts
    assert counts["complete"] + counts["pruned"] == 15
    assert (counts["pruned"] > 0) == (pruner != "none")


def test_interruptions_do_not_count_against_retries(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 1, "retry_on": ["error"]})
    assigned(Controller(spec, directory, slots=1))
    assigned(Controller(spec, directory, slots=1))
    controller = Controller(spec, directory, slots=1)
    third = assigned(controller)
    assert third.attempt == 3
    failed = controller.finish(Outcome(0, 3, "error", reason="no"))
    assert failed is not None
    assert failed.state is None, "the first failure"
    assert assigned(controller).attempt == 4
    again = Controller(spec, directory, slots=1)
    assert assigned(again).attempt == 5
    failed = again.finish(Outcome(0, 5, "error", reason="no"))
    assert failed is not None
    assert failed.state == "FAIL", "the second one"


def test_the_next_session_writes_an_end_that_is_missing_in_tensorboard(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    killed = Controller(spec, directory, slots=1)
    first, second = assigned(killed), assigned(killed)
    killed.finish(returned(first, 0.5))
    with monkeypatch.context() as patch:
        patch.setattr(HParamsWriter, "write_ends", lambda *_: None)  # it dies between the two
        killed.finish(returned(second, 0.5))
    assert has_ended(directory.trial(0).root)
    assert not has_ended(directory.trial(1).root)
    Controller(spec, directory, slots=1)
    assert has_ended(directory.trial(1).root)


def test_a_failed_attempt_waits_for_its_backoff_while_others_run(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(trial={"backoff": "30s"}, stop={"trials": 2}), directory, slots=1)
    first = assigned(controller)
    next_step = controller.next_step(Outcome(0, first.attempt, "crash", reason="killed"))
    assert next_step.assignment is not None
    assert next_step.assignment.number == 1, "trial 0 has to wait"
    next_step = controller.next_step(returned(next_step.assignment, 0.5))
    assert next_step.assignment is None
    assert next_step.ask_again_in is not None
    assert 0 < next_step.ask_again_in <= 30
    assert controller.progress().counts["waiting"] == 1
    controller._live.trials[0].runs[0].ready_at = time.monotonic()
    assert assigned(controller).number == 0


def test_an_interrupted_attempt_is_not_a_failure_and_another_follows(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 0})
    controller = Controller(spec, directory, slots=1)
    first = assigned(controller)
    assert not controller.must_end(0, first.attempt, [Report(0, 1.0)])
    controller.drain()
    assert controller.must_end(0, first.attempt, [Report(1, 0.9)])
    next_step = controller.next_step(Outcome(0, first.attempt, "interrupted", reason="at a checkpoint"))
    assert next_step.result is not None
    assert (next_step.result.state, next_step.assignment, next_step.ask_again_in) == (None, None, None)
    assert not directory.trial(0).error.exists()
    resumed = Controller(spec, directory, slots=1)
    again = assigned(resumed)
    assert (again.number, again.attempt) == (0, 2)
    assert resumed._study.trials[0].intermediate_values == {0: 1.0, 1: 0.9}


def test_a_trial_stopped_by_the_user_is_pruned_with_a_reason(directory: SweepDirectory) -> None:
    spec = make_spec()
    controller = Controller(spec, directory, slots=1)
    assignment = assigned(controller)
    outcome = Outcome(0, assignment.attempt, "stopped", reports=(Report(0, 0.4),), reason="stopped by hand")
    result = controller.finish(outcome)
    assert result is not None
    assert (result.state, result.value) == ("PRUNED", 0.4)
    assert view(spec, directory).rows()[0].reason == "stopped by hand"


def test_trials_run_on_when_a_controller_replaces_a_dead_one(directory: SweepDirectory) -> None:
    spec = make_spec(stop={"trials": 6})
    dead = Controller(spec, directory, slots=4, run_id="r")
    known, ending, unheard = assigned(dead), assigned(dead), assigned(dead)
    ended = assigned(dead)
    dead.report(known.number, known.attempt, [Report(0, 0.9)])
    dead.finish(returned(ended, 0.7))  # the answer is lost
    # It dies. `known` runs on, the outcome of `ending` was being sent, and `unheard` did not reach a worker.
    new = Controller(spec, directory, slots=4, run_id="r")
    new.report(known.number, known.attempt, [Report(1, 0.8)])
    started = time.time() - 5
    new.adopt([RunningAttempt(a.number, a.attempt, started) for a in (known, ending, ended)])
    first = new.next_step(returned(ending, 0.5))
    assert first.result is not None
    assert (first.result.number, first.result.state) == (ending.number, "COMPLETE")
    assert 4 < first.result.duration_s < 60
    assert first.assignment is not None
    assert (first.assignment.number, first.assignment.attempt) == (unheard.number, unheard.attempt)
    assert first.assignment.params == unheard.params
    again = new.next_step(returned(ended, 0.7))
    assert again.result is not None
    assert (again.result.number, again.result.state, again.result.value) == (ended.number, "COMPLETE", 0.7)
    assert new.finish(returned(ended, 0.1)) is None, "once"
    new.finish(returned(known, 0.6, reports=(Report(2, 0.6),)))
    assert new._study.trials[known.number].intermediate_values == {0: 0.9, 1: 0.8, 2: 0.6}
    assert new.progress().counts["complete"] == 3


def test_a_failure_reported_twice_counts_once(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 1})
    dead = Controller(spec, directory, slots=1, run_id="r")
    first = assigned(dead)
    crash = Outcome(0, first.attempt, "crash", reason="killed")
    assert dead.finish(crash) is not None
    new = Controller(spec, directory, slots=1, run_id="r")
    new.adopt([RunningAttempt(0, first.attempt, time.time())])
    next_step = new.next_step(crash)
    assert next_step.result is None
    assert next_step.assignment is not None
    assert (next_step.assignment.number, next_step.assignment.attempt) == (0, 2)


def test_reports_that_a_killed_worker_wrote_but_did_not_send_are_recovered(directory: SweepDirectory) -> None:
    spec = make_spec()
    assignment = assigned(Controller(spec, directory, slots=1))
    run = RunLogger(directory.trial(0).root, assignment.session, "loss", maximize=False)
    for step in range(3):
        run.add_scalars({"loss": 1.0 - 0.25 * step}, step)
    # Everything is killed here.
    resumed = Controller(spec, directory, slots=1)
    assert resumed._study.trials[0].intermediate_values == {0: 1.0, 1: 0.75, 2: 0.5}


def test_resubmitted_trials_come_in_addition_to_the_others(directory: SweepDirectory) -> None:
    spec = make_spec(stop={"trials": 3}, trial={"retries": 0})
    controller = Controller(spec, directory, slots=1)
    for number in range(3):
        assignment = assigned(controller)
        outcome = returned(assignment, 0.5) if number == 1 else Outcome(number, 1, "crash", reason="killed")
        controller.finish(outcome)
    assert controller.next_step(None).assignment is None
    assert controller.resubmit([2, 1, 2, 0, 17]) == [2, 0]
    assert controller.resubmit([0]) == [], "it has been resubmitted"
    progress = controller.progress()
    assert (progress.total, progress.counts["waiting"], progress.stopped_by) == (5, 2, None)
    assert [row.retry_of for row in view(spec, directory).rows()] == [None, None, None, 2, 0]
    resumed = Controller(spec, directory, slots=1)
    assert resumed.progress().counts["waiting"] == 2
    for number, original in ((3, 2), (4, 0)):
        again = assigned(resumed)
        assert (again.number, again.attempt) == (number, 1)
        assert again.params == SearchSpace.of(spec).complete(resumed._study.trials[original].params)
        resumed.finish(returned(again, 0.4))
    assert resumed.next_step(None).assignment is None
    assert resumed.progress().stopped_by == "trials"
    assert view(spec, directory).stopped_by == "trials"
    assert [row.state for row in view(spec, directory).rows()] == ["FAIL", "COMPLETE", "FAIL"] + 2 * [
        "COMPLETE"
    ]


def test_a_resubmitted_trial_takes_no_place_in_the_grid(directory: SweepDirectory) -> None:
    spec = make_spec(sampler="grid", parameters={"x": {"values": [1, 2, 3]}}, stop={}, trial={"retries": 0})
    controller = Controller(spec, directory, slots=1)
    assigned(controller)
    controller.finish(Outcome(0, 1, "error", reason="no"))
    controller.resubmit([0])
    seen = []
    while (assignment := controller.next_step(None).assignment) is not None:
        seen.append((assignment.number, assignment.params["x"]))
        controller.finish(returned(assignment, 1.0))
    assert seen == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_a_resubmitted_trial_takes_no_place_in_the_grid_whatever_its_hyperband_bracket(
    directory: SweepDirectory, sampler: str
) -> None:
    values = list(range(12))
    spec = make_spec(
        sampler=sampler,
        parameters={"x": {"values": values}},
        pruner={"type": "hyperband", "max_resource": 9},
        stop={},
        trial={"retries": 0},
    )
    controller = Controller(spec, directory, slots=1)
    seen = []
    while (assignment := controller.next_step(None).assignment) is not None:
        seen.append(assignment.params["x"])
        controller.should_prune(assignment.number, assignment.attempt, [Report(0, 1.0)])
        if assignment.number == 1:
            controller.finish(Outcome(1, assignment.attempt, "error", reason="no"))
            controller.resubmit([1])
        else:
            controller.finish(returned(assignment, 1.0))
    assert sorted(seen) == sorted([*values, seen[1]])


def test_a_controller_killed_at_start_leaves_the_trials_of_an_earlier_session_waiting(
    directory: SweepDirectory,
) -> None:
    spec = make_spec()
    first = assigned(Controller(spec, directory, slots=1, run_id="one"))
    Controller(spec, directory, slots=1, run_id="two")  # and it dies before the first call
    again = Controller(spec, directory, slots=1, run_id="two")
    again.adopt([])
    second = assigned(again)
    assert (second.number, second.attempt) == (first.number, 2)


def test_a_returned_assignment_does_not_count_as_an_attempt(directory: SweepDirectory) -> None:
    spec = make_spec()
    controller = Controller(spec, directory, slots=1)
    first = assigned(controller)
    controller.return_assignment(first.number, first.attempt)
    controller.return_assignment(first.number, first.attempt)
    resumed = Controller(spec, directory, slots=1)
    again = assigned(resumed)
    assert (again.number, again.attempt) == (first.number, 1)
    resumed.finish(returned(again, 0.5))
    assert view(spec, directory).rows()[0].attempts == 1


def test_a_waiting_trial_can_be_stopped(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"backoff": "1h"}, stop={"trials": 1})
    controller = Controller(spec, directory, slots=1)
    assigned(controller)
    controller.finish(Outcome(0, 1, "crash", reports=(Report(0, 0.5),), reason="killed"))
    result = controller.stop_trial(0, "stopped by hand")
    assert result is not None
    assert (result.state, result.value) == ("PRUNED", 0.5)
    assert controller.progress().stopped_by == "trials"
    assert has_ended(directory.trial(0).root)


def stopped(controller: Controller) -> Assignment:
    """The attempt of a trial that is stopped before its worker has begun, or after it has ended."""
    run = assigned(controller)
    controller.report(run.number, run.attempt, [Report(0, 0.5)])
    assert controller.stop_trial(run.number, "stopped by hand") is None, "it is running"
    assert controller.stop_trial(run.number, "stopped by hand") is None
    return run


@pytest.mark.parametrize("kind", ["stopped", "pruned", "interrupted", "crash", "lost_node", "error"])
def test_a_running_trial_that_is_stopped_ends_as_pruned_and_never_runs_again(
    directory: SweepDirectory, kind: Any
) -> None:
    spec = make_spec()
    controller = Controller(spec, directory, slots=1)
    run = stopped(controller)
    assert controller.must_end(0, 1, [])
    assert controller.should_prune(0, 1, [])
    assert [running.is_cancelled for running in controller.progress().running] == [True]
    result = controller.finish(Outcome(0, run.attempt, kind, reason="why it ended", was_killed=True))
    assert result is not None
    assert (result.state, result.value, result.reason) == ("PRUNED", 0.5, "stopped by hand")
    assert assigned(controller).number == 1
    assert view(spec, directory).rows()[0].reason == "stopped by hand"
    assert not directory.trial(0).error.exists(), "it has not failed"


def test_a_trial_that_is_stopped_after_its_objective_has_returned_keeps_its_result(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    result = controller.finish(returned(stopped(controller), 0.25))
    assert result is not None
    assert (result.state, result.value, result.reason) == ("COMPLETE", 0.25, "")


def test_a_trial_that_is_stopped_before_its_attempt_begins_has_no_attempt(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    run = stopped(controller)
    controller.return_assignment(run.number, run.attempt)
    assert assigned(controller).number == 1
    assert controller.progress().counts["pruned"] == 1


@pytest.mark.parametrize("run_id", ["", "r"])
def test_a_request_to_stop_a_running_trial_outlives_the_controller(
    directory: SweepDirectory, run_id: str
) -> None:
    spec = make_spec()
    run = stopped(Controller(spec, directory, slots=1, run_id=run_id))
    logger = RunLogger(directory.trial(0).root, run.session, "loss", maximize=False)
    logger.add_scalars({"size": 3.0}, 0)
    logger.finish()
    replacement = Controller(spec, directory, slots=1, run_id=run_id)
    if run_id:
        replacement.adopt([RunningAttempt(run.number, run.attempt, time.time())])
        assert [running.is_cancelled for running in replacement.progress().running] == [True]
        replacement.finish(Outcome(run.number, run.attempt, "stopped", was_killed=True))
    row = view(spec, directory).rows()[0]
    assert (row.state, row.value, row.reason) == ("PRUNED", 0.5, "stopped by hand")
    assert row.metrics["size"] == 3.0
    assert assigned(replacement).number == 1


def test_a_repeat_of_a_pruned_trial_is_not_killed_but_one_of_a_stopped_trial_is(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(repeats=2), directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    controller.finish(Outcome(0, first.attempt, "pruned", repeat=first.repeat))
    assert [running.is_cancelled for running in controller.progress().running] == [False]
    controller.finish(Outcome(0, second.attempt, "pruned", repeat=second.repeat))
    assigned(controller)
    controller.stop_trial(1, "stopped by hand")
    assert [running.is_cancelled for running in controller.progress().running] == [True]


def test_a_replacement_controller_counts_no_time_twice(directory: SweepDirectory) -> None:
    spec = make_spec()
    dead = Controller(spec, directory, slots=1, run_id="r")
    begin = time.monotonic()
    first = assigned(dead)
    time.sleep(0.5)
    dead._meter.save()
    new = Controller(spec, directory, slots=1, run_id="r")
    new.adopt([RunningAttempt(0, first.attempt, time.time() - 0.5)])
    result = new.finish(returned(first, 0.5))
    assert result is not None
    assert result.duration_s >= 0.5
    assert new._meter.now().busy < time.monotonic() - begin + 0.1


def test_each_step_of_an_attempt_is_published_once_even_if_reports_are_recovered(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(trial={"retries": 1}), directory, slots=1, keeps_report_events=True)
    first = assigned(controller)
    run = RunLogger(directory.trial(0).root, first.session, "loss", maximize=False)
    for step in range(3):
        run.add_scalars({"loss": float(step)}, step)
    run.finish()
    controller.report(0, 1, [Report(0, 0.0), Report(1, 1.0)])
    published = list(controller.take_report_events())
    controller.finish(Outcome(0, 1, "crash", reason="killed", was_killed=True))
    published += controller.take_report_events()
    again = assigned(controller)
    controller.report(0, 2, [Report(0, 0.5)])
    controller.finish(returned(again, 0.5))
    published += controller.take_report_events()
    assert [(one.attempt, one.report.step, one.report.value) for one in published] == [
        (1, 0, 0.0),
        (1, 1, 1.0),
        (1, 2, 2.0),
        (2, 0, 0.5),
    ]


def test_the_sweep_continues_whatever_is_in_the_directory_of_a_killed_trial(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(trial={"retries": 0})
    killed = Controller(spec, directory, slots=1)
    first, second = assigned(killed), assigned(killed)
    for assignment in (first, second):
        root = directory.trial(assignment.number).root
        run = RunLogger(root, assignment.session, "loss", maximize=False)
        run.add_scalars({"loss": 0.5}, -1)  # before the training
        run.add_scalars({"loss": 0.25}, 0)
        (root / "old_tfevents").mkdir()
        run.finish()
    killed.finish(Outcome(0, 1, "crash", reason="killed", was_killed=True))
    resumed = Controller(spec, directory, slots=1)
    for trial in resumed._study.trials:
        assert trial.intermediate_values == {0: 0.25}
    again = assigned(resumed)
    shutil.rmtree(directory.trial(again.number).root)
    directory.trial(again.number).root.write_text("no directory any more")
    resumed.finish(returned(again, 0.5))
    Controller(spec, directory, slots=1)
