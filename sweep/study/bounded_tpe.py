"""`BoundedTPESampler`: TPE whose suggestions cost the same in a long sweep as in a short one."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials
from sweep.study.private import split_trials, whole_study

HISTORY = 500
"""From how many finished trials TPE learns. Up to so many, its suggestions are those of Optuna's TPE."""
_LEARNS_FROM = (TrialState.COMPLETE, TrialState.PRUNED)


class BoundedTPESampler(TPESampler):
    """TPE that learns from a bounded number of finished trials, and from all running ones.

    TPE models the good trials and the others. Of a long study, this sampler keeps the good trials and the
    latest of the others, which TPE weights most. With a random sample of the others, it found worse values of
    Rosenbrock's function.

    In a study of several objectives with pruning, trials report one of the objectives. Optuna's TPE reads the
    study's only direction as soon as a pruned trial has reports, and raises an error. Given the direction of
    the reported objective, it ranks the pruned trials.

    Args:
        reported: the index of the objective that trials report.
        history: from how many finished trials it learns.
        options: Optuna's options.
    """

    def __init__(self, reported: int = 0, history: int = HISTORY, **options: Any) -> None:
        super().__init__(**options)
        self._reported = reported
        self._history = history
        self._finished = FinishedTrials()
        self._kept: list[FrozenTrial] = []
        """The finished trials that it learns from, ordered by number."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        new = [each for each in self._finished.new(whole_study(study)) if each.state in _LEARNS_FROM]
        for start in range(0, len(new), self._history):
            self._keep(study, new[start : start + self._history])
        # Optuna's search spaces accumulate: they have seen the earlier trials in earlier calls.
        return super().infer_relative_search_space(self._view(study, new), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._view(study, self._kept), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        view = self._view(study, self._kept)
        return super().sample_independent(view, trial, param_name, param_distribution)

    def _keep(self, study: optuna.Study, new: list[FrozenTrial]) -> None:
        """Add finished trials, and drop those that exceed the history."""
        trials = sorted([*self._kept, *new], key=_number)
        if len(trials) > self._history:
            good, others = split_trials(self._view(study, []), trials, self._history)
            trials = sorted([*good, *others[len(trials) - self._history :]], key=_number)
        self._kept = trials

    def _view(self, study: optuna.Study, finished: list[FrozenTrial]) -> Any:
        """The study with these finished trials, and with those that have not finished."""
        unfinished = self._finished.unfinished
        trials = sorted([*finished, *unfinished], key=_number)
        return _StudyView(study, trials, study.directions[self._reported])


def _number(trial: FrozenTrial) -> int:
    return trial.number


class _StudyView:
    """A study with some of its trials, and with the direction by which pruned trials are ranked."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial], direction: StudyDirection) -> None:
        self._study = study
        self._trials = trials
        self.direction = direction

    def _get_trials(
        self, deepcopy: bool, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        """Called by Optuna's TPE, which changes no trials."""
        return [trial for trial in self._trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)
