"""`Direction`: which values of a parameter are good, by its curve over the best configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sweep.analysis.dependence import Curve, curve
from sweep.analysis.metric_model import MetricModel

_CLOSE = 0.1
"""A value is good if the metric is within this share of the curve's whole rise of the best."""
_SURE = 0.9
_STEP = 3
"""How many points of the curve before a bound are compared with the bound itself."""


@dataclass(frozen=True)
class Direction:
    """Which values of a parameter are good.

    Args:
        name: the parameter.
        trend: `lower` or `higher` values are better, the best are `inside`, the curve is `flat`, or it is a
            `choice`.
        low: the lower end of the good range; None for a choice.
        high: its upper end.
        good: the choices that could be the best; empty for numbers.
        at_bound: the bound, `lower` or `upper`, towards which the metric still improves; None if neither.
    """

    name: str
    trend: Literal["lower", "higher", "inside", "flat", "choice"]
    low: Any = None
    high: Any = None
    good: Sequence[Any] = ()
    at_bound: Literal["lower", "upper"] | None = None


def direction(model: MetricModel, column: int) -> Direction | None:
    """Which values of a parameter are good; None if no good trial has it."""
    found = curve(model, column, model.best_tenth)
    if found is None:
        return None
    if model.choices[column]:
        wins = np.bincount(found.draws.argmin(axis=1), minlength=len(found.positions)) / len(found.draws)
        order = np.argsort(-wins, kind="stable")
        needed = int(np.searchsorted(np.cumsum(wins[order]), _SURE)) + 1
        return Direction(found.name, "choice", good=[found.values[place] for place in order[:needed]])
    first, last = _good_range(found, _tried(model, column, found))
    top = len(found.positions) - 1
    if first == 0 and last == top:
        trend: Literal["lower", "higher", "inside", "flat"] = "flat"
    elif first == 0:
        trend = "lower"
    elif last == top:
        trend = "higher"
    else:
        trend = "inside"
    return Direction(found.name, trend, found.values[first], found.values[last], at_bound=_bound(found))


def _tried(model: MetricModel, column: int, found: Curve) -> slice:
    """The points of the curve between the lowest and the highest value that a trial has had."""
    tried = model.rows[:, column]
    first, last = (
        int(np.abs(found.positions - end).argmin()) for end in (np.nanmin(tried), np.nanmax(tried))
    )
    return slice(first, last + 1)


def _good_range(found: Curve, tried: slice) -> tuple[int, int]:
    """The first and last point of the good range.

    A sampler that learns leaves out bad values, where the draws can have any value: points that no trial has
    come near do not count, unless the good range reaches them.
    """
    draws = found.draws[:, tried]
    lowest = draws.min(axis=1, keepdims=True)
    rise = draws.max(axis=1, keepdims=True) - lowest
    is_good = (draws <= lowest + _CLOSE * rise).mean(axis=0) >= 0.5
    best = np.quantile(draws.argmin(axis=1), [0.05, 0.95])
    good = np.flatnonzero(is_good)
    centre = int(np.median(draws.argmin(axis=1)))
    # The part that is connected with the most probable best point.
    first = last = centre
    while first - 1 in good:
        first -= 1
    while last + 1 in good:
        last += 1
    first, last = min(first, int(best[0])), max(last, int(np.ceil(best[1])))
    is_end = last == draws.shape[1] - 1
    return (first + tried.start if first else 0), (len(found.positions) - 1 if is_end else last + tried.start)


def _bound(found: Curve) -> Literal["lower", "upper"] | None:
    rise = np.ptp(found.draws.mean(axis=0))
    best = found.draws.argmin(axis=1)
    last = len(found.positions) - 1
    for name, edge, inside in (("lower", 0, _STEP), ("upper", last, last - _STEP)):
        is_better = found.draws[:, edge] < found.draws[:, inside]
        gain = float((found.draws[:, inside] - found.draws[:, edge]).mean())
        is_at = np.abs(best - edge) <= 1
        if is_better.mean() >= 0.95 and is_at.mean() >= _SURE and gain > 0.03 * rise:
            return "lower" if name == "lower" else "upper"
    return None
