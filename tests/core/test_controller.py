"""The life of trials, decided by a Controller, without Ray."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.compare.view import SweepView
from sweep.core.controller import Controller
from sweep.core.messages import Assignment, Outcome, Report
from sweep.directory import SweepDirectory
from sweep.spec import SweepSpec
from sweep.tracking.read import has_ended


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    root = tmp_path / "demo"
    root.mkdir()
    return SweepDirectory(root)


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
    assignment = controller.next()
    assert assignment is not None
    return assignment


def view(spec: SweepSpec, directory: SweepDirectory) -> SweepView:
    directory.spec.write_text(spec.to_yaml())
    return SweepView(directory)


def test_as_many_trials_are_handed_out_as_the_sweep_has_and_no_more(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    assert (first.number, second.number) == (0, 1)
    assert first.params.keys() == {"x", "epochs"}
    assert first.seed != second.seed
    third = controller.turn(returned(first, 0.5)).assignment
    fourth = controller.turn(returned(second, 0.6)).assignment
    assert third is not None
    assert fourth is not None
    last = controller.turn(returned(third, 0.7))
    assert last.assignment is None
    ending = controller.turn(returned(fourth, 0.1)).ending
    assert ending is not None
    assert ending.best
    assert controller.progress().stopped_by == "trials"


def test_the_end_of_an_attempt_counts_once(directory: SweepDirectory) -> None:
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
def test_each_kind_of_end_is_a_state_with_its_reason(
    directory: SweepDirectory, outcome: dict[str, Any], state: str, reason: str
) -> None:
    spec = make_spec(trial={"retries": 0})
    controller = Controller(spec, directory, slots=1)
    assignment = assigned(controller)
    reports = (Report(0, 3.0), Report(1, 2.0), Report(1, 9.0))
    ending = controller.finish(Outcome(0, assignment.attempt, **{"reports": reports, **outcome}))
    assert ending is not None
    assert (ending.state, ending.reason) == (state, reason)
    (row,) = view(spec, directory).rows()
    assert (row.state, row.reason or "") == (state, reason)
    assert row.metrics["best/loss"] == 2.0
    (trial,) = controller._study.trials
    assert trial.intermediate_values == {0: 3.0, 1: 2.0}, "a step keeps its first value"
    if state == "FAIL":
        assert reason in (directory.trial(0).error).read_text()


def test_word_from_an_old_attempt_is_ignored(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(trial={"retries": 1}), directory, slots=1)
    first = assigned(controller)
    failed = controller.finish(Outcome(0, first.attempt, "crash", reason="killed"))
    assert failed is not None
    assert failed.state is None, "it will run again"
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
        ending = controller.finish(Outcome(0, attempt, "error", reason="no"))
    assert ending is not None
    assert ending.state == "FAIL"
    (row,) = view(spec, directory).rows()
    assert row.attempts == 3


def test_the_pruner_sees_what_was_reported_with_the_question(directory: SweepDirectory) -> None:
    spec = make_spec(pruner={"type": "median", "startup_trials": 1})
    controller = Controller(spec, directory, slots=2)
    good, bad = assigned(controller), assigned(controller)
    controller.finish(returned(good, 0.1, reports=(Report(0, 0.1),)))
    assert not controller.should_prune(bad.number, bad.attempt, [])
    assert controller.should_prune(bad.number, bad.attempt, [Report(0, 0.9)])


def test_a_target_ends_the_sweep(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(stop={"target": 0.2}), directory, slots=1)
    turn = controller.turn(returned(assigned(controller), 0.3))
    assert turn.assignment is not None
    turn = controller.turn(returned(turn.assignment, 0.2))
    assert turn.assignment is None
    assert controller.progress().stopped_by == "target"


def test_a_grid_ends_with_its_last_configuration(directory: SweepDirectory) -> None:
    spec = make_spec(
        sampler="grid", parameters={"a": {"values": [1, 2]}, "b": {"min": 1, "max": 3}}, stop={"trials": 100}
    )
    controller = Controller(spec, directory, slots=1)
    seen = []
    while (assignment := controller.next()) is not None:
        seen.append((assignment.params["a"], assignment.params["b"]))
        controller.finish(Outcome(assignment.number, 1, "error" if len(seen) == 2 else "returned", 1.0))
    assert seen == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert controller.progress().stopped_by == "grid"


def test_a_new_session_goes_on_where_the_last_one_was_killed(directory: SweepDirectory) -> None:
    spec = make_spec()
    killed = Controller(spec, directory, slots=2)
    done, interrupted = assigned(killed), assigned(killed)
    killed.finish(returned(done, 0.5))
    killed.report(interrupted.number, interrupted.attempt, [Report(0, 0.7)])
    before = view(spec, directory).rows()[0]
    time.sleep(1.0)

    resumed = Controller(spec, directory, slots=2)
    assert resumed.progress().counts["waiting"] == 1
    again = assigned(resumed)
    assert (again.number, again.attempt) == (interrupted.number, 2)
    assert (again.params, again.seed) == (interrupted.params, interrupted.seed)
    resumed.finish(returned(again, 0.6, reports=(Report(0, 0.8), Report(1, 0.6))))
    rest = [assigned(resumed), assigned(resumed)]
    assert [assignment.number for assignment in rest] == [2, 3]
    assert resumed.next() is None
    for assignment in rest:
        resumed.finish(returned(assignment, 1.0))
    rows = view(spec, directory).rows()
    assert rows[0] == before
    assert [row.state for row in rows] == ["COMPLETE"] * 4
    assert rows[1].attempts == 2
    assert rows[1].duration_s is not None
    assert rows[1].duration_s < 1.0, "of the last attempt; Optuna's own counts the downtime"


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
def test_any_optuna_storage_serves(directory: SweepDirectory, storage: str | None) -> None:
    url = storage.format(folder=directory.root) if storage else None
    spec = make_spec(storage=url)
    controller = Controller(spec, directory, slots=1)
    while (assignment := controller.next()) is not None:
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
    while (assignment := controller.next()) is not None:
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


def test_interruptions_eat_no_retries(directory: SweepDirectory) -> None:
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


def test_an_outcome_that_tensorboard_was_not_told_is_told_by_the_next_session(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    killed = Controller(spec, directory, slots=1)
    first, second = assigned(killed), assigned(killed)
    killed.finish(returned(first, 0.5))
    with monkeypatch.context() as patch:
        patch.setattr(Controller, "_announce", lambda *_: None)  # it dies between the two
        killed.finish(returned(second, 0.5))
    assert has_ended(directory.trial(0).root)
    assert not has_ended(directory.trial(1).root)
    Controller(spec, directory, slots=1)
    assert has_ended(directory.trial(1).root)
