"""Which values of a parameter are said to be good: none that failed, diverged or were forbidden."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.analysis.directions import Direction, direction
from sweep.analysis.explanation import explain
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.view import SweepView
from tests.measured_sweep import measured

UNIT = {"min": 0.0, "max": 1.0}
LIMIT = [{"name": "loss", "goal": "minimize"}, {"name": "size", "constraint": "<= 0.5"}]
RATE = {"lr": {"min": 1e-5, "max": 1.0, "log": True}, "x": UNIT}
WIDTH_AND_DROP = {"width": {"min": 16, "max": 512, "log": True}, "drop": {"min": 0.1, "max": 0.9}, "x": UNIT}


def found(view: SweepView, name: str) -> Direction | None:
    model = MetricModel(view)
    names = [dimension.name for dimension in model.dimensions]
    return direction(model, names.index(name))


def test_values_beyond_a_limit_on_a_metric_are_not_said_to_be_good(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"width": {"min": 0.0, "max": 2.0}, "x": UNIT},
        lambda params: {"loss": 1 - params["width"], "size": params["width"]},
        metrics=LIMIT,
    )
    width = found(view, "width")
    assert width is not None
    assert 0.2 < width.low < width.high <= 0.5
    assert not explain(view).of("at_bound")


def test_nothing_is_said_of_values_if_almost_no_trial_is_within_the_limits(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"width": {"min": 0.0, "max": 20.0}, "x": UNIT},
        lambda params: {"loss": 1 - params["width"], "size": params["width"]},
        metrics=LIMIT,
    )
    assert 1 <= MetricModel(view).can_win.sum() < 5
    assert found(view, "width") is None
    (width,) = explain(view).of("importance")
    assert "good" not in width.data


def test_the_gain_is_measured_from_the_median_trial_within_the_limits(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"width": {"min": 0.0, "max": 2.0}, "x": UNIT},
        lambda params: {"loss": 1 - params["width"], "size": params["width"]},
        metrics=LIMIT,
    )
    (gain,) = explain(view).of("gain")
    assert 0 < gain.data["gain"] < 0.5


@pytest.mark.parametrize(
    "entries",
    [
        {"metrics": LIMIT},
        {"metrics": [LIMIT[0], {"name": "size", "constraint": "<= 1.2"}], "trials": 50},
        {"constraints": ["a + b <= 0.5"]},
        {"constraints": ["a + b <= 1.2"]},
    ],
    ids=["limit", "wide limit", "constraint", "wide constraint"],
)
def test_nothing_is_said_where_the_best_values_of_several_parameters_exclude_each_other(
    entries: dict[str, Any], tmp_path: Path
) -> None:
    view = measured(
        tmp_path,
        {"a": UNIT, "b": UNIT},
        lambda params: {"loss": -params["a"] - params["b"], "size": params["a"] + params["b"]},
        **{"trials": 100, "seed": 2, **entries},
    )
    said = explain(view)
    assert {one.data["name"] for one in said.of("importance")} == {"a", "b"}
    assert not any("good" in one.data for one in said.of("importance"))
    assert not said.of("at_bound")


def test_the_good_range_ends_where_a_constraint_ends_the_values(tmp_path: Path) -> None:
    view = measured(
        tmp_path, {"a": UNIT, "x": UNIT}, lambda params: {"loss": -params["a"]}, constraints=["a <= 0.5"]
    )
    a = found(view, "a")
    assert a is not None
    assert 0.3 < a.low < a.high <= 0.5
    assert a.ends == ["upper"]


def test_a_constraint_that_leaves_the_best_values_alone_hides_no_bound(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"a": {"min": 1, "max": 64}, "b": {"min": 1, "max": 64}},
        lambda params: {"loss": abs(params["a"] - 60)},
        trials=80,
        constraints=["a <= b * 4"],
    )
    a = found(view, "a")
    assert a is not None
    assert (a.trend, a.high, a.at_bound) == ("higher", 64, "upper")


@pytest.mark.parametrize("seed", range(3))
def test_a_constraint_that_holds_for_the_best_values_hides_no_bound_that_no_trial_has_reached(
    seed: int, tmp_path: Path
) -> None:
    view = measured(
        tmp_path,
        {"a": UNIT, "b": UNIT},
        lambda params: {"loss": params["a"] + 0.3 * params["b"]},
        seed=seed,
        constraints=["a + b <= 1.9"],
    )
    for name in ("a", "b"):
        good = found(view, name)
        assert good is not None
        assert (good.trend, good.low, good.ends, good.at_bound) == ("lower", 0, [], "lower")


@pytest.mark.parametrize(("seed", "widest"), [(1, 512), (2, 500)])
def test_a_constraint_can_exclude_a_bound_and_allow_the_values_next_to_it(
    seed: int, widest: int, tmp_path: Path
) -> None:
    view = measured(
        tmp_path,
        {"width": {"min": 16, "max": widest, "log": True}, "heads": {"values": [8, 16]}, "drop": UNIT},
        lambda params: {"loss": 0.5 * params["drop"] - 0.3 * math.log2(params["width"])},
        seed=seed,
        constraints=["width % heads == 0"],
    )
    width = found(view, "width")
    assert width is not None
    assert (width.trend, width.high, width.at_bound) == ("higher", widest, "upper")


def test_a_bound_that_a_constraint_leaves_to_few_of_the_best_is_not_to_be_widened(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"a": UNIT, "b": UNIT},
        lambda params: {"loss": -params["a"]},
        constraints=["a <= 0.96 or b < 0.3"],
        seed=9,
    )
    a = found(view, "a")
    assert a is not None
    assert (a.trend, a.high, a.at_bound) == ("higher", 1, None)


def test_a_constraint_that_cannot_be_evaluated_for_the_best_values_forbids_them(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"a": UNIT, "b": {"values": [None, 1, 2]}},
        lambda params: {"loss": params["a"] + 2 * (params["b"] is not None)},
        constraints=["a > 0.5 or b > 1"],
    )
    assert found(view, "a") is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["rare", "frequent", "unrelated", "failed"])
def test_trials_that_end_badly_whatever_the_value_of_a_parameter_hide_nothing_of_it(
    kind: str, seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)

    def measure(params: Mapping[str, Any]) -> dict[str, float] | None:
        loss = 0.8 * params["drop"] - 0.3 * math.log2(params["width"])
        size = 0.6 * params["x"]
        if kind != "unrelated":
            size = 1.0 * (chance.random() < (0.2 if kind == "frequent" else 0.05))
        return None if kind == "failed" and size else {"loss": loss, "size": size}

    view = measured(tmp_path, WIDTH_AND_DROP, measure, trials=100, seed=seed, metrics=LIMIT)
    width, drop = found(view, "width"), found(view, "drop")
    assert width is not None
    assert (width.trend, width.at_bound) == ("higher", "upper")
    assert drop is not None
    assert (drop.trend, drop.at_bound) == ("lower", "lower")


@pytest.mark.parametrize(
    ("too_large", "goal", "sign"),
    [(None, "minimize", 1), (math.inf, "minimize", 1), (-math.inf, "maximize", -1), (1e12, "minimize", 1)],
    ids=["failed", "infinite", "maximized", "diverged"],
)
def test_values_where_all_trials_failed_or_diverged_are_not_said_to_be_good(
    too_large: float | None, goal: str, sign: int, tmp_path: Path
) -> None:
    def measure(params: Mapping[str, Any]) -> dict[str, float] | None:
        if params["lr"] > 0.05:
            return None if too_large is None else {"loss": too_large}
        return {"loss": -sign * math.log10(params["lr"])}

    view = measured(tmp_path, RATE, measure, trials=100, metrics=[{"name": "loss", "goal": goal}])
    rate = found(view, "lr")
    assert rate is not None
    assert rate.trend == "inside"
    assert 0.005 < rate.low < rate.high <= 0.05
    assert not explain(view).of("at_bound")


def test_a_failure_by_chance_beyond_the_other_trials_does_not_end_the_good_range(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"x": UNIT, "y": UNIT},
        lambda params: None if params["x"] > 0.94 else {"loss": -params["x"]},
        seed=9,
    )
    assert [trial.values for trial in view.frozen_trials].count(None) == 1
    x = found(view, "x")
    assert x is not None
    assert (x.trend, x.high, x.ends) == ("higher", 1.0, [])


def test_a_bound_near_which_many_trials_fail_is_not_to_be_widened(tmp_path: Path) -> None:
    """Some of them have the best values."""
    view = measured(
        tmp_path,
        {"x": UNIT, "y": UNIT},
        lambda params: None if params["x"] > 0.6 and params["y"] > 0.3 else {"loss": -params["x"]},
        trials=120,
    )
    said = explain(view)
    assert ("x", ">") in {(one.data["name"], one.data["relation"]) for one in said.of("failing_range")}
    assert not any(one.data["name"] == "x" for one in said.of("at_bound"))


def test_a_bound_near_which_many_trials_diverge_and_none_is_good_is_not_to_be_widened(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"x": UNIT, "y": UNIT},
        lambda params: {
            "loss": 1e12 if params["x"] > 0.6 and params["y"] > 0.4 else -0.5 * params["x"] - params["y"]
        },
        trials=80,
        seed=0,
    )
    x = found(view, "x")
    assert x is not None
    assert (x.trend, x.at_bound) == ("higher", None)


def test_a_choice_with_which_no_trial_is_within_the_limits_is_not_the_best(tmp_path: Path) -> None:
    losses, sizes = {"s": 2.0, "m": 1.0, "l": 0.0}, {"s": 0.1, "m": 0.2, "l": 1.0}
    view = measured(
        tmp_path,
        {"kind": {"values": ["s", "m", "l"]}, "x": UNIT},
        lambda params: {"loss": losses[params["kind"]] + 0.1 * params["x"], "size": sizes[params["kind"]]},
        metrics=LIMIT,
    )
    kind = found(view, "kind")
    assert kind is not None
    assert kind.good == ["m"]
    assert sorted(kind.worse) == ["l", "s"]


@pytest.mark.parametrize("seed", [0, 3])
def test_the_best_of_very_many_choices_is_compared_although_it_is_rare(seed: int, tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"kind": {"values": [f"v{n}" for n in range(40)]}, "x": UNIT},
        lambda params: {
            "loss": (0 if params["kind"] == "v39" else 1 + 0.01 * int(params["kind"][1:])) + 0.1 * params["x"]
        },
        trials=120,
        seed=seed,
    )
    kind = found(view, "kind")
    assert kind is not None
    assert kind.good == ["v39"]


@pytest.mark.parametrize("other", ["auto", 2], ids=["text", "larger number"])
def test_a_value_in_front_of_a_range_is_no_neighbour_of_its_lower_bound(other: Any, tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"d": {**UNIT, "or": [other]}, "x": UNIT},
        lambda params: {"loss": (0.2 if params["d"] == other else params["d"]) + params["x"]},
    )
    (said,) = [one for one in explain(view).of("importance") if one.data["name"] == "d"]
    assert "good" not in said.data
    assert found(view, "d") is None


def test_a_smaller_number_in_front_of_a_range_is_the_end_of_it(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"d": {"min": 0.1, "max": 1.0, "or": [0]}, "x": UNIT},
        lambda params: {"loss": params["d"] + params["x"]},
    )
    d = found(view, "d")
    assert d is not None
    assert (d.trend, d.low) == ("lower", 0)


def test_numbers_with_probabilities_in_no_order_are_a_choice(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"n": {"values": [3, 1, 2], "probabilities": [0.2, 0.3, 0.5]}, "x": UNIT},
        lambda params: {"loss": params["n"] + params["x"]},
    )
    n = found(view, "n")
    assert n is not None
    assert n.good == [1]
