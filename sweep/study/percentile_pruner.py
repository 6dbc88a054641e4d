"""Optuna's percentile rule for trials that do not report at the same steps."""

from __future__ import annotations

import math
from array import array
from bisect import insort
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice

import numpy as np
from optuna import Study
from optuna.pruners import PercentilePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials

_MAX_CACHED = 4_000_000
"""How many values of complete trials are kept sorted by step: 32 MB."""


class LastValuePercentilePruner(PercentilePruner):
    """Stops a trial that is not among the best `percentile` percent of the complete trials at its step.

    Optuna's `PercentilePruner` compares values of exactly the same step. Trials with different batch sizes,
    or episodes of different length, hardly ever meet there, and one that has stopped early never does. Here
    the value of a complete trial at a step is its last one not later than that step. Trials whose steps are
    the same are stopped as by Optuna. The options are Optuna's.
    """

    def __init__(self, percentile: float, **options: int) -> None:
        super().__init__(percentile, **options)
        self._complete = _CompleteTrials()
        self._running: dict[int, _RunningTrial] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        for finished in self._complete.collect(study):
            self._running.pop(finished.number, None)
        if not trial.intermediate_values or self._complete.count < max(self._n_startup_trials, 1):
            return False
        step, previous, best = self._summary(trial, study.direction)
        warmup, interval = self._n_warmup_steps, self._interval_steps
        if step < warmup or previous >= (step - warmup) // interval * interval + warmup:
            return False
        if math.isnan(best):
            return True
        at_step = self._complete.at(step)
        if at_step.reported < self._n_min_trials:
            return False
        # A comparison with NaN is false: without a percentile, no trial is stopped.
        if study.direction == StudyDirection.MAXIMIZE:
            return best < _percentile(at_step.values, 100 - self._percentile)
        return best > _percentile(at_step.values, self._percentile)

    def _summary(self, trial: FrozenTrial, direction: StudyDirection) -> tuple[int, int, float]:
        """The highest step of a trial, the one before it (-1 if there is none), and its best value."""
        reports = trial.intermediate_values
        running = self._running.get(trial.number)
        if running is None or running.reports is not reports:
            running = self._running[trial.number] = _RunningTrial(reports)
        running.update(direction == StudyDirection.MAXIMIZE)
        return running.last, running.previous, running.best


@dataclass(eq=False)
class _RunningTrial:
    """What the pruner knows of a running trial. Only reports that are new in its dictionary are looked at.

    Attributes:
        reports: the dictionary, to which Optuna only adds.
        last: the highest step.
        previous: the one before it; -1 if there is none.
        best: the best value; NaN if there is none.
    """

    reports: dict[int, float]
    last: int = -1
    previous: int = -1
    best: float = math.nan
    _seen: int = 0

    def update(self, maximize: bool) -> None:
        """Look at the new reports."""
        for step, value in islice(reversed(self.reports.items()), len(self.reports) - self._seen):
            if step > self.last:
                self.last, self.previous = step, self.last
            else:
                self.previous = max(self.previous, step)
            if math.isnan(self.best) or (value > self.best if maximize else value < self.best):
                self.best = value
        self._seen = len(self.reports)


@dataclass(eq=False)
class _AtStep:
    """The complete trials at one step.

    Attributes:
        seen: how many complete trials have been looked at.
        reported: how many of them have a value.
        values: the values, sorted, without NaN.
    """

    seen: int
    reported: int
    values: array[float]


class _CompleteTrials:
    """The curves of complete trials, and their values at the steps that were asked for last.

    At a step that was asked for before, only the trials that have completed since then are looked at. Another
    step costs a search in the curves of all trials, which are columns of numbers.
    """

    def __init__(self) -> None:
        self.count = 0
        self._finished = FinishedTrials()
        self._places = array("q")
        """For each report: the number of its curve times 2**32, plus its step. So they are sorted."""
        self._values = array("d")
        """The value of each report."""
        self._at: OrderedDict[int, _AtStep] = OrderedDict()
        self._cached = 0

    def collect(self, study: Study) -> list[FrozenTrial]:
        """Add the trials that have completed since the last call; returns those that have finished."""
        finished = self._finished.new(study)
        for trial in finished:
            if trial.state == TrialState.COMPLETE:
                for step, value in sorted(trial.intermediate_values.items()):
                    self._places.append(_place(self.count, step))
                    self._values.append(value)
                self.count += 1
        return finished

    def at(self, step: int) -> _AtStep:
        """The last values of complete trials that are not later than a step."""
        found = self._at.pop(step, None) or _AtStep(0, 0, array("d"))
        self._cached -= len(found.values)
        if found.seen < self.count:
            self._extend(found, step)
        self._at[step] = found
        self._cached += len(found.values)
        while self._cached > _MAX_CACHED and len(self._at) > 1:
            self._cached -= len(self._at.popitem(last=False)[1].values)
        return found

    def _extend(self, found: _AtStep, step: int) -> None:
        curves = np.arange(found.seen, self.count, dtype=np.int64) << 32
        places = np.frombuffer(self._places, dtype=np.int64)
        last = np.searchsorted(places, curves + min(step, 2**32 - 1), side="right") - 1
        has_value = last >= np.searchsorted(places, curves)
        new = np.frombuffer(self._values)[last[has_value]]
        numbers = np.sort(new[~np.isnan(new)])
        if found.seen == 0:
            found.values = array("d", numbers.tobytes())
        else:
            for value in numbers.tolist():
                insort(found.values, value)
        found.reported += len(new)
        found.seen = self.count


def _place(curve: int, step: int) -> int:
    return curve << 32 | min(step, 2**32 - 1)


def _percentile(values: array[float], percentile: float) -> float:
    """`numpy.percentile` of sorted values, without a walk through them; NaN if there are none.

    Between infinite values it is NaN, as there.
    """
    if not values:
        return math.nan
    place = (len(values) - 1) * (percentile / 100)
    below = math.floor(place)
    share, low, high = place - below, values[below], values[min(below + 1, len(values) - 1)]
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share
