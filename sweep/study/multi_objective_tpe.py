"""`MultiObjectiveTPESampler`: TPE for several objectives and pruned trials."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial


class MultiObjectiveTPESampler(TPESampler):
    """TPE for several objectives with pruning, where trials report one of the objectives.

    Optuna's TPE reads the study's only direction as soon as a pruned trial has reports, and raises an
    error. Given the direction of the reported objective, it ranks the pruned trials.

    Args:
        reported: the index of the reported objective.
        options: Optuna's options.
    """

    def __init__(self, reported: int, **options: Any) -> None:
        super().__init__(**options)
        self._reported = reported

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        directed: Any = _DirectedStudy(study, study.directions[self._reported])
        return super()._sample(directed, trial, search_space)


class _DirectedStudy:
    """A study of several objectives that also has the direction of the reported one."""

    def __init__(self, study: optuna.Study, direction: StudyDirection) -> None:
        self._study = study
        self.direction = direction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)
