"""Configurations by hand, outside a sweep."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.study.manual_params import complete
from sweep.sweepfile.parameter_forms import Group
from sweep.sweepfile.parameters import Choice, Constant, Range

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


def test_what_is_missing_comes_from_defaults_else_at_random() -> None:
    found = complete(SPACE, {"lr": 0.01}, seed=1)
    assert list(found.params) == ["lr", "layers", "optimizer", "batch", "epochs", "data", "head.width"]
    assert found.params["lr"] == 0.01
    assert found.params["optimizer"] == "adamw"
    assert found.by_default == ("optimizer",)
    assert found.sampled == ("layers", "batch", "head.width")
    assert found.notes == ()
    assert complete(SPACE, {"lr": 0.01}, seed=1) == found, "the same seed samples the same"
    assert complete(SPACE, {"lr": 0.01}, seed=2) != found


def test_another_configuration_goes_before_defaults_and_behind_what_is_given() -> None:
    other = complete(SPACE, {"optimizer": "sgd", "momentum": 0.5}, seed=1).params
    assert complete(SPACE, {}, 2, other).params == other
    assert complete(SPACE, {}, 2, other).sampled == ()
    assert complete(SPACE, {"epochs": 1}, 2, other).params == {**other, "epochs": 1}
    changed = complete(SPACE, {"optimizer": "adamw"}, 2, other).params
    assert changed == {**{name: other[name] for name in changed}, "optimizer": "adamw"}
    assert "momentum" not in changed, "it is not there any more"


def test_what_is_given_goes_before_a_default_that_does_not_allow_it() -> None:
    found = complete(SPACE, {"momentum": 0.5}, seed=1)
    assert found.params["optimizer"] == "sgd"
    assert found.sampled == ("lr", "layers", "optimizer", "batch", "head.width")


@pytest.mark.parametrize(
    ("given", "value", "note"),
    [
        ({"lr": 5}, 5.0, "lr=5.0 is not in the sweep's space: it is a number from 0.0001 to 0.1"),
        ({"layers": 60.0}, 60, "layers=60 is not in the sweep's space: it is a whole number from 1 to 6"),
        ({"batch": 2}, 2, "batch=2 is not in the sweep's space: it is one of 32, 64"),
        ({"epochs": 1}, 1, "epochs=1 is not in the sweep's space: it is always 8"),
        ({"data": "/tmp"}, "/tmp", "data='/tmp' is not in the sweep's space: it is always '/data'"),
    ],
)
def test_numbers_and_constants_may_be_what_they_never_are(given: Any, value: Any, note: str) -> None:
    found = complete(SPACE, given, seed=0)
    (name,) = given
    assert found.params[name] == value
    assert type(found.params[name]) is type(value)
    assert found.notes == (note,)


def test_a_value_has_the_type_that_it_has_in_the_sweep() -> None:
    space = SearchSpace({"x": Range(min=0.0, max=1.0)})
    assert repr(complete(space, {"x": 1}, 0).params["x"]) == "1.0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lrr": 0.1}, "lrr: there is no parameter 'lrr'; did you mean 'lr'?"),
        ({"head": 1}, "head: there is no parameter 'head'; write head.width"),
        ({"lr": "fast"}, "lr: lr is never 'fast'; it is a number from"),
        ({"lr": True}, "lr: lr is never True; it is a number from"),
        ({"lr": float("nan")}, "lr: lr cannot be nan"),
        ({"layers": 2.5}, "layers: layers is never 2.5; it is a whole number"),
        ({"optimizer": "adam"}, "optimizer: optimizer is never 'adam'; did you mean 'adamw'?"),
        ({"epochs": "few"}, "epochs: epochs is always 8, never 'few'"),
        ({"batch": [1]}, "batch: batch is never [1]; it is one of 32, 64"),
        (
            {"momentum": 0.5, "optimizer": "adamw"},
            "momentum: is there only with optimizer=sgd; leave it out, or give that too",
        ),
    ],
)
def test_a_mistake_is_an_error_that_says_what_to_write(given: Any, message: str) -> None:
    with pytest.raises(EntryError) as raised:
        complete(SPACE, given, seed=0)
    assert str(raised.value).startswith(message)


def test_constraints_hold_as_far_as_what_is_given_allows() -> None:
    assert all(complete(SPACE, {"epochs": 16}, seed).params["batch"] == 32 for seed in range(9))
    found = complete(SPACE, {"epochs": 100}, seed=0)
    assert found.params["epochs"] == 100
    assert found.notes[-1] == "it violates the constraint batch * epochs <= 512"


def test_a_space_of_constants_is_complete() -> None:
    found = complete(SearchSpace({"a": Constant(value=1)}), {}, 0)
    assert found.params == {"a": 1}
