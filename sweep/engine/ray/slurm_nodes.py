"""`SlurmNodes`: Slurm jobs give a sweep's Ray its machines."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace

import ray

from sweep.engine.base import PreparedSweep
from sweep.engine.observer import Observer
from sweep.engine.ray import private_authentication
from sweep.engine.ray.job_agent import JOB_LABEL
from sweep.engine.ray.resources import WorkerResources, count_fitting, describe
from sweep.engine.ray.slot_count import attempts_left
from sweep.engine.ray.worker_pool import WorkerPool
from sweep.engine.slurm.head import Head
from sweep.engine.slurm.jobs import JobNode, SlurmJobs
from sweep.engine.slurm.options import SlurmOptions
from sweep.errors import SweepStopped
from sweep.messages import Progress

_CHECK_EVERY = 0.5  # seconds


class SlurmNodes:
    """Has jobs submitted while there is work for them.

    Args:
        sweep: the sweep.
        options: how many jobs there may be, and what they request.
        observer: receives the notes about the jobs.
        notice: how long trials have to reach a checkpoint before a job ends, in seconds.
    """

    def __init__(
        self, sweep: PreparedSweep, options: SlurmOptions, observer: Observer, notice: float
    ) -> None:
        self._spec = sweep.spec
        self._directory = sweep.directory
        self._observer = observer
        self._notice = notice
        self._options = options
        self._jobs = SlurmJobs(sweep.directory, options, sweep.spec.resources)
        self._next_check = 0.0

    def open(self) -> None:
        """Let jobs join this Ray, and submit the first one.

        Raises:
            InputError: Slurm does not accept it.
        """
        self._directory.jobs.mkdir(exist_ok=True)
        address = str(ray.get_runtime_context().gcs_address)
        Head(address, private_authentication.current_token(), self._notice).write(self._directory.head)
        self._jobs.start(self._wanted_workers(None))
        if note := self._options.note_on_sharing(self._spec.resources):
            self._observer.on_note(note)

    def close(self) -> None:
        """Cancel the jobs."""
        self._directory.head.unlink(missing_ok=True)
        if failure := self._jobs.close():
            self._observer.on_note(failure)

    def check(self, progress: Progress | None, pool: WorkerPool, is_stopping: bool) -> None:
        """Follow the sweep and its machines. Called regularly.

        Args:
            progress: the state of the sweep; None if the controller is not ready.
            pool: the slots of the sweep.
            is_stopping: whether no more trials are started.

        Raises:
            SweepError: the jobs cannot run trials.
        """
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_EVERY
        workers = Counter(node for slot in pool.slots if slot.worker is not None for node in slot.nodes)
        nodes = {}
        for node in ray.nodes():
            if node["Alive"] and (job := node["Labels"].get(JOB_LABEL)):
                nodes[job] = JobNode(
                    self._count_workers(job, node["Resources"], pool.resources), workers[node["NodeID"]]
                )
        room = sum(node.slots for node in nodes.values())
        if len(nodes) == self._options.most and room < self._spec.resources.workers:
            raise SweepStopped(
                f"the Slurm jobs have room for {room} workers at once, and a trial has "
                f"{self._spec.resources.workers}; allow more jobs (--nodes) or larger ones (--slurm-args)"
            )
        for note in self._jobs.update(0 if is_stopping else self._wanted_workers(progress), nodes):
            self._observer.on_note(note)

    def _wanted_workers(self, progress: Progress | None) -> float:
        """How many workers could run at once; infinity if that is unknown."""
        repeats = len(self._spec.run_labels)
        if progress is not None:
            left = attempts_left(progress, repeats)
        else:
            left = None if self._spec.stop.trials is None else self._spec.stop.trials * repeats
        limits = [limit for limit in (left, self._spec.max_parallel) if limit is not None]
        return min(limits, default=math.inf) * self._spec.resources.workers

    def _count_workers(self, job: str, has: dict[str, float], resources: WorkerResources) -> int:
        resources = replace(resources, workers=1)
        limit = self._spec.max_parallel and self._spec.max_parallel * self._spec.resources.workers
        slots = count_fitting([has], resources, limit)
        if slots == 0:
            needed = resources.by_name
            offered = {name: has.get(name, 0.0) for name in needed}
            raise SweepStopped(
                f"Slurm job {job} has {describe(offered)}, and a trial needs {describe(needed)}; request "
                "more with --slurm-args, for example --slurm-args='--cpus-per-task=4 --gres=gpu:1'"
            )
        return slots
