"""Health checks of a metric and its parameters: bounds, parameters without effect, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sweep.analysis import formatting
from sweep.analysis.directions import direction, near_bound
from sweep.analysis.importance import Importance
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.parameter_statements import is_predictable, percent
from sweep.analysis.statement import Statement

_WITHOUT_EFFECT = ((0.1, 0.0), (0.02, 1.0), (0.01, 3.0), (0.001, math.inf))
"""A parameter is said to have no effect if the upper end of its share of the variation and the log likelihood
ratio with it are below one of these pairs: a small share needs less proof."""
_NOISY = 0.1
"""The share of noise from which on a metric is called noisy."""
_UNPREDICTABLE = 0.25


def metric_health_statements(model: MetricModel, ranked: Sequence[Importance]) -> list[Statement]:
    """The health checks of one metric.

    Args:
        model: the metric.
        ranked: the importances of its parameters.
    """
    if not model.is_enough:
        return []
    statements = _noise(model)
    if is_predictable(model):
        statements = [*_bounds(model, ranked), *_without_effect(model, ranked), *statements]
    return statements


def _bounds(model: MetricModel, ranked: Sequence[Importance]) -> list[Statement]:
    columns = {dimension.name: column for column, dimension in enumerate(model.dimensions)}
    statements = []
    for one in ranked:
        column = columns[one.name]
        if model.choices[column] or not one.matters:
            continue
        found = direction(model, column)
        if found is None or found.at_bound is None:
            continue
        bound = model.dimensions[column].decode(0.0 if found.at_bound == "lower" else 1.0)
        near = near_bound(model, column, found.at_bound)
        subject = (
            f"{one.name}'s best tenth lies at"
            if near.mean() >= 0.5
            else f"{model.name} still improves towards"
        )
        whose = "its" if near.mean() >= 0.5 else f"{one.name}'s"
        text = f"{subject} {whose} {found.at_bound} bound {formatting.parameter(bound)}: widen it"
        text += ", if it can be." if bound in (0, 1) else "."
        evidence = (
            f"{int(near.sum())} of the best {len(near)} trials are within a tenth of the range of it, and "
            f"the surrogate is best there"
        )
        data = {"metric": model.name, "name": one.name, "bound": bound, "side": found.at_bound}
        statements.append(Statement("health", "at_bound", text, evidence, data))
    return statements


def _without_effect(model: MetricModel, ranked: Sequence[Importance]) -> list[Statement]:
    dead = [one for one in ranked if is_without_effect(one) and one.name not in model.deciding]
    return [
        Statement(
            "health",
            "no_effect",
            f"{one.name} has no visible effect on {model.name}: fix it, or give it a wider range.",
            f"at most {100 * (one.total_high or 0):.1f} % of the variation with interactions",
            {"metric": model.name, "name": one.name, "at_most": one.total_high},
        )
        for one in dead
    ]


def is_without_effect(one: Importance) -> bool:
    """Whether nothing of a parameter's effect is visible, and little can be hidden."""
    if one.total_high is None or one.evidence is None:
        return False
    return any(one.total_high < share and one.evidence < proof for share, proof in _WITHOUT_EFFECT)


def _noise(model: MetricModel) -> list[Statement]:
    r2 = model.surrogate.predictability
    noise, seen = model.surrogate.noise, model.observations
    low, middle, high = (float(end) for end in np.quantile(model.shares.noise, [0.05, 0.5, 0.95]))
    data = {"metric": model.name, "r2": r2, "noise": noise, "share": middle, "low": low, "high": high}
    if seen.noise is not None:
        evidence = f"the spread over {seen.repeats:.2g} repeats"
    else:
        evidence = f"residual spread of a surrogate whose R² in cross-validation is {r2:.2f}"
    if r2 < _UNPREDICTABLE:
        text = (
            f"{model.name} looks noisy or unpredictable: the parameters predict {percent(max(r2, 0.0))} % of "
            "how it varies between trials."
        )
        return [Statement("health", "noisy", text, evidence, data)]
    if low < _NOISY:
        return []
    what = "the mean of its repeats" if seen.noise is not None else "equal trials"
    text = (
        f"{model.name} looks noisy: {what} would differ by ±{formatting.parameter(noise)} (standard "
        f"deviation), {percent(middle)} % of how it varies; run the best ones again with other seeds."
    )
    return [Statement("health", "noisy", text, evidence, data)]
