"""`Curve`: how a metric depends on one parameter: the partial dependence of its surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.analysis.metric_model import MetricModel, decides

_CONFIGURATIONS = 6
_GRID = 17
_DRAWS = 400


@dataclass(frozen=True, eq=False)
class Curve:
    """How a metric depends on one parameter: the partial dependence of the surrogate.

    Args:
        name: the parameter.
        positions: positions on the parameter's scale from 0 to 1, or indices of its choices.
        values: the parameter's values there.
        mean: the metric's value there, averaged over some configurations.
        low: the lower end of its 95 % band.
        high: the upper end.
        draws: losses in draws of the surrogate; a row for each.
    """

    name: str
    positions: np.ndarray
    values: Sequence[Any]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray


def curve(model: MetricModel, column: int, configurations: np.ndarray | None = None) -> Curve | None:
    """The partial dependence on a parameter, over a few configurations that have it.

    Args:
        model: the metric.
        column: the parameter's column.
        configurations: indices of trials, the most important first; an even sample of all if it is None.

    Returns:
        the curve; None if none of the configurations has the parameter.
    """
    of = np.arange(len(model.rows)) if configurations is None else configurations
    of = of[~np.isnan(model.rows[of, column])]
    if configurations is None and len(of):
        of = of[np.linspace(0, len(of) - 1, min(len(of), _CONFIGURATIONS)).astype(int)]
    rows = model.rows[of[:_CONFIGURATIONS]]
    if not len(rows):
        return None
    count = model.choices[column]
    space = model.surrogate.space
    positions = np.linspace(0, 1, _GRID)
    if count:  # of very many choices, the frequent ones and those of the best trials
        best = model.rows[model.best_tenth[:_CONFIGURATIONS], column]
        positions = np.union1d(space.grid(column, model.rows, _GRID), best[~np.isnan(best)])
    repeated = np.repeat(rows, len(positions), axis=0)
    repeated[:, column] = np.tile(positions, len(rows))
    if count:
        _activate(model, column, repeated)
    average = np.tile(np.eye(len(positions)) / len(rows), len(rows))
    mean, covariance = model.surrogate.posterior(repeated, average)
    deviation = np.sqrt(np.maximum(covariance.diagonal(), 0))
    draws = drawn(mean, covariance, _DRAWS)
    ends = [model.sign * (mean - 1.96 * deviation), model.sign * (mean + 1.96 * deviation)]
    dimension = model.dimensions[column]
    return Curve(
        dimension.name,
        positions,
        [dimension.decode(float(position)) for position in positions],
        model.sign * mean,
        np.minimum(*ends),
        np.maximum(*ends),
        draws,
    )


def _activate(model: MetricModel, column: int, rows: np.ndarray) -> None:
    """Make the parameters active that depend on a choice, and the others inactive.

    One that becomes active gets its value in the best trial that has the choice.
    """
    order = np.argsort(np.where(model.can_win, model.observations.losses, np.inf), kind="stable")
    for other in range(rows.shape[1]):
        if other == column or not decides(model.rows[:, column], np.isnan(model.rows[:, other])):
            continue
        for choice in np.unique(rows[:, column]):
            of = rows[:, column] == choice
            known = model.rows[order][model.rows[order, column] == choice, other]
            if len(known):
                rows[of, other] = np.where(
                    np.isnan(known[0]) | np.isnan(rows[of, other]), known[0], rows[of, other]
                )


def drawn(mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    """Draws from a normal distribution, the same in each call; a row for each."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(mean + np.random.default_rng(0).standard_normal((count, len(mean))) @ root.T)
