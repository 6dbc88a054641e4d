"""A gang: the workers that run each trial together, one for each rank (`resources.workers`).

To the pool a gang is one worker: an actor with the methods of `RayWorker`, which calls the workers of all
ranks. When their placement group is removed, Ray kills them and frees what they hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError, RuntimeEnvSetupError
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from sweep.engine.classify import classify_worker_error
from sweep.engine.ray.location import RemoteStore
from sweep.engine.ray.private import cause_of_death, constructor_error, runtime_env_error
from sweep.engine.ray.rank_worker import FinishedRank, RankWorker, WorkerPlace, end_rank
from sweep.engine.ray.worker import CONNECTION_LOST, FinishedAttempt, LoadedWorker
from sweep.errors import SweepError
from sweep.messages import Assignment, OutcomeKind
from sweep.script.reference import ScriptReference
from sweep.system import processes
from sweep.system.directory import SweepDirectory, TrialDirectory
from sweep.system.ranks import LOCALHOST, Rank
from sweep.trial.checkpoints import find_checkpoints

_GRACE = 5.0
"""Seconds for the other ranks to end too, once one has failed or rank 0 has been pruned."""
_GRACE_AFTER_RETURN = 60.0
"""The same once rank 0 has returned its result."""
_GRACE_WHEN_INTERRUPTED = 600.0
"""The same for scripts that save their state on all ranks; the engine's own grace is shorter."""
_CLEAN_UP_TIMEOUT = 10.0  # seconds
_ENDS: tuple[OutcomeKind, ...] = ("pruned", "interrupted")
"""How rank 0 ends an attempt before it has a result. The errors that other ranks then get do not count."""


class RankDied(Exception):
    """The process of one rank died.

    Args:
        kind: the kind of the attempt's outcome.
        reason: its reason.
    """

    def __init__(self, kind: OutcomeKind, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True)
class _End:
    """How a rank has ended.

    Args:
        rank: the rank.
        finished: what its worker has returned; None if the worker died.
        kind: the kind of its outcome.
        reason: why it did not return.
        at: when it did, in seconds since the epoch.
    """

    rank: int
    finished: FinishedAttempt | None
    kind: OutcomeKind
    reason: str
    at: float

    @property
    def severity(self) -> tuple[int, float]:
        """What has caused the others comes first: they get errors because a rank no longer answers."""
        order = 0 if self.finished is None else 1 if self.kind in ("oom", "disk_full", "crash") else 2
        return order, self.at


def new_placement_group(
    held: Mapping[str, float], workers: int, selectors: Mapping[str, str]
) -> PlacementGroup:
    """Reserve what the workers of a gang hold: all or nothing, on as few machines as possible.

    The pool does so, and removes it: Ray does not remove the group of an actor that is killed.

    Args:
        held: what each worker holds, by Ray's names.
        workers: how many there are.
        selectors: the label selectors of their machines.
    """
    bundle = {name: amount for name, amount in held.items() if amount > 0}
    labels = [dict(selectors)] * workers if selectors else None
    return placement_group([bundle] * workers, strategy="PACK", bundle_label_selector=labels)


class Gang:
    """An actor that runs attempts in several workers, which can be on several machines.

    Args:
        group: the placement group of its workers.
        options: the options of each worker, for Ray.
        shares_gpus: whether each worker sees the GPUs of all workers of its machine, of which `LOCAL_RANK` is
            its own, as frameworks expect it of the processes of one machine.
        directory: the sweep's directory.
        arguments: the positional arguments of `RayWorker`.
        keywords: its keyword arguments.
    """

    def __init__(
        self,
        group: PlacementGroup,
        options: Mapping[str, Any],
        shares_gpus: bool,
        directory: SweepDirectory,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> None:
        processes.exit_with_parent()
        self._group = group
        self._options = options
        self._count = group.bundle_count
        self._shares_gpus = shares_gpus
        self._directory = directory
        self._arguments = arguments
        self._is_script = isinstance(arguments[0].objective, ScriptReference)
        self._keywords = keywords
        self._workers: list[Any] = []
        self._places: list[WorkerPlace] = []
        self._loaded: list[LoadedWorker] = []
        self._last: FinishedAttempt | None = None

    def _start_workers(self) -> None:
        """Wait until there is room for all workers, and start them."""
        if self._workers:
            return
        while not self._group.wait(timeout_seconds=60):
            pass
        actor = ray.remote(RankWorker)
        workers = [
            actor.options(
                **self._options, scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, index)
            ).remote(*self._arguments, **self._keywords)
            for index in range(self._count)
        ]
        places = _get([worker.place.remote() for worker in workers])
        # The ranks of a machine follow each other. `sorted` keeps the order of the machines' workers.
        nodes = list(dict.fromkeys(place.node_id for place in places))
        order = sorted(range(self._count), key=lambda index: nodes.index(places[index].node_id))
        self._workers = [workers[index] for index in order]
        self._places = [places[index] for index in order]

    def load(self) -> LoadedWorker:
        """Import the objective in all workers.

        Raises:
            SweepError: the objective cannot be imported.
            CodeMissing: a machine does not have the user's folder.
        """
        self._start_workers()
        calls = []
        for rank, worker in zip(self._ranks(0), self._workers, strict=True):
            node_id = self._places[rank.rank].node_id
            local = [place.gpus for place in self._places if place.node_id == node_id]
            gpus = ",".join(filter(None, local)) if self._shares_gpus else ""
            calls.append(worker.load_rank.remote(rank, gpus))
        self._loaded = _get(calls)
        first, *others = self._loaded
        oom_kills = self._sum(enumerate(loaded.oom_kills for loaded in self._loaded))
        return replace(first, oom_kills=oom_kills, others=tuple(others))

    def connect(self, store: RemoteStore) -> None:
        """Send the files of rank 0 to a store, if its machine does not have the sweep's directory.

        The other ranks get those of earlier attempts from there.
        """
        for rank, (worker, loaded) in enumerate(zip(self._workers, self._loaded, strict=True)):
            if loaded.directory != self._directory:
                ray.get(worker.connect_rank.remote(store, rank))

    def run(self, assignment: Assignment) -> FinishedAttempt:
        """Run one attempt on all ranks.

        Raises:
            RankDied: the process of a rank died.
        """
        self._last = self._run(assignment)
        return self._last

    def _run(self, assignment: Assignment) -> FinishedAttempt:
        trial = self._directory.trial(assignment.number, assignment.label)
        newest = find_checkpoints(trial.checkpoints)[-1:]
        # Rank 0 may save another one before the others have begun.
        assignment = replace(assignment, resumes_from=newest[0].path.name if newest else "")
        try:
            port = ray.get(self._workers[0].reserve_port.remote())
        except RayError as error:
            raise RankDied(*cause_of_death(error)) from None
        calls = {
            worker.run_rank.remote(assignment, rank): rank.rank
            for worker, rank in zip(self._workers, self._ranks(port), strict=True)
        }
        ends, left = self._wait(calls, assignment)
        # A machine that is lost does not answer.
        died = [end.rank for end in ends if end.finished is None and end.kind != "lost_node"]
        self._write_outputs(self._kill([*left, *died], assignment), trial)
        printed = {end.rank: end.finished.output for end in ends if isinstance(end.finished, FinishedRank)}
        self._write_outputs(printed, trial)
        cause = _cause(ends)
        if cause.finished is None:
            raise RankDied(cause.kind, _of_rank(cause))
        finished = [end.finished for end in ends if end.finished is not None]
        oom_kills = self._sum((end.rank, end.finished.oom_kills) for end in ends if end.finished)
        own = next((end.finished.outcome for end in ends if end.rank == 0 and end.finished), None)
        outcome = replace(cause.finished.outcome, reason=_of_rank(cause), was_killed=own is None)
        if own is not None:
            outcome = replace(outcome, metrics=own.metrics, reports=own.reports, notes=own.notes)
        is_spent = len(finished) < self._count or any(end.is_worker_spent for end in finished)
        return FinishedAttempt(outcome, is_spent, oom_kills)

    def probe(self) -> None:
        """Raise an error if the process of a rank has died while no attempt ran."""
        ray.get([worker.probe.remote() for worker in self._workers])

    def last_attempt(self) -> FinishedAttempt | None:
        """What `run` has returned last, if the answer was lost."""
        return self._last

    def _sum(self, kills: Iterable[tuple[int, int]]) -> int:
        """The sum of the kernels' kills, which are known by rank: `Slot.locations` counts in the same way."""
        places = {(self._loaded[rank].node_id, self._loaded[rank].directory): count for rank, count in kills}
        return sum(places.values())

    def _write_outputs(self, printed: Mapping[int, bytes], trial: TrialDirectory) -> None:
        """Write what ranks have printed on machines without the sweep's directory."""
        for rank, output in printed.items():
            with trial.output_of(rank).open("ab") as file:
                file.write(output)

    def _ranks(self, port: int) -> list[Rank]:
        nodes = [place.node_id for place in self._places]
        machines = list(dict.fromkeys(nodes))
        # The address of a machine can be one that its firewall blocks.
        address = self._places[0].address if len(machines) > 1 else LOCALHOST
        return [
            Rank(
                rank,
                self._count,
                nodes[:rank].count(node),
                nodes.count(node),
                machines.index(node),
                address,
                port,
            )
            for rank, node in enumerate(nodes)
        ]

    def _wait(self, calls: dict[Any, int], assignment: Assignment) -> tuple[list[_End], list[int]]:
        """Wait until all ranks have ended, or until those that have not have had time enough.

        Returns:
            the ranks that have ended, in that order, and those that have not.
        """
        calls, ends, deadline = dict(calls), [], float("inf")
        asked: set[int] = set()
        while calls:
            left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(calls), timeout=left)
            if not ready:
                break
            for call in ready:
                rank = calls.pop(call)
                end = self._end_of(call, rank, assignment, is_last=rank in asked)
                if end is None:
                    asked.add(rank)
                    calls[self._workers[rank].last_attempt.remote()] = rank
                    continue
                ends.append(end)
                if self._is_script and any(one.kind == "interrupted" for one in ends):
                    deadline = min(deadline, time.monotonic() + _GRACE_WHEN_INTERRUPTED)
                elif end.kind != "returned":
                    deadline = min(deadline, time.monotonic() + _GRACE)
                elif rank == 0:
                    deadline = min(deadline, time.monotonic() + _GRACE_AFTER_RETURN)
        return ends, sorted(calls.values())

    def _end_of(self, call: Any, rank: int, assignment: Assignment, is_last: bool) -> _End | None:
        """How a rank has ended.

        Args:
            call: has returned.
            rank: the rank.
            assignment: the attempt.
            is_last: whether it is the call that asks again.

        Returns:
            None if another call must tell: the worker or its machine has died, or only the connection.
        """
        try:
            finished: FinishedAttempt | None = ray.get(call)
        except RayTaskError as error:
            kind, reason = classify_worker_error(error.cause or error)
        except RayError as error:
            if isinstance(error, ActorUnavailableError) and not is_last:
                return None
            kind, reason = cause_of_death(error)
        else:
            if finished is not None and finished.is_of(assignment):
                outcome = finished.outcome
                return _End(rank, finished, outcome.kind, outcome.reason, finished.ended)
            kind, reason = "crash", CONNECTION_LOST
        return _End(rank, None, kind, reason, time.time())

    def _kill(self, ranks: Sequence[int], run: Assignment) -> dict[int, bytes]:
        """Kill the workers of ranks that have not returned, and what they have started.

        Returns:
            what ranks have printed whose machines do not have the sweep's directory. Rank 0 sends its files.
        """
        calls = {}
        for rank in ranks:
            ray.kill(self._workers[rank])
            loaded = self._loaded[rank]
            strategy = NodeAffinitySchedulingStrategy(loaded.node_id, soft=False)
            task = ray.remote(end_rank).options(num_cpus=0, scheduling_strategy=strategy)
            calls[task.remote(loaded.directory.trial(run.number, run.label), rank)] = rank
        if not calls:
            return {}
        ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=_CLEAN_UP_TIMEOUT)
        printed = {}
        for call in ready:
            rank = calls[call]
            with suppress(RayError):
                output = ray.get(call)
                if rank > 0 and self._loaded[rank].directory != self._directory:
                    printed[rank] = output
        return printed


def _get(calls: list[Any]) -> list[Any]:
    """The results of calls to workers that are starting.

    Raises:
        SweepError: a worker cannot start, or import the objective.
        CodeMissing: a machine does not have the user's folder.
    """
    try:
        return ray.get(calls)  # type: ignore[no-any-return]
    except RayTaskError as error:
        raise error.cause or error from None
    except RuntimeEnvSetupError as error:
        raise SweepError(f"runtime_env: {runtime_env_error(error)}") from None
    except RayActorError as error:
        if error.actor_init_failed:
            raise SweepError(f"a worker cannot start: {constructor_error(error)}") from None
        raise


def _cause(ends: Sequence[_End]) -> _End:
    """The rank whose end is that of the attempt.

    Args:
        ends: how the ranks have ended, in that order.
    """
    failed: list[_End] = []
    for end in ends:
        if end.rank == 0 and (end.kind in _ENDS or (end.kind == "returned" and not failed)):
            return end
        if end.kind != "returned":
            failed.append(end)
    # A rank that waits for one that was interrupted gets an error, or its process aborts.
    interrupted = next((end for end in failed if end.kind == "interrupted"), None)
    return interrupted or min(failed, key=lambda end: end.severity)


def _of_rank(end: _End) -> str:
    return f"rank {end.rank}: {end.reason}" if end.rank > 0 and end.reason else end.reason
