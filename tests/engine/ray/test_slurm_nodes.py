"""What the Slurm jobs of a sweep are told about its work, without Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from sweep.engine.observer import Observer
from sweep.engine.ray import slurm_nodes
from sweep.engine.ray.engine import RayEngine
from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.slurm_nodes import SlurmNodes
from sweep.engine.slurm.jobs import JobNode
from sweep.engine.slurm.options import SlurmOptions
from sweep.errors import EntryError, SweepStopped
from sweep.messages import Progress
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory


class Jobs:
    """In place of `SlurmJobs`: remembers what it was told."""

    def __init__(self, *arguments: object) -> None:
        self.attempts = math.nan
        self.nodes: Mapping[str, JobNode] = {}

    def update(self, attempts: float, nodes: Mapping[str, JobNode]) -> list[str]:
        self.attempts, self.nodes = attempts, nodes
        return ["a note"]


class Cluster:
    """A sweep whose machines are given."""

    def __init__(self, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> None:
        self.machines: list[dict[str, Any]] = []
        self.notes: list[str] = []
        monkeypatch.setattr(slurm_nodes, "SlurmJobs", Jobs)
        monkeypatch.setattr(slurm_nodes.ray, "nodes", lambda: self.machines)
        observer = Mock(spec=Observer, on_note=self.notes.append)
        sweep = Mock(directory=directory)
        sweep.spec = make_spec(**keys)
        self.resources = WorkerResources.of(sweep.spec.resources)
        self.nodes = SlurmNodes(sweep, SlurmOptions(), observer, 30.0)

    def join(self, node: str, job: str | None, **resources: float) -> None:
        labels = {} if job is None else {"sweep-slurm-job": job}
        self.machines.append({"NodeID": node, "Alive": True, "Labels": labels, "Resources": resources})

    def check(self, progress: Progress | None = None, workers: Any = (), is_stopping: bool = False) -> Jobs:
        slots = [Mock(nodes=(node,), worker=object()) for node in workers]
        self.nodes._next_check = 0.0
        pool = Mock(slots=slots, resources=self.resources)
        self.nodes.check(progress, pool, is_stopping)
        jobs = self.nodes._jobs
        assert isinstance(jobs, Jobs)
        return jobs


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"values": [0, 1]}},
            **keys,
        }
    )


def test_the_jobs_learn_which_machines_they_have_contributed(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(directory, monkeypatch, resources={"cpu": 2})
    cluster.join("head", None)
    cluster.join("a", "17", CPU=4.0)
    cluster.join("b", "18", CPU=2.0)
    cluster.join("gone", "19", CPU=2.0)
    cluster.machines[-1]["Alive"] = False
    jobs = cluster.check(workers=["a", "a", None])
    assert jobs.nodes == {"17": JobNode(2, 2), "18": JobNode(1, 0)}
    assert cluster.notes == ["a note"]


def test_the_work_is_what_is_left_and_may_run_at_once(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = Mock(spec=Progress, stopped_by=None, total=20, finished=15)
    assert Cluster(directory, monkeypatch).check().attempts == math.inf
    assert Cluster(directory, monkeypatch, max_parallel=4).check().attempts == 4
    limited = Cluster(directory, monkeypatch, stop={"trials": 20})
    assert limited.check().attempts == 20
    assert limited.check(progress).attempts == 5
    assert limited.check(progress, is_stopping=True).attempts == 0
    assert limited.check(Mock(spec=Progress, stopped_by="hours")).attempts == 0
    gangs = Cluster(directory, monkeypatch, resources={"workers": 2}, max_parallel=3)
    assert gangs.check().attempts == 6


def test_a_job_has_room_for_as_many_trials_as_share_its_gpus_now(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(directory, monkeypatch, resources={"gpu": "auto"})
    cluster.join("a", "17", CPU=4.0, GPU=1.0)
    assert cluster.check().nodes["17"].slots == 1
    cluster.resources = replace(cluster.resources, gpu=0.25)
    assert cluster.check().nodes["17"].slots == 4


def test_a_job_that_is_too_small_for_a_trial_is_an_error(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(directory, monkeypatch, resources={"cpu": 2, "gpu": 0.5})
    cluster.join("a", "17", CPU=4.0)
    message = "Slurm job 17 has cpu: 4, gpu: 0, and a trial needs cpu: 2, gpu: 0.5; request more with"
    with pytest.raises(SweepStopped, match=message):
        cluster.check()


def test_jobs_that_together_are_too_small_for_a_trial_are_an_error(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(directory, monkeypatch, resources={"workers": 9})
    for number in range(8):
        cluster.check()
        cluster.join(f"node-{number}", str(number), CPU=1.0)
    with pytest.raises(SweepStopped, match="have room for 8 workers at once, and a trial has 9; allow more"):
        cluster.check()


def test_a_sweep_can_start_before_a_job_runs_if_a_job_can_have_what_it_requires() -> None:
    engine = RayEngine(slurm=SlurmOptions())
    assert engine.slots(make_spec(resources={"cpu": 64, "gpu": 0.5})) >= 1
    assert engine.slots(make_spec(resources={"cpu": 0}, max_parallel=3)) == 3
    assert engine.slots(make_spec(resources={"gpu": 4, "workers": 2})) == 1
    with pytest.raises(EntryError, match="set max_parallel"):
        engine.slots(make_spec(resources={"cpu": 0}))
    with pytest.raises(EntryError, match="choose machines with --slurm-args"):
        engine.slots(make_spec(resources={"custom": {"a100": 1}}))
