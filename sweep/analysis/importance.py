"""How much each parameter matters: by a functional ANOVA of the surrogate, and by Optuna's PED-ANOVA."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from sweep.analysis.metric_model import MetricModel
from sweep.study.private import ped_anova_evaluator

SMALLEST_SHARE = 0.03
"""The smallest share of the variation with which a parameter is said to matter."""
_EVIDENCE = 4.0
"""The smallest log likelihood ratio with which it is: noise alone exceeds it in about 1 % of parameters.
Of more than ten, it is larger by the logarithm of their number divided by ten."""
_FEW = 10
_OBVIOUS = 0.3
"""The share of a numeric parameter needs no test if its lower end is above this."""
_RESAMPLES = 12
_MOST = 150
"""How many trials a resample has at most: Optuna takes 40 ms for 1,000 trials."""


@dataclass(frozen=True)
class Importance:
    """How much a parameter matters for a metric.

    Args:
        name: the parameter.
        share: the mean share of the metric's variation over the space that it explains alone (fANOVA of the
            surrogate), from 0 to 1; None if there are too few trials.
        low: the lower end of the share's 95 % range.
        high: its upper end.
        total: the share with its interactions.
        total_low: the lower end of that.
        total_high: its upper end.
        evidence: how much more likely the values are with it, the log likelihood ratio; infinite if it is
            obvious.
        matters: whether it surely has an effect that is worth a sentence.
        ped_anova: Optuna's PED-ANOVA importance, of all parameters 1; None if it cannot be computed.
        ped_low: the lower end of its 90 % range over resampled trials.
        ped_high: its upper end.
    """

    name: str
    share: float | None = None
    low: float | None = None
    high: float | None = None
    total: float | None = None
    total_low: float | None = None
    total_high: float | None = None
    evidence: float | None = None
    matters: bool = False
    ped_anova: float | None = None
    ped_low: float | None = None
    ped_high: float | None = None


@lru_cache(maxsize=2)
def importances(model: MetricModel) -> list[Importance]:
    """The importance of each parameter that is not constant, the most important first."""
    ped, low, high = ped_anova(model)
    names = [dimension.name for dimension in model.dimensions]
    keys = [dimension.key for dimension in model.dimensions]
    found = []
    for column, (name, key) in enumerate(zip(names, keys, strict=True)):
        share = _share(model, column) if model.is_enough else {}
        found.append(
            Importance(name, **share, ped_anova=ped.get(key), ped_low=low.get(key), ped_high=high.get(key))
        )
    return sorted(found, key=lambda one: (-(one.total or 0), -(one.ped_anova or 0)))


def _share(model: MetricModel, column: int) -> dict[str, Any]:
    own = model.shares.main[:, column]
    total = model.shares.total(column, model.surrogate.space.pairs)
    low, high = np.quantile(own, [0.025, 0.975])
    total_low, total_high = np.quantile(total, [0.025, 0.975])
    if model.surrogate.space.has_many:  # what is not predicted can be its interactions
        total_high = min(1.0, total_high + max(0.0, 1 - model.surrogate.predictability))
    # Shares are without noise: an only parameter has all of it. A choice that was seen once explains its
    # value, as noise does.
    is_obvious = total_low >= _OBVIOUS and not model.choices[column] and model.surrogate.predictability >= 0.5
    evidence = math.inf if is_obvious else model.surrogate.evidence_of_parameters[column]
    proof = _EVIDENCE + math.log(max(1.0, len(model.dimensions) / _FEW))
    return {
        "share": float(own.mean()),
        "low": float(low),
        "high": float(high),
        "total": float(total.mean()),
        "total_low": float(total_low),
        "total_high": float(total_high),
        "evidence": evidence,
        "matters": bool(total.mean() >= SMALLEST_SHARE and evidence >= proof),
    }


def ped_anova(model: MetricModel) -> tuple[Mapping[str, float], Mapping[str, float], Mapping[str, float]]:
    """Optuna's PED-ANOVA importances, and the ends of their 90 % ranges over resampled trials, by key.

    The value of all trials is Optuna's own. Of many trials, resamples are smaller, and their spread is scaled
    to what all trials would have (the m out of n bootstrap).
    """
    study = model.view.study
    keys = [dimension.key for dimension in model.dimensions]
    complete = [
        trial
        for index, trial in enumerate(model.observations.trials)
        if not model.observations.is_pruned[index]
    ]
    if study is None or len(complete) < 2 or not keys:
        return {}, {}, {}
    evaluator = ped_anova_evaluator()()
    goal = model.goal

    def evaluated(trials: Sequence[FrozenTrial]) -> dict[str, float]:
        sample = _Sample(trials)
        known = [key for key in keys if any(key in trial.params for trial in trials)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            numbers = evaluator.evaluate(
                sample,
                known,
                target=lambda trial: model.sign * trial.values[goal],
            )
        whole = sum(numbers.values())
        return {key: (numbers.get(key, 0.0) / whole if whole else 1 / len(keys)) for key in keys}

    centre = evaluated(complete)
    size = min(len(complete), _MOST)
    generator = np.random.default_rng(0)
    drawn = [
        evaluated([complete[index] for index in generator.integers(0, len(complete), size)])
        for _ in range(_RESAMPLES)
    ]
    scale = (size / len(complete)) ** 0.5
    low, high = {}, {}
    for key in keys:
        ends = np.quantile([one[key] for one in drawn], [0.05, 0.95]) - centre[key]
        low[key] = float(max(0.0, centre[key] + scale * min(ends[0], 0.0)))
        high[key] = float(min(1.0, centre[key] + scale * max(ends[1], 0.0)))
    return centre, low, high


class _Sample:
    """As much of an Optuna study as its evaluator of importances looks at: adding trials to a real one takes
    longer than the evaluation."""

    directions = (optuna.study.StudyDirection.MINIMIZE,)

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        self._trials = list(trials)

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        return self._trials

    def _is_multi_objective(self) -> bool:
        return False
