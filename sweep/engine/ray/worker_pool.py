"""The pool of Ray workers: one worker per slot, started, replaced and killed here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from sweep.engine.base import PreparedSweep
from sweep.engine.observer import Observer
from sweep.engine.ray.bad_machines import BadMachines
from sweep.engine.ray.capacity import CapacityMonitor, TaskMonitor
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.file_transfer import FileTransfer
from sweep.engine.ray.gang import Gang, new_placement_group
from sweep.engine.ray.gpu_room import must_close, places_lost
from sweep.engine.ray.pending import PendingCalls
from sweep.engine.ray.resources import WorkerResources, count_fitting
from sweep.engine.ray.user_code import UserCode
from sweep.engine.ray.worker import LoadedWorker, RayWorker
from sweep.engine.threads import chosen_threads
from sweep.messages import Assignment
from sweep.script.reference import ScriptReference
from sweep.system.directory import SweepDirectory


@dataclass(eq=False)
class Slot:
    """A place for one attempt at a time.

    Attributes:
        resources: what its worker holds; the next one, if it is changed.
        worker: the handle of its worker; None while it has none.
        node_id: Ray's ID of the worker's machine; None until the worker has started.
        directory: the sweep's directory for trials on that machine; None until the worker has started.
        held_gpu: the GPUs that its worker holds in Ray, which can be more than `resources` say.
        place: that machine and the GPU of the worker, if it has one, or a share of one. While its next worker
            starts, those of the one before.
        group: the placement group of its workers, if several run each trial together.
        others: the workers of the other ranks; `worker`, `node_id` and `directory` are those of rank 0.
        oom_kills: how many processes the kernels of its machines had killed before the current attempt.
        call: the call to the worker that has not returned.
        assignment: the current attempt, until the controller has recorded its outcome.
        started: when the attempt was assigned, in seconds since the epoch.
        deadline: when the attempt times out, on the monotonic clock.
        must_move: whether the attempt has been told to stop at its next checkpoint and continue elsewhere.
        waits_for_controller: whether the controller has been asked for the next step.
        next_request: when to ask for work again, on the monotonic clock.
    """

    resources: WorkerResources
    worker: Any = None
    node_id: str | None = None
    directory: SweepDirectory | None = None
    place: tuple[str, str] | None = None
    held_gpu: float = 0.0
    group: PlacementGroup | None = None
    others: tuple[LoadedWorker, ...] = ()
    oom_kills: int = 0
    call: Any = None
    assignment: Assignment | None = None
    started: float = 0.0
    deadline: float | None = None
    must_move: bool = False
    waits_for_controller: bool = False
    next_request: float | None = None

    @property
    def nodes(self) -> tuple[str | None, ...]:
        """Ray's IDs of the machines of its workers; None for one that has not started."""
        return self.node_id, *(other.node_id for other in self.others)

    @property
    def locations(self) -> list[tuple[str | None, SweepDirectory | None]]:
        """The machines of its workers, each with the sweep's directory there."""
        others = [(other.node_id, other.directory) for other in self.others]
        return list(dict.fromkeys([(self.node_id, self.directory), *others]))

    @property
    def is_starting(self) -> bool:
        """Whether its worker has not started yet; it may wait for a machine with room for it."""
        return self.worker is not None and self.node_id is None and self.assignment is None

    @property
    def waits_for_room(self) -> bool:
        """Whether it has an attempt for which a worker with other resources is starting."""
        return self.worker is not None and self.node_id is None and self.assignment is not None


class WorkerPool:
    """Starts the workers of a sweep, replaces those that die before or between attempts, and kills them.

    Args:
        sweep: the sweep.
        capacity: the number of slots for which there is room.
        controller: the handle of the controller, for the workers.
        transfer: receives the files of workers on machines without the sweep's directory.
        cluster: the connection to Ray.
        calls: the pending calls, to which the calls to workers are added.
        observer: receives events.
        on_ready: called with a slot whose worker is ready for an attempt.

    Attributes:
        capacity: the number of slots for which there is room.
        spare: how many further workers wait for machines that an autoscaler adds, which sees that they wait.
        resources: what a worker holds, unless its attempt requires something else.
        bad_machines: leaves out machines on which trials cannot run.
        slots: the slots that have been opened and not closed.
        monitor: notifies the user if no worker can start.
        task_monitor: notifies the user if tasks of the objective cannot start.
    """

    def __init__(
        self,
        sweep: PreparedSweep,
        capacity: int,
        controller: Any,
        transfer: FileTransfer,
        cluster: RayCluster,
        calls: PendingCalls,
        observer: Observer,
        on_ready: Callable[[Slot], None],
    ) -> None:
        rules = sweep.spec.trial
        self.resources = resources = WorkerResources.of(sweep.spec.resources)
        self.task_monitor = TaskMonitor(cluster.ray_resources(resources), cluster.machines_by_node, observer)
        self._directory = sweep.directory
        self._starts_ranks = isinstance(sweep.objective, ScriptReference) and sweep.objective.starts_ranks
        self._arguments = (sweep.attempt_settings, sweep.run_id, controller, transfer.location)
        self._transfer = transfer
        self._options = {
            "share": max(1, int(resources.cpu)),
            "chosen_threads": chosen_threads(sweep.spec.env),
            "max_attempts": 1 if rules.isolate else rules.recycle_after,
            "max_memory": rules.recycle_at_gb * 1e9 if rules.recycle_at_gb else None,
            "uses_mps": sweep.spec.resources.mps,
        }
        self._code = UserCode(sweep, observer)
        self.bad_machines = BadMachines(cluster, self._code, resources, observer)
        self.capacity = capacity
        self.spare = 0
        self._cluster = cluster
        self._calls = calls
        self._on_ready = on_ready
        self.monitor = CapacityMonitor(resources, cluster, observer)
        self._unopened = 0
        """The number of slots that will be opened later."""
        self.slots: set[Slot] = set()

    def open_slots(self, count: int | None) -> None:
        """Open the first slots; the others follow as workers become ready.

        Not all at once: if eight processes import on two cores, all of them are ready late. If two at a time
        do so, the first slots get work after a quarter of that time, and the last slot no later.

        Args:
            count: the maximum number of attempts; None if it is unknown.
        """
        self._unopened = self.capacity if count is None else min(self.capacity, count)
        for _ in range(self._cluster.cores()):
            self._open_next()

    def limit(self, count: int) -> None:
        """Open no more slots than the remaining attempts need."""
        self._unopened = min(self._unopened, max(0, count - len(self.slots)))

    def extend(self, count: int) -> None:
        """Open up to `count` more slots, for attempts that have been added."""
        for _ in range(min(count, -self._surplus())):
            self._unopened += 1
            self._open_next()

    def resize(self, capacity: int, left: int | None, spare: int = 0) -> None:
        """Adapt to a cluster that has room for more slots, or for fewer.

        The slots of a machine that has left have no worker any more, and it is those that are closed.

        Args:
            capacity: the number of slots for which there is room now.
            left: how many attempts are left at most; None if that is unknown.
            spare: how many further workers wait for machines that an autoscaler adds.
        """
        more = capacity + spare - self.capacity - self.spare
        self.capacity, self.spare = capacity, spare
        if left is not None:
            more = min(more, left - len(self.slots) - self._unopened)
        if more > 0:
            self.extend(more)
        if self._surplus() > 0:
            self._unopened = max(0, self._unopened - self._surplus())
        for slot in [slot for slot in self.slots if slot.is_starting][: max(0, self._surplus())]:
            self.close_slot(slot)

    def replace_worker(self, slot: Slot) -> None:
        """Kill the worker of a slot that has no attempt, and start another one as in `restart_worker`."""
        if slot.call is not None:
            self._calls.discard(slot.call)
        slot.call = slot.next_request = None
        self.kill_worker(slot)
        self.restart_worker(slot)

    def restart_worker(self, slot: Slot) -> None:
        """Start a worker in a slot whose worker has died; if there is no room for it, close the slot."""
        if self._surplus() > 0 or self.must_close(slot):
            self.close_for_room(slot)
        else:
            slot.resources = self.resources
            self.start_worker(slot)

    def resources_of(self, assignment: Assignment) -> WorkerResources:
        """What the worker of an attempt must hold."""
        return self.resources if assignment.gpu is None else replace(self.resources, gpu=assignment.gpu)

    def change_worker(self, slot: Slot, resources: WorkerResources) -> None:
        """Replace the worker of a slot by one that holds something else; it can wait for room on a GPU."""
        self.kill_worker(slot)
        slot.resources = resources
        self.start_worker(slot)
        for other in list(self.slots):
            is_idle = other.next_request is not None and other.call is None
            if is_idle and self.must_close(other):
                self.close_for_room(other)

    def must_close(self, slot: Slot) -> bool:
        """Whether a slot without an attempt must close: a worker with a larger share waits for its GPU."""
        if not any(other.waits_for_room for other in self.slots):
            return False
        return must_close(slot, self.slots, self._cluster.machines_by_node().keys())

    def close_for_room(self, slot: Slot) -> None:
        """Close a slot whose resources are needed by another one; it is opened again when there is room."""
        if self._surplus() <= 0:
            self._unopened += 1
        self.close_slot(slot)

    def open_more(self) -> None:
        """Open slots for which there is room again."""
        for _ in range(self._cluster.cores()):
            if not self._open_next():
                break

    def _surplus(self) -> int:
        """The number of slots for which there is no room."""
        return len(self.slots) + self._unopened - self.capacity - self.spare

    def start_worker(self, slot: Slot) -> None:
        """Start a worker in a slot that has none; `on_ready` is called when it is ready."""
        slot.worker = self._create_worker(slot)
        slot.node_id = slot.directory = None
        slot.others = ()
        self.wait(slot, slot.worker.load.remote(), self._on_loaded)

    def _create_worker(self, slot: Slot) -> Any:
        resources = slot.resources
        held = self._cluster.ray_resources(resources)
        selectors = self._cluster.selectors(resources)
        if resources.workers > 1:
            slot.group = new_placement_group(held, resources.workers, selectors)
        cpu, gpu = held.pop("CPU"), held.pop("GPU")
        slot.held_gpu = gpu
        others = {name: amount for name, amount in held.items() if amount > 0}
        options = {"num_cpus": cpu, "num_gpus": gpu, "resources": others, "enable_task_events": False}
        options |= self._code.options()
        keywords = {**self._options, "gpu": resources.gpu, "sent": self._code.sent}
        if slot.group is not None:
            gang = self._cluster.on_node(Gang, self._cluster.current_node(), enable_task_events=False)
            shares_gpus = resources.gpu == 1 and not self._starts_ranks
            return gang.remote(slot.group, options, shares_gpus, self._directory, self._arguments, keywords)
        if selectors:
            options["label_selector"] = selectors
        return ray.remote(RayWorker).options(**options).remote(*self._arguments, **keywords)

    @property
    def left_out(self) -> Collection[str]:
        """Ray's IDs of the machines on which no more workers start because trials cannot run there."""
        return self._cluster.left_out

    @property
    def starting(self) -> list[Any]:
        """The workers, or their placement groups, if all of them are starting; otherwise an empty list."""
        if not all(slot.is_starting for slot in self.slots):
            return []
        return [slot.group or slot.worker for slot in self.slots]

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
        if slot.group is not None:
            remove_placement_group(slot.group)
            slot.group = None

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

    def _open_next(self) -> bool:
        """Open a slot if there is one to open, and room for it; returns whether it is open."""
        if self._unopened == 0 or not self._has_room():
            return False
        self._unopened -= 1
        slot = Slot(self.resources)
        self.slots.add(slot)
        self.start_worker(slot)
        return True

    def _has_room(self) -> bool:
        """Whether no slot keeps another one from opening because of a larger share of a GPU."""
        if not 0 < self.resources.gpu < 1:
            return True
        if any(slot.waits_for_room for slot in self.slots):
            return False
        ordinary = self._cluster.ray_resources(self.resources)["GPU"]
        opened, lost = len(self.slots), places_lost(self.slots, ordinary)
        if lost == 0 or opened >= self.capacity + self.spare:
            return opened < self.capacity + self.spare
        # CPUs or `max_parallel` can limit the slots to fewer than the GPUs have room for.
        machines = self._cluster.machines(self.resources.labels)
        places = count_fitting(machines, replace(self.resources, cpu=0.0, custom={}), None)
        return opened + lost < max(places, self.capacity) + self.spare

    def _on_loaded(self, slot: Slot, call: Any) -> None:
        try:
            loaded: LoadedWorker = ray.get(call)
        except ActorUnavailableError:  # it is dead, or was unreachable for a moment
            self.wait(slot, slot.worker.load.remote(), self._on_loaded)
            return
        except RayError as error:
            self._on_failed_start(slot, error)
            return
        slot.call = None
        slot.node_id, slot.oom_kills, slot.directory = loaded.node_id, loaded.oom_kills, loaded.directory
        slot.others = loaded.others
        if any(self._transfer.is_local(found.directory) for found in (loaded, *loaded.others)):
            slot.worker.connect.remote(self._transfer.store)
        slot.place = (loaded.node_id, loaded.gpus[0]) if len(loaded.gpus) == 1 else None
        self.bad_machines.on_loaded(slot.nodes)
        self._open_next()
        self._on_ready(slot)

    def _on_failed_start(self, slot: Slot, error: RayError) -> None:
        self.bad_machines.on_failed_start(slot, error)
        self.kill_worker(slot)
        self.start_worker(slot)

    def _on_checked(self, slot: Slot, call: Any) -> None:
        try:
            ray.get(call)
        except RayError:  # it died while it was idle: no trial is the cause
            self.kill_worker(slot)
            self.restart_worker(slot)
        else:
            self._on_ready(slot)
