"""`DistinctSampler`: keeps define-by-run trials from repeating each other; how repetitions are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials
from sweep.study.private import look_at_trials, whole_study

_TRIES = 20
"""How often the sampler is asked for parameters that no earlier trial has."""


def is_continuous(distribution: BaseDistribution) -> bool:
    """Whether two samples of a distribution are never equal by chance."""
    return (
        isinstance(distribution, FloatDistribution)
        and distribution.step is None
        and not distribution.single()
    )


class TriedConfigurations:
    """Finds the trials that have given parameters, among any number of trials.

    Trials that have finished are found by their value of one parameter. A continuous one tells nearly all
    apart.
    """

    def __init__(self) -> None:
        self._finished = FinishedTrials()
        self._numbers: dict[str, dict[Any, list[int]]] = {}
        """The numbers of the finished trials, by parameter and value."""

    def contain(self, study: optuna.Study, number: int, params: Mapping[str, Any], by: str) -> bool:
        """Whether a trial other than this one has these parameters, and possibly others.

        Args:
            study: the study; the same one, or another view of it, in each call.
            number: the number of this trial.
            params: the parameters.
            by: the name of the one by which trials are found.
        """
        study = whole_study(study)
        new = self._finished.new(study)
        trials = look_at_trials(study)
        for name, numbers in self._numbers.items():
            _add(numbers, name, new)
        if by not in self._numbers:
            unfinished = {trial.number for trial in self._finished.unfinished}
            self._numbers[by] = {}
            _add(self._numbers[by], by, (trial for trial in trials if trial.number not in unfinished))
        same = [trials[other] for other in self._numbers[by].get(params[by], ())]
        return any(
            params.items() <= trial.params.items()
            for trial in (*same, *self._finished.unfinished)
            if trial.number != number
        )


def _add(numbers: dict[Any, list[int]], name: str, trials: Iterable[FrozenTrial]) -> None:
    for trial in trials:
        if name in trial.params:
            numbers.setdefault(trial.params[name], []).append(trial.number)


class DistinctSampler(BaseSampler):
    """Asks another sampler again if it repeats the parameters of an earlier trial.

    It is for define-by-run sweeps, whose parameters are only known one after the other. If parameters are
    declared, `ConstrainedSampler` samples and compares whole configurations.

    Args:
        sampler: the other sampler.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler
        self._tried = TriedConfigurations()

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        for _ in range(_TRIES):
            params = self._sampler.sample_relative(study, trial, search_space)
            by = next((name for name in params if is_continuous(search_space[name])), None)
            if by is None or not self._tried.contain(study, trial.number, params, by):
                return params
        return {}  # they are sampled independently

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        for _ in range(_TRIES):
            value = self._sampler.sample_independent(study, trial, param_name, param_distribution)
            params = {**trial.params, param_name: value}
            if not is_continuous(param_distribution):
                break
            if not self._tried.contain(study, trial.number, params, param_name):
                break
        return value

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)
