"""`Observations`: the trials of a sweep as rows of numbers and losses, for the surrogate of one metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from sweep.analysis.dimensions import Dimension, dimensions
from sweep.analysis.view import SweepView
from sweep.controller.runs import repeat_values

_TAIL = 5.0
"""Losses are limited to so many interquartile ranges above the worse quartile: 1e10 is a divergence."""
_FIRST = 20
_FEWEST_AT_STEP = 5
HUGE = 1e100
"""Larger values would overflow when they are squared."""


@dataclass(frozen=True, eq=False)
class Observations:
    """The complete trials with a finite value, and the pruned ones.

    Args:
        trials: the trials by number.
        dimensions: the parameters that are not constant.
        rows: a row for each trial: positions, indices of choices, NaN for inactive parameters.
        losses: the value of each trial, with a minus if the metric is maximized. What a pruned trial would
            have reached is unknown: it counts as a complete trial that was as good at its last step.
        is_pruned: which trials were pruned.
        noise: with repeats whose mean is the trial's value, the variance of each mean; None without.
        is_limited: which losses are far beyond the others and were limited.
        repeats: the number of repeats that have values, on average; 0 without.
    """

    trials: Sequence[FrozenTrial]
    dimensions: Sequence[Dimension]
    rows: np.ndarray
    losses: np.ndarray
    is_pruned: np.ndarray
    noise: np.ndarray | None
    is_limited: np.ndarray
    repeats: float

    @property
    def complete(self) -> int:
        """The number of complete trials."""
        return int((~self.is_pruned).sum())


def observe(view: SweepView, goal: int, counts_pruned: bool = True) -> Observations:
    """The observations of a metric with a goal, by its index.

    Args:
        view: the sweep.
        goal: the index.
        counts_pruned: whether pruned trials are among them.
    """
    sign = -1.0 if view.spec.goals[goal].goal == "maximize" else 1.0
    complete = [trial for trial in view.frozen_trials if _is_finite(trial, goal)]
    losses = [sign * trial.values[goal] for trial in complete]
    pruned = _pruned(view) if counts_pruned and complete and len(view.spec.goals) == 1 else []
    losses += _expected_losses(pruned, complete, np.array(losses), sign)
    trials = [*complete, *pruned]
    order = sorted(range(len(trials)), key=lambda index: trials[index].number)
    trials = [trials[index] for index in order]
    found = dimensions(view, trials)
    values = np.clip(np.array(losses)[order], -HUGE, HUGE) if losses else np.zeros(0)
    limit = _limit(values)
    noise, repeats = _noise(view, trials, values) if len(view.spec.goals) == 1 else (None, 0.0)
    return Observations(
        trials=trials,
        dimensions=found,
        rows=_rows(found, trials),
        losses=np.minimum(values, limit),
        is_pruned=np.array([trial.state == TrialState.PRUNED for trial in trials], dtype=bool),
        noise=noise,
        is_limited=values > limit,
        repeats=repeats,
    )


def _is_finite(trial: FrozenTrial, goal: int) -> bool:
    return trial.state == TrialState.COMPLETE and math.isfinite(trial.values[goal])


def _pruned(view: SweepView) -> list[FrozenTrial]:
    return [trial for trial in view.frozen_trials if trial.state == TrialState.PRUNED and trial.params]


def _expected_losses(
    pruned: Sequence[FrozenTrial], complete: Sequence[FrozenTrial], losses: np.ndarray, sign: float
) -> list[float]:
    """What pruned trials would have reached, by their rank among the complete trials at their last step.

    A loss that is worse than that of all others at the step is as much worse at the end. Where fewer than
    five complete trials have reported at the step, it is the median, or the last report if that is worse.
    """
    middle = float(np.median(losses)) if len(losses) else 0.0
    expected = np.full(len(pruned), middle)
    by_step: dict[int, list[int]] = {}
    for index, trial in enumerate(pruned):
        if trial.intermediate_values:
            by_step.setdefault(max(trial.intermediate_values), []).append(index)
    for step, indices in by_step.items():
        at_step = np.array([sign * trial.intermediate_values.get(step, math.nan) for trial in complete])
        known = np.isfinite(at_step)
        last = np.array([sign * pruned[index].intermediate_values[step] for index in indices])
        if known.sum() >= _FEWEST_AT_STEP:
            before, after = np.sort(at_step[known]), np.sort(losses[known])
            found = np.interp(last, before, after) + np.maximum(last - before[-1], 0)
        else:
            found = np.maximum(last, middle)
        expected[indices] = np.where(np.isfinite(last), found, middle)
    return [float(loss) for loss in expected]


def _rows(found: Sequence[Dimension], trials: Sequence[FrozenTrial]) -> np.ndarray:
    rows = np.full((len(trials), len(found)), math.nan)
    for column, dimension in enumerate(found):
        for row, trial in enumerate(trials):
            if dimension.key in trial.params:
                rows[row, column] = dimension.encode(trial.params[dimension.key])
    return rows


def _limit(losses: np.ndarray) -> float:
    """The loss from which on a trial counts as diverged.

    The first trials count for themselves: later ones of a sampler that learns lie so close together that an
    ordinary bad trial would seem to have diverged.
    """
    return max(_limit_of(losses[:_FIRST]), _limit_of(losses)) if len(losses) >= 4 else math.inf


def _limit_of(losses: np.ndarray) -> float:
    low, first, middle, third = np.quantile(losses, [0.1, 0.25, 0.5, 0.75])
    limits = [third + _TAIL * (third - first), middle + 4 * _TAIL * (middle - low)]
    useful = [limit for limit in limits if limit > middle]
    return float(min(useful)) if useful else float(losses.max())


def _noise(
    view: SweepView, trials: Sequence[FrozenTrial], losses: np.ndarray
) -> tuple[np.ndarray | None, float]:
    """The variance of each trial's mean over its repeats, and the mean number of repeats.

    The variance within trials is pooled over the better half: of three seeds alone it is too uncertain, and
    bad configurations vary more. How much a median or an extreme of the repeats varies is not known from it.
    """
    repeats = view.spec.repeats
    if repeats is None or repeats.reduce != "mean":
        return None, 0.0
    numbers = [
        [value for value in repeat_values(trial.user_attrs, repeats) if value is not None] for trial in trials
    ]
    better = losses <= np.median(losses) if len(losses) else losses
    pooled = [
        (np.var(np.clip(values, -HUGE, HUGE), ddof=1), len(values) - 1)
        for values, is_better in zip(numbers, better, strict=True)
        if is_better and len(values) > 1 and np.isfinite(values).all()
    ]
    freedom = sum(count for _, count in pooled)
    if freedom < 5:
        return None, 0.0
    variance = sum(each * count for each, count in pooled) / freedom
    counts = np.array([max(len(values), 1) for values in numbers])
    return variance / counts, float(np.mean(counts))
