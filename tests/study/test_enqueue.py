"""Configurations that are tried before the sampler's."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from sweep.controller.controller import Controller
from sweep.errors import EntryError
from sweep.messages import Outcome
from sweep.space import SearchSpace
from sweep.study import attributes
from sweep.study.enqueue import enqueue_spec_configurations, enqueued_configurations
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

SPACE = {
    "lr": {"min": 1e-5, "max": 0.1, "log": True, "or": [0], "default": 0.01},
    "layers": {"min": 1, "max": 9},
    "optimizer": {"values": ["sgd", "adam"], "default": "sgd"},
    "momentum": {"min": 0.0, "max": 0.9, "default": 0.5, "when": {"optimizer": "sgd"}},
    "epochs": 8,
}


def make_spec(**keys: Any) -> SweepSpec:
    base = {
        "name": "demo",
        "objective": "a.py:f",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": SPACE,
        "constraints": ["layers < 9 or optimizer == 'adam'"],
        "stop": {"trials": 9},
    }
    return SweepSpec.model_validate({**base, **keys})


def test_enqueued_configurations_come_first_and_are_completed_by_the_sampler(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(enqueue=["defaults", {"lr": 0, "optimizer": "adam"}]), directory, 1)
    first, second = controller.next_step(None).assignment, controller.next_step(None).assignment
    assert first is not None
    assert second is not None
    assert {**first.params, "layers": 0} == {
        "lr": 0.01,
        "layers": 0,
        "optimizer": "sgd",
        "momentum": 0.5,
        "epochs": 8,
    }
    assert second.params["lr"] == 0
    assert "momentum" not in second.params
    assert 1 <= second.params["layers"] <= 9


def test_a_trial_that_failed_before_it_asked_keeps_its_enqueued_parameters_when_it_is_resubmitted(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(parameters="define-by-run", constraints=[], enqueue=[{"lr": 0.02, "depth": 3}])
    controller = Controller(spec, directory, 1)
    controller.next_step(None)
    controller.finish(Outcome(0, 1, "error", reason="it failed"))
    assert controller.resubmit([0]) == [0]
    assert controller._study.trials[1].system_attrs["fixed_params"] == {"lr": 0.02, "depth": 3}


def test_each_configuration_is_enqueued_once_and_new_ones_are_added_on_resume(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(enqueue=[{"layers": 2}]), directory, 1)
    first = controller.next_step(None).assignment
    assert first is not None
    controller.finish(Outcome(0, 1, "returned", value=1.0))
    again = Controller(make_spec(enqueue=[{"layers": 2}, {"layers": 3}]), directory, 1)
    assert again.progress().counts["waiting"] == 1
    following = again.next_step(None).assignment
    assert following is not None
    assert following.params["layers"] == 3


def test_a_requested_configuration_comes_next_and_only_once(directory: SweepDirectory) -> None:
    spec = make_spec()
    controller = Controller(spec, directory, 1)
    point = SearchSpace.of(spec).encode({"layers": 7, "optimizer": "adam"}, "enqueue")
    assert controller.enqueue([point], "token") == 1
    assert controller.enqueue([point], "token") == 0
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    assert (assignment.params["layers"], assignment.params["optimizer"]) == (7, "adam")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"layres": 2}, "enqueue.0.layres: there is no parameter 'layres'; did you mean 'layers'?"),
        ({"layers": 12}, "enqueue.0.layers: layers is never 12; it is a whole number from 1 to 9"),
        ({"layers": 2.5}, "enqueue.0.layers: layers is never 2.5"),
        ({"optimizer": "sdg"}, "enqueue.0.optimizer: optimizer is never 'sdg'; it is one of 'sgd', 'adam'"),
        ({"epochs": 9}, "enqueue.0.epochs: epochs is always 8, never 9"),
        (
            {"optimizer": "adam", "momentum": 0.1},
            "enqueue.0.momentum: momentum is active only if optimizer is 'sgd', and it is 'adam'",
        ),
        ({"optimizer": "sgd", "layers": 9}, "enqueue.0: violates the constraint layers < 9"),
        ({"lr": 1.0}, "enqueue.0.lr: lr is never 1.0; it is a number from 1e-05 to 0.1, or 0"),
    ],
)
def test_a_configuration_outside_the_search_space_is_an_error(entry: dict[str, Any], message: str) -> None:
    spec = make_spec(enqueue=[entry])
    with pytest.raises(EntryError) as caught:
        enqueued_configurations(spec, SearchSpace.of(spec))
    assert message in str(caught.value)


def test_a_configuration_that_cannot_satisfy_the_constraints_is_an_error() -> None:
    spec = make_spec(constraints=["lr * layers <= 0.001"], enqueue=[{"lr": 0.1}])
    with pytest.raises(
        EntryError, match=r"enqueue\.0: none of \d+ configurations fits: lr \* layers <= 0.001"
    ):
        enqueued_configurations(spec, SearchSpace.of(spec))


def test_a_grid_takes_no_enqueued_configurations() -> None:
    spec = make_spec(parameters={"a": {"values": [1, 2]}}, constraints=[], sampler="grid", enqueue=[{"a": 1}])
    with pytest.raises(EntryError, match="grid tries every configuration anyway"):
        enqueued_configurations(spec, SearchSpace.of(spec))


def test_a_controller_killed_while_enqueueing_enqueues_nothing_twice(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(enqueue=[{"layers": 2}, {"layers": 3}, {"layers": 4}])
    enqueue, count = optuna.Study.enqueue_trial, 0

    def enqueue_two(study: optuna.Study, point: dict[str, Any], **more: Any) -> None:
        nonlocal count
        count += 1
        if count > 2:
            raise KeyboardInterrupt
        enqueue(study, point, **more)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", enqueue_two)
    with pytest.raises(KeyboardInterrupt):
        Controller(spec, directory, 1)
    monkeypatch.undo()
    for _ in range(2):
        controller = Controller(spec, directory, 1)
    found = [controller.next_step(None).assignment for _ in range(4)]
    assert [one.params["layers"] for one in found[:3] if one is not None] == [2, 3, 4]
    assert controller.progress().counts["waiting"] == 0


CONDITIONAL = {
    "optimizer": {"values": ["sgd", "adam", "rms", "lion"]},
    "sgd": {
        "when": {"optimizer": "sgd"},
        "parameters": {
            "nesterov": {"values": [True, False]},
            "momentum": {"min": 0.0, "max": 0.9, "default": 0.5},
            "damping": {"min": 0.0, "max": 0.9, "when": {"nesterov": False}},
        },
    },
    "adam": {"when": {"optimizer": "adam"}, "parameters": {"beta": {"min": 0.0, "max": 1.0, "default": 0.9}}},
    "decay": {"min": 0.0, "max": 1.0, "when": {"optimizer": ["adam", "lion"]}},
}


def encoded(*entries: Any, parameters: Any = CONDITIONAL, constraints: list[str] | None = None) -> Any:
    spec = make_spec(parameters=parameters, constraints=constraints or [], enqueue=entries)
    return enqueued_configurations(spec, SearchSpace.of(spec))


def test_a_conditional_value_brings_the_values_on_which_it_depends() -> None:
    assert encoded({"sgd.momentum": 0.9}, {"sgd.damping": 0.1}, {"adam.beta": 0.5, "decay": 0.1}) == [
        {"sgd.momentum": 0.9, "optimizer": "sgd"},
        {"sgd.damping": 0.1, "sgd.nesterov": False, "optimizer": "sgd"},
        {"adam.beta": 0.5, "decay": 0.1, "optimizer": "adam"},
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"decay": 0.1}, "enqueue.0.decay: decay is active only if optimizer is 'adam' or 'lion'; give"),
        ({"sgd.momentum": 0.1, "adam.beta": 0.1}, "enqueue.0.adam.beta: adam.beta and another one need diff"),
        (
            {"sgd.nesterov": True, "sgd.damping": 0.1},
            "enqueue.0.sgd.damping: sgd.damping is active only if sgd.nesterov is False, and it is True",
        ),
        (
            {"optimizer": "adam", "sgd.damping": 0.1},
            "enqueue.0.sgd.damping: sgd.damping is active only if optimizer is 'sgd', and it is 'adam'",
        ),
    ],
)
def test_a_conditional_value_that_may_not_count_is_an_error(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(EntryError) as caught:
        encoded(entry)
    assert message in str(caught.value)


def test_a_value_that_contradicts_another_one_through_a_third_parameter_is_an_error() -> None:
    chain = {
        "a": {"values": [0, 1]},
        "b": {"values": [2, 3], "when": {"a": 1}},
        "c": {"values": [5, 6], "when": {"b": 2}},
    }
    with pytest.raises(EntryError, match=r"enqueue\.0\.c: b is active only if a is 1, and it is 0; leave c"):
        encoded({"a": 0, "c": 5}, parameters=chain)


def test_a_default_applies_wherever_its_parameter_is_active(directory: SweepDirectory) -> None:
    groups = {name: CONDITIONAL[name] for name in ("sgd", "adam")}
    undecided = {**groups, "optimizer": {"values": ["sgd", "adam"]}}
    assert encoded("defaults", parameters=undecided) == [{"sgd.momentum": 0.5, "adam.beta": 0.9}]
    spec = make_spec(parameters=undecided, constraints=[], enqueue=["defaults"])
    first = Controller(spec, directory, 1).next_step(None).assignment
    assert first is not None
    expected = ("sgd.momentum", 0.5) if first.params["optimizer"] == "sgd" else ("adam.beta", 0.9)
    assert expected in first.params.items()
    decided = {**undecided, "optimizer": {"values": ["sgd", "adam"], "default": "adam"}}
    assert encoded("defaults", parameters=decided) == [{"optimizer": "adam", "adam.beta": 0.9}]


UNDECIDED = {
    "lr": {"min": 0.0, "max": 1.0, "default": 0.5},
    "optimizer": {"values": ["sgd", "adam", "lion"]},
    "momentum": {"min": 0.0, "max": 0.9, "default": 0.3, "when": {"optimizer": "sgd"}},
    "decay": {"min": 0.0, "max": 1.0, "when": {"optimizer": ["adam", "lion"]}},
}


@pytest.mark.parametrize("was_killed", [False, True], ids=["stored", "killed before they were stored"])
def test_what_an_earlier_version_enqueued_without_what_it_depends_on_is_not_enqueued_again(
    was_killed: bool,
) -> None:
    study = optuna.create_study()
    earlier = [{"decay": 0.1}, {"momentum": 0.9}, {"lr": 0.5}]
    for point in earlier:
        study.enqueue_trial(point)
    if not was_killed:
        study.set_user_attr(attributes.ENQUEUED, earlier)
    entries: list[Any] = [{"decay": 0.1}, {"momentum": 0.9}, "defaults", {"momentum": 0.8}]
    for _ in range(2):
        spec = make_spec(parameters=UNDECIDED, constraints=[], enqueue=entries)
        enqueue_spec_configurations(study, spec, SearchSpace.of(spec))
        found = [trial.system_attrs["fixed_params"] for trial in study.trials]
        assert found == [*earlier, {"momentum": 0.8, "optimizer": "sgd"}]
    spec = make_spec(parameters=UNDECIDED, constraints=[], enqueue=[*entries, {"decay": 0.2}])
    with pytest.raises(
        EntryError, match=r"enqueue\.4\.decay: decay is active only if optimizer is 'adam' or"
    ):
        enqueue_spec_configurations(study, spec, SearchSpace.of(spec))


def test_changed_defaults_are_enqueued_on_resume() -> None:
    study = optuna.create_study()
    for lr in (0.5, 0.6, 0.6):
        parameters = {**UNDECIDED, "lr": {"min": 0.0, "max": 1.0, "default": lr}}
        spec = make_spec(parameters=parameters, constraints=[], enqueue=["defaults"])
        enqueue_spec_configurations(study, spec, SearchSpace.of(spec))
    found = [trial.system_attrs["fixed_params"] for trial in study.trials]
    assert found == [{"lr": 0.5, "momentum": 0.3}, {"lr": 0.6, "momentum": 0.3}]


def test_a_conditional_constant_counts_only_if_it_is_active() -> None:
    space = {
        "k": {"value": 5, "when": {"optimizer": "sgd"}},
        "x": {"min": 0, "max": 10},
        "y": {"min": 0, "max": 10, "when": {"k": 5}},
        "optimizer": {"values": ["sgd", "adam"]},
    }
    found = encoded({"optimizer": "adam", "x": 10}, {"y": 1}, parameters=space, constraints=["x <= k"])
    assert found == [{"optimizer": "adam", "x": 10}, {"y": 1, "optimizer": "sgd"}]
    with pytest.raises(EntryError, match=r"enqueue\.0: violates the constraint x <= k"):
        encoded({"optimizer": "sgd", "x": 10}, parameters=space, constraints=["x <= k"])
    with pytest.raises(EntryError, match=r"enqueue\.0\.y: k is active only if optimizer is 'sgd', and it is"):
        encoded({"optimizer": "adam", "y": 1}, parameters=space)
