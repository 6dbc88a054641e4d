"""`MetricModel`: what the trials say about one metric, by a surrogate that is fitted once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from sweep.analysis.dimensions import Dimension
from sweep.analysis.observations import HUGE, Observations, observe
from sweep.analysis.shares import Shares, shares
from sweep.analysis.surrogate import Surrogate
from sweep.analysis.view import SweepView
from sweep.errors import EntryError
from sweep.space import SearchSpace

_FEWEST = 20
"""The number of complete trials from which on anything is said about parameters."""
_FEWEST_PER_PARAMETER = 4
_FEWEST_COMPLETE = 10
_WORTH_OF_PRUNED = 1 / 3
"""A pruned trial counts as a third of a complete one, if there are enough complete ones to compare with."""
_MOST = 200
"""How many trials the surrogate is fitted to: it takes 0.3 s with so many."""
_NEIGHBOURS = 50
_MISLED, _BY = 0.75, 4.0
"""Pruned trials do not count if the R² with them is below the first, and the mean squared error for the
complete ones is so many times as large as without them: twice the error. Where early steps rank the trials,
it was less than 2.5 times as large."""
_MOST_PARAMETERS = 50
"""With more, nothing is said about any: the surrogate would take long, and those selected by the values would
seem to matter."""
_SMALLEST_SPREAD = 1 / HUGE
"""Smaller differences would be 0 when they are squared."""
_FEWEST_BEST = 5


class MetricModel:
    """One metric of a sweep.

    Args:
        view: the sweep.
        goal: the index of the metric among those with a goal.
        counts_pruned: whether pruned trials count.

    Attributes:
        goal: its index.
        name: the metric.
        sign: -1 if it is maximized: a loss is the value times the sign.
        observations: its values.
    """

    def __init__(self, view: SweepView, goal: int = 0, counts_pruned: bool = True) -> None:
        self.view = view
        self.goal = goal
        self.name = view.spec.goals[goal].name
        self.sign = -1.0 if view.spec.goals[goal].goal == "maximize" else 1.0
        self.counts_pruned = counts_pruned
        self.observations: Observations = observe(view, goal, counts_pruned)

    @property
    def dimensions(self) -> list[Dimension]:
        """The parameters in the columns of the rows: those that vary."""
        return [self.observations.dimensions[column] for column in self._columns]

    @cached_property
    def _columns(self) -> list[int]:
        rows = self.observations.rows
        return [column for column in range(rows.shape[1]) if _varies(rows[:, column])]

    @cached_property
    def rows(self) -> np.ndarray:
        """The positions of all observed trials."""
        return self.observations.rows[:, self._columns]

    @property
    def needed(self) -> int:
        """From how many complete trials on anything is said about parameters."""
        return max(_FEWEST, _FEWEST_PER_PARAMETER * len(self.dimensions))

    @cached_property
    def is_enough(self) -> bool:
        """Whether there are enough trials with different values to say anything about parameters."""
        return not self.why_not_enough

    @property
    def lacks_trials(self) -> bool:
        """Whether there are fewer trials than are `needed`, and more could tell which parameters matter."""
        if not self.observations.dimensions or len(self.dimensions) > _MOST_PARAMETERS:
            return False
        complete = self.observations.complete
        pruned = len(self.observations.losses) - complete if complete >= _FEWEST_COMPLETE else 0
        return complete + _WORTH_OF_PRUNED * pruned < self.needed

    @property
    def why_not_enough(self) -> str:
        """Why it is not `is_enough`, without a final period; empty if it is."""
        complete = self.observations.complete
        if self.lacks_trials:  # few can all have the same values
            verb = "is" if complete == 1 else "are"
            return f"it takes {self.needed} complete trials with a finite value, and there {verb} {complete}"
        if not self.dimensions:
            return "no parameter varies"
        if len(self.dimensions) > _MOST_PARAMETERS:
            return f"{len(self.dimensions)} parameters vary, more than {_MOST_PARAMETERS}"
        losses = self.observations.losses[~self.observations.is_pruned]
        spread = np.ptp(losses)
        if spread == 0 and np.abs(losses).max() >= HUGE:
            return f"the values of {self.name} are too large"
        if spread == 0:
            return f"all trials have the same {self.name}"
        return f"the values of {self.name} differ by too little" if spread < _SMALLEST_SPREAD else ""

    @cached_property
    def index_of_best(self) -> int:
        """The index of the sweep's best trial among the observations; of one metric's, with several goals."""
        if len(self.view.spec.goals) == 1 and self.view.best is not None:
            numbers = [trial.number for trial in self.observations.trials]
            if self.view.best.number in numbers:
                return numbers.index(self.view.best.number)
        return int(np.argmin(np.where(self.observations.is_pruned, np.inf, self.observations.losses)))

    @cached_property
    def fitted(self) -> np.ndarray:
        """The indices of the trials to which the surrogate is fitted.

        Of many trials these are the nearest to the best one and an even sample of the others, without the
        best: trials that were chosen for their values would seem better than they are.
        """
        count = len(self.rows)
        if count <= _MOST:
            return np.arange(count)
        distances = _distances(self.choices, self.rows[self.index_of_best], self.rows)
        near = np.argsort(distances, kind="stable")[1 : _NEIGHBOURS + 1]
        return np.setdiff1d(np.union1d(near, self._even_sample()), [self.index_of_best])

    def _even_sample(self) -> np.ndarray:
        """An even sample of all trials, with more than their share of complete ones if these are few."""
        of_complete, room = self._groups == 0, _MOST - _NEIGHBOURS
        complete, others = np.flatnonzero(of_complete), np.flatnonzero(~of_complete)
        share = round(room * len(complete) / len(of_complete))
        count = max(share, min(len(complete), room // 2))
        return np.concatenate([_evenly(complete, count), _evenly(others, room - count)])

    @property
    def _groups(self) -> np.ndarray:
        """1 for trials whose value is not that of a complete training, otherwise 0."""
        return np.asarray(self.observations.is_pruned | self.observations.is_limited, dtype=int)

    @property
    def is_sampled(self) -> bool:
        """Whether the surrogate is fitted to some of the trials only."""
        return len(self.fitted) < len(self.rows)

    @cached_property
    def deciding(self) -> frozenset[str]:
        """The parameters on whose values it depends whether others are active."""
        rows = self.rows
        missing = np.isnan(rows)
        others = [column for column in range(rows.shape[1]) if missing[:, column].any()]
        return frozenset(
            dimension.name
            for column, dimension in enumerate(self.dimensions)
            if any(decides(rows[:, column], missing[:, other]) for other in others if other != column)
        )

    @property
    def choices(self) -> tuple[int, ...]:
        """The number of choices of each parameter, 0 for numbers."""
        return tuple(len(one.choices) if one.choices is not None else 0 for one in self.dimensions)

    @cached_property
    def surrogate(self) -> Surrogate:
        """The surrogate, if `is_enough`."""
        seen, of = self.observations, self.fitted
        return Surrogate(
            self.choices,
            self.rows[of],
            seen.losses[of],
            noise=None if seen.noise is None else seen.noise[of],
            groups=self._groups[of],
        )

    @cached_property
    def shares(self) -> Shares:
        """How the metric's variation over the space is divided, if `is_enough`."""
        return shares(self.surrogate)

    @cached_property
    def is_allowed(self) -> np.ndarray:
        """Which trials are within the limits on other metrics."""
        return np.array([self.view.is_feasible(trial) for trial in self.observations.trials], dtype=bool)

    @property
    def can_win(self) -> np.ndarray:
        """Which trials could be the best: the complete ones that are allowed."""
        return np.asarray(self.is_allowed & ~self.observations.is_pruned)

    @cached_property
    def best_tenth(self) -> np.ndarray:
        """The indices of the best tenth of the trials that can win, at least five, the best first.

        Empty if fewer than five can.
        """
        possible = np.flatnonzero(self.can_win)
        ranked = possible[np.argsort(self.observations.losses[possible], kind="stable")]
        count = max(_FEWEST_BEST, round(len(ranked) / 10))
        return ranked[:count] if len(ranked) >= _FEWEST_BEST else ranked[:0]

    @cached_property
    def defaults(self) -> Mapping[str, Any] | None:
        """The configuration of all defaults; None if some parameter has none."""
        if self.view.spec.is_define_by_run:
            return None
        space = SearchSpace.of(self.view.spec)
        values = space.defaults()
        if not values:
            return None
        try:
            active = space.walk(lambda variable: space.encode_one(variable.name, values[variable.name], ""))
        except EntryError:  # its distribution never has this value
            return None
        return active if all(name in active for name in values) and self._is_whole(active) else None

    def _is_whole(self, params: Mapping[str, Any]) -> bool:
        space = SearchSpace.of(self.view.spec)
        return all(
            name in params or any(not condition.holds(params) for condition in space.conditions(name))
            for name in space.variables
        )

    def row_of(self, params: Mapping[str, Any]) -> np.ndarray:
        """The row of a configuration, given as the parameters of a trial."""
        space = SearchSpace.of(self.view.spec)
        row = [
            one.encode(space.encode_one(one.name, params[one.name], "")) if one.name in params else np.nan
            for one in self.dimensions
        ]
        return np.array(row, dtype=float)

    def trial(self, index: int) -> FrozenTrial:
        """One of the observed trials."""
        return self.observations.trials[index]

    def value(self, loss: float) -> float:
        """The metric's value for a loss."""
        return float(self.sign * loss)


def decides(column: np.ndarray, is_missing: np.ndarray) -> bool:
    """Whether another parameter is inactive for some values of a parameter, and active for the others."""
    values, places = np.unique(column, return_inverse=True)
    counts = np.bincount(places.reshape(-1))
    shares = np.bincount(places.reshape(-1), weights=is_missing) / counts
    is_pure = bool(((shares == 0) | (shares == 1)).all())
    return is_pure and 1 < len(values) < len(column) / 2 and bool(np.ptp(shares) > 0)


@lru_cache(maxsize=2)  # the report and its explanation share a model; one can occupy 70 MB
def metric_model(view: SweepView, goal: int = 0) -> MetricModel:
    """The model of one metric of a sweep, which is fitted once.

    A pruned trial counts by its rank at its last step. Where early steps say nothing about the end, that is a
    wrong value, often the worst of all, next to complete trials whose values are right. So pruned trials only
    count if the complete ones can be predicted with them.
    """
    model = MetricModel(view, goal)
    if not model.observations.is_pruned.any() or not model.is_enough:
        return model
    if model.surrogate.predictability >= _MISLED:
        return model
    without = MetricModel(view, goal, counts_pruned=False)
    if not without.dimensions:  # all complete trials have the same parameters
        return model
    before, after = _squared_errors(model), _squared_errors(without)
    common = before.keys() & after.keys()
    is_misled = sum(before[number] for number in common) >= _BY * sum(after[number] for number in common)
    return without if is_misled else model


def _squared_errors(model: MetricModel) -> Mapping[int, float]:
    """The squared error of the prediction of each complete trial by the others, by its number."""
    counts = model._groups == 0
    return {
        model.trial(index).number: float(residual**2)
        for index, residual in zip(model.fitted, model.surrogate.residuals, strict=True)
        if counts[index]
    }


def _evenly(indices: np.ndarray, count: int) -> np.ndarray:
    """So many of the indices, evenly chosen; all if there are fewer."""
    return np.asarray(indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(int)])


def _varies(column: np.ndarray) -> bool:
    active = column[~np.isnan(column)]
    return len(active) > 1 and bool(np.ptp(active) > 0)


def _distances(choices: tuple[int, ...], row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The squared distance of each row to one."""
    different = np.where(np.array(choices) > 0, rows != row, (rows - row) ** 2)
    missing = np.isnan(rows) != np.isnan(row)
    return np.asarray(np.where(missing, 1.0, np.nan_to_num(different)).sum(axis=1))
