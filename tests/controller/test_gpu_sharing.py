"""`gpu: auto` on a simulated GPU: trials whose need of memory is hidden, and the decisions about them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.controller.gpu_sharing import GpuSharing, share_of, trials_of

TOTAL = 80_000


@dataclass
class Running:
    """A trial on the GPU. It uses half of its memory at first, all of it later."""

    need: int
    share: float
    ends: float
    grows: float
    used: int = 0


@dataclass
class Simulation:
    """Trials on one GPU of `TOTAL` bytes, as Ray schedules them: the shares on it are at most 1.

    Args:
        need: the memory that the next trial needs.
        seen: what part of a trial's memory is measured.

    Attributes:
        policy: the decisions.
        overflows: the failures for lack of memory: the trial's number, and whether trials shared the GPU.
        concurrency: how many trials ran when a trial ended.
    """

    need: Callable[[], int]
    seen: float = 1.0
    policy: GpuSharing = field(default_factory=GpuSharing)
    overflows: list[int] = field(default_factory=list)
    concurrency: list[int] = field(default_factory=list)

    def run(self, trials: int, randomness: random.Random) -> None:
        now, running, again = 0.0, list[Running](), list[int]()
        started = finished = 0
        while finished < trials:
            while started < trials or again:
                is_again = bool(again)
                share = 1.0 if is_again else self.policy.share
                if sum(trial.share for trial in running) + share > 1 + 1e-9:
                    break
                need = again.pop() if is_again else self.need()
                started += not is_again
                length = randomness.uniform(5, 10)
                running.append(Running(need, share, now + length, now + length / 2))
            event = min(running, key=lambda trial: trial.ends if trial.used == trial.need else trial.grows)
            is_end = event.used == event.need
            now = event.ends if is_end else event.grows
            if is_end:
                self.concurrency.append(len(running))
                running.remove(event)
                finished += 1
                self.policy.add_result(int(event.need * self.seen), TOTAL)
                continue
            event.used = event.need
            if sum(trial.used or trial.need // 2 for trial in running) > TOTAL:
                self.overflows.append(finished)
                running.remove(event)
                self.policy.add_failure(trials_of(event.share), int(event.need * self.seen / 2), TOTAL)
                again.append(event.need)
                assert len(self.overflows) < 50


def simulate(need: Callable[[], int], trials: int = 120, seed: int = 0, seen: float = 1.0) -> Simulation:
    simulation = Simulation(need, seen)
    simulation.run(trials, random.Random(seed))
    return simulation


def packing(simulation: Simulation) -> float:
    """How many trials shared the GPU in the second half of the sweep, on average."""
    half = simulation.concurrency[len(simulation.concurrency) // 2 : -max(simulation.concurrency)]
    return sum(half) / len(half)


@given(need=st.integers(4000, TOTAL), seed=st.integers(0, 100))
def test_trials_that_need_the_same_are_packed_as_tightly_as_possible(need: int, seed: int) -> None:
    simulation = simulate(lambda: need, seed=seed)
    assert not simulation.overflows
    assert packing(simulation) >= 0.9 * (TOTAL // need)


@given(need=st.integers(4000, TOTAL), seen=st.floats(0.95, 1.0), seed=st.integers(0, 100))
def test_if_less_is_measured_than_trials_need_memory_runs_out_once_at_most(
    need: int, seen: float, seed: int
) -> None:
    simulation = simulate(lambda: need, seed=seed, seen=seen)
    assert len(simulation.overflows) <= 1
    assert packing(simulation) >= 0.9 * (TOTAL // need)


def test_trials_of_different_sizes_run_out_of_memory_at_most_once() -> None:
    packings = []
    for seed in range(40):
        choose = random.Random(seed)
        smallest, largest = 2000, choose.randint(10_000, 40_000)
        simulation = simulate(partial(choose.randint, smallest, largest), seed=seed)
        assert len(set(simulation.overflows)) <= 1
        packings.append(packing(simulation) / (TOTAL // largest))
    assert sum(packings) / len(packings) >= 0.9, "of what fits if all are as large as the largest"
    assert min(packings) >= 0.5


def test_the_first_trials_run_alone() -> None:
    policy = GpuSharing()
    assert policy.share == 1
    policy.add_result(10_000, TOTAL)
    assert policy.share == 1
    policy.add_result(10_000, TOTAL)
    assert policy.trials == 7, "a margin of 6 %"
    for _ in range(3):
        policy.add_result(10_000, TOTAL)
    assert policy.trials == 8, "they all need the same"


def test_the_largest_trial_so_far_decides() -> None:
    policy = GpuSharing()
    for used in (5_000, 20_000, 10_000):
        policy.add_result(used, TOTAL)
    assert policy.trials == 2, "20,000, as much again as the sizes differ by, and a margin"


def test_fewer_share_a_gpu_only_if_as_many_of_the_largest_do_not_fit() -> None:
    policy = GpuSharing()
    for used in [15_000, 15_500] + 20 * [15_200]:
        policy.add_result(used, TOTAL)
    assert policy.trials == 5
    policy.add_result(16_000, TOTAL)
    assert policy.trials == 5, "five may not fit any more, but they have"
    assert GpuSharing.restored(policy.state).trials == 5
    policy.add_result(16_100, TOTAL)
    assert policy.trials == 4


def test_after_an_out_of_memory_error_fewer_trials_share_a_gpu_for_the_rest_of_the_sweep() -> None:
    policy = GpuSharing()
    for _ in range(10):
        policy.add_result(10_000, TOTAL)
    policy.add_failure(8, 9_000, TOTAL)
    assert policy.trials == 7
    for _ in range(10):
        policy.add_result(10_000, TOTAL)
    assert policy.trials == 7
    assert GpuSharing.restored(policy.state).trials == 7, "also after a resume"


def test_if_the_measured_memory_cannot_explain_the_error_half_as_many_share_a_gpu() -> None:
    policy = GpuSharing()
    for _ in range(2):
        policy.add_result(1_000, TOTAL)
    policy.add_failure(40, 1_000, TOTAL)
    assert policy.trials == 20


def test_if_a_large_trial_explains_the_error_the_others_share_as_before() -> None:
    policy = GpuSharing()
    for _ in range(2):
        policy.add_result(10_000, TOTAL)
    policy.add_failure(7, 5_000, TOTAL)
    assert policy.trials == 3
    policy.add_result(11_000, TOTAL)
    assert policy.trials == 6


def test_a_trial_that_runs_out_of_memory_alone_says_nothing_about_sharing() -> None:
    policy = GpuSharing()
    for _ in range(10):
        policy.add_result(10_000, TOTAL)
    policy.add_failure(1, 80_000, TOTAL)
    assert policy.trials == 8


def test_without_a_measurement_each_trial_has_a_gpu_to_itself() -> None:
    policy = GpuSharing()
    for _ in range(10):
        policy.add_result(None, 0)
    assert policy.share == 1


@pytest.mark.parametrize("trials", [1, 2, 3, 7, 48, 10_000])
def test_ray_has_room_for_as_many_shares_as_were_planned(trials: int) -> None:
    assert trials_of(share_of(trials)) >= trials
    assert round(share_of(trials) * 10_000) * trials <= 10_000
