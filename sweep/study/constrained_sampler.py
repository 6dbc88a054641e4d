"""`ConstrainedSampler`: rejects configurations before a trial is spent on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import copy
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.variables import Variable
from sweep.study.distinct import TriedConfigurations, is_continuous
from sweep.sweepfile.expressions import ExpressionError

_TRIES = 20
"""How often the sampler itself is asked. If it learns from trials, it soon proposes feasible ones."""
_RANDOM_TRIES = 100_000
"""How often a random configuration is drawn after that. It is more than `_CHECKED`, so that a configuration
that was found before the sweep started is found again for each trial."""
_REPETITIONS = 2 * _TRIES
"""How many configurations that have been tried before are rejected, half of them random. A range can be so
narrow that it has no others."""
_CHECKED = 10_000
"""How many random configurations are checked before a sweep starts."""
_QUICKLY_CHECKED = 1000
"""How many are checked where an answer must be quick, or where each can show a fault."""
_QUICKLY_DRAWN = 50_000
"""How many values of parameters are drawn for them, at most: there can be hundreds of parameters."""


class ConstrainedSampler(BaseSampler):
    """Asks another sampler until the configuration satisfies all constraints and has not been tried before.

    A genetic sampler proposes copies of its parents, and a sampler that restarts repeats itself. A second
    trial with the same numbers from a continuous range would be wasted. Choices and whole numbers can be
    equal.

    The whole configuration is sampled when the trial starts, conditional parameters included.

    Args:
        sampler: the other sampler.
        space: the search space with its constraints.
        seed: the seed of the random configurations that are drawn if the sampler finds none. It must not be
            that of `sampler`: two generators with one seed draw the same configurations.
    """

    def __init__(self, sampler: BaseSampler, space: SearchSpace, seed: int) -> None:
        self._sampler = sampler
        self._space = space
        self._random = RandomSampler(seed)
        self._tried = TriedConfigurations()
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
        violations: Counter[str] = Counter()
        repetitions = 0
        for attempt in range(_TRIES + _RANDOM_TRIES):
            sampler = self._sampler if attempt < _TRIES else self._random
            joint = sampler.sample_relative(study, trial, self._joint)
            sampled, params = _draw(self._space, sampler, study, trial, {**joint, **given})
            violated = _violated(self._space, params)
            violations.update(violated)
            if not violated:
                if repetitions == _REPETITIONS or not self._is_repetition(study, trial, sampled, given):
                    return sampled
                repetitions += 1
        raise _infeasible(violations, _TRIES + _RANDOM_TRIES)

    def _is_repetition(
        self, study: optuna.Study, trial: FrozenTrial, sampled: Mapping[str, Any], given: Mapping[str, Any]
    ) -> bool:
        """Whether numbers from a continuous range were sampled, and an earlier trial has the same."""
        distributions = self._space.distributions
        by = next((key for key in sampled if key not in given and is_continuous(distributions[key])), None)
        return by is not None and self._tried.contain(study, trial.number, sampled, by)

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


def check_feasible(
    space: SearchSpace,
    given: Mapping[str, Any] | None = None,
    entry: str = "constraints",
    *,
    is_quick: bool = False,
) -> None:
    """Check that some configuration satisfies the constraints.

    Args:
        space: the search space.
        given: fixed values of parameters, as Optuna would have sampled them.
        entry: the entry that gives them, for messages.
        is_quick: whether fewer configurations are drawn, so that the answer takes less than a second.

    Raises:
        EntryError: none of many random configurations satisfies them.
    """
    if not space.constraints:
        return
    random, study, frozen = _random_trial()
    violations: Counter[str] = Counter()
    tries = _quick_tries(len(space.variables)) if is_quick else _CHECKED
    for _ in range(tries):
        _, params = _draw(space, random, study, frozen, given or {})
        violated = _violated(space, params)
        if not violated:
            return
        violations.update(violated)
    check_constraints(space)
    raise _infeasible(violations, tries, entry)


def check_constraints(space: SearchSpace) -> None:
    """Check that the constraints of a new sweep can be evaluated for the values of their parameters.

    Values that another constraint excludes do not matter: null in `a + b <= 3` beside `a != None`.

    A sweep that has started is not checked: its constraints can no longer be changed, and a configuration
    for which one of them cannot be evaluated counts as infeasible.

    Raises:
        EntryError: a constraint does arithmetic with null, for example, and no other one excludes the null.
    """
    if not space.constraints:
        return
    needed: set[str] = set()
    pending = [name for constraint in space.constraints for name in constraint.names]
    while pending:
        if (name := pending.pop()) not in needed:
            needed.add(name)
            pending += [condition.name for condition in space.conditions(name)]
    random, study, frozen = _random_trial()

    def sample(variable: Variable) -> Any:
        if variable.name not in needed:  # a search space can have hundreds of others
            raise KeyError(variable.name)
        return random.sample_independent(study, frozen, variable.key, variable.distribution)

    for _ in range(_quick_tries(len(needed))):
        space.is_feasible(space.walk(sample))


def _quick_tries(parameters: int) -> int:
    """How many configurations with so many parameters are checked in less than a second."""
    return min(_QUICKLY_CHECKED, max(1, _QUICKLY_DRAWN // max(1, parameters)))


def _random_trial() -> tuple[BaseSampler, optuna.Study, FrozenTrial]:
    """A sampler, with a study and a trial that it can sample for."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    random = RandomSampler(0)
    study = optuna.create_study(storage=None, sampler=random)
    return random, study, optuna.trial.create_trial(state=TrialState.RUNNING)


def _violated(space: SearchSpace, params: Mapping[str, Any]) -> list[str]:
    """The constraints that a configuration violates, and those that cannot be evaluated for it."""
    violated = []
    for constraint in space.constraints:
        try:
            is_satisfied = constraint.holds(params)
        except ExpressionError:
            is_satisfied = False
        if not is_satisfied:
            violated.append(constraint.text)
    return violated


def _draw(
    space: SearchSpace,
    sampler: BaseSampler,
    study: optuna.Study,
    trial: FrozenTrial,
    given: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a configuration with the given values: as Optuna samples it, and as the trial's parameters."""
    sampled: dict[str, Any] = {}
    so_far = copy(trial)  # a custom sampler can depend on the parameters that were sampled before
    so_far.params, so_far.distributions = dict(trial.params), dict(trial.distributions)

    def sample(variable: Variable) -> Any:
        key = variable.key
        if key in given:
            sampled[key] = given[key]
        elif variable.distribution.single():  # as in Optuna; a density of one point has no width
            sampled[key] = _only_value(variable.distribution)
        else:
            sampled[key] = sampler.sample_independent(study, so_far, key, variable.distribution)
        so_far.params[key], so_far.distributions[key] = sampled[key], variable.distribution
        return sampled[key]

    params = space.walk(sample)
    return sampled, params


def _only_value(distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[0]
        case FloatDistribution(low=low) | IntDistribution(low=low):
            return low
    raise AssertionError(distribution)


def _infeasible(violations: Mapping[str, int], total: int, entry: str = "constraints") -> EntryError:
    """The error with the share of configurations that violate each constraint; one can violate several."""
    shares = "; ".join(
        f"{text} rejects {count / total:.0%}"
        for text, count in sorted(violations.items(), key=lambda item: -item[1])
    )
    return EntryError(
        entry, f"none of {total} configurations fits: {shares} of them; widen a range or relax a constraint"
    )
