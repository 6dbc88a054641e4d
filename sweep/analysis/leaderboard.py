"""The best trials of a sweep, in order."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from sweep.analysis.view import SweepView
from sweep.study.ranking import Ranking


def leaders(view: SweepView, count: int) -> list[FrozenTrial]:
    """The best trials, the best first; with several goals trials of the Pareto front, by number."""
    if len(view.spec.goals) > 1:
        return view.front[:count]
    return Ranking(view.spec).best_first(view.frozen_trials, count)
