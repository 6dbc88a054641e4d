"""`best_so_far`: how the best value of a sweep has developed, over its trials and their slot time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import TrialState

from sweep.analysis.timeline import Span
from sweep.analysis.view import SweepView
from sweep.study.ranking import Ranking


@dataclass(frozen=True)
class Improvement:
    """A trial that was better than all before it.

    Args:
        number: the trial's number.
        moment: when it finished, in seconds since the epoch.
        finished: how many trials had finished then, with any state and itself included.
        value: its value.
    """

    number: int
    moment: float
    finished: int
    value: float


def best_so_far(view: SweepView) -> dict[str, list[Improvement]]:
    """The improvements of each metric with a goal, in order. Only complete trials within the limits count."""
    finished = [
        (view.aware(trial.datetime_complete).timestamp(), trial.number, trial)
        for trial in view.frozen_trials
        if trial.datetime_complete is not None
    ]
    finished.sort(key=lambda entry: entry[:2])
    counted = [
        (count, moment, trial)
        for count, (moment, _, trial) in enumerate(finished, start=1)
        if trial.state == TrialState.COMPLETE and Ranking.is_feasible(trial)
    ]
    found: dict[str, list[Improvement]] = {}
    for index, goal in enumerate(view.spec.goals):
        sign = -1.0 if goal.goal == "maximize" else 1.0
        best, steps = math.inf, []
        for count, moment, trial in counted:
            if sign * trial.values[index] < best:
                best = sign * trial.values[index]
                steps.append(Improvement(trial.number, moment, count, trial.values[index]))
        found[goal.name] = steps
    return found


def slot_seconds_at(spans: Sequence[Span]) -> Callable[[float], float]:
    """A function of a moment, in seconds since the epoch: the time that all slots had spent until then."""
    starts = np.sort(np.array([span.start for span in spans]))
    ends = np.sort(np.array([span.end for span in spans]))
    starts_sum, ends_sum = (np.concatenate(([0.0], np.cumsum(times))) for times in (starts, ends))

    def used(moment: float) -> float:
        started, ended = (int(np.searchsorted(times, moment, side="right")) for times in (starts, ends))
        running = (started - ended) * moment
        return max(0.0, float(running - starts_sum[started] + ends_sum[ended]))

    return used
