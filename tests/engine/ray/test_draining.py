"""Attempts leave machines that are about to leave the cluster."""

from __future__ import annotations

import math
import time
from unittest.mock import Mock

import pytest

from sweep.engine.observer import Observer
from sweep.engine.ray import draining, worker_pool
from sweep.engine.ray.draining import Evacuation
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.messages import Assignment
from tests.engine.ray.test_slot_count import Cluster


class Evacuated(Cluster):
    """A cluster with workers on two machines, of which one can be drained, without Ray.

    Attributes:
        leaving: when each machine leaves.
        moved: the attempts that were told to move.
        killed: the slots whose attempts were killed.
    """

    def __init__(self) -> None:
        super().__init__(4, attempts=None)
        self.leaving: dict[str, float] = {}
        self.moved: list[Assignment] = []
        self.killed: list[Slot] = []
        observer = Mock(spec=Observer, on_note=self.notes.append)
        self.evacuation = Evacuation(
            self.pool,
            lambda: self.leaving,
            self.moved.append,
            lambda slot, *_: self.killed.append(slot),
            observer,
        )
        for number, slot in enumerate(self.pool.slots):
            slot.node_id = "ab"[number % 2]

    def kill(self, slot: Slot, kind: str, reason: str) -> None:
        assert (kind, reason) == ("lost_node", "its machine left the cluster")
        self.killed.append(slot)

    def on(self, node: str) -> list[Slot]:
        return [slot for slot in self.pool.slots if slot.node_id == node]

    def drain(self, node: str, seconds: float = 60) -> None:
        self.leaving[node] = time.time() + seconds
        self.room -= 2
        super().check()
        self.evacuation.check()


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Evacuated:
    monkeypatch.setattr("sweep.engine.ray.slot_count._CHECK_EVERY", 0.0)
    monkeypatch.setattr(draining, "_CHECK_EVERY", 0.0)
    monkeypatch.setattr("ray.kill", Mock())
    monkeypatch.setattr(WorkerPool, "_create_worker", lambda *_: Mock())
    monkeypatch.setattr(worker_pool, "CapacityMonitor", Mock())
    return Evacuated()


def test_attempts_on_a_machine_that_leaves_are_told_to_move_once_and_no_others(machines: Evacuated) -> None:
    machines.assign()
    machines.drain("a")
    machines.evacuation.check()
    assert machines.moved == [slot.assignment for slot in machines.on("a")]
    assert all(slot.must_move == (slot.node_id == "a") for slot in machines.pool.slots)
    assert not machines.killed
    assert machines.notes == [
        "the machines have changed: 2 at once, 4 before",
        "a machine is about to leave the cluster; running trials there (2) move at their next checkpoint",
    ]


def test_slots_of_a_machine_that_leaves_close_when_their_attempts_have_ended(machines: Evacuated) -> None:
    machines.assign()
    machines.drain("a")
    for slot in machines.on("a"):
        assert machines.evacuation.is_leaving(slot)
        machines.pool.kill_worker(slot)  # what the supervisor does before it reports the outcome
        slot.assignment = None
        machines.pool.restart_worker(slot)
    assert [slot.node_id for slot in machines.pool.slots] == ["b", "b"]


def test_idle_workers_on_a_machine_that_leaves_are_replaced_elsewhere(machines: Evacuated) -> None:
    kept = machines.on("b")
    machines.pool.close_slot(kept.pop())  # there is room for one on the other machine
    machines.drain("a")
    assert not machines.moved
    assert not machines.on("a")
    assert machines.on("b") == kept
    assert len(machines.waiting()) == 1


def test_an_attempt_that_is_still_running_when_its_machine_leaves_is_killed(machines: Evacuated) -> None:
    machines.assign()
    machines.drain("a", seconds=-1)
    assert machines.killed == machines.on("a")
    assert not machines.moved


def test_a_machine_that_leaves_at_an_unknown_time_is_waited_for(machines: Evacuated) -> None:
    machines.assign()
    machines.drain("a", seconds=math.inf)
    assert len(machines.moved) == 2
    assert not machines.killed
