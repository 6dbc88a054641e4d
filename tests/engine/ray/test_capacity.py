"""How many trials fit on the machines of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

import sweep
from sweep.engine.observer import Observer
from sweep.engine.ray import capacity
from sweep.engine.ray.capacity import TaskMonitor, count_slots
from sweep.engine.ray.cluster import RayCluster
from sweep.errors import InputError
from sweep.sweepfile.model import Resources
from tests.commands import call
from tests.conftest import MakeSweep

TWO_MACHINES = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 3.0}]


@pytest.mark.parametrize(
    ("machines", "resources", "limit", "slots"),
    [
        (TWO_MACHINES, {}, None, 11),
        (TWO_MACHINES, {"cpu": 2}, None, 5),
        (TWO_MACHINES, {"cpu": 0.25}, None, 44),
        (TWO_MACHINES, {"gpu": 1}, None, 4),
        (TWO_MACHINES, {"gpu": 0.5}, None, 8),
        (TWO_MACHINES, {"gpu": 0.3, "cpu": 0}, None, 12),
        (TWO_MACHINES, {"gpu": 0.7}, None, 4),
        (TWO_MACHINES, {"gpu": 2}, None, 2),
        (TWO_MACHINES, {"gpu": 0.5, "cpu": 4}, None, 2),
        (TWO_MACHINES, {}, 3, 3),
        ([{"CPU": 1.0}], {"cpu": 0.1}, None, 10),
        ([{}], {"cpu": 0}, 5, 5),
    ],
)
def test_slots_follow_the_resources(
    machines: list[dict[str, float]], resources: dict[str, Any], limit: int | None, slots: int
) -> None:
    assert count_slots(machines, Resources(**resources), limit) == slots


def test_a_trial_that_fits_on_no_machine_is_an_error() -> None:
    with pytest.raises(
        InputError, match="no machine has cpu: 1, gpu: 8 for a trial; the largest has cpu: 8, gpu: 4"
    ):
        count_slots(TWO_MACHINES, Resources(gpu=8), None)
    with pytest.raises(InputError, match="set max_parallel to limit how many run at once"):
        count_slots(TWO_MACHINES, Resources(cpu=0), None)


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
