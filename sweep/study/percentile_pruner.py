"""Optuna's percentile rule for trials that do not report at the same steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container
from types import SimpleNamespace
from typing import Any, cast

from optuna import Study
from optuna.pruners import PercentilePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class LastValuePercentilePruner(PercentilePruner):
    """Stops a trial that is not among the best `percentile` percent of the complete trials at its step.

    Optuna's `PercentilePruner` compares values of exactly the same step. Trials with different batch sizes,
    or episodes of different length, hardly ever meet there, and one that has stopped early never does. Here
    the value of a complete trial at a step is its last one not later than that step. Trials whose steps are
    the same are stopped as by Optuna. The options are Optuna's.
    """

    def __init__(self, percentile: float, **options: int) -> None:
        super().__init__(percentile, **options)
        self._curves: dict[int, tuple[list[int], list[float]]] = {}
        """Steps and values of complete trials, by trial number. They no longer change."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if trial.last_step is None:
            return False
        return super().prune(cast(Study, _StudyAtStep(study, trial.last_step, self._curve)), trial)

    def _curve(self, trial: FrozenTrial) -> tuple[list[int], list[float]]:
        if trial.number not in self._curves:
            steps = sorted(trial.intermediate_values)
            self._curves[trial.number] = steps, [trial.intermediate_values[step] for step in steps]
        return self._curves[trial.number]


class _StudyAtStep:
    """What `PercentilePruner` reads of a study: complete trials with their last value up to a step."""

    def __init__(self, study: Study, step: int, curve: Any) -> None:
        self._study = study
        self._step = step
        self._curve = curve

    @property
    def direction(self) -> StudyDirection:
        return self._study.direction

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[SimpleNamespace]:
        found = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            steps, values = self._curve(trial)
            reported = bisect_right(steps, self._step)
            at_step = {self._step: values[reported - 1]} if reported else {}
            found.append(SimpleNamespace(intermediate_values=at_step))
        return found
