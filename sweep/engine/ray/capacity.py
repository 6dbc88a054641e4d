"""Tells the user if workers, or the tasks of an objective, do not get the resources that they require."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.engine.observer import Observer
from sweep.engine.ray.private import has_started, waiting_demands
from sweep.engine.ray.resources import WorkerResources, describe, units

if TYPE_CHECKING:
    from sweep.engine.ray.cluster import RayCluster

CHECK_EVERY = 10.0  # seconds
_CHECK_TASKS_EVERY = 3.0  # seconds
_LONGEST_START = 60.0
"""How long a worker may take to start once it has its resources, in seconds."""


class CapacityMonitor:
    """Notifies the user if a sweep stands still because no machine has the resources for a worker.

    Other jobs can use them, or the machines have left. Ray itself would wait forever without a message.

    Args:
        resources: what each worker requires.
        cluster: the connection to Ray.
        observer: receives the message, once for each time that the sweep stands still.
    """

    def __init__(self, resources: WorkerResources, cluster: RayCluster, observer: Observer) -> None:
        self._resources = resources
        self._cluster = cluster
        self._observer = observer
        self._had_room = True
        self._stands_still = False
        self._begin()

    def _begin(self) -> None:
        """The sweep stands still from now on, until a worker has started."""
        now = time.monotonic()
        self._stands_still = True
        self._next_check = now + CHECK_EVERY
        # Ray reserves the resources of a worker before it starts the process. If there were enough resources
        # at first, or a machine has joined, they may be reserved for this sweep's own workers.
        had_room, self._had_room = self._had_room, self._has_room()
        is_known = (had_room or not self._had_room) and self._shortage()
        self._notify_from = now if is_known else now + _LONGEST_START

    def check(self, starting: Sequence[Any]) -> None:
        """Notify the user if no worker can start. Called regularly.

        Args:
            starting: the workers, if all of them are starting; empty if the sweep does not stand still.
        """
        if not starting:
            self._stands_still = False
        elif not self._stands_still:
            self._begin()
        elif (now := time.monotonic()) >= self._next_check:
            self._next_check = now + CHECK_EVERY
            if self._has_room() != self._had_room:
                self._begin()
            elif now >= self._notify_from and not has_started(starting) and (shortage := self._shortage()):
                self._observer.on_note(shortage)
                self._next_check = math.inf

    def _has_room(self) -> bool:
        """Whether a machine has enough resources, other jobs aside."""
        return self._is_enough(self._cluster.machines(self._resources.labels))

    def _is_enough(self, machines: Iterable[Mapping[str, float]]) -> bool:
        needed = self._cluster.ray_resources(self._resources)
        return sum(_count(needed, has) for has in machines) >= self._resources.workers

    def _shortage(self) -> str:
        """A message about missing resources; empty if a machine has enough."""
        machines = self._cluster.machines_by_node(self._resources.labels)
        waits = f"waiting for resources: each trial needs {self._resources}, and"
        if not self._has_room():
            return f"{waits} no machine of this Ray cluster has that now; trials start when one has joined"
        free = {node: has for node, has in self._cluster.free_resources().items() if node in machines}
        if self._is_enough(free.values()):
            return ""
        names = self._resources.by_name
        amounts = [{name: has.get(name, 0.0) for name in names} for has in free.values()]
        most = max(amounts, key=lambda has: list(has.values())[::-1], default=dict.fromkeys(names, 0.0))
        where = " on one machine" if len(machines) > 1 else ""
        return (
            f"{waits} this Ray cluster has {describe(most)} free{where}; "
            "trials start when its other jobs have finished"
        )


def _count(needed: Mapping[str, float], has: Mapping[str, float]) -> float:
    """For how many workers something is enough."""
    counts = [units(has.get(name, 0.0)) // units(amount) for name, amount in needed.items() if amount > 0]
    return min(counts, default=math.inf)


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
        if any(fits(demand, has) for has in free):
            return ""
        needed = ", ".join(f"{name.lower()}: {amount:g}" for name, amount in demand.items())
        if any(fits(demand, has) for has in machines.values()):
            cause = "the trials hold all of it; let fewer trials run at once: -p N (in Python max_parallel=N)"
        else:
            cause = "no machine has that"
        return f"a Ray task, which the objective may have started, waits for {needed}, and {cause}"


def fits(demand: Mapping[str, float], free: Mapping[str, float]) -> bool:
    return all(units(amount) <= units(free.get(name, 0.0)) for name, amount in demand.items())
