"""Sampling under constraints: what violates one is rejected before a trial is spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.variables import Variable

_TRIES = 20
"""So often the sampler itself is asked; one that learns from trials soon proposes what fits."""
_RANDOM_TRIES = 100_000
"""So often a configuration is drawn at random then. It is more than what a sweep is checked with before it
begins: what was found there once is found again for each trial."""
_CHECKED = 10_000
"""So many random configurations are looked at before a sweep begins."""


class ConstrainedSampler(BaseSampler):
    """Asks another sampler until the whole configuration fulfils all constraints.

    It is chosen at once, when the trial begins, conditional parameters included.

    Args:
        sampler: the other one.
        space: what is sampled, with its constraints.
        seed: for what is drawn at random where the sampler finds nothing.
    """

    def __init__(self, sampler: BaseSampler, space: SearchSpace, seed: int) -> None:
        self._sampler = sampler
        self._space = space
        self._random = RandomSampler(seed)
        self._joint: dict[str, BaseDistribution] = {}

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()
        self._random.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        self._joint = self._sampler.infer_relative_search_space(study, trial)
        return self._space.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        rejections: Counter[str] = Counter()
        for attempt in range(_TRIES + _RANDOM_TRIES):
            sampler = self._sampler if attempt < _TRIES else self._random
            joint = (
                self._sampler.sample_relative(study, trial, self._joint)
                if attempt < _TRIES and self._joint
                else {}
            )
            sampled = self._configuration(study, trial, sampler, {**joint, **given})
            rejecting = [one.text for one in self._space.all_rejecting(self._space.complete(sampled))]
            if not rejecting:
                return sampled
            rejections.update(rejecting)
        raise _nothing_fits(rejections, _TRIES + _RANDOM_TRIES)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def _configuration(
        self, study: optuna.Study, trial: FrozenTrial, sampler: BaseSampler, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """All that a trial would be given, where some of it is known."""
        sampled: dict[str, Any] = {}

        def sample(variable: Variable) -> Any:
            if variable.key in known:
                sampled[variable.key] = known[variable.key]
            else:
                sampled[variable.key] = sampler.sample_independent(
                    study, trial, variable.key, variable.distribution
                )
            return sampled[variable.key]

        self._space.walk(sample)
        return sampled


def check_feasible(
    space: SearchSpace, known: Mapping[str, Any] | None = None, entry: str = "constraints"
) -> None:
    """See that some configuration fulfils the constraints.

    Args:
        space: the search space.
        known: what is given of it, as Optuna would have sampled it.
        entry: where that stands, for messages.

    Raises:
        EntryError: none of many random ones does.
    """
    known = known or {}
    if not space.constraints:
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    random = RandomSampler(0)
    study = optuna.create_study(storage=None, sampler=random)
    frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
    rejections: Counter[str] = Counter()
    for _ in range(_CHECKED):
        params = space.walk(
            lambda variable: (
                known[variable.key]
                if variable.key in known
                else random.sample_independent(study, frozen, variable.key, variable.distribution)
            )
        )
        rejecting = [one.text for one in space.all_rejecting(params)]
        if not rejecting:
            return
        rejections.update(rejecting)
    raise _nothing_fits(rejections, _CHECKED, entry)


def _nothing_fits(rejections: Mapping[str, int], total: int, entry: str = "constraints") -> EntryError:
    """The error that says which constraint rejects how much; several may reject the same."""
    told = "; ".join(
        f"{text} rejects {count / total:.0%}"
        for text, count in sorted(rejections.items(), key=lambda item: -item[1])
    )
    return EntryError(
        entry, f"none of {total} configurations fits: {told} of them; widen a range or a constraint"
    )
