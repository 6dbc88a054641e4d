"""The Ray engine: trials side by side in warm workers, on one machine or many."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from sweep.core.messages import Assignment, Outcome, OutcomeKind, Progress, Turn
from sweep.engine.base import Engine, Interruption, Observer, Sweep
from sweep.engine.ray_cluster import RayCluster
from sweep.engine.ray_controller import RayController
from sweep.engine.ray_worker import RayWorker
from sweep.engine.slots import count_slots
from sweep.errors import SweepError
from sweep.spec import SweepSpec

_TICK = 0.25  # seconds
_MOST_FAILED_STARTS = 3

_Handler = Callable[[Any, "_Slot"], None]


class RayEngine(Engine):
    """Runs trials on Ray.

    Args:
        address: of a running cluster; None starts Ray on this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        self._cluster = RayCluster(address)

    def __enter__(self) -> RayEngine:
        self._cluster.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._cluster.__exit__(*error)

    def slots(self, spec: SweepSpec) -> int:
        return count_slots(self._cluster.machines(), spec.resources, spec.max_parallel)

    def run(self, sweep: Sweep, observer: Observer, interruption: Interruption) -> Progress:
        cores = int(sum(machine.get("CPU", 0) for machine in self._cluster.machines()))
        supervisor = Supervisor(
            sweep, self.slots(sweep.spec), observer, self._cluster.here(), starters=max(1, cores)
        )
        try:
            return supervisor.run(interruption)
        finally:
            supervisor.end()


@dataclass
class _Slot:
    """A place for one trial at a time: its worker, and what that runs or will run next."""

    worker: Any = None
    assignment: Assignment | None = None
    deadline: float | None = None  # of the attempt, on the monotonic clock


class Supervisor:
    """Owns the workers: gives them work, watches over them, and replaces those that die.

    Every slot waits for one call at a time: its worker's start, an attempt, or the controller's next
    assignment. So a dead worker, a lost machine and an overrun limit are all seen in one place.

    Args:
        sweep: what to run.
        slots: how many workers.
        observer: is told what happens.
        here: a scheduling strategy that keeps the controller on this machine.
        starters: how many workers may be starting at the same time.
    """

    def __init__(self, sweep: Sweep, slots: int, observer: Observer, here: Any, starters: int) -> None:
        self._sweep = sweep
        self._slots = slots
        self._observer = observer
        resources = sweep.spec.resources
        self._controller = (
            ray.remote(RayController)
            .options(num_cpus=0, scheduling_strategy=here)
            .remote(sweep.spec, sweep.directory, slots)
        )
        self._worker_class = ray.remote(RayWorker).options(num_cpus=resources.cpu, num_gpus=resources.gpu)
        self._threads = max(1, int(resources.cpu))
        self._waiting: dict[Any, tuple[_Slot, _Handler]] = {}
        """The call each slot waits for, and what takes its answer."""
        self._workers: set[Any] = set()
        self._failed_starts = 0
        self._starters = starters
        self._unstarted = 0
        self._opening: Progress | None = None
        """Where the sweep stood at its start, until the first worker is ready."""

    def run(self, interruption: Interruption) -> Progress:
        """Run until there is nothing to do any more, or until interrupted.

        Raises:
            SweepError: the objective cannot be imported, or the controller died.
        """
        try:
            progress = self._open()
            next_tick = time.monotonic()
            while self._waiting and interruption.signal is None and not _is_time_up(progress):
                answered, _ = ray.wait(list(self._waiting), num_returns=1, timeout=self._patience(next_tick))
                for call in answered:
                    slot, handle = self._waiting.pop(call)
                    handle(call, slot)
                self._end_overdue()
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK
                    watched = self._observer.wants_ticks or progress.seconds_left is not None
                    if watched and self._opening is None:
                        progress = ray.get(self._controller.progress.remote())
                        self._observer.tick(progress)
            final: Progress = ray.get(self._controller.close.remote())
            return final
        except RayActorError as error:
            if error.actor_init_failed:  # its message ends with what the controller's constructor raised
                raise SweepError(str(error).strip().splitlines()[-1]) from None
            raise SweepError(f"the controller died ({_cause(error)}); the same command goes on") from None
        except RayTaskError as error:
            raise SweepError(
                f"{type(error.cause).__name__}: {error.cause}; nothing more was recorded"
            ) from None

    def end(self) -> None:
        """End all processes; what they ran stays without an outcome."""
        for worker in self._workers:
            ray.kill(worker)
        ray.kill(self._controller)

    def _open(self) -> Progress:
        # The controller's call goes first, for it takes the longest; meanwhile the first workers start.
        opening = self._controller.progress.remote()
        total = self._sweep.spec.stop.trials
        self._unstarted = self._slots if total is None else min(self._slots, total)
        for _ in range(self._starters):
            self._start_next()
        progress: Progress = ray.get(opening)
        if progress.total is not None:
            left = progress.total - progress.finished
            self._unstarted = min(self._unstarted, max(0, left - len(self._waiting)))
        self._opening = progress
        self._observer.starting("workers")
        return progress

    def _start_next(self) -> None:
        """Start one more of the workers there are to be.

        Not all at once: eight processes that import on two cores are all ready at the end, while two at a
        time give the first slots work after a quarter of that time, and the last is no later.
        """
        if self._unstarted > 0:
            self._unstarted -= 1
            self._start_worker(_Slot())

    def _patience(self, next_tick: float) -> float:
        """How long to wait for an answer before there is something else to do, in seconds."""
        deadlines = [slot.deadline for slot, _ in self._waiting.values() if slot.deadline is not None]
        return max(0.0, min([next_tick, *deadlines]) - time.monotonic())

    def _start_worker(self, slot: _Slot) -> None:
        slot.worker = self._worker_class.remote(self._sweep.attempt_settings, self._controller, self._threads)
        self._workers.add(slot.worker)
        self._waiting[slot.worker.load.remote()] = (slot, self._on_loaded)

    def _on_loaded(self, call: Any, slot: _Slot) -> None:
        try:
            problem = ray.get(call)
        except RayActorError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise SweepError(
                    f"{self._failed_starts} workers in a row died while they imported the objective: "
                    f"{_cause(error)}"
                ) from None
            self._dismiss(slot)
            self._start_worker(slot)
            return
        if problem:
            raise SweepError(problem)
        self._failed_starts = 0
        if self._opening is not None:
            self._observer.opened(self._slots, self._opening)
            self._opening = None
        self._start_next()
        if slot.assignment is not None:
            self._run(slot, slot.assignment)
        else:
            self._ask(slot, None)

    def _ask(self, slot: _Slot, outcome: Outcome | None) -> None:
        """Tell the controller how the slot's attempt ended; its answer says what to run next."""
        slot.assignment = slot.deadline = None
        self._waiting[self._controller.turn.remote(outcome)] = (slot, self._on_turn)

    def _on_turn(self, call: Any, slot: _Slot) -> None:
        turn: Turn = ray.get(call)
        if turn.ending is not None:
            self._observer.ended(turn.ending)
        if turn.assignment is None:
            self._dismiss(slot)  # there is nothing more to do: others may have its cores
        elif slot.worker is None:
            slot.assignment = turn.assignment
            self._start_worker(slot)
        else:
            self._run(slot, turn.assignment)

    def _run(self, slot: _Slot, assignment: Assignment) -> None:
        slot.assignment = assignment
        timeout = self._sweep.spec.trial.timeout
        slot.deadline = None if timeout is None else time.monotonic() + timeout
        self._waiting[slot.worker.run.remote(assignment)] = (slot, self._on_outcome)
        self._observer.started(assignment)

    def _on_outcome(self, call: Any, slot: _Slot) -> None:
        try:
            outcome: Outcome = ray.get(call)
        except RayActorError as error:
            self._dismiss(slot)
            self._ask(slot, self._failure(slot, "crash", _cause(error), str(error)))
        except RayTaskError as error:  # not the objective's error, which is an outcome: the disk is full, say
            cause = error.cause or error
            self._ask(slot, self._failure(slot, "crash", f"{type(cause).__name__}: {cause}", str(error)))
        else:
            self._ask(slot, outcome)

    def _dismiss(self, slot: _Slot) -> None:
        """Make sure that a slot's worker is dead."""
        if slot.worker is not None:
            ray.kill(slot.worker)
            self._workers.discard(slot.worker)
            slot.worker = None

    def _end_overdue(self) -> None:
        """Kill the workers whose attempts overran their limit."""
        now = time.monotonic()
        for call, (slot, _) in list(self._waiting.items()):
            if slot.deadline is not None and now >= slot.deadline:
                if ray.wait([call], timeout=0)[0]:
                    continue  # it has just made it
                del self._waiting[call]
                self._dismiss(slot)
                self._ask(slot, self._failure(slot, "timeout", f"ran longer than {self._limit}"))

    @property
    def _limit(self) -> str:
        return f"{self._sweep.spec.trial.timeout:g} s"

    @staticmethod
    def _failure(slot: _Slot, kind: OutcomeKind, reason: str, story: str = "") -> Outcome:
        assert slot.assignment is not None
        return Outcome(slot.assignment.number, slot.assignment.attempt, kind, reason=reason, traceback=story)


def _is_time_up(progress: Progress) -> bool:
    return progress.seconds_left is not None and progress.seconds_left <= 0


def _cause(error: RayActorError) -> str:
    """What is known about the death of a process; Ray's message is a page that says little more."""
    text = str(error)
    if "node" in text and "died" in text and "worker process has died" not in text:
        return "its machine was lost"
    return "its process crashed or was killed"
