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
from sweep.study.private import rung_key, store_rung


class RungsPruner(SuccessiveHalvingPruner):
    """Decides as Optuna's `SuccessiveHalvingPruner`, and stores the same attributes.

    Optuna collects the values of a rung from all trials, for each verdict. Here the values of finished trials
    are kept sorted, and only trials that have not finished are looked at.

    The value of a trial at a rung is its first report at or after the rung's step. Optuna compares the stored
    attributes instead, which are values at other steps if the options have changed since they were stored, or
    if `min_resource` was derived from other trials. Here an attribute says only that a trial has been judged.
    So the verdicts differ on purpose with `min_resource: auto`, and for trials that ask only at some steps.

    Args:
        belongs: whether a trial is compared at all; every trial is by default.
        options: those of Optuna's pruner.
    """

    def __init__(self, belongs: Callable[[FrozenTrial], bool] = lambda trial: True, **options: Any) -> None:
        super().__init__(**options)
        self._belongs = belongs
        self._finished = FinishedTrials()
        self._uncounted: list[FrozenTrial] = []
        """Finished trials whose values are not yet in `_rungs`, because the steps of rungs are not known."""
        self._rungs: defaultdict[int, list[float]] = defaultdict(list)
        """The sorted values of finished trials, by rung."""
        self._unfinished: defaultdict[int, list[float]] = defaultdict(list)
        """The values of each other trial at its rungs, by its number."""
        self._last_steps = _LastStep()

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        self._collect(study)
        if self._min_resource is None:
            return False
        values = self._values_at_rungs(trial)
        for rung, value in enumerate(values):
            if trial.system_attrs.get(rung_key(rung)) != value:
                store_rung(study, trial, rung, value)
                if not self._is_promoted(study.direction, trial, rung, value):
                    return True
        return step >= self._step_of(len(values))  # it has reported only NaN since that rung

    def _collect(self, study: Study) -> None:
        for trial in self._finished.new(study):
            if self._belongs(trial):
                self._last_steps.add(trial)
                self._uncounted.append(trial)
        if self._min_resource is None and self._last_steps.highest is not None:
            self._min_resource = max(self._last_steps.highest // 100, 1)
        if self._min_resource is None:
            return
        for trial in self._uncounted:
            for rung, value in enumerate(self._values_at_rungs(trial)):
                insort(self._rungs[rung], value)
            del self._unfinished[trial.number]
        self._uncounted.clear()

    def _step_of(self, rung: int) -> int:
        assert self._min_resource is not None
        return self._min_resource * int(self._reduction_factor ** (self._min_early_stopping_rate + rung))

    def _values_at_rungs(self, trial: FrozenTrial) -> list[float]:
        """The values of a trial at the rungs that it has reached. Reports are searched only at a new rung."""
        values, last = self._unfinished[trial.number], trial.last_step
        while last is not None and (start := self._step_of(len(values))) <= last:
            reports = trial.intermediate_values
            at_rung = min((s for s in reports if s >= start and not math.isnan(reports[s])), default=None)
            if at_rung is None:
                break
            values.append(reports[at_rung])
        return values

    def _is_promoted(self, direction: StudyDirection, trial: FrozenTrial, rung: int, value: float) -> bool:
        finished = self._rungs[rung]
        others = [
            values[rung]
            for other in self._finished.unfinished
            if other.number != trial.number and self._belongs(other)
            if len(values := self._values_at_rungs(other)) > rung
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
        self._is_initialized = False

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
        self._is_initialized = True

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        # A sampler can ask in another thread at the moment of the initialization.
        return super()._get_bracket_id(study, trial) if self._is_initialized else 0

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
