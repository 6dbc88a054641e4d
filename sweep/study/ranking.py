"""`Ranking`: which trials are feasible, and which of them are the best."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from itertools import compress

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from sweep.study.pareto import is_on_front
from sweep.sweepfile import SweepSpec


class Ranking:
    """Compares complete trials by the goals and limits of the sweep file.

    Args:
        spec: the sweep.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._goals = spec.goals
        self._limits = spec.limits

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """The value of each goal.

        Args:
            metrics: the last value of every metric that a trial logged or returned.
        """
        return [metrics[goal.name] for goal in self._goals]

    def missing(self, metrics: Mapping[str, float]) -> str | None:
        """The first metric with a goal or limit that is missing or NaN; None if all have values."""
        names = [*(goal.name for goal in self._goals), *self._limits]
        return next((name for name in names if math.isnan(metrics.get(name, math.nan))), None)

    def excesses(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The amount by which each metric exceeds its limit; up to 0 it is within the limit."""
        return {
            name: limit.excess(metrics[name])
            for name, limit in self._limits.items()
            if not math.isnan(metrics.get(name, math.nan))
        }

    @staticmethod
    def is_feasible(trial: FrozenTrial) -> bool:
        """Whether a trial is within all limits."""
        return all(excess <= 0 for excess in trial.constraints.values())

    def best(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """The best of the complete trials within the limits, in the order of their numbers.

        With one goal, the first of the best; with several, the Pareto front.
        """
        good = self._comparable(trials)
        if len(self._goals) > 1:
            losses = np.array([self._losses(trial) for trial in good]).reshape(-1, len(self._goals))
            return list(compress(good, is_on_front(losses)))
        return [min(good, key=self._losses)] if good else []

    def best_first(self, trials: Iterable[FrozenTrial], count: int) -> list[FrozenTrial]:
        """At most `count` of the complete trials within the limits, the best by the first goal first."""
        return heapq.nsmallest(count, self._comparable(trials), key=self._losses)

    def _comparable(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if trial.state == TrialState.COMPLETE and self.is_feasible(trial)]

    def _losses(self, trial: FrozenTrial) -> list[float]:
        return [
            -value if goal.goal == "maximize" else value
            for goal, value in zip(self._goals, trial.values, strict=True)
        ]
