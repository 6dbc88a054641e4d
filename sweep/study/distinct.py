"""`DistinctSampler`: keeps define-by-run trials from repeating each other; what counts as a repetition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

_TRIES = 20
"""How often the sampler is asked for parameters that no earlier trial has."""


def is_continuous(distribution: BaseDistribution) -> bool:
    """Whether two samples of a distribution are never equal by chance."""
    return (
        isinstance(distribution, FloatDistribution)
        and distribution.step is None
        and not distribution.single()
    )


def is_tried(study: optuna.Study, number: int, params: Mapping[str, Any]) -> bool:
    """Whether a trial other than this one has these parameters, and possibly others."""
    if not params:
        return False
    # One number from a continuous range is enough to tell nearly all trials apart.
    name = next((name for name, value in params.items() if isinstance(value, float)), next(iter(params)))
    return any(
        trial.params.get(name) == params[name] and params.items() <= trial.params.items()
        for trial in study.get_trials(deepcopy=False)
        if trial.number != number
    )


class DistinctSampler(BaseSampler):
    """Asks another sampler again if it repeats the parameters of an earlier trial.

    It is for define-by-run sweeps, whose parameters are only known one after the other. If parameters are
    declared, `ConstrainedSampler` samples and compares whole configurations.

    Args:
        sampler: the other sampler.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

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
            can_differ = any(is_continuous(search_space[name]) for name in params)
            if not can_differ or not is_tried(study, trial.number, params):
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
            if not is_continuous(param_distribution) or not is_tried(study, trial.number, params):
                break
        return value

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)
