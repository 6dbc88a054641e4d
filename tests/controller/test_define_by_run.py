"""Define-by-run sweeps with a Controller, without Ray."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler

from sweep.controller.controller import Controller
from sweep.errors import EntryError
from sweep.messages import Assignment, Outcome, Report, RunningAttempt, TrialAttribute
from sweep.space import SearchSpace
from sweep.study.bounded_tpe import BoundedTPESampler
from sweep.study.distinct import DistinctSampler
from sweep.study.samplers import make_sampler
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.yaml import read_document
from sweep.system.directory import SweepDirectory
from sweep.tracking.hparams import cells_of_suggested

X = FloatDistribution(-10, 10)
OPT = CategoricalDistribution(["sgd", "adam"])


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": {"type": "tpe", "seed": 1},
            "parameters": "define-by-run",
            "stop": {"trials": 50},
            **keys,
        }
    )


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def ask(controller: Controller, trial: Assignment, name: str, distribution: BaseDistribution) -> Any:
    answer = controller.suggest(trial.number, trial.attempt, [], trial.repeat, name, distribution)
    assert not answer.problem
    return answer.value


def test_a_trial_gets_the_same_parameters_if_it_asks_again(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    trial = assigned(controller)
    assert trial.params == {}
    x = ask(controller, trial, "x", X)
    assert -10 <= x <= 10
    assert ask(controller, trial, "x", X) == x
    (running,) = controller.progress().running
    assert running.params == {"x": x}


def test_trials_that_ask_alternately_have_separate_joint_samples(directory: SweepDirectory) -> None:
    """The samples are exactly those of plain Optuna with two open trials."""
    space: list[tuple[str, BaseDistribution]] = [("x", X), ("y", X), ("opt", OPT)]

    def value(params: dict[str, Any]) -> float:
        return float(params["x"] ** 2 + (params["y"] - 1) ** 2 + (params["opt"] == "sgd"))

    controller = Controller(make_spec(), directory, slots=2)
    plain = optuna.create_study(sampler=new_sampler(controller))
    for _ in range(15):
        pair = [assigned(controller), assigned(controller)]
        ours: list[dict[str, Any]] = [{}, {}]
        for name, distribution in space:  # each parameter of both trials before the next one
            for params, trial in zip(ours, pair, strict=True):
                params[name] = ask(controller, trial, name, distribution)
        theirs = [plain.ask(), plain.ask()]
        for name, _ in space:
            for other in theirs:
                if name == "opt":
                    other.suggest_categorical(name, OPT.choices)
                else:
                    other.suggest_float(name, -10, 10)
        assert [other.params for other in theirs] == ours
        for params, trial, other in zip(ours, pair, theirs, strict=True):
            controller.finish(Outcome(trial.number, trial.attempt, "returned", value(params)))
            plain.tell(other, value(params))


def new_sampler(controller: Controller) -> BaseSampler:
    """The sampler of Optuna that a controller has at the start of a sweep."""
    spec = make_spec()
    made = make_sampler(spec.sampler, SearchSpace.of(spec), controller._sweep_study.seed, 0)
    assert isinstance(made, DistinctSampler)
    assert type(made._sampler) is BoundedTPESampler
    return made._sampler


def test_an_attempt_after_a_crash_gets_the_same_parameters(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    trial = assigned(controller)
    x = ask(controller, trial, "x", X)
    controller.finish(Outcome(trial.number, 1, "crash", reason="killed"))
    again = assigned(controller)
    assert (again.number, again.attempt, again.params) == (0, 2, {"x": x})
    assert ask(controller, again, "x", X) == x
    assert controller.suggest(0, 1, [], 0, "y", X).problem  # the dead attempt gets an error
    resumed = Controller(make_spec(), directory, slots=1)
    third = assigned(resumed)
    assert (third.number, third.attempt, third.params) == (0, 3, {"x": x})
    assert ask(resumed, third, "x", X) == x


def test_a_replacement_controller_knows_which_parameters_were_sampled(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1, run_id="r")
    trial = assigned(controller)
    x = ask(controller, trial, "x", X)
    replacement = Controller(make_spec(), directory, slots=1, run_id="r")
    replacement.adopt([RunningAttempt(0, 1, 0.0)])
    assert ask(replacement, trial, "x", X) == x
    assert -10 <= ask(replacement, trial, "y", X) <= 10


def test_a_distribution_that_optuna_rejects_is_answered_with_the_error(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    trial = assigned(controller)
    ask(controller, trial, "opt", OPT)
    controller.finish(Outcome(0, 1, "returned", 1.0))
    second = assigned(controller)
    other = CategoricalDistribution(["sgd", "lion"])
    assert controller.suggest(1, 1, [], 0, "opt", other).problem.startswith(
        "opt: its choices differ from those in earlier trials of the sweep"
    )
    assert ask(controller, second, "opt2", other) in ("sgd", "lion")


def test_attributes_and_constraints_are_stored_and_count(directory: SweepDirectory) -> None:
    spec = make_spec()
    controller = Controller(spec, directory, slots=1)
    for number, (value, excess) in enumerate([(0.1, 1.0), (0.5, -1.0)]):
        trial = assigned(controller)
        controller.report(trial.number, 1, [TrialAttribute("loss", "low"), Report(0, value)])
        controller.report(trial.number, 1, [TrialAttribute("memory", excess, kind="constraint")])
        controller.finish(Outcome(number, 1, "returned", value, reports=(TrialAttribute("late", number),)))
    best = controller.progress().best
    assert best is not None
    assert best.number == 1
    trials = controller._study.get_trials()
    assert [(trial.user_attrs["loss"], trial.user_attrs["late"]) for trial in trials] == [
        ("low", 0),
        ("low", 1),
    ]
    assert trials[0].constraints == {"memory": 1.0}


def test_repeats_of_a_trial_share_its_parameters(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(repeats={"seeds": 2}), directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    assert (first.number, second.number) == (0, 0)
    x = ask(controller, first, "x", X)
    assert ask(controller, second, "x", X) == x
    y = ask(controller, second, "y", X)
    assert ask(controller, first, "y", X) == y


def test_configurations_can_be_enqueued_without_declared_parameters(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(enqueue=[{"x": 3.5}]), directory, slots=1)
    trial = assigned(controller)
    assert ask(controller, trial, "x", X) == 3.5


def test_a_note_names_an_enqueued_value_that_the_objective_does_not_ask_for(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(enqueue=[{"x": 3.5, "lr": 1}, {"x": 2.5, "lr": 1}]), directory, slots=1)
    notes = []
    for _ in range(2):
        trial = assigned(controller)
        ask(controller, trial, "x", X)
        result = controller.next_step(Outcome(trial.number, 1, "returned", value=0.5)).result
        assert result is not None
        notes.append(result.notes)
    assert notes == [("the enqueued lr=1 was not used: the objective suggests no 'lr'",), ()]


def test_rows_have_the_types_of_their_distributions_without_an_experiment_record(
    directory: SweepDirectory,
) -> None:
    Controller(make_spec(), directory, slots=1)
    assert not list(directory.root.glob("*tfevents*"))
    mixed = CategoricalDistribution([None, 0.1])
    flags = CategoricalDistribution([True, False])
    found = cells_of_suggested({"x": 3, "m": 0.1, "f": True}, {"x": X, "m": mixed, "f": flags})
    assert found == {"x": 3.0, "m": "0.1", "f": True}
    assert type(found["x"]) is float


def test_a_define_by_run_sweep_file_round_trips() -> None:
    spec = make_spec()
    assert spec.is_define_by_run
    again = SweepSpec.model_validate(read_document(spec.to_yaml()).data)
    assert again == spec
    assert again.is_define_by_run
    assert "parameters: define-by-run" in spec.to_yaml()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"parameters": "define-by-runn"}, "did you mean 'define-by-run'"),
        ({"objective": None, "program": "a.py"}, "a script cannot suggest parameters"),
        ({"constraints": ["x < 1"]}, r"the objective calls trial\.set_constraint"),
    ],
)
def test_keys_that_exclude_define_by_run_are_rejected(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_spec(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sampler": "grid"}, "a grid needs declared parameters"),
        ({"sampler": "brute_force"}, "a grid needs declared parameters"),
        ({"enqueue": ["defaults"]}, "no parameter has a default; give values"),
    ],
)
def test_samplers_that_need_declared_parameters_are_rejected(
    directory: SweepDirectory, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(EntryError, match=message):
        Controller(make_spec(**keys), directory, slots=1)
