"""`TPEHistory`: the finished trials that TPE learns from, ranked and tabulated as they finish."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from sweep.study.private import good_trials, number_of_good_trials, tpe_rank

_MOST_TABLES = 64
"""The sets of parameters for which values are kept. A define-by-run objective can have any number of sets."""


class TPEHistory:
    """The good trials of a study, and the latest of the others.

    Optuna's TPE sorts all trials and converts all their parameters for each suggestion. That takes longer
    than its arithmetic.

    Attributes:
        numbers: the numbers of the trials that it keeps, in order.
        trials: the trials with these numbers.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.trials: list[FrozenTrial] = []
        self._ranked: list[tuple[Any, int]] = []
        """The rank and the number of each trial, the best one first; empty with several objectives."""
        self._candidates: set[int] | None = None
        """With several objectives, the trials that can be good ones once some have been dropped."""
        self._tables: dict[tuple[str, ...], _Table] = {}
        """By the names of parameters."""
        self._good: np.ndarray | None = None

    def add(self, study: Any, trials: list[FrozenTrial], limit: int) -> None:
        """Add finished trials, and drop those that exceed a limit.

        Args:
            study: a study with directions, and a direction by which pruned trials are ranked.
            trials: the trials, ordered by number.
            limit: how many trials to keep.
        """
        for start in range(0, len(trials), limit):
            for trial in trials[start : start + limit]:
                self._insert(study, trial)
            if len(self.trials) > limit:
                self._drop(study, limit)

    def good(self, study: Any) -> np.ndarray:
        """Which of the trials are good ones."""
        if self._good is None:
            self._good = self._find_good(study, len(self.trials))
        return self._good

    def values(self, space: dict[str, BaseDistribution]) -> np.ndarray:
        """The parameters of each trial (a row), as TPE models them; NaN if the trial does not have all."""
        names = tuple(space)
        table = self._tables.get(names)
        if table is None or table.space != space:
            table = _Table(dict(space), self.trials)
            if len(self._tables) == _MOST_TABLES:
                del self._tables[next(iter(self._tables))]
            self._tables[names] = table
        return table.values

    def _insert(self, study: Any, trial: FrozenTrial) -> None:
        position = bisect_left(self.numbers, trial.number)
        self.numbers.insert(position, trial.number)
        self.trials.insert(position, trial)
        for table in self._tables.values():
            table.insert(position, trial)
        if len(study.directions) == 1:
            insort(self._ranked, (tpe_rank(study, trial), trial.number))
        if self._candidates is not None:
            self._candidates.add(trial.number)
        self._good = None

    def _find_good(self, study: Any, length: int) -> np.ndarray:
        """Which trials are good ones, as many as in a study of this length."""
        count = number_of_good_trials(study, length)
        if self._ranked:
            good = {number for _, number in self._ranked[:count]}
        elif self._candidates is None:
            good = good_trials(study, self.trials, count)
        else:
            good = good_trials(
                study, [each for each in self.trials if each.number in self._candidates], count
            )
        return np.array([number in good for number in self.numbers], bool)

    def _drop(self, study: Any, limit: int) -> None:
        good = self._find_good(study, limit)
        if not self._ranked:
            # If most trials do not dominate each other, the choice among all of them takes long.
            self._candidates = set(np.array(self.numbers)[good].tolist())
        dropped = np.flatnonzero(~good)[: len(self.trials) - limit]
        for position in reversed(dropped.tolist()):
            trial = self.trials.pop(position)
            del self.numbers[position]
            if self._ranked:
                del self._ranked[bisect_left(self._ranked, (tpe_rank(study, trial), trial.number))]
        for table in self._tables.values():
            table.values = np.delete(table.values, dropped, axis=0)
        self._good = np.delete(good, dropped)


class _Table:
    """The values of some parameters, a row for each trial."""

    def __init__(self, space: dict[str, BaseDistribution], trials: list[FrozenTrial]) -> None:
        self.space = space
        rows = [internal_values(trial.params, space) for trial in trials]
        self.values = np.array(rows, float).reshape(len(rows), len(space))

    def insert(self, position: int, trial: FrozenTrial) -> None:
        row = internal_values(trial.params, self.space)
        self.values = np.insert(self.values, position, row, axis=0)


def internal_values(params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> list[float]:
    """A trial's parameters as TPE models them; NaN if it does not have all parameters of the space."""
    if not space.keys() <= params.keys():
        return [np.nan] * len(space)
    return [distribution.to_internal_repr(params[name]) for name, distribution in space.items()]
