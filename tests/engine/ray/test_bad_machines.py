"""Machines on which trials cannot run are left out, without Ray: workers and machines are stand-ins."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from ray.exceptions import ActorDiedError, RayError, RayTaskError, RuntimeEnvSetupError

from sweep.engine.observer import Observer
from sweep.engine.ray import bad_machines, cluster, slot_count, worker_pool
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.draining import Evacuation
from sweep.engine.ray.resources import NODE_ID_LABEL, count_fitting
from sweep.engine.ray.slot_count import SlotCount
from sweep.engine.ray.user_code import CodeMissing, UserCode
from sweep.engine.ray.worker import LoadedWorker, WorkerError
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.errors import EntryError, SweepError, SweepStopped
from sweep.messages import Assignment, Outcome, Progress
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

AT_WORK = Progress({}, None, None, (), 0.0, None, None)


def raised(cause: Exception) -> RayTaskError:
    """What Ray raises if a worker has raised that."""
    text = f"Traceback:\n{type(cause).__name__}: {cause}"
    return RayTaskError("load", text, pickle.loads(pickle.dumps(cause)), "ray::RayWorker", 1, "127.0.0.1")


class Machines:
    """A cluster of machines with two CPUs each, and a sweep of which a trial runs on each CPU.

    Attributes:
        notes: what the user has been told.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str, **resources: Any) -> None:
        self.nodes: list[dict[str, Any]] = []
        monkeypatch.setattr(cluster.ray, "nodes", lambda: self.nodes)
        monkeypatch.setattr(cluster.private, "draining_nodes", dict)
        monkeypatch.setattr(bad_machines, "node_of", lambda worker: worker.node)
        monkeypatch.setattr(worker_pool.ray, "kill", Mock())
        monkeypatch.setattr(worker_pool.ray, "get", lambda loaded: loaded)
        monkeypatch.setattr(worker_pool, "CapacityMonitor", Mock())
        monkeypatch.setattr(slot_count, "_CHECK_EVERY", 0.0)
        monkeypatch.setattr(WorkerPool, "_create_worker", lambda *_: Mock())
        sweep = Mock()
        sweep.spec = SweepSpec.model_validate(
            {
                "name": "demo",
                "objective": "a.py:f",
                "metric": {"name": "loss", "goal": "minimize"},
                "parameters": {"x": {"values": [0, 1]}},
                "resources": resources,
            }
        )
        self.notes: list[str] = []
        observer = Mock(spec=Observer, on_note=self.notes.append)
        for name in names:
            self._add(name)
        self.cluster = RayCluster("127.0.0.1:6379")
        transfer = Mock(is_local=lambda directory: False)
        self.pool = WorkerPool(sweep, 2 * len(names), None, transfer, self.cluster, Mock(), observer, Mock())
        self.count = SlotCount(self.pool, self._room, 1, observer, Mock())
        self.evacuation = Evacuation(self.pool, dict, Mock(), Mock(), observer)
        self.pool.open_slots(None)
        for number, slot in enumerate(self.starting()):
            self.load(slot, names[number // 2])
            slot.assignment = Mock(spec=Assignment)

    def _add(self, name: str) -> None:
        node = {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Alive": True}
        self.nodes.append({**node, "Resources": {"CPU": 2.0}, "Labels": {NODE_ID_LABEL: name}})

    def _room(self) -> int:
        resources = self.pool.resources
        return count_fitting(self.cluster.machines(resources.labels), resources, None)

    def starting(self) -> list[Slot]:
        return [slot for slot in self.pool.slots if slot.is_starting]

    def load(self, slot: Slot, node: str) -> None:
        """The worker of a slot imports the objective."""
        self.pool._on_loaded(slot, LoadedWorker(node, 0, Mock(spec=SweepDirectory)))

    def fail(self, slot: Slot, error: RayError, node: str) -> None:
        """The worker of a slot fails to start."""
        slot.worker.node = node
        self.pool._on_failed_start(slot, error)

    def join(self, name: str) -> list[Slot]:
        """A machine joins; returns the slots whose workers start there."""
        self._add(name)
        self.follow()
        return self.starting()

    def follow(self) -> None:
        self.count.check(AT_WORK)

    def machines(self) -> Counter[str | None]:
        return Counter(slot.node_id for slot in self.pool.slots)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            raised(WorkerError("a.py cannot be imported: No module named 'timm'\n\nTraceback", "bad")),
            "a.py cannot be imported: No module named 'timm'",
        ),
        (RuntimeEnvSetupError("ERROR: No space left"), "runtime_env: ERROR: No space left"),
        (
            ActorDiedError(raised(ModuleNotFoundError("No module named 'sweep'"))),
            "a worker cannot start: ModuleNotFoundError: No module named 'sweep'; run `ray start` in the "
            "environment in which this package is installed",
        ),
    ],
)
def test_a_machine_that_joins_and_cannot_run_trials_is_left_out_and_the_others_run_on(
    error: RayError, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines(monkeypatch, "a", "b")
    for slot in machines.join("bad"):
        machines.fail(slot, error, "bad")
    machines.follow()
    assert machines.notes == [
        "the machines have changed: 6 at once, 4 before",
        f"no more trials start on host-bad: {reason}; the others run on. To use it again, start Ray there "
        "again",
        "the machines have changed: 4 at once, 6 before",
    ]
    assert machines.machines() == {"a": 2, "b": 2}
    selectors = machines.cluster.selectors(machines.pool.resources)
    assert selectors == {NODE_ID_LABEL: "!in(bad)"}


def test_workers_that_die_on_one_machine_leave_it_out_although_others_load_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines(monkeypatch, "a", "b")
    slot, other = machines.join("bad")
    machines.load(other, "b")
    for _ in range(5):
        machines.fail(slot, ActorDiedError(), "bad")
        machines.load(other, "b")
    assert not machines.cluster.left_out
    machines.fail(slot, ActorDiedError(), "bad")
    assert machines.cluster.left_out == {"bad"}
    assert "6 workers in a row died while importing the objective" in machines.notes[-1]


def test_a_machine_without_the_code_is_left_out_if_it_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, "a")
    slot, _ = machines.join("bad")
    monkeypatch.setattr(UserCode, "send", Mock(side_effect=EntryError("runtime_env", "too large")))
    machines.fail(slot, raised(CodeMissing("/home/me")), "bad")
    assert machines.cluster.left_out == {"bad"}


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_what_fails_on_every_machine_ends_the_sweep(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = Machines(monkeypatch, *names)
    slot, *_ = machines.pool.slots
    for name in names[:-1]:
        machines.fail(slot, raised(WorkerError("broken", name)), name)
    with pytest.raises(SweepError, match="broken"):
        machines.fail(slot, raised(WorkerError("broken", names[-1])), names[-1])


def test_before_a_worker_has_imported_the_objective_a_failure_is_that_of_the_objective(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines(monkeypatch)
    slot, *_ = machines.join("a")
    machines.join("b")
    with pytest.raises(SweepError, match="broken"):
        machines.fail(slot, raised(WorkerError("broken", "a")), "a")


def test_a_machine_is_not_left_out_if_the_others_have_no_room_for_all_workers_of_a_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines(monkeypatch, "a", "b", cpu=1, workers=3)
    slot, *_ = machines.pool.slots
    with pytest.raises(SweepError, match="broken"):
        machines.fail(slot, raised(WorkerError("broken", "b")), "b")


def test_trials_on_a_machine_that_is_left_out_run_to_their_end_and_no_others_start_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines(monkeypatch, "a", "b")
    first, second = (slot for slot in machines.pool.slots if slot.node_id == "b")
    machines.fail(first, raised(WorkerError("a library is broken", "b")), "b")
    assert second.assignment is not None
    assert not second.must_move
    assert {slot for slot in machines.pool.slots if machines.evacuation.is_leaving(slot)} == {second}


def full(slot: Slot) -> Outcome:
    return Outcome(7, 1, "disk_full", reason="OSError: [Errno 28] No space left on device")


def test_a_machine_whose_own_disk_is_full_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, "a", "b")
    slot = next(slot for slot in machines.pool.slots if slot.node_id == "b")
    machines.pool.bad_machines.on_disk_full(slot, full(slot), is_local=True)
    assert machines.cluster.left_out == {"b"}
    assert "host-b: OSError: [Errno 28] No space left on device. Free some disk space" in machines.notes[-1]


@pytest.mark.parametrize(
    ("names", "is_local", "was_killed"),
    [(("a",), True, False), (("a", "b"), False, False), (("a", "b"), True, True)],
)
def test_a_full_disk_of_the_sweep_stops_it(
    names: tuple[str, ...], is_local: bool, was_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that fails while it sends files is killed: the disk that they are sent to is full."""
    machines = Machines(monkeypatch, *names)
    slot, *_ = machines.pool.slots
    outcome = replace(full(slot), was_killed=was_killed)
    with pytest.raises(SweepStopped, match="trial 7 is not marked as failed"):
        machines.pool.bad_machines.on_disk_full(slot, outcome, is_local)
