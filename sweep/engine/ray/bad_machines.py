"""Machines on which trials cannot run: a package is missing there, a file system, or space on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray.exceptions import RayActorError, RayError, RayTaskError, RuntimeEnvSetupError

from sweep.engine.classify import FREE_SPACE, disk_full_error
from sweep.engine.observer import Observer
from sweep.engine.ray.private import cause_of_death, constructor_error, node_of, runtime_env_error
from sweep.engine.ray.resources import NODE_ID_LABEL, WorkerResources, count_fitting
from sweep.engine.ray.user_code import CodeMissing, UserCode
from sweep.engine.ray.worker import WorkerError
from sweep.errors import SweepError
from sweep.messages import Outcome

if TYPE_CHECKING:
    from sweep.engine.ray.cluster import RayCluster
    from sweep.engine.ray.worker_pool import Slot

_MAX_DEATHS = 6
"""How many workers in a row may die on a machine before they have imported the objective."""


class BadMachines:
    """Leaves out machines on which trials cannot run, as long as they can on others.

    Others are those on which a worker has imported the objective. As long as there are none, a failure is
    taken for one of the objective, which every machine would have.

    Args:
        cluster: the connection to Ray.
        code: the user's code, which is sent to machines that do not have it.
        resources: what a trial requires.
        observer: is notified of each machine that is left out.
    """

    def __init__(
        self, cluster: RayCluster, code: UserCode, resources: WorkerResources, observer: Observer
    ) -> None:
        self._cluster = cluster
        self._code = code
        self._resources = resources
        self._observer = observer
        self._good: set[str | None] = set()
        self._deaths: Counter[str | None] = Counter()
        """By the machine; None for workers of which it is unknown."""

    def on_loaded(self, nodes: Sequence[str | None]) -> None:
        """The workers of a slot have imported the objective.

        Args:
            nodes: Ray's IDs of their machines.
        """
        self._good.update(nodes)
        for node in (*nodes, None):
            del self._deaths[node]

    def on_failed_start(self, slot: Slot, error: RayError) -> None:
        """The worker of a slot could not import the objective. Another one can be started.

        Raises:
            SweepError: no worker can.
        """
        node = _node_of(slot, error)
        try:
            self._examine(error, node)
        except SweepError as failure:
            if not self._leave_out(node, str(failure)):
                self._cluster.check_alive()
                raise

    def on_disk_full(self, slot: Slot, outcome: Outcome, is_local: bool) -> None:
        """An attempt could not write. Its trial can continue on another machine.

        Args:
            slot: its slot.
            outcome: its outcome.
            is_local: whether its machine has its own directory for trials.

        Raises:
            SweepStopped: it is the disk of all machines.
        """
        # Outside the objective the worker can have failed to send a file: the sweep's own disk is full.
        is_of_one = is_local and not outcome.was_killed and len({*slot.nodes}) == 1
        if not (is_of_one and self._leave_out(slot.node_id, f"{outcome.reason}. {FREE_SPACE}")):
            raise disk_full_error(outcome)

    def _examine(self, error: RayError, node: str | None) -> None:
        """Determine why a worker could not start.

        Raises:
            SweepError: another one on that machine could not start either.
        """
        cause = error.cause if isinstance(error, RayTaskError) else None
        if isinstance(cause, SweepError):
            raise cause from None
        if isinstance(cause, CodeMissing):
            self._code.send()
            return
        if isinstance(error, RuntimeEnvSetupError):
            raise SweepError(f"runtime_env: {runtime_env_error(error)}") from None
        if isinstance(error, RayActorError) and error.actor_init_failed:
            raise SweepError(f"a worker cannot start: {constructor_error(error)}") from None
        kind, reason = cause_of_death(error)
        self._deaths[node] += kind != "lost_node"
        if self._deaths[node] >= _MAX_DEATHS:
            raise SweepError(
                f"{self._deaths[node]} workers in a row died while importing the objective: {reason}"
            ) from None

    def _leave_out(self, node: str | None, reason: str) -> bool:
        """Start no more trials on a machine; returns False if no others can run them."""
        if node is None or NODE_ID_LABEL in self._resources.labels:  # the user has chosen the machines
            return False
        if node in self._cluster.left_out:
            return True
        machines = self._cluster.machines_by_node(self._resources.labels)
        others = [has for other, has in machines.items() if other in self._good - {node}]
        if not count_fitting(others, self._resources, 1):
            return False
        name = self._cluster.leave_out(node)
        self._observer.on_note(
            f"no more trials start on {name}: {reason.splitlines()[0]}; the others run on. To use it again, "
            "start Ray there again"
        )
        return True


def _node_of(slot: Slot, error: RayError) -> str | None:
    """Ray's ID of the machine of a worker that could not start; None if it is unknown."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, WorkerError):
        return error.cause.node_id
    return None if slot.group is not None else node_of(slot.worker)  # a gang is an actor on this machine
