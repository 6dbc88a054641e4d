"""Post-mortem of attempts whose worker did not return an outcome: it died, or it was killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from sweep.engine.classify import DISK_FULL_ERRNOS
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.private import cause_of_death
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.messages import Outcome, OutcomeKind
from sweep.system import processes
from sweep.system.directory import SweepDirectory


@dataclass(frozen=True)
class PostMortem:
    """Determines the outcome of an attempt that did not return one, and kills its remaining processes.

    Args:
        directory: the sweep's directory.
        cluster: the connection to Ray.
        pool: the pool of the workers.
        on_outcome: called with the slot and the outcome.
    """

    directory: SweepDirectory
    cluster: RayCluster
    pool: WorkerPool
    on_outcome: Callable[[Slot, Outcome], None]

    def examine(self, slot: Slot, error: RayError) -> None:
        """Determine why the call that runs a slot's attempt has failed."""
        if isinstance(error, ActorUnavailableError):
            # Either the worker or its machine has died. Ray notices the latter only after some time; the
            # result of another call tells them apart.
            self.pool.wait(slot, slot.worker.probe.remote(), self._on_probed)
        elif isinstance(error, RayTaskError):  # not the objective's error, which is an outcome
            cause = error.cause or error
            is_full = getattr(cause, "errno", None) in DISK_FULL_ERRNOS
            reason = f"{type(cause).__name__}: {cause}"
            self.end_attempt(slot, "disk_full" if is_full else "crash", reason, str(error))
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
        trial = self.directory.trial(run.number, run.label)
        if kind == "lost_node" or slot.node_id in (None, self.cluster.current_node()):
            # Also after the loss of a machine: what Ray has lost may be a node on this machine.
            self._finish(slot, outcome, _clean_up(trial.root, trial.output))
        else:
            call = self.cluster.on_node(_clean_up, slot.node_id).remote(trial.root, trial.output)
            self.pool.wait(slot, call, partial(self._on_cleaned_up, outcome))

    def _on_probed(self, slot: Slot, call: Any) -> None:
        try:
            ray.get(call)
        except RayError as error:
            if isinstance(error, ActorUnavailableError):
                self.cluster.check_alive()
            self.end_attempt(slot, *cause_of_death(error), str(error))
        else:
            self.end_attempt(
                slot, "crash", "the connection to its worker was lost before it returned an outcome"
            )

    def _on_cleaned_up(self, outcome: Outcome, slot: Slot, call: Any) -> None:
        try:
            oom_kills = ray.get(call)
        except RayError:  # that machine no longer answers
            oom_kills = 0
        self._finish(slot, outcome, oom_kills)

    def _finish(self, slot: Slot, outcome: Outcome, oom_kills: int) -> None:
        if outcome.kind == "crash" and oom_kills > slot.oom_kills:
            outcome = replace(
                outcome, kind="oom", reason="the kernel killed its process because memory ran out"
            )
        self.on_outcome(slot, outcome)


def _clean_up(trial: Path, output: Path) -> int:
    """Kill the remaining processes of a trial on this machine; returns `processes.count_kernel_kills`."""
    processes.terminate_trial(trial, output)
    return processes.count_kernel_kills()
