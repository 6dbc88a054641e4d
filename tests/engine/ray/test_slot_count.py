"""The slots of a sweep follow the machines of its cluster, without Ray: workers are stand-ins."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import Mock

import pytest

from sweep.engine.observer import Observer
from sweep.engine.ray import slot_count, worker_pool
from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.slot_count import SlotCount
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.messages import Assignment, Progress
from sweep.sweepfile import SweepSpec


class Cluster:
    """A cluster and a sweep on it.

    Attributes:
        room: for how many workers its machines have room.
        notes: what the user has been told.
        counts: the numbers of slots that the controller was told.
    """

    def __init__(self, room: int, attempts: int | None) -> None:
        self.room = room
        self.notes: list[str] = []
        self.counts: list[int] = []
        spec = SweepSpec.model_validate(
            {
                "name": "demo",
                "objective": "a.py:f",
                "metric": {"name": "loss", "goal": "minimize"},
                "parameters": {"x": {"values": [0, 1]}},
            }
        )
        sweep = Mock()
        sweep.spec = spec
        cluster = Mock(cores=lambda: 100, ray_resources=lambda resources: {"CPU": 1, "GPU": 0})
        observer = Mock(spec=Observer, on_note=self.notes.append)
        self.pool = WorkerPool(sweep, room, None, Mock(), cluster, Mock(), observer, Mock())
        self.count = SlotCount(self.pool, lambda: self.room, 1, observer, self.counts.append)
        self.pool.open_slots(attempts)
        self.start_workers()

    def start_workers(self) -> None:
        """The workers start for which there is room."""
        running = sum(not slot.is_starting for slot in self.pool.slots)
        for slot in self.waiting()[: max(0, self.room - running)]:
            slot.node_id = "node"

    def waiting(self) -> list[Slot]:
        return [slot for slot in self.pool.slots if slot.is_starting]

    def assign(self) -> None:
        """Each worker executes an attempt."""
        for number, slot in enumerate(self.pool.slots):
            slot.assignment = Mock(spec=Assignment, number=number)

    def lose(self, count: int) -> list[Slot]:
        """A machine leaves with some workers. The slots of those are returned, after their attempts."""
        self.room -= count
        lost = list(self.pool.slots)[:count]
        for slot in lost:
            slot.worker = slot.node_id = slot.assignment = None
        return lost

    def check(self, finished: int = 0, total: int | None = None, stopped_by: str | None = None) -> None:
        counts = {"complete": finished, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
        self.count.check(Progress(counts, total, None, (), 0.0, None, stopped_by))


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_count, "_CHECK_EVERY", 0.0)
    monkeypatch.setattr(worker_pool.ray, "kill", Mock())
    monkeypatch.setattr(WorkerPool, "_create_worker", lambda *_: Mock())
    monkeypatch.setattr(worker_pool, "CapacityMonitor", Mock())


def test_a_machine_that_joins_gets_slots() -> None:
    cluster = Cluster(2, attempts=None)
    cluster.room = 5
    cluster.check()
    assert len(cluster.pool.slots) == 5
    assert cluster.counts == [5]
    assert cluster.notes == ["the machines have changed: 5 at once, 2 before"]
    cluster.check()
    assert len(cluster.notes) == 1


@pytest.mark.parametrize(
    ("state", "slots"), [({"total": 10, "finished": 7}, 3), ({"total": 2}, 2), ({"stopped_by": "target"}, 2)]
)
def test_no_slot_opens_for_which_there_is_no_work(state: dict[str, Any], slots: int) -> None:
    cluster = Cluster(2, attempts=None)
    cluster.room = 5
    cluster.check(**state)
    assert len(cluster.pool.slots) == slots


def test_the_slots_of_a_machine_that_leaves_are_closed_and_no_others() -> None:
    cluster = Cluster(5, attempts=None)
    cluster.assign()
    lost = cluster.lose(2)
    cluster.pool.restart_worker(lost[0])  # before the loss of the machine is seen
    cluster.check()
    cluster.pool.restart_worker(lost[1])  # after it
    assert len(cluster.pool.slots) == 3
    assert not cluster.waiting()
    assert cluster.pool.slots.isdisjoint(lost)


def test_without_a_machine_one_slot_waits_for_the_next_one() -> None:
    cluster = Cluster(3, attempts=None)
    for slot in cluster.lose(3):
        cluster.pool.restart_worker(slot)
    cluster.check()
    assert len(cluster.waiting()) == len(cluster.pool.slots) == 1
    cluster.room = 2
    cluster.check()
    cluster.start_workers()
    assert len(cluster.pool.slots) == 2
    assert not cluster.waiting()


def test_slots_that_closed_for_lack_of_work_stay_closed() -> None:
    cluster = Cluster(4, attempts=None)
    cluster.pool.close_idle_slots()
    cluster.check()
    assert not cluster.pool.slots


def growing(room: int, max_parallel: int | None = None) -> Cluster:
    cluster = Cluster(room, attempts=None)
    cluster.count._growth_limit = math.inf if max_parallel is None else max_parallel
    return cluster


def test_as_many_workers_wait_for_machines_of_an_autoscaler_as_there_are_slots() -> None:
    cluster = growing(2)
    cluster.check()
    assert (len(cluster.pool.slots), len(cluster.waiting())) == (4, 2)
    assert cluster.notes == [], "the number of slots has not changed"
    cluster.room = 4  # it has added a machine, on which those start that have waited
    cluster.start_workers()
    cluster.check()
    assert (len(cluster.pool.slots), len(cluster.waiting())) == (8, 4)
    assert cluster.counts == [4]


def test_workers_that_share_a_gpu_wait_for_machines_of_an_autoscaler_too() -> None:
    cluster = growing(2)
    cluster.pool.resources = WorkerResources(1.0, 0.5)
    cluster.pool._cluster.ray_resources = lambda resources: {"CPU": 1, "GPU": resources.gpu}
    cluster.pool._cluster.machines = lambda labels: [{"CPU": 2.0, "GPU": 1.0}]
    cluster.check()
    assert len(cluster.waiting()) == 2


@pytest.mark.parametrize(
    ("machine", "room", "opened"),
    [({"CPU": 64.0, "GPU": 8.0}, 16, 16), ({"CPU": 128.0, "GPU": 8.0}, 32, 29), ({}, 1, 1)],
)
def test_a_larger_share_of_a_gpu_keeps_slots_closed_only_if_gpus_are_what_limits_them(
    machine: dict[str, float], room: int, opened: int
) -> None:
    cluster = Cluster(room, attempts=0)
    pool = cluster.pool
    pool.resources = WorkerResources(4.0, 0.25)
    pool._cluster.ray_resources = lambda resources: {"CPU": resources.cpu, "GPU": resources.gpu}
    pool._cluster.machines = lambda labels: [machine] if machine else []
    if machine:
        pool.slots.add(Slot(WorkerResources(4.0, 1.0), worker=Mock(), node_id="node", held_gpu=1.0))
    pool.extend(room)
    assert len(pool.slots) == opened


@pytest.mark.parametrize(
    ("max_parallel", "total", "slots"), [(3, None, 3), (None, 3, 3), (2, 9, 2), (9, 2, 2)]
)
def test_no_more_workers_wait_than_there_is_work_for(
    max_parallel: int | None, total: int | None, slots: int
) -> None:
    cluster = growing(2, max_parallel)
    cluster.check(total=total)
    assert len(cluster.pool.slots) == slots


def test_workers_stop_waiting_when_less_work_is_left_or_machines_leave() -> None:
    cluster = growing(4)
    cluster.check(total=20)
    assert len(cluster.waiting()) == 4
    cluster.check(total=20, finished=15)
    assert len(cluster.waiting()) == 1
    cluster.check(total=20, finished=16)
    assert not cluster.waiting()


def test_without_any_machine_one_worker_is_enough_for_an_autoscaler_to_begin() -> None:
    cluster = growing(1)
    for slot in cluster.lose(1):
        cluster.pool.restart_worker(slot)
    cluster.check()
    assert len(cluster.waiting()) == len(cluster.pool.slots) == 1
