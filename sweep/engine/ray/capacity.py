"""Resources: how many trials fit on the machines, and whether workers and an objective's tasks get them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from sweep.engine.observer import Observer
from sweep.engine.ray.private import waiting_demands
from sweep.errors import EntryError
from sweep.sweepfile.model import Resources

CHECK_EVERY = 10.0  # seconds
_CHECK_TASKS_EVERY = 3.0  # seconds
_LONGEST_START = 60.0
"""How long a worker may take to start once it has its resources, in seconds."""
_UNITS = 10_000
"""Ray counts resources in units of 1/10,000. With floats 0.1 + 0.2 would be more than 0.3."""


def count_slots(
    machines: Sequence[Mapping[str, float]],
    resources: Resources,
    max_parallel: int | None,
    limit: str = "",
) -> int:
    """Count how many trials can run at the same time.

    Args:
        machines: the resources of each machine by Ray's names (`CPU`, `GPU`).
        resources: what one trial requires.
        max_parallel: the upper limit; None for no limit.
        limit: why a machine has fewer resources than the user may expect, for the message.

    Raises:
        EntryError: no machine has the resources for a trial, or trials require none and there is no limit.
    """
    if resources.cpu == 0 and resources.gpu == 0:
        if max_parallel is None:
            raise EntryError(
                "resources", "a trial requires no resources; set max_parallel to limit how many run at once"
            )
        return max_parallel
    slots = sum(_count_on(machine, resources) for machine in machines)
    if slots == 0:
        largest = max(machines, key=lambda machine: (machine.get("GPU", 0.0), machine.get("CPU", 0.0)))
        raise EntryError(
            "resources",
            f"no machine has cpu: {resources.cpu:g}, gpu: {resources.gpu:g} for a trial; "
            f"the largest has cpu: {largest.get('CPU', 0.0):g}, gpu: {largest.get('GPU', 0.0):g}{limit}",
        )
    return slots if max_parallel is None else min(slots, max_parallel)


def _count_on(machine: Mapping[str, float], resources: Resources) -> int:
    limits = []
    if resources.cpu > 0:
        limits.append(_units(machine.get("CPU", 0.0)) // _units(resources.cpu))
    if resources.gpu >= 1:
        limits.append(int(machine.get("GPU", 0.0)) // int(resources.gpu))
    elif resources.gpu > 0:  # a fraction is never split between two GPUs
        limits.append(int(machine.get("GPU", 0.0)) * (_UNITS // _units(resources.gpu)))
    return min(limits)


def _units(amount: float) -> int:
    return max(1, round(amount * _UNITS)) if amount > 0 else 0


class CapacityMonitor:
    """Notifies the user, once, if no worker can start because other jobs use the cluster's resources.

    Ray itself would wait forever without a message.

    Args:
        resources: what each worker requires.
        observer: receives the message.
    """

    def __init__(self, resources: Resources, observer: Observer) -> None:
        self._resources = resources
        self._observer = observer
        self._starting: list[Any] = []
        """A call to each worker. It returns when the worker's process runs, before any import."""
        now = time.monotonic()
        self._next_check = now + CHECK_EVERY
        # Ray reserves the resources of a worker before it starts the process. If there were enough resources
        # at first, they may be reserved for this sweep's own workers.
        self._notify_from = now if self._shortage() else now + _LONGEST_START

    def add_worker(self, worker: Any) -> None:
        """Watch the start of a worker."""
        if self._next_check < math.inf:
            self._starting.append(worker.__ray_ready__.remote())

    def check(self) -> None:
        """Notify the user if no worker has started. Called regularly."""
        now = time.monotonic()
        if now < self._next_check or not self._starting:
            return
        self._next_check = now + CHECK_EVERY
        if ray.wait(self._starting, timeout=0)[0]:
            self._next_check = math.inf
        elif now >= self._notify_from and (shortage := self._shortage()):
            self._observer.on_note(shortage)
            self._next_check = math.inf

    def _shortage(self) -> str:
        """A message about missing resources; empty if there are enough."""
        free = ray.available_resources()
        cpu, gpu = free.get("CPU", 0.0), free.get("GPU", 0.0)
        needed = self._resources
        if cpu >= needed.cpu and gpu >= needed.gpu:
            return ""
        return (
            f"waiting for resources: each trial needs cpu: {needed.cpu:g}, gpu: {needed.gpu:g}, and this Ray "
            f"cluster has cpu: {cpu:g}, gpu: {gpu:g} free; trials start when its other jobs have finished"
        )


class TaskMonitor:
    """Notifies the user, once, if Ray tasks wait for what the workers of the sweep hold.

    They can be tasks of the objective, which then waits forever: Ray itself does not say so.

    Args:
        worker: the resources of a worker by Ray's names.
        machines: returns the resources of each machine by its Ray node ID.
        observer: receives the message.
    """

    def __init__(
        self,
        worker: Mapping[str, float],
        machines: Callable[[], Mapping[str, Mapping[str, float]]],
        observer: Observer,
    ) -> None:
        self._worker = worker
        self._machines = machines
        self._observer = observer
        self._next_check = 0.0
        self._seen: list[str] = []

    def check(self, workers: Sequence[str | None]) -> None:
        """Check whether tasks wait. Called regularly.

        Args:
            workers: the node of each worker; None for one that is starting, and waits for resources itself.
        """
        now = time.monotonic()
        if now < self._next_check or None in workers:
            return
        self._next_check = now + _CHECK_TASKS_EVERY
        try:
            waiting = [note for demand in waiting_demands() if (note := self._problem(demand, workers))]
        except Exception:  # noqa: BLE001 - of private parts of Ray; the sweep does not depend on it
            self._next_check = math.inf
            return
        for note in waiting:
            if note in self._seen:  # not only for a moment
                self._observer.on_note(note)
                self._next_check = math.inf
                return
        self._seen = waiting

    def _problem(self, demand: Mapping[str, float], workers: Sequence[str | None]) -> str:
        """Why a demand cannot be satisfied while the workers of the sweep are alive; empty if it can."""
        machines = self._machines()
        free = [
            {name: total - self._worker.get(name, 0.0) * workers.count(node) for name, total in has.items()}
            for node, has in machines.items()
        ]
        if any(_fits(demand, has) for has in free):
            return ""
        needed = ", ".join(f"{name.lower()}: {amount:g}" for name, amount in demand.items())
        if any(_fits(demand, has) for has in machines.values()):
            cause = "the trials hold all of it; let fewer trials run at once: -p N (in Python max_parallel=N)"
        else:
            cause = "no machine has that"
        return f"a Ray task, which the objective may have started, waits for {needed}, and {cause}"


def _fits(demand: Mapping[str, float], free: Mapping[str, float]) -> bool:
    return all(_units(amount) <= _units(free.get(name, 0.0)) for name, amount in demand.items())
