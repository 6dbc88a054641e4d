"""Optuna's Wilcoxon pruner, with the best trial that is kept instead of searched for each verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from optuna import Study
from optuna.pruners import WilcoxonPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials


class BestTrialWilcoxonPruner(WilcoxonPruner):
    """Decides as Optuna's `WilcoxonPruner`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._finished = FinishedTrials()
        self._best: FrozenTrial | None = None

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        for other in self._finished.new(study):
            if other.state == TrialState.COMPLETE and all(x <= 0 for x in other.constraints.values()):
                self._best = min(self._best or other, other, key=lambda t: (sign * t.values[0], t.number))
        return super().prune(cast(Study, _StudyWithBest(study.direction, self._best)), trial)


@dataclass(frozen=True)
class _StudyWithBest:
    """What `WilcoxonPruner` reads of a study."""

    direction: StudyDirection
    best: FrozenTrial | None

    @property
    def best_trial(self) -> FrozenTrial:
        """The best feasible trial.

        Raises:
            ValueError: there is none.
        """
        if self.best is None:
            raise ValueError("no feasible trial is complete")
        return self.best
