"""`GridSampler`: the sampler for `grid` and `brute_force`."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.study.private import whole_study
from sweep.study.resubmission import is_resubmission

_MAX_SHUFFLED = 1_000_000


class GridSampler(BaseSampler):
    """Assigns the n-th configuration of the grid to the n-th trial, so that each is tried exactly once.

    Optuna's own grid sampler keeps the whole grid in memory, writes the search space into each trial, scans
    all trials whenever one finishes, and stops a sweep by a call that only `Study.optimize` allows.

    Args:
        space: the search space.
        shuffle: the seed of a random order; None for the order of the sweep file.

    Raises:
        EntryError: the grid is unbounded or empty, or too large to shuffle.
    """

    def __init__(self, space: SearchSpace, shuffle: int | None = None) -> None:
        self._grid = space.check_grid()
        self._distributions = space.distributions
        self._seen: tuple[optuna.Study | None, int, tuple[int, ...]] = None, 0, ()
        """The last study, how many of its trials were inspected, and the resubmissions among these.

        Whether a trial is a resubmission never changes, so each trial is inspected once.
        """
        if self._grid.size == 0:
            raise EntryError("constraints", "no configuration of the grid satisfies all of them; widen one")
        self._order: Sequence[int] = range(self._grid.size)
        if shuffle is not None:
            if self._grid.size > _MAX_SHUFFLED:
                raise EntryError(
                    "sampler.type",
                    f"brute_force takes up to {_MAX_SHUFFLED} configurations, and there are "
                    f"{self._grid.size}; use grid, or random",
                )
            self._order = random.Random(shuffle).sample(self._order, len(self._order))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The whole configuration of a trial, for which Optuna asks once."""
        index = trial.number - self._count_resubmissions_before(study, trial.number)
        return self._grid.point(self._order[index % len(self._order)])

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.sample_relative(study, trial, {})[param_name]

    def _count_resubmissions_before(self, study: optuna.Study, number: int) -> int:
        """How many trials before this one are resubmissions, which have no place in the grid."""
        study = whole_study(study)
        seen, count, resubmissions = self._seen
        if seen is not study:
            count, resubmissions = 0, ()
        trials = study.get_trials(deepcopy=False)
        resubmissions += tuple(trial.number for trial in trials[count:] if is_resubmission(trial))
        self._seen = study, len(trials), resubmissions
        return bisect_left(resubmissions, number)
