"""Where the directory of a sweep is, and how other machines send files to it. For workers: imports little."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import ActorUnavailableError, RayTaskError

from sweep.engine.ray.controller_actor import RESTART_TIMEOUT
from sweep.errors import SweepError
from sweep.messages import Assignment
from sweep.system.directory import SweepDirectory
from sweep.system.lock import hold_fence, holder, join_run

if TYPE_CHECKING:
    from sweep.engine.transfer.messages import Change, Entry, SentRun

_RETRY_INTERVAL = 0.2  # seconds


@dataclass(frozen=True)
class SweepLocation:
    """Where the directory of a sweep is, for its workers.

    Args:
        directory: the sweep's directory.
        host: the name of the machine that runs the sweep.
        node_id: Ray's ID of that machine.
        is_shared: whether all machines have it; None if a worker finds that out.
    """

    directory: SweepDirectory
    host: str
    node_id: str
    is_shared: bool | None

    def join(self, run_id: str) -> tuple[SweepDirectory, int]:
        """Take part in a run of the sweep.

        The lock's file tells whether this machine has the sweep's directory: it contains the id of the run,
        so that an old copy does not count.

        Args:
            run_id: the id of the run.

        Returns:
            the sweep's directory for trials on this machine, and the descriptor of its fence.

        Raises:
            StaleRunError: another run has begun.
            SweepError: the sweep file says that this machine has the directory, but it does not.
        """
        node_id = ray.get_runtime_context().get_node_id()
        is_known = node_id == self.node_id or self.is_shared
        if is_known or (self.is_shared is None and self._is_visible(run_id)):
            try:
                return self.directory, join_run(self.directory.fence, self.directory.lock, run_id)
            except OSError as error:
                if self.is_shared:
                    raise SweepError(
                        f"shared: true: {self.directory.root} cannot be used on {socket.gethostname()}: "
                        f"{error.strerror}; leave shared out if that machine has another file system"
                    ) from None
                if is_known:
                    raise
        from sweep.engine.transfer.local import create_local_directory

        alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        directory = create_local_directory(self.directory, self.host, node_id, alive)
        return directory, hold_fence(directory.fence)

    def _is_visible(self, run_id: str) -> bool:
        found = holder(self.directory.lock)
        return found is not None and found.run_id == run_id


@dataclass(frozen=True)
class RemoteStore:
    """The receiver as a `Store`, for other machines. If it is being restarted, calls wait for it.

    Args:
        receiver: the handle of the receiver.
    """

    receiver: Any

    def open(self, run: SentRun) -> dict[str, Entry]:
        found: dict[str, Entry] = self._call("open", run)
        return found

    def read(self, run: SentRun, path: str, offset: int) -> bytes:
        data: bytes = self._call("read", run, path, offset)
        return data

    def apply(self, run: SentRun, changes: Sequence[Change]) -> frozenset[str]:
        lost: frozenset[str] = self._call("apply", run, changes)
        return lost

    def close(self, run: SentRun) -> None:
        self._call("close", run)

    def _call(self, method: str, *arguments: Any) -> Any:
        end = time.monotonic() + RESTART_TIMEOUT
        while True:
            try:
                return ray.get(getattr(self.receiver, method).remote(*arguments))
            except ActorUnavailableError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_RETRY_INTERVAL)
            except RayTaskError as error:
                raise error.cause or error from None


def sent_run(assignment: Assignment) -> SentRun:
    """The attempt of an assignment, for a store."""
    from sweep.engine.transfer.messages import SentRun

    return SentRun(assignment.number, assignment.label, assignment.attempt)
