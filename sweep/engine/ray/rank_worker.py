"""The worker of one rank of a trial that several workers run together (`gang.py`)."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util import get_node_ip_address

from sweep.engine.ray.location import RemoteStore, sent_run
from sweep.engine.ray.worker import FinishedAttempt, LoadedWorker, RayWorker
from sweep.messages import Assignment
from sweep.system import processes
from sweep.system.directory import TrialDirectory
from sweep.system.ports import reserved_port
from sweep.system.ranks import Rank

_LONGEST_OUTPUT = 1_000_000
"""Bytes."""


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker is.

    Args:
        node_id: Ray's ID of its machine.
        address: the address of that machine.
        gpus: its GPUs, as in CUDA_VISIBLE_DEVICES.
    """

    node_id: str
    address: str
    gpus: str


@dataclass(frozen=True)
class FinishedRank(FinishedAttempt):
    """An attempt that the worker of one rank has executed completely.

    Args:
        output: what it has printed, if its files do not travel to the sweep's directory.
    """

    output: bytes = b""


class RankWorker(RayWorker):
    """An actor that runs one rank of each attempt."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._port = ExitStack()
        self._is_placed = False

    def place(self) -> WorkerPlace:
        """Where this worker is."""
        node_id = ray.get_runtime_context().get_node_id()
        return WorkerPlace(node_id, get_node_ip_address(), os.environ.get("CUDA_VISIBLE_DEVICES", ""))

    def reserve_port(self) -> int:
        """Reserve a free port of this machine until the end of the next attempt."""
        return self._port.enter_context(reserved_port())

    def load_rank(self, rank: Rank, gpus: str) -> LoadedWorker:
        """Import the objective; see `load`.

        Args:
            rank: the place of this worker.
            gpus: the GPUs to see, as in CUDA_VISIBLE_DEVICES, of which its local rank is its own; empty for
                no others.
        """
        if gpus and not self._is_placed:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus
            self._settings = replace(self._settings, device=f"cuda:{rank.local_rank}")
        directory = self._settings.directory
        if rank.rank > 0 and directory != self._location.directory and not self._is_placed:
            # The worker of rank 0, which can be on the same machine, sends the files of its directory.
            directory = directory.of_rank(rank.rank)
            directory.root.mkdir(parents=True, exist_ok=True)
            self._settings = replace(self._settings, directory=directory)
        self._is_placed = True
        return self.load()

    def connect_rank(self, store: RemoteStore, rank: int) -> None:
        """Send the files of rank 0 to a store. Other ranks only get what earlier attempts have left."""
        if rank == 0:
            self.connect(store)
            return
        from sweep.engine.transfer.attempt import fetched

        directory = self._settings.directory
        self._send = lambda assignment: fetched(directory, sent_run(assignment), store)

    def run_rank(self, assignment: Assignment, rank: Rank) -> FinishedAttempt:
        """Run one rank of an attempt; see `run`."""
        self._rank = rank
        with self._port:
            return self.run(assignment)

    def _run(self, assignment: Assignment) -> FinishedAttempt:
        if self._rank is None or self._rank.rank == 0 or self._send is None:
            return super()._run(assignment)
        trial = self._settings.directory.trial(assignment.number, assignment.label)
        finished = super()._run(assignment)
        return FinishedRank(
            finished.outcome,
            finished.is_worker_spent,
            finished.oom_kills,
            finished.ended,
            _printed(trial.output_of(self._rank.rank)),
        )


def end_rank(trial: TrialDirectory, rank: int) -> bytes:
    """Kill the remaining processes of a rank whose worker has died, on its machine.

    Args:
        trial: the trial's directory there.
        rank: the rank.

    Returns:
        the end of its output.
    """
    output = trial.output_of(rank)
    processes.terminate_trial(trial.root, output, rank=str(rank))
    return _printed(output)


def _printed(output: Path) -> bytes:
    """The end of a file of output: of this attempt, as a machine does not get what others have printed."""
    with suppress(OSError):
        return output.read_bytes()[-_LONGEST_OUTPUT:]
    return b""
