"""`BoundedTPESampler`: TPE whose suggestions cost the same in a long sweep as in a short one."""

from __future__ import annotations

from collections.abc import Container
from operator import is_not
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials
from sweep.study.parzen import ParzenEstimator
from sweep.study.private import whole_study
from sweep.study.tpe_history import TPEHistory, internal_values

HISTORY = 2000
"""From how many finished trials TPE learns. Up to so many, its suggestions are those of Optuna's TPE."""
HISTORY_OF_SEVERAL = 500
"""The same with several objectives, where the choice of the good trials takes longer."""
_LEARNS_FROM = (TrialState.COMPLETE, TrialState.PRUNED)


class BoundedTPESampler(TPESampler):
    """TPE that learns from a bounded number of finished trials, and from all running ones.

    TPE models the good trials and the others. Of a long study, this sampler keeps the good trials and the
    latest of the others, which TPE weights most. With a random sample of the others, it found worse values of
    Rosenbrock's function. Trials that it has dropped no longer keep it from their neighborhood: with few, it
    chooses other configurations than Optuna's TPE, and searches slightly worse for a while.

    Up to that number of trials, it finds what Optuna's TPE finds, in less time: a trial is ranked and
    converted when it has finished, instead of for each suggestion.

    In a study of several objectives with pruning, trials report one of the objectives. Optuna's TPE reads the
    study's only direction as soon as a pruned trial has reports, and raises an error. Given the direction of
    the reported objective, it ranks the pruned trials.

    Args:
        reported: the index of the objective that trials report.
        history: from how many finished trials it learns; None: from `HISTORY` or `HISTORY_OF_SEVERAL`.
        options: Optuna's options.
    """

    def __init__(self, reported: int = 0, history: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._reported = reported
        self._finished = FinishedTrials()
        self._history = TPEHistory()
        self._learned = 0
        """How many trials have been added to the history."""
        self._limit = history
        self._new: list[FrozenTrial] = []
        """The trials that have finished since the search space was inferred."""
        self._running: list[FrozenTrial] = []
        self._fitted: dict[tuple[str, ...], _Fitted] = {}
        """By names of parameters, what was fitted to the history and these running trials."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        self._update(study)
        # Optuna's search spaces accumulate: they have seen the earlier trials in earlier calls.
        trials = sorted([*self._new, *self._finished.unfinished], key=_number)
        self._new = []
        return super().infer_relative_search_space(self._view(study, trials), trial)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        self._update(study)
        space = {param_name: param_distribution}
        sampled = self._sample_relative(study, trial, space)
        if param_name in sampled:
            return sampled[param_name]
        return self._random_sampler.sample_independent(study, trial, param_name, param_distribution)

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space or self._learned < self._n_startup_trials:
            return {}
        running = [each for each in self._finished.unfinished if self._is_running(each, trial)]
        fitted = self._fit(study, running, search_space)
        samples = fitted.good.sample(self._rng.rng, self._n_ei_candidates)
        acquisition = self._compute_acquisition_func(samples, fitted.good, fitted.others)
        sampled = self._compare(samples, acquisition)
        return {name: each.to_external_repr(sampled[name]) for name, each in search_space.items()}

    def _is_running(self, other: FrozenTrial, trial: FrozenTrial) -> bool:
        return self._constant_liar and other.state == TrialState.RUNNING and other.number != trial.number

    def _update(self, study: optuna.Study) -> None:
        new = [each for each in self._finished.new(whole_study(study)) if each.state in _LEARNS_FROM]
        if new:
            self._learned += len(new)
            limit = self._limit or (HISTORY if len(study.directions) == 1 else HISTORY_OF_SEVERAL)
            self._history.add(self._view(study, []), new, limit)
            self._fitted.clear()
        self._new.extend(new)

    def _fit(
        self, study: optuna.Study, running: list[FrozenTrial], space: dict[str, BaseDistribution]
    ) -> _Fitted:
        """Fit densities to the good trials and to the others, unless that has been done.

        A sampler that rejects configurations asks several times for the same trial.
        """
        if len(running) != len(self._running) or any(map(is_not, running, self._running)):
            self._fitted.clear()
            self._running = running
        names = tuple(space)
        fitted = self._fitted.get(names)
        if fitted is None or fitted.space != space:
            fitted = self._fitted[names] = self._fit_anew(study, running, space)
        return fitted

    def _fit_anew(
        self, study: optuna.Study, running: list[FrozenTrial], space: dict[str, BaseDistribution]
    ) -> _Fitted:
        numbers = np.array([*self._history.numbers, *(trial.number for trial in running)])
        of_running = [internal_values(self._get_params(trial, study), space) for trial in running]
        values = np.array(of_running, float).reshape(len(running), len(space))
        values = np.concatenate([self._history.values(space), values])
        is_good = np.append(self._history.good(self._view(study, [])), np.zeros(len(running), bool))
        order = numbers.argsort(kind="stable")  # the latest trials weigh most
        order = order[~np.isnan(values[order, 0])]
        return _Fitted(
            dict(space),
            self._density(study, values[order[is_good[order]]], space, are_good=True),
            self._density(study, values[order[~is_good[order]]], space, are_good=False),
        )

    def _density(
        self, study: optuna.Study, values: np.ndarray, space: dict[str, BaseDistribution], are_good: bool
    ) -> ParzenEstimator:
        """Fit a density to trials. With several objectives, the good trials weigh the same."""
        weights = np.ones(len(values)) if are_good and len(study.directions) > 1 else None
        columns = dict(zip(space, values.T, strict=True))
        return ParzenEstimator(columns, space, self._parzen_estimator_parameters, weights)

    def _view(self, study: optuna.Study, trials: list[FrozenTrial]) -> Any:
        return _StudyView(study, trials, study.directions[self._reported])


class _Fitted(NamedTuple):
    """The densities of the good trials and of the others."""

    space: dict[str, BaseDistribution]
    good: ParzenEstimator
    others: ParzenEstimator


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
