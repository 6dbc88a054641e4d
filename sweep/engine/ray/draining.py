"""Machines that are about to leave the cluster: Ray calls them draining."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Mapping

import ray

from sweep.engine.observer import Observer
from sweep.engine.ray import private, private_authentication
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.errors import SweepError
from sweep.messages import Assignment, OutcomeKind

_CHECK_EVERY = 1.0  # seconds


class Evacuation:
    """Moves attempts away from machines that are about to leave the cluster, before they do.

    A running attempt is told to stop at its next checkpoint, and its trial continues on another machine. An
    attempt that is still running when its machine leaves is killed; its trial continues elsewhere, too.

    Args:
        pool: the slots.
        leaving: returns the machines that are about to leave, by their Ray node ID, and when each leaves, in
            seconds since the epoch.
        move: tells an attempt to stop at its next checkpoint.
        kill: ends the attempt of a slot with an outcome and its reason, by killing the worker.
        observer: is notified of machines that leave.
    """

    def __init__(
        self,
        pool: WorkerPool,
        leaving: Callable[[], Mapping[str, float]],
        move: Callable[[Assignment], object],
        kill: Callable[[Slot, OutcomeKind, str], object],
        observer: Observer,
    ) -> None:
        self._pool = pool
        self._find_leaving = leaving
        self._move = move
        self._kill = kill
        self._observer = observer
        self._leaving: Mapping[str, float] = {}
        self._next_check = time.monotonic() + _CHECK_EVERY

    def is_leaving(self, slot: Slot) -> bool:
        """Whether no further attempt may start on the machine of a slot's worker."""
        return _is_on(slot, self._leaving) or _is_on(slot, self._pool.left_out)

    def check(self) -> None:
        """Look for machines that are about to leave. Called regularly."""
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_EVERY
        before, self._leaving = self._leaving, self._find_leaving()
        if not self._leaving:
            return
        moved = 0
        for slot in [slot for slot in self._pool.slots if _is_on(slot, self._leaving)]:
            if slot.assignment is None:
                if not slot.waits_for_controller:
                    self._pool.replace_worker(slot)
            elif time.time() >= min(self._leaving.get(node or "", math.inf) for node in slot.nodes):
                self._kill(slot, "lost_node", "its machine left the cluster")
            elif not slot.must_move:
                slot.must_move = True
                moved += 1
                self._move(slot.assignment)
        if moved:
            count = len(self._leaving.keys() - before.keys())
            machines = "a machine is" if count <= 1 else f"{count} machines are"
            self._observer.on_note(
                f"{machines} about to leave the cluster; running trials there ({moved}) move at their next "
                "checkpoint"
            )


def _is_on(slot: Slot, nodes: Container[str | None]) -> bool:
    """Whether a worker of a slot is on one of these machines."""
    return slot.worker is not None and any(node in nodes for node in slot.nodes)


def drain_node(node_id: str, seconds: float, address: str | None = None) -> None:
    """Announce that a machine leaves the cluster soon, for example because its Slurm job reaches its limit.

    Ray starts nothing there any more. Each sweep on the cluster asks its trials on that machine to stop at
    their next checkpoint, and continues them elsewhere; this does not count as a failure. A trial that is
    still running when the time is over is killed, and runs again as after the loss of its machine. Ray's
    daemon on that machine exits as soon as nothing runs there; nobody else is needed to end it.

    The same happens if the process of `ray start --block` on that machine receives SIGTERM: it announces
    that itself, and exits after RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S of its environment (30 s) at the
    latest. SIGTERM of the daemon itself (`raylet`) ends it without notice.

    Args:
        node_id: Ray's ID of the machine, in hexadecimal (`ray.get_runtime_context().get_node_id()`).
        seconds: how long the machine stays.
        address: the address of the cluster, HOST:PORT; None for the one to which this process is connected.

    Raises:
        SweepError: the cluster cannot be reached, or refuses.
    """
    if address is None:
        address = str(ray.get_runtime_context().gcs_address)
    else:
        private_authentication.match_authentication(address)
    try:
        refusal = private.request_drain(address, node_id, seconds)
    except (ValueError, ray.exceptions.RayError) as error:
        refusal = str(error)
    if refusal:
        raise SweepError(f"the machine {node_id} cannot be drained: {refusal}")
