"""`TimeLeft`: how long a running sweep will take, from the durations of its last trials."""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import log

from sweep.messages import AttemptResult, Progress

_LEAST_ENDINGS = 3
"""Fewer trials tell too little."""
_MOST_UNKNOWN = 1 / 3
"""If a larger share of the trials takes longer than all that have ended, those tell too little."""
_LEAST_REST = 0.1
"""The expected rest of a trial that has taken longer than all others, as a share of its age, if they all took
the same time."""
_GOLDEN = 0.6180339887498949
"""Its multiples modulo 1 are spread evenly over 0 to 1, however many there are."""


def recent(slots: int) -> int:
    """How many of the last trials count: pruning and the search change how long trials take."""
    return max(100, 5 * slots)


class TimeLeft:
    """Estimates the time left by a schedule of the trials that are running and waiting.

    It gives them the durations of the trials that were started last, whatever their final state: a pruned
    trial takes a part of the time of a complete one. Long trials are among those that are still running more
    often than among those that have ended, which `_Durations` takes into account.

    Args:
        repeats: how many runs a trial has.
    """

    def __init__(self, repeats: int = 1) -> None:
        self._repeats = repeats
        self._slots = 1
        self._ended: dict[int, float] = {}
        """How long a run of each recent trial took, by the trial's number."""
        self._repeats_done: dict[int, int] = {}
        """How many repeats have finished, of trials that have not."""
        self._work = 0.0
        """The total duration of the trials that have ended."""
        self._first: tuple[float, float] | None = None
        """When the first estimate was made, and how much work was done then."""
        self._stretch = 1.0
        """The time of a slot for each second that a run takes: slots wait for the sampler, and run again
        what has failed."""
        self._finished: int | None = None
        """How many trials had finished when the last estimate was made."""
        self._expected_end: float | None = None

    def start(self, slots: int) -> None:
        """Trials can run from now on, `slots` at a time."""
        self._slots = slots

    def add(self, result: AttemptResult) -> None:
        """Remember how long a trial took that has ended."""
        if result.state is not None:
            self._ended[result.number] = result.duration_s / self._repeats
            self._work += result.duration_s
            self._repeats_done.pop(result.number, None)
        elif result.is_repeat_finished:
            self._repeats_done[result.number] = self._repeats_done.get(result.number, 0) + 1

    def seconds(self, progress: Progress) -> float | None:
        """The estimate, which is counted down between endings. None if there is too little to tell, if the
        number of trials is unbounded, or once the estimate is exceeded.
        """
        now = time.monotonic()
        if progress.finished != self._finished:
            self._finished = progress.finished
            left = None if progress.total is None else self._estimate(progress, progress.total)
            self._expected_end = None if left is None else now + left
        if self._expected_end is None or progress.total is None or now >= self._expected_end:
            return None
        return self._expected_end - now

    def _estimate(self, progress: Progress, total: int) -> float | None:
        now = time.time()
        running = [
            (run.number, max(0.0, now - run.started))
            for run in progress.running
            if run.number not in self._ended
        ]
        oldest = max([*self._ended, *(number for number, _ in running)], default=0) - recent(self._slots)
        self._ended = {number: seconds for number, seconds in self._ended.items() if number > oldest}
        durations = _Durations(self._ended.values(), [age for number, age in running if number > oldest])
        ages = [age for _, age in running]
        open_runs = (total - progress.finished) * self._repeats - sum(self._repeats_done.values())
        waiting = max(0, open_runs - len(ages))
        if waiting > 0 and self._ended:  # otherwise slots become idle, which says nothing of the trials
            self._measure_stretch(now, self._work + sum(ages))
        has_only_pruned = progress.counts["complete"] + progress.counts["failed"] == 0
        if has_only_pruned or len(self._ended) < _LEAST_ENDINGS or durations.unknown > _MOST_UNKNOWN:
            return None
        return self._schedule(durations, ages, waiting)

    def _measure_stretch(self, now: float, work: float) -> None:
        since, before = self._first = self._first or (now, work)
        if work > before:
            self._stretch = max(1.0, self._slots * (now - since) / (work - before))

    def _schedule(self, durations: _Durations, ages: list[float], waiting: int) -> float:
        """When the last run ends, if each slot takes the next waiting one as soon as it is free."""
        slots = max(self._slots, len(ages))
        last = min(waiting, 2 * slots)
        # Of many waiting runs the first ones only keep all slots busy.
        busy = (waiting - last) * durations.mean * self._stretch / slots
        shares = [(0.5 + index * _GOLDEN) % 1 for index in range(len(ages) + last)]
        ends = [durations.quantile(share, age) - age for age, share in zip(ages, shares, strict=False)]
        ends += [0.0] * (slots - len(ends))
        end = max(ends)
        heapq.heapify(ends)
        for share in shares[len(ages) :]:
            ended = ends[0] + durations.quantile(share) * self._stretch
            heapq.heapreplace(ends, ended)
            end = max(end, ended)
        return busy + end


class _Durations:
    """The distribution of durations, some of which are only known to be longer than an age (Kaplan-Meier).

    The rest of a run that has taken longer than all known durations is a share of its age. The longer half of
    these durations tells which: the more they differ, the longer are those that are not known.

    Args:
        ended: known durations.
        ages: the ages of the runs that have not ended.
    """

    def __init__(self, ended: Iterable[float], ages: Iterable[float]) -> None:
        self._times, ages = sorted(ended), sorted(ages)
        self._shares: list[float] = []
        """The share of the runs that do not take longer than each of the known durations."""
        longer, mean, before = 1.0, 0.0, 0.0
        for index, seconds in enumerate(self._times):
            mean += longer * (seconds - before)
            at_risk = len(self._times) - index + len(ages) - bisect_left(ages, seconds)
            longer *= 1 - 1 / at_risk
            before = seconds
            self._shares.append(1 - longer)
        self.unknown = longer
        """The share of the runs that take longer than all known durations."""
        self._rest = _LEAST_REST
        """The mean rest of such a run, as a share of its age."""
        if self.unknown <= _MOST_UNKNOWN and (median := self.quantile(0.5)) > 0:
            # The slope of the logarithms of duration and share, which is constant for a Pareto distribution.
            least = 0.5 / (len(self._times) + 1)
            slope = log(self._times[-1] / median) / log(0.5 / max(self.unknown, least))
            self._rest = max(_LEAST_REST, slope)
        self.mean = mean + longer * before * (1 + self._rest)

    def quantile(self, share: float, age: float = 0.0) -> float:
        """The duration that this share of the runs that take longer than `age` do not exceed."""
        index = bisect_right(self._times, age)
        older = 1 - self._shares[index - 1] if index else 1.0
        longer = older * (1 - share)
        if longer > self.unknown:
            return self._times[bisect_left(self._shares, 1 - longer)]
        beyond = 1 - longer / min(older, self.unknown) if longer > 0 else share
        return max(age, self._times[-1]) * (1 + 2 * self._rest * beyond)
