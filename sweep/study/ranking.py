"""Which trials are good: what counts as a value, what keeps within the limits, and which are best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from sweep.sweepfile import SweepSpec


class Ranking:
    """Judges complete trials by the sweep file's metrics.

    Args:
        spec: the sweep.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._goals = spec.goals
        self._limits = spec.limits

    def values(self, numbers: Mapping[str, float]) -> list[float]:
        """The value of each metric that has a goal.

        Args:
            numbers: the last value of everything a trial logged, and what it returned.
        """
        return [numbers[goal.name] for goal in self._goals]

    def missing(self, numbers: Mapping[str, float]) -> str | None:
        """A metric without which a trial cannot be judged, if it has no number for one."""
        names = [*(goal.name for goal in self._goals), *self._limits]
        return next((name for name in names if math.isnan(numbers.get(name, math.nan))), None)

    def excesses(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """By how much each metric that has a limit is beyond it; up to 0 it is not."""
        return {
            name: limit.excess(numbers[name])
            for name, limit in self._limits.items()
            if not math.isnan(numbers.get(name, math.nan))
        }

    @staticmethod
    def is_feasible(trial: FrozenTrial) -> bool:
        """Whether a trial keeps within all limits."""
        return all(excess <= 0 for excess in trial.constraints.values())

    def best(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """The best of the complete trials within the limits, in the order of their numbers.

        With one goal, the first of the best; with several, all that none is better than in each (the Pareto
        front).
        """
        good = [trial for trial in trials if trial.state == TrialState.COMPLETE and self.is_feasible(trial)]
        if len(self._goals) > 1:
            scores = {trial.number: self._losses(trial) for trial in good}
            return [
                trial
                for trial in good
                if not any(_dominates(other, scores[trial.number]) for other in scores.values())
            ]
        return [min(good, key=self._losses)] if good else []

    def _losses(self, trial: FrozenTrial) -> list[float]:
        return [
            -value if goal.goal == "maximize" else value
            for goal, value in zip(self._goals, trial.values, strict=True)
        ]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
