"""The constraints that objectives set on their trials, with a Controller, without Ray."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest

from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome, OutcomeKind, RunningAttempt, TrialAttribute
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

pytestmark = pytest.mark.filterwarnings("error:The constraint value is ignored")


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metrics": [{"name": "loss", "goal": "minimize"}],
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "stop": {"trials": 2},
            **keys,
        }
    )


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def sets(controller: Controller, attempt: Assignment, **constraints: float) -> None:
    messages = [TrialAttribute(name, value, "constraint") for name, value in constraints.items()]
    controller.report(attempt.number, attempt.attempt, messages, attempt.repeat)


def ends(
    controller: Controller, attempt: Assignment, kind: OutcomeKind = "returned", **metrics: float
) -> None:
    value = metrics.get("loss", 1.0) if kind == "returned" else None
    outcome = Outcome(attempt.number, attempt.attempt, kind, value, metrics, repeat=attempt.repeat)
    assert controller.finish(outcome) is not None


def stored(directory: SweepDirectory) -> list[optuna.trial.FrozenTrial]:
    """The trials as Optuna alone reads them."""
    backend = optuna.storages.journal.JournalFileBackend(str(directory.journal))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=None, storage=storage).trials


def feasible(spec: SweepSpec, directory: SweepDirectory) -> list[bool | None]:
    directory.spec.write_text(spec.to_yaml())
    return [row.feasible for row in SweepView(directory).rows()]


@pytest.mark.parametrize(
    ("reduce", "constraint"), [("mean", 2.0), ("median", 2.0), ("min", -1.0), ("max", 5.0)]
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_constraints_of_repeats_are_reduced_as_their_metrics_are(
    directory: SweepDirectory, reduce: str, constraint: float, order: tuple[int, int]
) -> None:
    spec = make_spec(repeats={"seeds": 2, "reduce": reduce})
    controller = Controller(spec, directory, slots=2)
    repeats = [assigned(controller), assigned(controller)]
    for index in order:
        sets(controller, repeats[index], memory=(-1.0, 5.0)[index])
        ends(controller, repeats[index])
    assert stored(directory)[0].constraints == {"memory": constraint}
    assert feasible(spec, directory) == [constraint <= 0]


def test_a_constraint_that_only_one_repeat_sets_counts(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(repeats=2), directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    sets(controller, second, memory=1.0)
    ends(controller, second)
    ends(controller, first)
    assert stored(directory)[0].constraints == {"memory": 1.0}
    assert controller.progress().best is None


def test_a_constraint_without_a_mean_is_violated(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(repeats=2), directory, slots=2)
    for value in (math.inf, -math.inf):
        repeat = assigned(controller)
        sets(controller, repeat, memory=value)
        ends(controller, repeat)
    assert stored(directory)[0].constraints == {"memory": math.inf}


def test_the_constraint_of_a_later_attempt_replaces_that_of_an_earlier_one(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(trial={"retries": 1}), directory, slots=1)
    crashed = assigned(controller)
    sets(controller, crashed, memory=7.0, set_once=-2.0)
    ends(controller, crashed, "crash")
    retry = assigned(controller)
    assert (retry.number, retry.attempt) == (0, 2)
    sets(controller, retry, memory=-1.0)
    ends(controller, retry)
    assert stored(directory)[0].constraints == {"memory": -1.0, "set_once": -2.0}
    best = controller.progress().best
    assert best is not None
    assert best.number == 0


@pytest.mark.parametrize("repeats", [None, 2])
def test_constraints_survive_the_death_of_the_controller(
    directory: SweepDirectory, repeats: int | None
) -> None:
    spec = make_spec(repeats=repeats)
    dead = Controller(spec, directory, slots=2, run_id="run")
    runs = [assigned(dead) for _ in range(repeats or 1)]
    for run in runs:
        sets(dead, run, memory=3.0 - run.repeat)
    if repeats:
        ends(dead, runs.pop())
    controller = Controller(spec, directory, slots=2, run_id="run")
    controller.adopt([RunningAttempt(run.number, run.attempt, run.session.started) for run in runs])
    for run in runs:
        ends(controller, run)
    assert stored(directory)[0].constraints == {"memory": 2.5 if repeats else 3.0}


def test_a_resumed_trial_keeps_the_constraints_that_it_has_set(directory: SweepDirectory) -> None:
    spec = make_spec()
    first = Controller(spec, directory, slots=1)
    sets(first, assigned(first), memory=3.0, time=3.0)
    first.close()
    second = Controller(spec, directory, slots=1)
    resumed = assigned(second)
    assert (resumed.number, resumed.attempt) == (0, 2)
    sets(second, resumed, time=-3.0)
    ends(second, resumed)
    assert stored(directory)[0].constraints == {"memory": 3.0, "time": -3.0}


@pytest.mark.parametrize(
    ("latency", "constraint", "stored_value"),
    [(500.0, -1.0, 480.0), (10.0, 5.0, 5.0), (10.0, -20.0, -10.0)],
)
def test_a_limit_and_a_constraint_of_the_same_name_both_hold(
    directory: SweepDirectory, latency: float, constraint: float, stored_value: float
) -> None:
    metrics = [{"name": "loss", "goal": "minimize"}, {"name": "latency", "constraint": "<= 20"}]
    spec = make_spec(metrics=metrics)
    controller = Controller(spec, directory, slots=1)
    trial = assigned(controller)
    sets(controller, trial, latency=constraint)
    ends(controller, trial, loss=1.0, latency=latency)
    assert stored(directory)[0].constraints == {"latency": stored_value}
    assert feasible(spec, directory) == [stored_value <= 0]


@pytest.mark.parametrize("kind", ["pruned", "error"])
def test_a_trial_that_does_not_complete_has_its_constraints(
    directory: SweepDirectory, kind: OutcomeKind
) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    trial = assigned(controller)
    sets(controller, trial, memory=1.0)
    ends(controller, trial, kind)
    assert stored(directory)[0].constraints == {"memory": 1.0}


def test_a_constraint_that_an_unfinished_trial_already_has_is_replaced(directory: SweepDirectory) -> None:
    spec = make_spec()
    first = Controller(spec, directory, slots=1)
    assigned(first)
    # As a controller leaves it that dies while it records the end of the trial.
    first._live.trials[0].trial.set_constraint("memory", 7.0)
    first.close()
    second = Controller(spec, directory, slots=1)
    resumed = assigned(second)
    sets(second, resumed, memory=-1.0)
    ends(second, resumed)
    assert stored(directory)[0].constraints == {"memory": -1.0}
