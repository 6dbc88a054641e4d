"""The supervisor: owns the workers of the Ray engine, and sees to it that every slot has something to do."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from sweep.controller.requests import Request, take_requests
from sweep.engine.base import Interruption, Observer, Sweep
from sweep.engine.classify import NO_SPACE, not_recorded
from sweep.engine.ray.capacity import ClusterCapacity
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.controller_actor import RayController
from sweep.engine.ray.controller_client import PATIENCE, ControllerClient
from sweep.engine.ray.worker import RayWorker, Served, Started, WorkerLimits
from sweep.errors import SweepError
from sweep.messages import (
    Assignment,
    AttemptResult,
    NextStep,
    Outcome,
    OutcomeKind,
    Progress,
    RunningAttempt,
    RunningTrial,
)
from sweep.script.reference import ScriptReference
from sweep.system import processes

_TICK = 0.25  # seconds
_SAVE = 2.0
"""So often, in seconds, the controller is asked at least; it writes down then how long the sweep has run."""
_MOST_FAILED_STARTS = 6
_BY_HAND = "stopped by hand"


class RayLost(Exception):
    """Ray itself has died on this machine."""


@dataclass(eq=False)
class _Slot:
    """A place for one trial, or one repeat of a trial, at a time: its worker, and what that does.

    Attributes:
        worker: the actor; None while there is none.
        node: Ray's word for its machine, once it has started.
        kernel_kills: how often the kernel had killed for memory there when it began its attempt.
        assignment: what it runs, or ran: until the controller knows how that ended.
        started: when it was given that, in seconds since the epoch.
        deadline: when the attempt has to be over, on the monotonic clock.
        call: the call to its worker that it waits for.
        is_asking: whether it waits for the controller's word.
        wake: when to ask for work again, on the monotonic clock.
    """

    worker: Any = None
    node: str | None = None
    kernel_kills: int = 0
    assignment: Assignment | None = None
    started: float = 0.0
    deadline: float | None = None
    call: Any = None
    is_asking: bool = False
    wake: float | None = None


class Supervisor:
    """Owns the workers: gives them work, watches over them, and replaces those that die.

    Every slot waits for one call at a time: its worker's start, an attempt, or the controller's next
    assignment. So a dead worker, a lost machine and an overrun limit are all seen in one place.

    Args:
        sweep: what to run.
        slots: how many workers.
        observer: is told what happens.
        cluster: where.
    """

    def __init__(self, sweep: Sweep, slots: int, observer: Observer, cluster: RayCluster) -> None:
        self._sweep = sweep
        self._rules = sweep.spec.trial
        self._observer = observer
        self._cluster = cluster
        self._here = cluster.node()
        self._waiting: dict[Any, Callable[[Any], None]] = {}
        """Calls without an answer, and what takes it."""
        self._slots: set[_Slot] = set()
        self._capacity = slots
        self._repeats = len(sweep.spec.run_labels)
        self._unstarted = 0
        self._early: list[_Slot] = []
        """Slots whose workers were ready before the controller was."""
        self._failed_starts = 0
        self._controller = (
            ray.remote(RayController)
            .options(num_cpus=0, scheduling_strategy=cluster.on_node(self._here), max_restarts=-1)
            .remote(
                sweep.spec,
                sweep.directory,
                sweep.run_id,
                sweep.working_directory,
                slots,
                observer.wants_reports,
            )
        )
        self._line = ControllerClient(self._controller, self._waiting, self._running, self._on_replaced)
        resources = sweep.spec.resources
        self._room = ClusterCapacity(resources, observer)
        self._worker_class = ray.remote(RayWorker).options(num_cpus=resources.cpu, num_gpus=resources.gpu)
        self._threads = max(1, int(resources.cpu))
        memory = self._rules.recycle_at_gb
        self._limits = WorkerLimits(
            1 if self._rules.isolate else self._rules.recycle_after, memory * 1e9 if memory else None
        )
        self._progress: Progress | None = None
        self._next_progress = 0.0
        self._is_open = False
        self._draining_until: float | None = None
        self._is_urgent = False
        self._end: float | None = None
        """When the time of the sweep is up, on the monotonic clock."""

    @property
    def progress(self) -> Progress | None:
        """Where the sweep stood when that was last asked."""
        return self._progress

    def run(self, interruption: Interruption, grace: float) -> Progress:
        """Run until there is nothing to do any more, or until interrupted.

        Args:
            interruption: asks for an end.
            grace: how long running trials may go on then, in seconds.

        Raises:
            SweepError: the objective cannot be imported, the disk is full, or the controller failed.
            RayLost: Ray died.
        """
        try:
            self._open()
            next_tick = time.monotonic()
            while self._slots:
                if interruption.signal is not None and self._draining_until is None:
                    self._drain(grace)
                if self._is_over():
                    break
                ready = self._wait(self._patience(next_tick))
                for call in ready:
                    self._waiting.pop(call)(call)
                self._look_at_clock()
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK
                    self._tick(interruption)
            return self._close()
        except RayActorError as error:
            if not self._cluster.is_alive():
                raise RayLost from None
            if error.actor_init_failed:  # its message ends with what the controller's constructor raised
                raise SweepError(_last_line(error)) from None
            raise SweepError("the controller died; the same command goes on") from None
        except RayTaskError as error:
            raise not_recorded(error.cause) from None

    def end(self) -> None:
        """End all processes; what they ran stays without an outcome."""
        if self._cluster.is_alive():
            for slot in self._slots:
                if slot.worker is not None:
                    ray.kill(slot.worker)
            ray.kill(self._controller)
        self._cluster.end_processes(self._sweep.directory)

    # The course of things.

    def _open(self) -> None:
        # The controller's call goes first, for it takes the longest; meanwhile the first workers start.
        self._line.ask("progress", then=self._on_opened)
        total = self._sweep.spec.stop.trials
        self._unstarted = self._capacity if total is None else min(self._capacity, total * self._repeats)
        for _ in range(self._cluster.cores()):
            self._start_next()

    def _on_opened(self, progress: Progress) -> None:
        self._progress = progress
        self._observer.starting("workers")
        if progress.seconds_left is not None:
            self._end = time.monotonic() + progress.seconds_left
        if progress.total is not None:
            left = (progress.total - progress.finished) * self._repeats
            self._unstarted = min(self._unstarted, max(0, left - len(self._slots)))
        for slot in self._early:
            self._on_ready(slot)

    def _close(self) -> Progress:
        """Learn where the sweep stands now; if the controller has just died, where it stood."""
        for _ in range(int(PATIENCE / _TICK)):
            try:
                self._progress = ray.get(self._controller.close.remote())
                break
            except ActorUnavailableError:
                self._check_ray()
                time.sleep(_TICK)
        if self._progress is None:
            raise SweepError("the controller did not start; the same command goes on")
        return self._progress

    def _is_over(self) -> bool:
        now = time.monotonic()
        is_drained = self._draining_until is not None and (now >= self._draining_until or self._is_urgent)
        return is_drained or (self._end is not None and now >= self._end)

    def _wait(self, seconds: float) -> list[Any]:
        """Wait for an answer; returns the call that has one, if any."""
        if not self._waiting:  # Ray would not wait for nothing
            time.sleep(seconds)
            return []
        return list(ray.wait(list(self._waiting), timeout=seconds)[0])

    def _patience(self, next_tick: float) -> float:
        """How long to wait for an answer before there is something else to do, in seconds."""
        times = [next_tick]
        for slot in self._slots:
            times += [moment for moment in (slot.deadline, slot.wake) if moment is not None]
        times += [moment for moment in (self._end, self._draining_until) if moment is not None]
        return max(0.0, min(times) - time.monotonic())

    def _tick(self, interruption: Interruption) -> None:
        self._check_ray()
        self._room.look()
        for request in take_requests(self._sweep.directory.requests, self._sweep.run_id):
            self._heed(request, interruption)
        now = time.monotonic()
        if self._is_open and now >= self._next_progress:
            self._next_progress = math.inf  # until it is answered
            self._line.ask("progress", then=self._on_progress)

    def _check_ray(self) -> None:
        if not self._cluster.is_alive():
            raise RayLost

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress
        self._next_progress = time.monotonic() + (_TICK if self._observer.wants_ticks else _SAVE)
        for running in progress.running:
            if running.is_futile:
                self._end_futile(running)
        self._observer.reported(progress.report_events)
        self._observer.tick(progress)

    def _end_futile(self, running: RunningTrial) -> None:
        """End a repeat whose trial has failed: its result would not count."""
        for slot in self._slots:
            found = slot.assignment
            if found is not None and (found.number, found.repeat, found.attempt) == (
                running.number,
                running.repeat,
                running.attempt,
            ):
                self._end_attempt(slot, "stopped", "another repeat of the trial has failed")

    def _heed(self, request: Request, interruption: Interruption) -> None:
        if request.stop:
            self._is_urgent = interruption.signal is not None  # it was asked before
            interruption.request(signal.SIGINT)
        if request.stop_trial is not None:
            self._stop_trial(request.stop_trial)
        if request.resubmit:
            self._line.ask("resubmit", request.resubmit, then=lambda numbers: self._on_enqueued(len(numbers)))
        if request.enqueue:
            self._line.ask("enqueue", request.enqueue, request.token, then=self._on_enqueued)

    def _stop_trial(self, number: int) -> None:
        slots = [slot for slot in self._slots if slot.assignment and slot.assignment.number == number]
        if not slots or self._sweep.spec.repeats is not None:  # other repeats may wait for a slot
            self._line.ask("abandon", number, _BY_HAND, then=self._on_abandoned)
        for slot in slots:
            self._end_attempt(slot, "stopped", _BY_HAND)

    def _on_abandoned(self, result: AttemptResult | None) -> None:
        if result is not None:
            self._observer.ended(result)

    def _on_enqueued(self, count: int) -> None:
        """There is more to do: free slots that have been given up are needed again."""
        if self._draining_until is None:
            for slot in self._slots:
                if slot.wake is not None:
                    slot.wake = time.monotonic()
            free = self._capacity - len(self._slots) - self._unstarted
            for _ in range(min(count * self._repeats, free)):
                self._unstarted += 1
                self._start_next()

    def _drain(self, grace: float) -> None:
        """Begin nothing new; trials that run have some time to reach a checkpoint, or their end."""
        self._draining_until = time.monotonic() + grace
        self._drop_idle()
        self._line.ask("give_way", then=_ignore)
        running = len({slot.assignment.number for slot in self._slots if slot.assignment is not None})
        if running and grace > 0:
            have, them = ("has", "it") if running == 1 else ("have", "them")
            if isinstance(self._sweep.objective, ScriptReference):
                time_for = f"script{'s' * (running > 1)} {have} got SIGTERM, and {have} {grace:g} s to end"
            else:
                time_for = f"trial{'s' * (running > 1)} {have} {grace:g} s to reach a checkpoint"
            self._observer.note(f"stopping: {running} running {time_for}; the same again ends {them} at once")

    def _look_at_clock(self) -> None:
        """End attempts that overran their limit; wake slots that wait for a trial's backoff to be over."""
        now = time.monotonic()
        for slot in list(self._slots):
            if slot.wake is not None and now >= slot.wake:
                slot.wake = None
                self._await(slot, slot.worker.probe.remote(), self._on_awake)
            elif slot.deadline is not None and now >= slot.deadline and not _is_answered(slot.call):
                self._end_attempt(slot, "timeout", f"ran longer than {self._rules.timeout:g} s")

    def _running(self) -> list[RunningAttempt]:
        """What a controller that takes a dead one's place has to know."""
        return [
            RunningAttempt(
                slot.assignment.number, slot.assignment.attempt, slot.started, slot.assignment.repeat
            )
            for slot in self._slots
            if slot.assignment is not None
        ]

    def _on_replaced(self) -> None:
        if self._draining_until is not None:
            self._line.ask("give_way", then=_ignore)

    # The slots.

    def _start_next(self) -> None:
        """Start one more of the workers there are to be.

        Not all at once: eight processes that import on two cores are all ready at the end, while two at a
        time give the first slots work after a quarter of that time, and the last is no later.
        """
        if self._unstarted > 0:
            self._unstarted -= 1
            slot = _Slot()
            self._slots.add(slot)
            self._start_worker(slot)

    def _start_worker(self, slot: _Slot) -> None:
        slot.worker = self._worker_class.remote(
            self._sweep.attempt_settings, self._sweep.run_id, self._controller, self._threads, self._limits
        )
        slot.node = None
        self._room.expect(slot.worker)
        self._await(slot, slot.worker.load.remote(), self._on_loaded)

    def _await(self, slot: _Slot, call: Any, handle: Callable[[_Slot, Any], None]) -> None:
        slot.call = call
        self._waiting[call] = partial(handle, slot)

    def _on_loaded(self, slot: _Slot, call: Any) -> None:
        try:
            started: Started = ray.get(call)
        except ActorUnavailableError:
            self._await(slot, slot.worker.probe.remote(), self._on_loaded)
            return
        except RayError as error:
            kind, reason = _cause(error)
            if isinstance(error, RayActorError) and error.actor_init_failed:
                raise SweepError(f"a worker cannot start: {_last_line(error)}") from None
            self._failed_starts += kind != "lost_node"
            if self._failed_starts >= _MOST_FAILED_STARTS:
                self._check_ray()
                raise SweepError(
                    f"{self._failed_starts} workers in a row died while they imported the objective: {reason}"
                ) from None
            self._dismiss(slot)
            self._start_worker(slot)
            return
        if started is None:  # it was only unreachable for a moment
            self._await(slot, slot.worker.load.remote(), self._on_loaded)
            return
        if started.problem:
            raise SweepError(started.problem)
        self._failed_starts = 0
        slot.call, slot.node, slot.kernel_kills = None, started.node, started.kernel_kills
        self._start_next()
        if self._progress is None:
            self._early.append(slot)
        else:
            self._on_ready(slot)

    def _on_ready(self, slot: _Slot) -> None:
        if not self._is_open:
            assert self._progress is not None
            self._is_open = True
            self._observer.opened(self._capacity, self._progress)
        self._next(slot)

    def _on_awake(self, slot: _Slot, call: Any) -> None:
        try:
            ray.get(call)
        except RayError:  # it died while it had nothing to do: no trial is to blame
            self._dismiss(slot)
            self._start_worker(slot)
        else:
            self._next(slot)

    def _next(self, slot: _Slot) -> None:
        slot.call, slot.is_asking = None, True
        self._line.ask("next_step", None, then=partial(self._on_next_step, slot))

    def _tell(self, slot: _Slot, outcome: Outcome) -> None:
        """Tell the controller how the slot's attempt ended. If there is a worker, it says what is next."""
        slot.call, slot.deadline, slot.is_asking = None, None, True
        if outcome.kind == "disk_full":
            raise SweepError(
                f"{outcome.reason}; trial {outcome.number} and the others stay as they are. "
                "Make room, then the same command goes on"
            )
        method = "next_step" if slot.worker is not None else "finish"
        self._line.ask(method, outcome, then=partial(self._on_next_step, slot))

    def _on_next_step(self, slot: _Slot, next_step: NextStep) -> None:
        slot.assignment, slot.is_asking = None, False
        self._observer.reported(next_step.report_events)
        if next_step.result is not None:
            self._observer.ended(next_step.result)
        if self._draining_until is not None:
            if next_step.assignment is not None:
                given = next_step.assignment
                self._line.ask("give_back", given.number, given.attempt, given.repeat, then=_ignore)
            self._remove(slot)
        elif next_step.assignment is None and next_step.ask_again_in is None:
            self._remove(slot)  # there is nothing more to do: others may have its cores
            self._drop_idle()
        elif next_step.assignment is not None:
            self._run(slot, next_step.assignment)
        elif slot.worker is None:
            self._start_worker(slot)
        elif next_step.ask_again_in is not None:
            slot.wake = time.monotonic() + next_step.ask_again_in

    def _run(self, slot: _Slot, assignment: Assignment) -> None:
        slot.assignment = assignment
        slot.started = time.time()
        timeout = self._rules.timeout
        slot.deadline = None if timeout is None else time.monotonic() + timeout
        self._await(slot, slot.worker.run.remote(assignment), self._on_served)
        self._observer.started(assignment)

    def _on_served(self, slot: _Slot, call: Any) -> None:
        try:
            served: Served = ray.get(call)
        except ActorUnavailableError:
            # Either the worker died, or its machine, which Ray finds out after a while only. Its next answer
            # tells them apart.
            self._await(slot, slot.worker.probe.remote(), self._on_probed)
        except RayTaskError as error:  # not the objective's error, which is an outcome
            cause = error.cause or error
            is_full = getattr(cause, "errno", None) in NO_SPACE
            self._fail(
                slot, "disk_full" if is_full else "crash", f"{type(cause).__name__}: {cause}", str(error)
            )
        except RayError as error:
            self._fail(slot, *_cause(error), str(error))
        else:
            slot.kernel_kills = served.kernel_kills
            if served.is_spent:
                self._dismiss(slot)
            self._tell(slot, served.outcome)

    def _on_probed(self, slot: _Slot, call: Any) -> None:
        try:
            ray.get(call)
            self._fail(slot, "crash", "its outcome was lost on its way")
        except ActorUnavailableError as error:
            self._check_ray()
            self._fail(slot, *_cause(error), str(error))
        except RayError as error:
            self._fail(slot, *_cause(error), str(error))

    def _end_attempt(self, slot: _Slot, kind: OutcomeKind, reason: str) -> None:
        """Kill the worker in the middle of its attempt, unless it has just made it."""
        if slot.call is None or _is_answered(slot.call) or self._waiting.pop(slot.call, None) is None:
            return
        self._fail(slot, kind, reason)

    def _fail(self, slot: _Slot, kind: OutcomeKind, reason: str, story: str = "") -> None:
        """The slot's attempt has ended without an outcome of its own: end what is left of it, and tell."""
        assert slot.assignment is not None
        slot.call = slot.deadline = None
        node = slot.node
        self._dismiss(slot)
        ran = slot.assignment
        outcome = Outcome(
            ran.number,
            ran.attempt,
            kind,
            reason=reason,
            traceback=story,
            was_killed=True,
            repeat=ran.repeat,
        )
        trial = self._sweep.directory.trial(ran.number, ran.label)
        if kind == "lost_node" or node is None or node == self._here:
            # A machine that is lost to Ray may be this one all the same.
            processes.terminate_trial(trial.root, trial.output)
            self._tell(slot, self._blame_kernel(slot, outcome, processes.count_kernel_kills()))
        else:
            look = ray.remote(_examine).options(num_cpus=0, scheduling_strategy=self._cluster.on_node(node))
            call = look.remote(trial.root, trial.output)
            self._await(slot, call, partial(self._on_examined, outcome))

    def _on_examined(self, outcome: Outcome, slot: _Slot, call: Any) -> None:
        try:
            self._tell(slot, self._blame_kernel(slot, outcome, ray.get(call)))
        except RayError:  # that machine does not answer any more
            self._tell(slot, outcome)

    @staticmethod
    def _blame_kernel(slot: _Slot, outcome: Outcome, kernel_kills: int) -> Outcome:
        if outcome.kind == "crash" and kernel_kills > slot.kernel_kills:
            return replace(outcome, kind="oom", reason="memory ran out, and the kernel killed it")
        return outcome

    def _dismiss(self, slot: _Slot) -> None:
        """Have a slot's worker killed."""
        if slot.worker is not None:
            ray.kill(slot.worker)
            slot.worker = None

    def _remove(self, slot: _Slot) -> None:
        if slot.call is not None:
            self._waiting.pop(slot.call, None)
        self._dismiss(slot)
        self._slots.discard(slot)

    def _drop_idle(self) -> None:
        """There will be no more work than what is under way: other workers are not needed any more."""
        self._unstarted = 0
        for slot in list(self._slots):
            if slot.assignment is None and not slot.is_asking:
                self._remove(slot)


def _examine(trial: Path, output: Path) -> int:
    """On a worker's machine: end what is left of a trial; returns `processes.count_kernel_kills`."""
    processes.terminate_trial(trial, output)
    return processes.count_kernel_kills()


def _is_answered(call: Any) -> bool:
    return bool(ray.wait([call], timeout=0)[0])


def _last_line(error: RayActorError) -> str:
    """What an actor's constructor raised."""
    return str(error).strip().splitlines()[-1]


def _ignore(answer: Any) -> None: ...


def _cause(error: RayError) -> tuple[OutcomeKind, str]:
    """What is known about the death of a process; Ray's message is a page that says little more."""
    if isinstance(error, OutOfMemoryError):
        return "oom", "memory ran low, and Ray killed it"
    if getattr(error, "preempted", False):
        return "lost_node", "its machine was taken away"
    if "node has died" in str(error):
        return "lost_node", "its machine was lost"
    return "crash", "its process crashed or was killed"
