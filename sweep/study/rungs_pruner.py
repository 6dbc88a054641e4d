"""Optuna's successive halving and Hyperband, with rungs that are kept, not collected for each verdict."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from optuna import Study
from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials
from sweep.study.private import rung_key, rung_of, store_rung


class RungsPruner(SuccessiveHalvingPruner):
    """Decides as Optuna's `SuccessiveHalvingPruner`, and stores the same attributes.

    Optuna collects the values of a rung from all trials, for each verdict. Here the values of finished trials
    are kept sorted, and only trials that have not finished are looked at.

    Args:
        belongs: whether a trial is compared at all; every trial is by default.
        options: those of Optuna's pruner.
    """

    def __init__(self, belongs: Callable[[FrozenTrial], bool] = lambda trial: True, **options: Any) -> None:
        super().__init__(**options)
        self._belongs = belongs
        self._finished = FinishedTrials()
        self._rungs: defaultdict[str, list[float]] = defaultdict(list)
        """The sorted values of finished trials, by the attribute of the rung."""
        self._last_steps = _LastStep()

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        self._collect(study)
        if self._min_resource is None:
            if self._last_steps.highest is None:
                return False
            self._min_resource = max(self._last_steps.highest // 100, 1)
        value, rung = trial.intermediate_values[step], rung_of(trial)
        while step >= self._min_resource * self._reduction_factor ** (self._min_early_stopping_rate + rung):
            if math.isnan(value):
                return True
            store_rung(study, trial, rung, value)
            if not self._is_promoted(study.direction, trial, rung_key(rung), value):
                return True
            rung += 1
        return False

    def _collect(self, study: Study) -> None:
        for trial in self._finished.new(study):
            if self._belongs(trial):
                self._last_steps.add(trial)
                rung = 0
                while (key := rung_key(rung)) in trial.system_attrs:
                    insort(self._rungs[key], trial.system_attrs[key])
                    rung += 1

    def _is_promoted(self, direction: StudyDirection, trial: FrozenTrial, key: str, value: float) -> bool:
        finished = self._rungs[key]
        others = [
            other.system_attrs[key]
            for other in self._finished.unfinished
            if other.number != trial.number and key in other.system_attrs and self._belongs(other)
        ]
        count = len(finished) + len(others) + 1
        if count <= self._bootstrap_count:
            return False
        if direction == StudyDirection.MAXIMIZE:
            better = len(finished) - bisect_right(finished, value) + sum(other > value for other in others)
        else:
            better = bisect_left(finished, value) + sum(other < value for other in others)
        # Until there are as many values as the factor, the best one is promoted, as in Optuna.
        return bool(better < max(count // self._reduction_factor, 1))


class BracketsPruner(HyperbandPruner):
    """Decides as Optuna's `HyperbandPruner`, with a `RungsPruner` for each bracket."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._finished = FinishedTrials()
        self._last_steps = _LastStep()

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if not self._pruners:
            self._try_initialization(study)
            if not self._pruners:
                return False
        return bool(self._pruners[self._get_bracket_id(study, trial)].prune(study, trial))

    def _try_initialization(self, study: Study) -> None:
        if self._max_resource == "auto":
            for trial in self._finished.new(study):
                self._last_steps.add(trial)
            if self._last_steps.highest is None:
                return
            self._max_resource = self._last_steps.highest + 1
        super()._try_initialization(study)
        self._pruners = [self._bracket(study, index) for index in range(len(self._pruners))]

    def _bracket(self, study: Study, index: int) -> RungsPruner:
        return RungsPruner(
            lambda trial: self._get_bracket_id(study, trial) == index,
            min_resource=self._min_resource,
            reduction_factor=self._reduction_factor,
            min_early_stopping_rate=index,
            bootstrap_count=self._bootstrap_count,
        )


class _LastStep:
    """The highest step of complete trials; None if there is none."""

    def __init__(self) -> None:
        self.highest: int | None = None

    def add(self, trial: FrozenTrial) -> None:
        if trial.state == TrialState.COMPLETE and (last := trial.last_step) is not None:
            self.highest = last if self.highest is None else max(self.highest, last)
