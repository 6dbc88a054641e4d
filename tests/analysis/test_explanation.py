"""`explain` on sweeps that are odd: a plain sentence, whatever the trials are."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

import sweep
from sweep.analysis.explanation import Explanation, explain
from sweep.analysis.metric_importances import metric_importances
from sweep.analysis.metric_model import metric_model
from sweep.analysis.view import SweepView
from sweep.rendering.parameters import parameter_data
from sweep.study import attributes
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.conftest import MakeSweep

SPACE = {"x": {"min": 0.0, "max": 1.0}, "n": {"min": 1, "max": 9}, "kind": {"values": ["a", "b"]}}
DISTRIBUTIONS = {
    "x": FloatDistribution(0, 1),
    "n": IntDistribution(1, 9),
    "kind": CategoricalDistribution(["a", "b"]),
}


def trial(number: int, value: Any, state: str = "COMPLETE", **options: Any) -> FrozenTrial:
    params = {"x": (number * 0.618) % 1, "n": 1 + number * 7 % 9, "kind": "ab"[number % 2]}
    values = value if isinstance(value, list) or value is None else [value]
    return create_trial(
        state=TrialState[state], values=values, params=params, distributions=DISTRIBUTIONS, **options
    )


def explained(trials: list[FrozenTrial], folder: Path, **entries: Any) -> Explanation:
    return explain(view_of(trials, folder, **entries))


def view_of(trials: list[FrozenTrial], folder: Path, **entries: Any) -> SweepView:
    raw = {
        "objective": "objective.py:train",
        "parameters": SPACE,
        "metric": {"name": "loss", "goal": "minimize"},
        **entries,
    }
    spec = SweepSpec.model_validate(
        {"name": "demo", **{key: raw[key] for key in raw if raw[key] is not None}}
    )
    study = optuna.create_study(directions=[goal.goal for goal in spec.goals])
    study.add_trials(trials)
    view = SweepView(SweepDirectory(folder), spec)
    view.__dict__["study"] = study
    return view


def effect(number: int) -> float:
    return float(((number * 0.618) % 1 - 0.4) ** 2)


@pytest.mark.parametrize(
    ("trials", "text"),
    [
        ([], "There is no best trial: no trial is complete yet."),
        ([trial(0, None, "FAIL")], "There is no best trial: no trial is complete yet."),
        ([trial(0, None, "PRUNED", intermediate_values={0: 1.0})], "There is no best trial: no trial is"),
        ([trial(0, 0.5)], "Trial 0 is the best: loss = 0.5 with x=0 n=1 kind=a."),
        ([trial(n, 2.0) for n in range(30)], "Trial 0 is the best: loss = 2 with x=0 n=1 kind=a."),
        ([trial(n, (n + 1) * 1e300) for n in range(30)], "Trial 0 is the best: loss = 1e+300 with x=0"),
    ],
    ids=["empty", "failed", "pruned", "one", "constant", "huge"],
)
def test_a_sweep_without_much_to_learn_from_gets_a_sentence(
    trials: list[FrozenTrial], text: str, tmp_path: Path
) -> None:
    found = explained(trials, tmp_path)
    assert found.statements[0].text.startswith(text)
    assert not found.of("importance", "interaction", "at_bound", "no_effect")
    is_constant = len({one.value for one in trials}) == 1 < len(trials)
    assert ("all trials have the same loss" in str(found)) is is_constant


def test_infinite_values_and_divergence_do_not_hide_what_matters(tmp_path: Path) -> None:
    trials = [trial(n, math.inf if n % 10 == 3 else 1e9 if n % 10 == 6 else effect(n)) for n in range(80)]
    found = explained(trials, tmp_path)
    first = found.of("importance")[0]
    assert first.data["name"] == "x"
    assert first.data["good"][0] <= 0.4 <= first.data["good"][1]
    assert not found.of("noisy")  # the values that did not diverge have no noise
    assert "diverged" in first.evidence


def test_pruned_trials_count_by_their_rank_at_their_last_step(tmp_path: Path) -> None:
    """Their last reports are far worse than the ends of complete trials, which says nothing about them."""

    def curve(number: int, steps: int) -> dict[int, float]:
        return {step: effect(number) + 10 / (step + 1) for step in range(steps)}

    trials = [
        trial(n, effect(n), intermediate_values=curve(n, 100))
        if effect(n) < 0.1 or n < 10
        else trial(n, None, "PRUNED", intermediate_values=curve(n, 1 + n % 2))
        for n in range(60)
    ]
    found = explained(trials, tmp_path)
    first = found.of("importance")[0]
    assert first.data["name"] == "x"
    assert first.data["good"][0] <= 0.4 <= first.data["good"][1]
    assert "pruned ones count by the rank at the last step" in first.evidence
    best = found.of("best")[0].data
    assert best["low"] <= best["value"] + 0.05
    assert best["high"] < 1


def test_pruned_trials_count_as_no_better_than_the_median_if_no_complete_trial_has_reported(
    tmp_path: Path,
) -> None:
    trials = [
        trial(n, effect(n))
        if effect(n) < 0.1
        else trial(n, None, "PRUNED", intermediate_values={0: effect(n) / 2})
        for n in range(60)
    ]
    found = explained(trials, tmp_path)
    assert found.of("importance")[0].data["name"] == "x"


def test_the_best_whole_number_lies_at_its_bound_if_the_best_trials_have_it(tmp_path: Path) -> None:
    space = {"n": {"min": 1, "max": 4}}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(60):
        asked = study.ask({"n": IntDistribution(1, 4)})
        study.tell(asked, -0.1 * asked.params["n"] + 0.01 * math.sin(number))
    found = explained(study.trials, tmp_path, parameters=space)
    assert found.of("importance")[0].text.endswith(": higher is better, best at 4.")
    [bound] = found.of("at_bound")
    assert bound.text == "n's best tenth lies at its upper bound 4: widen it."
    assert bound.evidence.startswith("6 of the best 6 trials")


def test_the_sentence_about_the_best_of_very_many_parameters_is_short(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(300)]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.tell(study.ask({name: FloatDistribution(0, 1) for name in names}), 1.0)
    [best] = explained(
        study.trials, tmp_path, parameters={name: {"min": 0.0, "max": 1.0} for name in names}
    ).of("best")
    assert best.text.endswith(" and 285 others.")
    assert list(best.data["params"]) == names


def test_the_best_choice_is_the_one_whose_own_parameters_make_it_the_best(tmp_path: Path) -> None:
    space = {
        "kind": {"values": ["sgd", "adam"]},
        "momentum": {"min": 0.0, "max": 1.0, "when": {"kind": "sgd"}},
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(60):
        asked = study.ask()
        loss = 0.2
        if asked.suggest_categorical("kind", ["sgd", "adam"]) == "sgd":
            loss = 0.1 + 0.3 * (1 - asked.suggest_float("momentum", 0, 1))
        study.tell(asked, loss)
    found = explained(study.trials, tmp_path, parameters=space)
    texts = {one.data["name"]: one.text for one in found.of("importance")}
    assert texts["kind"].endswith(": sgd is the best choice.")
    assert ": higher is better" in texts["momentum"]


@pytest.mark.parametrize(
    "space",
    [
        {"x": {"min": 0.0, "max": 1.0}},
        {"kind": {"values": [f"choice-{n}" for n in range(1000)]}},
        {"x": {"min": 0.0, "max": 1.0}, "kind": {"values": [f"choice-{n}" for n in range(1000)]}},
    ],
    ids=["number", "choices-seen-once", "both"],
)
def test_an_only_parameter_and_choices_seen_once_do_not_explain_noise(
    space: dict[str, Any], tmp_path: Path
) -> None:
    claims = 0
    for seed in range(6):
        generator = np.random.default_rng(seed)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        kinds = CategoricalDistribution([f"choice-{n}" for n in range(1000)])
        possible: dict[str, Any] = {"x": FloatDistribution(0, 1), "kind": kinds}
        for _ in range(60):
            study.tell(study.ask({name: possible[name] for name in space}), generator.normal())
        found = explained(study.trials, tmp_path, parameters=space)
        claims += bool(found.of("importance", "at_bound"))
    assert claims <= 1  # by chance, choices that were seen twice have similar values


def test_each_metric_with_a_goal_has_its_own_parameters(tmp_path: Path) -> None:
    goals = [{"name": "loss", "goal": "minimize"}, {"name": "score", "goal": "maximize"}]
    trials = [trial(n, [effect(n), float(n * 7 % 9)]) for n in range(60)]
    found = explained(trials, tmp_path, metric=None, metrics=goals)
    assert {one.data["metric"]: one.data["name"] for one in found.of("importance")} == {
        "loss": "x",
        "score": "n",
    }
    assert "Pareto front" in found.of("front")[0].text
    assert not found.of("best")


def test_the_gain_is_measured_from_the_defaults_if_there_are_some(tmp_path: Path) -> None:
    space = {
        "x": {"min": 0.0, "max": 1.0, "default": 1.0},
        "n": {"min": 1, "max": 9, "default": 3},
        "kind": {"values": ["a", "b"], "default": "a"},
    }
    found = explained([trial(n, effect(n)) for n in range(60)], tmp_path, parameters=space)
    (gain,) = found.of("gain")
    assert gain.data["than"] == "the defaults"
    assert gain.data["low"] - 0.01 <= 0.36 <= gain.data["high"] + 0.01


def test_the_distributions_of_the_trials_are_the_space_with_define_by_run(tmp_path: Path) -> None:
    found = explained([trial(n, effect(n)) for n in range(60)], tmp_path, parameters="define-by-run")
    assert found.of("importance")[0].data["name"] == "x"


def test_only_feasible_trials_are_best_and_its_rivals(tmp_path: Path) -> None:
    limits = [{"name": "loss", "goal": "minimize"}, {"name": "size", "constraint": "<= 2"}]
    trials = [trial(n, effect(n), constraints={"size": 1.0 if n % 3 else -1.0}) for n in range(60)]
    found = explained(trials, tmp_path, metric=None, metrics=limits)
    assert found.of("best")[0].data["number"] % 3 == 0
    assert all(number % 3 == 0 for number in found.of("sureness")[0].data["rivals"])


@pytest.mark.parametrize(
    "parameter",
    [
        {"min": 1, "max": 8, "or": ["none"]},
        {"min": 1, "max": 10**9, "or": ["none"]},
        {"min": 0.0, "max": 1.0, "step": 0.25, "or": ["x"]},
        {"distribution": "q_uniform", "min": 0, "max": 10, "q": 5},
        {"distribution": "q_uniform", "min": 1, "max": 100, "q": 8, "default": 30},  # never sampled
        {"distribution": "beta", "a": 2, "b": 2, "default": 1.5},
    ],
    ids=["whole or", "many or", "steps or", "quantized", "quantized with default", "beta with default"],
)
def test_every_kind_of_parameter_can_be_explained(parameter: dict[str, Any], make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    return trial.number * 0.618 % 1 + trial.params.y",
        parameters={"x": parameter, "y": {"min": 0.0, "max": 1.0, "default": 0.5}},
        sampler={"type": "random", "seed": 1},
        stop={"trials": 40},
    )
    result = sweep.run(file, inline=True)
    assert result.explain().of("importance")[0].data["name"] == "y"


def test_pruned_trials_count_if_all_complete_ones_have_the_same_parameters(tmp_path: Path) -> None:
    def one(number: int) -> FrozenTrial:
        is_pruned = number % 3 == 0
        return create_trial(
            state=TrialState.PRUNED if is_pruned else TrialState.COMPLETE,
            value=None if is_pruned else number * 0.618 % 1,
            intermediate_values={0: number * 0.382 % 1},
            params={"kind": "b" if is_pruned else "a"},
            distributions={"kind": CategoricalDistribution(["a", "b"])},
        )

    found = explained(
        [one(number) for number in range(40)], tmp_path, parameters={"kind": {"values": ["a", "b"]}}
    )
    assert found.of("best")


def test_few_complete_trials_among_many_pruned_ones_are_all_looked_at(tmp_path: Path) -> None:
    """As asha leaves them. An even sample of all would contain one or none of them."""
    trials = [
        trial(n, effect(n) + n * 0.382 % 0.3)
        if n % 130 == 7
        else trial(n, None, "PRUNED", intermediate_values={0: effect(n) + n * 0.382 % 0.3})
        for n in range(2000)
    ]
    found = explained(trials, tmp_path)
    noises = [statement.data["noise"] for statement in found.of("noisy")]
    assert not any(map(math.isnan, noises))
    assert "R² is -" not in "".join(statement.evidence for statement in found.statements)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [(None, "it takes 20 complete trials with a finite value, and there is 1"), (1, "no parameter varies")],
    ids=["a space", "constants"],
)
def test_one_trial_is_not_enough_but_its_parameters_vary(
    parameters: int | None, why: str, tmp_path: Path
) -> None:
    options = {} if parameters is None else {"parameters": {"x": parameters}}
    one = trial(0, 0.5) if parameters is None else create_trial(value=0.5)
    assert why in str(explained([one], tmp_path, **options))


@pytest.mark.parametrize("reduce", ["max", "min", "median"])
def test_repeats_of_which_an_extreme_counts_do_not_make_noise_an_effect(reduce: str, tmp_path: Path) -> None:
    combine = {"max": max, "min": min, "median": np.median}[reduce]
    for seed in range(4):
        generator = np.random.default_rng(seed)
        trials = []
        for number in range(60):
            values = [float(value) for value in generator.normal(size=10)]
            trials.append(trial(number, float(combine(values)), user_attrs={attributes.REPEATS: values}))
        found = explained(trials, tmp_path, repeats={"seeds": 10, "reduce": reduce})
        assert not found.of("importance", "interaction", "at_bound")
        assert "repeats" not in str(found)  # what they say of a mean


def test_repeats_with_huge_values_can_be_explained(tmp_path: Path) -> None:
    generator, trials = random.Random(3), []
    for number in range(40):
        values = [10.0 ** generator.uniform(50, 160) for _ in range(3)]
        trials.append(trial(number, sum(values) / 3, user_attrs={attributes.REPEATS: values}))
    view = view_of(trials, tmp_path, repeats={"seeds": 3})
    assert "the spread over 3 repeats" in str(explain(view))
    curves = parameter_data(metric_model(view))["curves"]
    assert set(curves) == {"x", "n", "kind"}


@pytest.mark.parametrize(
    ("scale", "why"),
    [(1e300, "the values of loss are too large"), (1e-170, "the values of loss differ by too little")],
    ids=["huge", "tiny"],
)
def test_values_that_cannot_be_squared_are_the_reason_why_nothing_is_said(
    scale: float, why: str, tmp_path: Path
) -> None:
    view = view_of([trial(number, (1 + effect(number)) * scale) for number in range(40)], tmp_path)
    found = explain(view)
    assert not found.of("importance", "no_effect", "noisy", "sureness")
    assert f"Which parameters matter cannot be told: {why}." in str(found)
    [metric] = metric_importances(view)
    assert metric.why_not_enough == why
