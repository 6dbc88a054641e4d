"""The files of trials on machines without the sweep's directory travel to it through Ray."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ray

from sweep.engine.base import PreparedSweep
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.location import RemoteStore, SweepLocation, sent_run
from sweep.engine.ray.memory_watch import was_ended
from sweep.system import processes
from sweep.system.directory import SweepDirectory
from sweep.system.trees import remove_tree

if TYPE_CHECKING:
    from sweep.engine.ray.worker_pool import Slot
    from sweep.engine.transfer.messages import Change, Entry, SentRun

_THREADS = 16
"""How many calls the receiver handles at the same time. Some of them wait for the disk."""
_LAST_TIMEOUT = 60.0
"""Seconds that the files of killed attempts may take to arrive at the end of a sweep."""


class RayReceiver:
    """An actor on the machine of `sweep run` that writes the files which other machines send.

    Args:
        directory: the sweep's directory.
        labels: the labels that the repeats of a trial can have.
        run_id: the id of the sweep's run.
    """

    def __init__(self, directory: SweepDirectory, labels: Collection[str], run_id: str) -> None:
        from sweep.engine.transfer.receiver import Receiver
        from sweep.system.lock import join_run
        from sweep.system.processes import exit_with_parent

        exit_with_parent()
        self._fence = join_run(directory.fence, directory.lock, run_id)
        self._receiver = Receiver(directory, labels)

    def open(self, run: SentRun) -> dict[str, Entry]:
        return self._receiver.open(run)

    def read(self, run: SentRun, path: str, offset: int) -> bytes:
        return self._receiver.read(run, path, offset)

    def apply(self, run: SentRun, changes: Sequence[Change]) -> frozenset[str]:
        return self._receiver.apply(run, changes)

    def close(self, run: SentRun) -> None:
        self._receiver.close(run)


class FileTransfer:
    """Receives files for the supervisor. It costs nothing until a worker needs it.

    Args:
        sweep: the sweep.
        cluster: the connection to Ray.

    Attributes:
        location: where the sweep's directory is, for workers.
    """

    def __init__(self, sweep: PreparedSweep, cluster: RayCluster) -> None:
        self._sweep = sweep
        self._cluster = cluster
        self.location = SweepLocation(
            sweep.directory, socket.gethostname(), cluster.current_node(), sweep.spec.shared
        )

    def is_needed(self, slot: Slot) -> bool:
        """Whether the worker of a slot is on a machine without the sweep's directory."""
        return slot.directory is not None and self.is_local(slot.directory)

    def is_local(self, directory: SweepDirectory) -> bool:
        """Whether a worker's directory is not the sweep's own."""
        return directory != self._sweep.directory

    @cached_property
    def store(self) -> RemoteStore:
        """The receiver, which is started with the first use."""
        actor = self._cluster.on_node(
            RayReceiver,
            self.location.node_id,
            max_restarts=-1,
            max_concurrency=_THREADS,
            enable_task_events=False,
        )
        labels = self._sweep.spec.run_labels
        return RemoteStore(actor.remote(self._sweep.directory, labels, self._sweep.run_id))

    def clean_up(self, slot: Slot, node_id: str, directory: SweepDirectory | None) -> Any:
        """Call `clean_up_attempt` on a machine of a slot whose worker is dead; returns Ray's call.

        Args:
            slot: the slot.
            node_id: Ray's ID of the machine.
            directory: the sweep's directory there.
        """
        assert slot.assignment is not None
        task = self._cluster.on_node(clean_up_attempt, node_id)
        is_sender = self.is_needed(slot) and directory == slot.directory
        return task.remote(
            directory or self._sweep.directory,
            sent_run(slot.assignment),
            self.store if is_sender else None,
            slot.resources.workers,
        )

    def close(self, slots: Iterable[Slot]) -> None:
        """Receive what is left, at the end of the sweep.

        Args:
            slots: the slots, whose workers have been killed. Some of them may have an attempt.
        """
        if "store" not in vars(self):
            return
        calls = [
            self.clean_up(slot, slot.node_id, slot.directory)
            for slot in slots
            if slot.assignment is not None and slot.node_id is not None and self.is_needed(slot)
        ]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_LAST_TIMEOUT)
        ray.kill(self.store.receiver)
        remove_tree(self._sweep.directory.arriving)


def clean_up_attempt(
    directory: SweepDirectory, run: SentRun, store: RemoteStore | None = None, workers: int = 1
) -> int:
    """Kill the remaining processes of an attempt on this machine, and send what it has not sent.

    Args:
        directory: the sweep's directory for this machine.
        run: the attempt.
        store: where the files go; None if this machine has the sweep's own directory.
        workers: how many workers run each trial together.

    Returns:
        `processes.count_kernel_kills`, and one more if it was killed by its own `MemoryWatch`.
    """
    trial = directory.trial(run.number, run.label)
    processes.terminate_trial(trial.root, *map(trial.output_of, range(workers)))
    own_kills = int(was_ended(trial))
    if store is not None:
        from sweep.engine.transfer.attempt import send_rest

        send_rest(directory, run, store)
    return processes.count_kernel_kills() + own_kills
