"""The estimate of the time left, of simulated sweeps on a clock that the test sets."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from itertools import accumulate

import pytest

from sweep.analysis.time_left import TimeLeft
from sweep.messages import AttemptResult, Progress, RunningTrial, TrialStateName

PRUNED = 1.0
"""The duration of the trials that are pruned."""


class Simulation:
    """A sweep whose trials take these durations. A slot waits `gap` seconds between two trials."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, durations: list[float], slots: int, gap: float = 0.0
    ) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: self.now)
        free = [-gap] * slots
        self.times = []
        for seconds in durations:
            start = heapq.heappop(free) + gap
            heapq.heappush(free, start + seconds)
            self.times.append((start, start + seconds))
        self.end = max(end for _, end in self.times)
        self.slots = slots
        self.earlier = 0
        """How many trials earlier sessions have finished."""
        self.attach()

    def attach(self) -> None:
        """Begin to watch the sweep, as far as it is now."""
        self.estimate = TimeLeft()
        self.estimate.start(self.slots)
        self.told: set[int] = set()

    def ratio(self, share: float) -> float | None:
        """The estimate after this share of the sweep's time, divided by the true time left."""
        self.now = share * self.end
        left = self.left()
        return None if left is None else left / (self.end - self.now)

    def left(self) -> float | None:
        """The estimate now."""
        ended = {number for number, (_, end) in enumerate(self.times) if end <= self.now}
        for number in sorted(ended - self.told):
            start, end = self.times[number]
            state: TrialStateName = "PRUNED" if end - start == PRUNED else "COMPLETE"
            self.estimate.add(AttemptResult(number, 1, state, "returned", duration_s=end - start))
        self.told = ended
        return self.estimate.seconds(self.progress(ended))

    def progress(self, ended: set[int]) -> Progress:
        running = tuple(
            RunningTrial(number, 1, {}, start, None)
            for number, (start, end) in enumerate(self.times)
            if start <= self.now < end
        )
        pruned = sum(self.times[number][1] - self.times[number][0] == PRUNED for number in ended)
        complete = self.earlier + len(ended) - pruned
        counts = {"complete": complete, "pruned": pruned, "failed": 0, "running": len(running)}
        return Progress(counts, self.earlier + len(self.times), None, running, self.now, None, None)


RANDOM = random.Random(0)
SHAPES: dict[str, Callable[[], float]] = {
    "equal": lambda: 10.0,
    "varied": lambda: RANDOM.uniform(5.0, 15.0),
    "heavy-tailed": lambda: RANDOM.lognormvariate(2.0, 1.0),
    "pruned": lambda: RANDOM.choice([9.0, PRUNED, PRUNED]),
    "quick failures": lambda: RANDOM.choice([0.1, 8.0, 10.0, 12.0]),
}


@pytest.mark.parametrize(
    ("shape", "slots"),
    [
        (shape, slots)
        for shape in SHAPES
        for slots in (1, 4, 16, 100)
        if (shape, slots) != ("heavy-tailed", 100)  # a single long trial decides when the sweep ends
    ],
)
def test_the_estimate_is_near_the_truth_however_the_durations_differ(
    monkeypatch: pytest.MonkeyPatch, shape: str, slots: int
) -> None:
    RANDOM.seed(slots)
    sweep = Simulation(monkeypatch, [SHAPES[shape]() for _ in range(1000)], slots)
    assert [sweep.ratio(share) for share in (0.3, 0.6)] == [pytest.approx(1, rel=0.35)] * 2


def test_with_few_trials_for_each_slot_the_last_ones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [10.0 + 0.001 * number for number in range(150)], 100)
    assert sweep.ratio(0.3) is None, "no trial has ended"
    assert sweep.ratio(0.6) == pytest.approx(1, rel=0.05)
    assert sweep.ratio(0.9) == pytest.approx(1, rel=0.05)


def test_nothing_is_shown_while_most_trials_take_longer_than_those_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep = Simulation(monkeypatch, [2.0] * 30 + [20.0] * 70 + [10.0] * 50, 100)
    assert sweep.ratio(0.5) is None
    assert sweep.ratio(0.95) is not None


def test_pruned_trials_alone_do_not_tell_how_long_the_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [PRUNED] * 10 + [9.0] * 10, 4)
    sweep.now = 3.5
    assert sweep.left() is None


def test_pruned_trials_count_at_their_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [PRUNED, PRUNED, PRUNED, 9.0] * 25, 1)
    for number in range(20):
        sweep.now = sweep.times[number][1]
        left = sweep.left()
        assert (left is None) == (number < 3), "too little to tell"
    assert left is not None
    assert left == pytest.approx(80 * 3.0, rel=0.05)
    sweep.now += 0.5
    assert sweep.left() == pytest.approx(left - 0.5), "it is counted down"


def test_earlier_sessions_and_slots_that_become_idle_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [60.0] * 20, 4)
    sweep.earlier = 80
    left = []
    for sweep.now in (60.0, 120.0, 180.0, 240.0):
        left.append(sweep.left())
    assert left == [pytest.approx(60.0 * rounds) for rounds in (4, 3, 2, 1)]


def test_pruning_that_sets_in_later_counts_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    later = [9.0, PRUNED, PRUNED, PRUNED] * 200
    sweep = Simulation(monkeypatch, [9.0] * 200 + later, 4)
    assert sweep.ratio(0.6) == pytest.approx(1, rel=0.1)


def test_the_time_that_slots_wait_for_the_sampler_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [1.0, 2.0, 3.0] * 100, 4, gap=6.0)
    ratios = [sweep.ratio(step / 50) for step in range(1, 31)]
    assert ratios[9:] == [pytest.approx(1, rel=0.1)] * 21


def test_who_begins_to_watch_learns_from_the_trials_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [5.0, 10.0, 15.0] * 100, 4)
    sweep.now = sweep.end / 2
    sweep.attach()
    assert sweep.ratio(0.5) == pytest.approx(1, rel=0.05)


def test_it_is_counted_down_between_endings_and_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Simulation(monkeypatch, [10.0] * 9 + [1000.0], 1)
    sweep.now = 90.0
    assert sweep.left() == pytest.approx(10.0)
    sweep.now = 96.0
    assert sweep.left() == pytest.approx(4.0)
    sweep.now = 101.0
    assert sweep.left() is None, "the estimate is exceeded"


def test_repeats_are_scheduled_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "time", lambda: now)
    estimate = TimeLeft(repeats=3)
    estimate.start(1)
    ends = list(accumulate([10.0] * 15))  # five trials of three repeats
    for index, now in enumerate(ends[:-1]):
        trial, repeat = divmod(index, 3)
        over = AttemptResult(trial, 1, None, "returned", duration_s=10.0, is_repeat_finished=True)
        if repeat == 2:
            over = AttemptResult(trial, 1, "COMPLETE", "returned", duration_s=30.0)
        estimate.add(over)
        finished, running = divmod(index + 1, 3)
        counts = {"complete": finished, "pruned": 0, "failed": 0, "running": 1}
        runs = (RunningTrial(finished, 1, {}, now, None, running, f"seed-{running}"),)
        left = estimate.seconds(Progress(counts, 5, None, runs, now, None, None))
        if finished >= 3:
            assert left == pytest.approx(ends[-1] - now)


def test_it_is_unknown_without_a_number_of_trials() -> None:
    estimate = TimeLeft()
    for number in range(9):
        estimate.add(AttemptResult(number, 1, "COMPLETE", "returned", duration_s=1.0))
    counts = {"complete": 9, "pruned": 0, "failed": 0, "running": 0}
    assert estimate.seconds(Progress(counts, None, None, (), 9.0, None, None)) is None
