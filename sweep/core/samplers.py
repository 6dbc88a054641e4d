"""From a sampler's name in the sweep file to Optuna's sampler."""

from __future__ import annotations

import hashlib
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from sweep.core.rerun import count_reruns
from sweep.space import SearchSpace
from sweep.spec.model import Sampler


def make_sampler(sampler: Sampler, space: SearchSpace, seed: int, trials_so_far: int) -> BaseSampler:
    """The sampler for what is left of a sweep.

    Args:
        sampler: the sweep file's.
        space: what it samples.
        seed: the sweep's.
        trials_so_far: a sampler's state is not stored; seeded anew with the same seed, a resumed sweep would
            repeat its first suggestions.

    Raises:
        InputError: it cannot serve the space.
    """
    if sampler.type == "grid":
        return GridSampler(space)
    own_seed = derive_seed(seed, "sampler", trials_so_far)
    return RandomSampler(own_seed) if sampler.type == "random" else TPESampler(seed=own_seed)


def derive_seed(*parts: object) -> int:
    """A number below 2**32 that depends on all `parts`; the same on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class GridSampler(BaseSampler):
    """The n-th trial gets the n-th configuration of the grid: every one exactly once, in the file's order.

    Optuna's own keeps the whole grid in memory, writes the search space into each trial, scans all trials at
    each end of one, and ends a sweep by a call that only `Study.optimize` allows.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._grid = space.check_grid()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        # A trial that repeats a failed one by hand has a number, but no place in the grid.
        trials = study.get_trials(deepcopy=False)
        return self._grid.point(trial.number - count_reruns(trials[: trial.number]))[param_name]
