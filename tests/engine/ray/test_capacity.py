"""Notes about workers and tasks that wait for resources."""

from __future__ import annotations

from typing import Any

import pytest

import sweep
from sweep.engine.observer import Observer
from sweep.engine.ray import capacity
from sweep.engine.ray.capacity import CapacityMonitor, TaskMonitor
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.resources import WorkerResources
from tests.commands import call
from tests.conftest import MakeSweep


@pytest.mark.parametrize(
    ("address", "visible", "expected"),
    [
        (None, "", "; the environment has CUDA_VISIBLE_DEVICES=''"),
        (None, "1", "; the environment has CUDA_VISIBLE_DEVICES='1'"),
        (None, None, ""),
        ("auto", "", ""),
    ],
)
def test_the_variable_that_hides_gpus_of_this_machine_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str | None, visible: str | None, expected: str
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    cluster = RayCluster(address)
    monkeypatch.setattr(cluster, "_daemons", ["a daemon of a Ray that the sweep has started"])
    assert cluster.gpu_limit() == expected


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("demand", "workers", "note"),
    [
        ({"CPU": 1.0}, "aabb", "cpu: 1, and the trials hold all of it; let fewer trials run at once: -p N"),
        ({"CPU": 1.0}, "aa", ""),
        ({"CPU": 1.0}, "", ""),
        ({"CPU": 4.0}, "a", ""),  # of another job: it runs when others have finished
        ({"CPU": 4.0}, "ab", "cpu: 4, and the trials hold all of it"),
        ({"GPU": 1.0}, "a", "gpu: 1, and no machine has that"),
    ],
)
def test_tasks_that_wait_for_what_workers_hold_are_noted_once(
    demand: dict[str, float], workers: str, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "_CHECK_TASKS_EVERY", 0.0)
    monkeypatch.setattr(capacity, "waiting_demands", lambda: [demand])
    observer = Notes()
    monitor = TaskMonitor({"CPU": 2, "GPU": 0}, lambda: {"a": {"CPU": 4.0}, "b": {"CPU": 4.0}}, observer)
    monitor.check([*workers, None])  # a worker that is starting waits itself
    monitor.check([*workers])
    assert observer.notes == [], "it may wait for a moment only"
    for _ in range(3):
        monitor.check([*workers])
    assert len(observer.notes) == bool(note)
    assert all(note in text for text in observer.notes)


NESTED = """
import ray

@ray.remote
def double(x):
    return 2 * x

@ray.remote
class Adder:
    def add(self, x):
        return ray.get(double.remote(x)) + 1

def train(trial):
    return float(ray.get(Adder.remote().add.remote(trial.params.x)))
"""


@pytest.mark.ray
def test_an_objective_runs_ray_tasks_and_actors_while_trials_hold_all_cores(make_sweep: MakeSweep) -> None:
    call("run", make_sweep(NESTED, stop={"trials": 4}), env={"RAY_ADDRESS": ""})
    trials = sweep.load("demo").trials
    assert [trial.value for trial in trials] == [2 * trial.params["x"] + 1 for trial in trials]


@pytest.mark.usefixtures("ray_cluster")
def test_on_a_shared_ray_a_task_that_cannot_run_is_noted(make_sweep: MakeSweep) -> None:
    code = """
    import ray

    def train(trial):
        ready, _ = ray.wait([ray.remote(lambda: 1).remote()], timeout=20)
        return len(ready)
    """
    notes = Notes()
    file = make_sweep(code, resources={"cpu": 4}, stop={"trials": 2})
    result = sweep.run(file, observer=notes)
    assert [trial.value for trial in result.trials] == [0.0, 0.0]
    (note,) = [note for note in notes.notes if "Ray task" in note]
    assert "waits for cpu: 1, and the trials hold all of it" in note


class Machines:
    """A cluster of machines with CPUs, of which other jobs and the sweep's workers hold some."""

    def __init__(self, total: dict[str, float], free: dict[str, float]) -> None:
        self.total = {node: {"CPU": cpus} for node, cpus in total.items()}
        self.free = {node: {"CPU": cpus} for node, cpus in free.items()}

    def ray_resources(self, resources: WorkerResources) -> dict[str, float]:
        return resources.by_name

    def machines(self, labels: object) -> list[dict[str, float]]:
        return list(self.total.values())

    def machines_by_node(self, labels: object) -> dict[str, dict[str, float]]:
        return self.total

    def free_resources(self) -> dict[str, dict[str, float]]:
        return self.free


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "CHECK_EVERY", 0.0)
    monkeypatch.setattr(capacity, "has_started", lambda workers: "started" in workers)


@pytest.mark.usefixtures("waits")
def test_a_sweep_that_stands_still_says_what_it_waits_for_once_each_time() -> None:
    observer = Notes()
    cluster: Any = Machines({"a": 4, "b": 4}, {"a": 1, "b": 0})
    monitor = CapacityMonitor(WorkerResources(2, 0), cluster, observer)
    for _ in range(3):
        monitor.check(["worker"])
    (note,) = observer.notes
    assert (
        "each trial needs cpu: 2, gpu: 0, and this Ray cluster has cpu: 1, gpu: 0 free on one machine" in note
    )
    monitor.check([])  # a worker has started
    cluster.total = {}  # later all machines leave
    for _ in range(3):
        monitor.check(["worker"])
    assert observer.notes[1:] == [
        "waiting for resources: each trial needs cpu: 2, gpu: 0, and no machine of this Ray cluster has that "
        "now; trials start when one has joined"
    ]


@pytest.mark.usefixtures("waits")
def test_a_worker_that_has_its_resources_is_not_said_to_wait() -> None:
    observer = Notes()
    cluster: Any = Machines({"a": 4}, {"a": 4})
    monitor = CapacityMonitor(WorkerResources(4, 0), cluster, observer)
    cluster.free = {"a": {"CPU": 0.0}}  # Ray has reserved them for the worker, whose process starts
    monitor.check(["worker"])
    cluster.total = {}
    monitor.check(["worker"])
    cluster.total = {"a": {"CPU": 4.0}}  # a machine has joined, and Ray has reserved it at once
    monitor.check(["worker"])
    monitor.check(["worker"])
    monitor.check(["started"])
    assert observer.notes == []
