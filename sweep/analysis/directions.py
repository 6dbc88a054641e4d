"""`Direction`: which values of a parameter are good, by its curve over the best configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from optuna.trial import TrialState

from sweep.analysis.dependence import Curve, curve
from sweep.analysis.failure_health import failing_ends
from sweep.analysis.failure_regions import LEAST
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.rank_correlation import Z, spearman
from sweep.errors import EntryError
from sweep.space import SearchSpace

_CLOSE = 0.1
"""A value is good if the metric is within this share of the curve's whole rise of the best."""
_SURE = 0.9
_STEP = 3
"""How many points of the curve before a bound are compared with the bound itself."""
_BY_CHANCE = 0.05
"""Values at an end of a range are bad if all trials there being bad is less likely than that."""
_NEXT = 1 / 32
"""A trial is next to a range within half the distance of the curve's points."""
_VALUES = 17
"""So many values of a range are compared with the constraints."""
_AT = 0.1
"""A trial lies at a bound if it is within this part of the range."""

Side = Literal["lower", "upper"]
_ENDS: Mapping[str, tuple[float, float]] = {"lower": (0, _NEXT), "upper": (1 - _NEXT, 1)}
"""The positions next to each bound: of many whole numbers, a constraint can exclude the bound alone."""


@dataclass(frozen=True)
class Direction:
    """Which values of a parameter are good.

    Args:
        name: the parameter.
        trend: `lower` or `higher` values are better, the best are `inside`, the curve is `flat`, or it is a
            `choice`.
        low: the lower end of the good range; None for a choice.
        high: its upper end.
        ends: the ends, `lower` and `upper`, beyond which values are bad or forbidden.
        good: the choices that could be the best; empty for numbers.
        worse: the choices that are surely worse; those that could not be compared are in neither.
        at_bound: the bound, `lower` or `upper`, towards which the metric still improves; None if neither.
    """

    name: str
    trend: Literal["lower", "higher", "inside", "flat", "choice"]
    low: Any = None
    high: Any = None
    ends: Sequence[Side] = ()
    good: Sequence[Any] = ()
    worse: Sequence[Any] = ()
    at_bound: Side | None = None


def direction(model: MetricModel, column: int) -> Direction | None:
    """Which values of a parameter are good.

    Returns:
        None if that cannot be told: no good trial has the parameter, its values are in no order, or the
        constraints or limits do not let most of the best trials be where it seems best.
    """
    if model.dimensions[column].is_unordered:
        return None
    found = curve(model, column, model.best_tenth)
    if found is None:
        return None
    if model.choices[column]:
        return _choice(model, column, found)
    tried = _tried(model, column, found)
    first, last = _good_range(found, tried)
    low, high = (float(found.positions[place]) for place in (first, last))
    ends: list[Side] = []
    if tried.low is not None and first == tried.points.start:
        ends, low = ["lower"], tried.low
    if tried.high is not None and last == tried.points.stop - 1:
        ends, high = [*ends, "upper"], tried.high
    low, high = sorted((low, high))  # a part of the range can be narrower than the distance of two points
    if _is_restricted(model, column, low, high):
        return None
    if (low, high) == (0, 1):
        trend: Literal["lower", "higher", "inside", "flat"] = "flat"
    elif low == 0:
        trend = "lower"
    elif high == 1:
        trend = "higher"
    else:
        trend = "inside"
    bound = _bound(found)
    if bound is not None and not _can_widen(model, column, bound, low, high):
        bound = None
    decode = model.dimensions[column].decode
    return Direction(found.name, trend, decode(low), decode(high), ends, at_bound=bound)


def _choice(model: MetricModel, column: int, found: Curve) -> Direction:
    """Which choices are good, of those that trials have had that ended well."""
    well, badly = _positions(model, column)
    compared = np.isin(found.positions, well)
    draws, values = (
        found.draws[:, compared],
        [found.values[place] for place in np.flatnonzero(compared).tolist()],
    )
    wins = np.bincount(draws.argmin(axis=1), minlength=len(values)) / len(draws)
    order = np.argsort(-wins, kind="stable").tolist()
    needed = int(np.searchsorted(np.cumsum(wins[order]), _SURE)) + 1
    never, counts = np.unique(badly[~np.isin(badly, well)], return_counts=True)
    decode = model.dimensions[column].decode
    worse = [values[place] for place in order[needed:]]
    worse += [decode(float(never[place])) for place in np.flatnonzero(_is_bad(counts, well, badly))]
    return Direction(found.name, "choice", good=[values[place] for place in order[:needed]], worse=worse)


def _positions(model: MetricModel, column: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the trials that ended well, and of those that failed, diverged or were forbidden."""
    ended_well = model.is_allowed & ~model.observations.is_limited
    ended_well[model.best_tenth] = True
    positions = model.rows[:, column]
    well, badly = positions[ended_well], [*positions[~ended_well], *_without_value(model, column)]
    return well[~np.isnan(well)], np.array([position for position in badly if not np.isnan(position)])


def _without_value(model: MetricModel, column: int) -> list[float]:
    """The positions of the trials that failed, or whose value is infinitely bad."""
    dimension = model.dimensions[column]
    return [
        dimension.encode(trial.params[dimension.key])
        for trial in model.view.frozen_trials
        if dimension.key in trial.params
        and (
            trial.state == TrialState.FAIL
            or (trial.state == TrialState.COMPLETE and model.sign * trial.values[model.goal] == np.inf)
        )
    ]


def _is_bad(counts: np.ndarray | int, well: np.ndarray, badly: np.ndarray) -> np.ndarray:
    """Whether so many trials, all of which ended badly, did so because of their position."""
    share, count = len(badly) / (len(well) + len(badly)), np.asarray(counts)
    return np.asarray((count >= LEAST) & (share**count <= _BY_CHANCE))


@dataclass(frozen=True)
class _Tried:
    """The part of a curve in which trials ended well.

    Args:
        points: its points.
        low: the position of its lower end if lower values are bad or forbidden; None if they can be good.
        high: the same of its upper end.
    """

    points: slice
    low: float | None
    high: float | None


def _tried(model: MetricModel, column: int, found: Curve) -> _Tried:
    well, badly = _positions(model, column)
    low, high = float(well.min()), float(well.max())
    first, last = (int(np.abs(found.positions - end).argmin()) for end in (low, high))
    ends_below, ends_above = (
        has_beyond and (bool(_is_bad(beyond.sum(), well, badly)) or not _satisfy(model, column, *_ENDS[side]))
        for side, has_beyond, beyond in (
            ("lower", first > 0, badly < low),
            ("upper", last < len(found.positions) - 1, badly > high),
        )
    )
    if ends_below and found.positions[first] < low:
        first += 1
    if ends_above and found.positions[last] > high:
        last -= 1
    points = slice(min(first, last), max(first, last) + 1)
    return _Tried(points, low if ends_below else None, high if ends_above else None)


def _is_restricted(model: MetricModel, column: int, low: float, high: float) -> bool:
    """Whether constraints, or limits on metrics, keep most of the best trials out of a range."""
    positions = model.rows[model.best_tenth, column]
    is_inside = (positions >= low - _NEXT) & (positions <= high + _NEXT)
    if is_inside[~np.isnan(positions)].mean() >= 0.5:
        return False
    allowed, forbidden = model.rows[model.can_win, column], model.rows[~model.is_allowed, column]
    is_risky = _is_risky(allowed[~np.isnan(allowed)], forbidden[~np.isnan(forbidden)], low, high)
    return is_risky or not _satisfy(model, column, low, high)


def _satisfy(model: MetricModel, column: int, low: float, high: float) -> bool:
    """Whether at least half of the best trials satisfy the constraints with some value of a range."""
    space, dimension = SearchSpace.of(model.view.spec), model.dimensions[column]
    best = model.best_tenth[~np.isnan(model.rows[model.best_tenth, column])]
    if not any(dimension.name in constraint.names for constraint in space.constraints):
        return True
    values = dict.fromkeys(map(dimension.decode, np.linspace(low, high, _VALUES).tolist()))
    satisfied = [
        any(_is_feasible(space, {**params, dimension.name: value}) for value in values)
        for params in (model.view.params(model.trial(index)) for index in best)
    ]
    return sum(satisfied) >= len(satisfied) / 2


def _is_feasible(space: SearchSpace, params: Mapping[str, Any]) -> bool:
    try:
        return space.is_feasible(params)
    except EntryError:  # as when they are sampled: what cannot be evaluated is infeasible
        return False


def _is_risky(well: np.ndarray, badly: np.ndarray, low: float, high: float) -> bool:
    """Whether more trials end badly the nearer they are to a range from below, or from above.

    What is beyond the range counts as in it: if all trials end badly there, those in the range can end well.
    It is the test of Mann, Whitney and Wilcoxon: a rank correlation with what has two values. Its chance of
    an error is 2.5 % on each side.
    """
    positions, is_bad = np.concatenate([well, badly]), np.repeat([0.0, 1.0], [len(well), len(badly)])
    return len(badly) >= LEAST and any(
        (spearman(-np.maximum(distance, 0), is_bad) or 0) * math.sqrt(len(positions) - 1) > Z
        for distance in (low - positions, positions - high)
    )


def near_bound(model: MetricModel, column: int, side: Side) -> np.ndarray:
    """Which of the best trials that have a parameter are near a bound of it."""
    edge, decode = (0.0 if side == "lower" else 1.0), model.dimensions[column].decode
    positions = model.rows[model.best_tenth, column]
    positions = positions[~np.isnan(positions)]
    # A whole number has a part of the scale, and its position is the middle of that.
    is_bound = np.array([decode(float(position)) == decode(edge) for position in positions], dtype=bool)
    return np.asarray(is_bound | (np.abs(positions - edge) <= _AT))


def _can_widen(model: MetricModel, column: int, side: Side, low: float, high: float) -> bool:
    """Whether no trial that failed, diverged or was forbidden speaks against values beyond a bound.

    Args:
        model: the metric.
        column: the parameter's column.
        side: the bound.
        low: the position of the lower end of the good range.
        high: that of its upper end.
    """
    is_at_end = high == 1 if side == "upper" else low == 0
    if not is_at_end or (model.dimensions[column].name, side) in failing_ends(model.view):
        return False
    if not _satisfy(model, column, *_ENDS[side]):
        return False
    return not _is_risky(*_positions(model, column), low, high) or bool(near_bound(model, column, side).any())


def _good_range(found: Curve, tried: _Tried) -> tuple[int, int]:
    """The first and last point of the good range.

    A sampler that learns leaves out bad values, where the draws can have any value: points that no trial has
    come near do not count, unless the good range reaches them.
    """
    draws = found.draws[:, tried.points]
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
    start, top = tried.points.start, draws.shape[1] - 1
    return (
        0 if first == 0 and tried.low is None else first + start,
        len(found.positions) - 1 if last == top and tried.high is None else last + start,
    )


def _bound(found: Curve) -> Side | None:
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
