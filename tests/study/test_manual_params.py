"""Configurations that a user chose outside the sweep."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.study.manual_params import complete
from sweep.sweepfile.parameter_forms import Group
from sweep.sweepfile.parameters import Choice, Constant, Distribution, Range

SPACE = SearchSpace(
    {
        "lr": Range(min=1e-4, max=1e-1, log=True),
        "layers": Range(min=1, max=6),
        "optimizer": Choice(values=["sgd", "adamw"], default="adamw"),
        "momentum": Range(min=0.0, max=0.9, when={"optimizer": "sgd"}),
        "batch": Choice(values=[32, 64]),
        "epochs": Constant(value=8),
        "data": Constant(value="/data"),
        "head": Group(parameters={"width": Range(min=1, max=9)}),
    },
    constraints=["batch * epochs <= 512"],
)


def test_missing_parameters_have_their_defaults_or_are_sampled() -> None:
    params, notes = complete(SPACE, {"lr": 0.01}, seed=1)
    assert list(params) == ["lr", "layers", "optimizer", "batch", "epochs", "data", "head.width"]
    assert params["lr"] == 0.01
    assert params["optimizer"] == "adamw"
    assert notes == ["by default: optimizer", "not given, so drawn at random: layers, batch, head.width"]
    assert complete(SPACE, {"lr": 0.01}, seed=1) == (params, notes), "the same seed samples the same"
    assert complete(SPACE, {"lr": 0.01}, seed=2)[0] != params


def test_another_configuration_takes_precedence_over_defaults_but_not_over_given_values() -> None:
    other, _ = complete(SPACE, {"optimizer": "sgd", "momentum": 0.5}, seed=1)
    assert complete(SPACE, {}, 2, other) == (other, [])
    assert complete(SPACE, {"epochs": 1}, 2, other)[0] == {**other, "epochs": 1}
    changed, _ = complete(SPACE, {"optimizer": "adamw"}, 2, other)
    assert changed == {**{name: other[name] for name in changed}, "optimizer": "adamw"}
    assert "momentum" not in changed, "its condition is no longer fulfilled"


def test_a_value_that_contradicts_a_default_requires_another_value_for_that() -> None:
    with pytest.raises(
        EntryError, match="momentum: exists only with optimizer=sgd; leave it out, or give that too"
    ):
        complete(SPACE, {"momentum": 0.5}, seed=1)
    params, notes = complete(SPACE, {"momentum": 0.5, "optimizer": "sgd"}, seed=1)
    assert (params["momentum"], params["optimizer"]) == (0.5, "sgd")
    assert notes == ["not given, so drawn at random: lr, layers, batch, head.width"]


@pytest.mark.parametrize(
    ("given", "value", "note"),
    [
        ({"lr": 5}, 5.0, "lr=5.0 is not in the sweep's space: it is a number from 0.0001 to 0.1"),
        ({"layers": 60.0}, 60, "layers=60 is not in the sweep's space: it is a whole number from 1 to 6"),
        ({"epochs": 1}, 1, "epochs=1 is not in the sweep's space: it is always 8"),
        ({"data": "/tmp"}, "/tmp", "data='/tmp' is not in the sweep's space: it is always '/data'"),
    ],
)
def test_numbers_and_constants_can_be_outside_the_space(given: Any, value: Any, note: str) -> None:
    params, notes = complete(SPACE, given, seed=0)
    (name,) = given
    assert params[name] == value
    assert type(params[name]) is type(value)
    assert notes[0] == f"note: {note}"


def test_a_value_has_the_type_that_it_has_in_the_sweep() -> None:
    space = SearchSpace({"x": Range(min=0.0, max=1.0)})
    assert repr(complete(space, {"x": 1}, 0)[0]["x"]) == "1.0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lrr": 0.1}, "lrr: there is no parameter 'lrr'; did you mean 'lr'?"),
        ({"head": 1}, "head: there is no parameter 'head'; write head.width"),
        ({"lr": "fast"}, "lr: lr is never 'fast'; it is a number from"),
        ({"lr": True}, "lr: lr is never True; it is a number from"),
        ({"lr": float("nan")}, "lr: lr cannot be nan"),
        ({"layers": 2.5}, "layers: layers is never 2.5; it is a whole number"),
        ({"optimizer": "adam"}, "optimizer: optimizer is never 'adam'; it is one of 'sgd', 'adamw'"),
        ({"epochs": "few"}, "epochs: epochs is always 8, never 'few'"),
        ({"batch": [1]}, "batch: batch is never [1]; it is one of 32, 64"),
        ({"batch": 2}, "batch: batch is never 2; it is one of 32, 64"),
        (
            {"momentum": 0.5, "optimizer": "adamw"},
            "momentum: exists only with optimizer=sgd; leave it out, or give that too",
        ),
    ],
)
def test_an_invalid_value_is_an_error_that_says_what_to_write(given: Any, message: str) -> None:
    with pytest.raises(EntryError) as raised:
        complete(SPACE, given, seed=0)
    assert str(raised.value).startswith(f"--params {message}")


def test_constraints_hold_unless_the_given_values_exclude_it() -> None:
    assert all(complete(SPACE, {"epochs": 16}, seed)[0]["batch"] == 32 for seed in range(9))
    params, notes = complete(SPACE, {"epochs": 100}, seed=0)
    assert params["epochs"] == 100
    assert notes[-1] == "note: it violates the constraint batch * epochs <= 512"


def test_a_space_of_constants_is_complete() -> None:
    assert complete(SearchSpace({"a": Constant(value=1)}), {}, 0) == ({"a": 1}, [])


def test_a_default_has_the_type_that_it_has_in_the_sweep() -> None:
    space = SearchSpace(
        {
            "epochs": Range(min=1, max=100, default=1e1),
            "share": Range(min=0.0, max=1.0, default=1),
            "noise": Distribution(distribution="log_normal", default=-1),
        }
    )
    assert repr(complete(space, {}, 0)[0]) == "{'epochs': 10, 'share': 1.0, 'noise': -1}"
