"""`explain` on sweeps of many parameters: what is said of few is not said of the luckiest of many."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from sweep.analysis.explanation import explain
from sweep.analysis.metric_importances import metric_importances
from tests.measured_sweep import measured


def numbers(count: int) -> dict[str, Any]:
    return {f"x{index}": {"min": 0.0, "max": 1.0} for index in range(count)}


def test_it_takes_four_complete_trials_for_each_of_many_parameters(tmp_path: Path) -> None:
    view = measured(tmp_path, numbers(40), lambda params: {"loss": sum(params.values())}, trials=120)
    why = "it takes 160 complete trials with a finite value, and there are 120"
    found = explain(view)
    assert not found.of("importance", "no_effect", "sureness")
    assert f"Which parameters matter cannot be told yet: {why}." in str(found)
    assert f"how sure that is cannot be told: {why}" in str(found)


def test_of_very_many_parameters_none_is_chosen_by_the_values(tmp_path: Path) -> None:
    view = measured(tmp_path, numbers(51), lambda params: {"loss": sum(params.values())}, trials=20)
    found = explain(view)
    assert not found.of("importance", "no_effect", "sureness")
    assert "Which parameters matter cannot be told: 51 parameters vary, more than 50." in str(found)
    [metric] = metric_importances(view)
    assert metric.why_not_enough == "51 parameters vary, more than 50"
    assert metric.to_dict()["parameters"] == []


def test_the_interval_of_the_best_of_many_noisy_configurations_contains_their_mean(tmp_path: Path) -> None:
    contains, noise = 0, random.Random(5000)
    for seed in range(10):
        view = measured(tmp_path, numbers(20), lambda _: {"loss": noise.gauss(0, 1)}, trials=80, seed=seed)
        best = explain(view).of("best")[0].data
        contains += best["low"] <= 0 <= best["high"]
    assert contains >= 9


def test_the_shares_of_many_equal_parameters_contain_the_truth(tmp_path: Path) -> None:
    view = measured(tmp_path, numbers(20), lambda params: {"loss": sum(params.values())}, trials=100)
    [metric] = metric_importances(view)
    assert len(metric.parameters) == 20
    for one in metric.parameters:
        assert one.share == pytest.approx(0.05, abs=0.02)
        assert one.low is not None
        assert one.high is not None
        assert one.low - 0.01 <= 0.05 <= one.high + 0.01


def test_a_choice_matters_among_many_parameters_whatever_the_order_of_its_values(tmp_path: Path) -> None:
    effect = {"a": -1.0, "b": 3.0, "c": -3.0, "d": 1.0}  # hardly correlated with the place in the list
    space = {**numbers(20), "kind": {"values": list(effect)}}
    noise = random.Random(0)
    for seed in range(3):
        view = measured(
            tmp_path,
            space,
            lambda params: {"loss": effect[params["kind"]] + noise.gauss(0, 0.1)},
            trials=100,
            seed=seed,
        )
        [found] = explain(view).of("importance")
        assert found.text.startswith("kind matters most")


def test_of_many_parameters_those_that_act_together_are_not_said_to_have_no_effect(tmp_path: Path) -> None:
    def loss(params: Any) -> dict[str, float]:
        return {"loss": 3 * params["x0"] + 8 * (params["x1"] - 0.5) * (params["x2"] - 0.5)}

    found = explain(measured(tmp_path, numbers(20), loss, trials=160))
    assert {one.data["name"] for one in found.of("importance")} >= {"x0"}
    assert not {"x1", "x2"} & {one.data["name"] for one in found.of("no_effect")}
