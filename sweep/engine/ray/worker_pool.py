"""The pool of Ray workers: one worker per slot, started, replaced and killed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from sweep.engine.base import PreparedSweep
from sweep.engine.observer import Observer
from sweep.engine.ray.capacity import CapacityMonitor, TaskMonitor
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.pending import PendingCalls
from sweep.engine.ray.private import cause_of_death, constructor_error
from sweep.engine.ray.worker import RayWorker
from sweep.engine.threads import chosen_threads
from sweep.errors import SweepError
from sweep.messages import Assignment

_MAX_FAILED_STARTS = 6


@dataclass(eq=False)
class Slot:
    """A place for one attempt at a time.

    Attributes:
        worker: the handle of its worker; None while it has none.
        node_id: Ray's ID of the worker's machine; None until the worker has started.
        oom_kills: how many processes the kernel of that machine had killed before the current attempt.
        call: the call to the worker that has not returned.
        assignment: the current attempt, until the controller has recorded its outcome.
        started: when the attempt was assigned, in seconds since the epoch.
        deadline: when the attempt times out, on the monotonic clock.
        waits_for_controller: whether the controller has been asked for the next step.
        next_request: when to ask for work again, on the monotonic clock.
    """

    worker: Any = None
    node_id: str | None = None
    oom_kills: int = 0
    call: Any = None
    assignment: Assignment | None = None
    started: float = 0.0
    deadline: float | None = None
    waits_for_controller: bool = False
    next_request: float | None = None


class WorkerPool:
    """Starts the workers of a sweep, replaces those that die before or between attempts, and kills them.

    Args:
        sweep: the sweep.
        capacity: the maximum number of slots.
        controller: the handle of the controller, for the workers.
        cluster: the connection to Ray.
        calls: the pending calls, to which the calls to workers are added.
        observer: receives events.
        on_ready: called with a slot whose worker is ready for an attempt.

    Attributes:
        slots: the slots that have been opened and not closed.
        monitor: notifies the user if no worker can start.
        task_monitor: notifies the user if tasks of the objective cannot start.
    """

    def __init__(
        self,
        sweep: PreparedSweep,
        capacity: int,
        controller: Any,
        cluster: RayCluster,
        calls: PendingCalls,
        observer: Observer,
        on_ready: Callable[[Slot], None],
    ) -> None:
        resources, rules = sweep.spec.resources, sweep.spec.trial
        held = cluster.worker_resources(resources.cpu, resources.gpu)
        others = {name: amount for name, amount in held.items() if name not in ("CPU", "GPU") and amount > 0}
        self.task_monitor = TaskMonitor(held, cluster.machines_by_node, observer)
        self._new_worker = partial(
            ray.remote(RayWorker)
            .options(num_cpus=held["CPU"], num_gpus=held["GPU"], resources=others, enable_task_events=False)
            .remote,
            sweep.attempt_settings,
            sweep.run_id,
            controller,
            share=max(1, int(resources.cpu)),
            chosen_threads=chosen_threads(sweep.spec.env),
            max_attempts=1 if rules.isolate else rules.recycle_after,
            max_memory=rules.recycle_at_gb * 1e9 if rules.recycle_at_gb else None,
        )
        self._capacity = capacity
        self._cluster = cluster
        self._calls = calls
        self._on_ready = on_ready
        self.monitor = CapacityMonitor(resources, observer)
        self._unopened = 0
        """The number of slots that will be opened later."""
        self._failed_starts = 0
        self.slots: set[Slot] = set()

    def open_slots(self, count: int | None) -> None:
        """Open the first slots; the others follow as workers become ready.

        Not all at once: if eight processes import on two cores, all of them are ready late. If two at a time
        do so, the first slots get work after a quarter of that time, and the last slot no later.

        Args:
            count: the maximum number of attempts; None if it is unknown.
        """
        self._unopened = self._capacity if count is None else min(self._capacity, count)
        for _ in range(self._cluster.cores()):
            self._open_next()

    def limit(self, count: int) -> None:
        """Open no more slots than the remaining attempts need."""
        self._unopened = min(self._unopened, max(0, count - len(self.slots)))

    def extend(self, count: int) -> None:
        """Open up to `count` more slots, for attempts that have been added."""
        free = self._capacity - len(self.slots) - self._unopened
        for _ in range(min(count, free)):
            self._unopened += 1
            self._open_next()

    def start_worker(self, slot: Slot) -> None:
        """Start a worker in a slot that has none; `on_ready` is called when it is ready."""
        slot.worker = self._new_worker()
        slot.node_id = None
        self.monitor.add_worker(slot.worker)
        self.wait(slot, slot.worker.load.remote(), self._on_loaded)

    def check_worker(self, slot: Slot) -> None:
        """Check that an idle worker is alive, replace it if not, and call `on_ready`."""
        self.wait(slot, slot.worker.probe.remote(), self._on_checked)

    def wait(self, slot: Slot, call: Any, handler: Callable[[Slot, Any], None]) -> None:
        """Wait for the call of a slot, and handle it."""
        slot.call = call
        self._calls.add(call, partial(handler, slot))

    def kill_worker(self, slot: Slot) -> None:
        """Kill the worker of a slot, if it has one."""
        if slot.worker is not None:
            ray.kill(slot.worker)
            slot.worker = None

    def close_slot(self, slot: Slot) -> None:
        """Remove a slot and kill its worker: other jobs can use its resources."""
        if slot.call is not None:
            self._calls.discard(slot.call)
        self.kill_worker(slot)
        self.slots.discard(slot)

    def close_idle_slots(self) -> None:
        """Open no more slots, and close those without an attempt: no more work is expected."""
        self._unopened = 0
        for slot in list(self.slots):
            if slot.assignment is None and not slot.waits_for_controller:
                self.close_slot(slot)

    def kill_all(self) -> None:
        """Kill all workers. The attempts that they run get no outcome."""
        for slot in self.slots:
            self.kill_worker(slot)

    def _open_next(self) -> None:
        if self._unopened > 0:
            self._unopened -= 1
            slot = Slot()
            self.slots.add(slot)
            self.start_worker(slot)

    def _on_loaded(self, slot: Slot, call: Any) -> None:
        try:
            slot.node_id, slot.oom_kills = ray.get(call)
        except ActorUnavailableError:  # it is dead, or was unreachable for a moment
            self.wait(slot, slot.worker.load.remote(), self._on_loaded)
            return
        except RayError as error:
            self._on_failed_start(slot, error)
            return
        slot.call = None
        self._failed_starts = 0
        self._open_next()
        self._on_ready(slot)

    def _on_failed_start(self, slot: Slot, error: RayError) -> None:
        if isinstance(error, RayTaskError) and isinstance(error.cause, SweepError):
            raise error.cause from None
        kind, reason = cause_of_death(error)
        if isinstance(error, RayActorError) and error.actor_init_failed:
            raise SweepError(f"a worker cannot start: {constructor_error(error)}") from None
        self._failed_starts += kind != "lost_node"
        if self._failed_starts >= _MAX_FAILED_STARTS:
            self._cluster.check_alive()
            raise SweepError(
                f"{self._failed_starts} workers in a row died while importing the objective: {reason}"
            ) from None
        self.kill_worker(slot)
        self.start_worker(slot)

    def _on_checked(self, slot: Slot, call: Any) -> None:
        try:
            ray.get(call)
        except RayError:  # it died while it was idle: no trial is the cause
            self.kill_worker(slot)
            self.start_worker(slot)
        else:
            self._on_ready(slot)
