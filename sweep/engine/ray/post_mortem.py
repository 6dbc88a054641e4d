"""Post-mortem of attempts whose worker did not return an outcome: it died, or it was killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from sweep.engine.classify import classify_worker_error
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.file_transfer import FileTransfer, clean_up_attempt
from sweep.engine.ray.gang import RankDied
from sweep.engine.ray.location import sent_run
from sweep.engine.ray.private import LOST_NODE, cause_of_death
from sweep.engine.ray.worker import CONNECTION_LOST, FinishedAttempt
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.messages import Outcome, OutcomeKind
from sweep.system.directory import SweepDirectory


@dataclass(frozen=True)
class PostMortem:
    """Determines the outcome of an attempt that did not return one, and kills its remaining processes.

    Args:
        cluster: the connection to Ray.
        pool: the pool of the workers.
        transfer: receives the files of workers on machines without the sweep's directory.
        on_finished: called with the slot and the attempt, if it has ended after all.
        on_outcome: called with the slot and the outcome.
    """

    cluster: RayCluster
    pool: WorkerPool
    transfer: FileTransfer
    on_finished: Callable[[Slot, FinishedAttempt], None]
    on_outcome: Callable[[Slot, Outcome], None]

    def examine(self, slot: Slot, error: RayError) -> None:
        """Determine why the call that runs a slot's attempt has failed."""
        if isinstance(error, ActorUnavailableError):
            # The worker or its machine has died, or the connection was lost for a moment. Ray notices the
            # second only after some time; the result of another call tells them apart.
            self.pool.wait(slot, slot.worker.last_attempt.remote(), self._on_asked)
        elif isinstance(error, RayTaskError) and isinstance(error.cause, RankDied):
            self.end_attempt(slot, error.cause.kind, error.cause.reason)
        elif isinstance(error, RayTaskError):  # not the objective's error, which is an outcome
            self.end_attempt(slot, *classify_worker_error(error.cause or error), str(error))
        else:
            self.end_attempt(slot, *cause_of_death(error), str(error))

    def end_attempt(self, slot: Slot, kind: OutcomeKind, reason: str, details: str = "") -> None:
        """End an attempt with a given outcome: kill its worker and the processes that it has started."""
        assert slot.assignment is not None
        slot.call = slot.deadline = None
        self.pool.kill_worker(slot)
        run = slot.assignment
        outcome = Outcome(
            run.number,
            run.attempt,
            kind,
            reason=reason,
            traceback=details,
            was_killed=True,
            repeat=run.repeat,
        )
        self._clean_up(slot, outcome, slot.locations)

    def _clean_up(
        self,
        slot: Slot,
        outcome: Outcome,
        places: list[tuple[str | None, SweepDirectory | None]],
        oom_kills: int = 0,
    ) -> None:
        """Kill the remaining processes on the machines of an attempt, one after the other."""
        if not places or slot.assignment is None:
            self._finish(slot, outcome, oom_kills)
            return
        (node_id, directory), *rest = places
        is_lost = outcome.kind == "lost_node" and not slot.others
        if node_id is None or is_lost or node_id == self.cluster.current_node():
            # Also after the loss of a machine: what Ray has lost may be a node on this machine.
            oom_kills += clean_up_attempt(
                directory or self.transfer.location.directory,
                sent_run(slot.assignment),
                workers=slot.resources.workers,
            )
            self._clean_up(slot, outcome, rest, oom_kills)
        else:
            call = self.transfer.clean_up(slot, node_id, directory)
            handler = partial(self._on_cleaned_up, outcome, places=rest, oom_kills=oom_kills)
            self.pool.wait(slot, call, handler)

    def _on_asked(self, slot: Slot, call: Any) -> None:
        try:
            finished: FinishedAttempt | None = ray.get(call)
        except RayError as error:
            if isinstance(error, ActorUnavailableError):
                self.cluster.check_alive()
            self.end_attempt(slot, *cause_of_death(error), str(error))
            return
        assert slot.assignment is not None
        if finished is not None and finished.is_of(slot.assignment):
            self.on_finished(slot, finished)
        else:
            self.end_attempt(slot, "crash", CONNECTION_LOST)

    def _on_cleaned_up(
        self,
        outcome: Outcome,
        slot: Slot,
        call: Any,
        places: Sequence[tuple[str | None, SweepDirectory | None]] = (),
        oom_kills: int = 0,
    ) -> None:
        try:
            oom_kills += ray.get(call)
        except RayError:  # that machine no longer answers
            if outcome.kind == "crash" and not self.cluster.machines_by_node().keys() >= {*slot.nodes}:
                # The worker died first: Ray misses a machine only after ten seconds.
                outcome = replace(outcome, kind="lost_node", reason=LOST_NODE)
        self._clean_up(slot, outcome, list(places), oom_kills)

    def _finish(self, slot: Slot, outcome: Outcome, oom_kills: int) -> None:
        if outcome.kind == "crash" and oom_kills > slot.oom_kills:
            outcome = replace(outcome, kind="oom", reason="its process was killed because memory ran out")
        if self.transfer.is_needed(slot) and slot.assignment is not None:
            # The machine may be alive although Ray has lost it: what it still sends must not arrive any more.
            call = self.transfer.store.receiver.close.remote(sent_run(slot.assignment))
            self.pool.wait(slot, call, lambda slot, call: self.on_outcome(slot, outcome))
        else:
            self.on_outcome(slot, outcome)
