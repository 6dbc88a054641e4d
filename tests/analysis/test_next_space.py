"""The search space for the next sweep: it keeps what was not compared, and can be run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from optuna.samplers import RandomSampler

from sweep.analysis.metric_model import MetricModel
from sweep.analysis.next_space import can_run, next_space
from tests.measured_sweep import measured

UNIT = {"min": 0.0, "max": 1.0}


def test_the_best_of_very_many_choices_and_those_that_were_not_compared_are_kept(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"kind": {"values": [f"v{n}" for n in range(40)]}, "x": UNIT},
        lambda params: {
            "loss": (0 if params["kind"] == "v39" else 1 + 0.01 * int(params["kind"][1:])) + 0.1 * params["x"]
        },
        trials=60,
    )
    tried = {view.params(trial)["kind"] for trial in view.frozen_trials}
    untried = {f"v{n}" for n in range(40)} - tried
    kept = set(next_space(MetricModel(view)).parameters["kind"]["values"])
    assert untried
    assert untried | {"v39"} <= kept
    assert len(kept) < 40


def test_a_choice_that_always_fails_is_left_out(tmp_path: Path) -> None:
    losses = {"a": 0.0, "b": 1.0}
    view = measured(
        tmp_path,
        {"kind": {"values": ["a", "b", "c"]}, "x": UNIT},
        lambda params: {"loss": losses[params["kind"]]} if params["kind"] in losses else None,
    )
    assert next_space(MetricModel(view)).parameters["kind"] == {"values": ["a"]}


def test_a_range_is_not_searched_where_all_trials_failed(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"lr": {"min": 1e-5, "max": 1.0, "log": True}, "x": UNIT},
        lambda params: None if params["lr"] > 0.05 else {"loss": -math.log10(params["lr"])},
        trials=100,
    )
    assert next_space(MetricModel(view)).parameters["lr"]["max"] <= 0.06


def test_a_range_keeps_a_bound_that_no_trial_has_reached_and_the_constraints_allow(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"a": UNIT, "b": UNIT},
        lambda params: {"loss": params["a"] + 0.3 * params["b"]},
        seed=3,
        constraints=["a + b <= 1.9"],
    )
    assert min(view.params(trial)["a"] for trial in view.frozen_trials) > 1 / 32
    assert next_space(MetricModel(view)).parameters["a"]["min"] == 0


def test_a_sweep_that_no_configuration_could_run_is_told_from_one_that_can() -> None:
    entries: dict[str, Any] = {
        "name": "demo",
        "objective": "objective.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"a": UNIT, "b": UNIT},
        "stop": {"trials": 3},
    }
    assert can_run(entries)
    assert not can_run({**entries, "constraints": ["a + b > 2"]})
    assert not can_run({**entries, "parameters": {"a": {"min": 1.0, "max": 0.0}}})
    assert not can_run({**entries, "sampler": "grid"})


def test_a_sweep_that_cannot_run_is_found_with_few_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Mock(return_value=0.5)
    monkeypatch.setattr(RandomSampler, "sample_independent", drawn)
    names = [f"p{index}" for index in range(20)]
    assert not can_run(
        {
            "name": "demo",
            "objective": "objective.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": dict.fromkeys(names, UNIT),
            "constraints": [f"{' + '.join(names)} > 20"],
            "enqueue": [{"p0": 0.1}],
        }
    )
    assert 0 < drawn.call_count <= 50_000
