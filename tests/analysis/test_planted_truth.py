"""What `explain` says of sweeps whose truth is known; scripts/planted_truth.py checks it over many seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import planted_health
import planted_truth
import pytest
from planted_truth import CASES, Case

from sweep.analysis.ablation import ablation
from sweep.analysis.best import compare_best
from sweep.analysis.directions import direction
from sweep.analysis.explanation import explain
from sweep.analysis.metric_model import MetricModel, metric_model
from sweep.analysis.next_space import next_space
from sweep.sweepfile import SweepSpec


@pytest.mark.parametrize("name", [name for name in CASES if name != "eight"])
def test_what_is_planted_is_said_and_nothing_else(name: str, tmp_path: Path) -> None:
    made = CASES[name]()
    count = 200 if made.is_pruned else min(made.trials[-1], 100)  # the pruner leaves a fifth complete
    made = Case(**{**vars(made), "trials": (count,), "samplers": ("random",)})
    # An interval of 95 % misses the truth with some seeds.
    view, truth = planted_truth.run_case(made, 4, tmp_path)
    found = planted_truth.check(made, explain(view), truth)
    ranges = [found.pop(name) for name in list(found) if name.startswith("range of the share")]
    assert set(found.values()) <= {"right", "missing"}
    assert sum(how == "missing" for how in found.values()) <= 1
    assert ranges.count("wrong") <= 1


def test_a_parameter_that_explains_everything_may_explain_100_percent(tmp_path: Path) -> None:
    made = Case(**{**vars(CASES["dominated"]()), "trials": (60,), "samplers": ("random",)})
    view, _ = planted_truth.run_case(made, 1, tmp_path)
    (only,) = explain(view).of("importance")
    assert only.data["high"] == 1.0
    assert only.data["low"] > 0.8


def test_the_share_of_an_interaction_has_a_range_as_wide_as_its_uncertainty(tmp_path: Path) -> None:
    made = Case(**{**vars(CASES["interaction"]()), "trials": (50,), "samplers": ("random",)})
    view, _ = planted_truth.run_case(made, 0, tmp_path)
    (pair,) = explain(view).of("interaction")
    assert pair.data["low"] < 0.49 < pair.data["high"], "as planted"
    assert pair.data["high"] - pair.data["low"] > 0.03


def test_the_next_space_is_narrowed_widened_and_valid(tmp_path: Path) -> None:
    made = Case(**{**vars(CASES["at_bound"]()), "trials": (100,), "samplers": ("random",)})
    view, _ = planted_truth.run_case(made, 1, tmp_path)
    suggested = next_space(MetricModel(view))
    assert suggested.parameters["lr"]["max"] > 0.1
    assert suggested.parameters["lr"]["log"] is True
    assert 0 < suggested.parameters["momentum"]["min"] < 0.6 < suggested.parameters["momentum"]["max"] < 1
    assert isinstance(suggested.parameters["size"]["min"], int)
    assert len(suggested.changes) == 3
    SweepSpec.model_validate({**view.spec.model_dump(), "parameters": suggested.parameters})


def test_the_ablation_ends_at_the_best_configuration_and_changes_what_matters_first(tmp_path: Path) -> None:
    made = Case(**{**vars(CASES["noiseless"]()), "trials": (100,), "samplers": ("random",)})
    view, truth = planted_truth.run_case(made, 1, tmp_path)
    steps = ablation(MetricModel(view))
    assert steps[0].name == ""
    assert steps[-1].value == pytest.approx(truth, abs=0.02)
    assert {step.name: step.after for step in steps[1:]}.items() <= view.params(view.best).items()  # type: ignore[arg-type]
    assert steps[1].value == min(step.value for step in steps[:2])


def test_where_a_parameter_is_good_is_said_of_the_values_that_were_tried(tmp_path: Path) -> None:
    """TPE tries no large x1, where the surrogate's draws can have any value."""
    view, _ = planted_truth.run_case(CASES["eight"](), 3011, tmp_path)
    model = MetricModel(view)
    assert model.rows[:, 1].max() < 0.95
    found = direction(model, 1)
    assert found is not None
    assert (found.trend, found.low) == ("lower", 0)
    assert found.high < 0.2


def test_a_pruned_trial_has_at_least_the_noise_of_a_complete_one(tmp_path: Path) -> None:
    view, _ = planted_truth.run_case(CASES["pruned_score"](), 3003, tmp_path)
    model = MetricModel(view)
    noise = model.surrogate.state.noise
    assert noise[model.observations.is_pruned].min() >= noise[~model.observations.is_pruned].max()
    assert model.surrogate.noise == pytest.approx(0.1, abs=0.03), "as planted"


@pytest.mark.parametrize(
    ("curve", "warmup", "counts"),
    [(planted_health._noise_first, 0, False), (planted_health._soon_clear, 2, True)],
)
def test_pruned_trials_do_not_count_where_their_last_steps_say_nothing(
    curve: Any, warmup: int, counts: bool, tmp_path: Path
) -> None:
    """They would hide the effects, and the best trial's interval would be far from its value."""
    pruner = {"type": "median", "warmup_steps": warmup}
    made = planted_health.Case(
        lambda said: True, curve=curve, keys={"pruner": pruner}, trials=(120,), samplers=("random",)
    )
    view = planted_health.run_case(made, 2, tmp_path)
    assert metric_model(view).counts_pruned is counts
    explanation = explain(view)
    first = explanation.of("importance")[0]
    assert first.data["name"] == "lr"
    assert ("contradict" in first.evidence) is not counts
    best = explanation.of("best")[0].data
    truth = (math.log10(best["params"]["lr"]) + 2) ** 2 + best["params"]["decay"]
    assert best["estimate"] == pytest.approx(truth, abs=0.3)


def test_the_interval_of_the_best_value_has_the_width_of_95_percent(tmp_path: Path) -> None:
    """It would contain the truth too often if it were wider."""
    view, _ = planted_truth.run_case(CASES["little_noise"](), 1, tmp_path)
    model = metric_model(view)
    found = compare_best(model)[0]
    _, covariance = model.surrogate.posterior(model.rows[[model.index_of_best]])
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * covariance[0, 0] ** 0.5, rel=0.01)
