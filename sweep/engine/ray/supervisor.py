"""The supervisor of a sweep on Ray: assigns attempts to workers and handles requests until none is left."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from sweep.controller.controller import Controller
from sweep.engine.base import PreparedSweep
from sweep.engine.controller_guard import ControllerFailed
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.controller_client import ControllerClient
from sweep.engine.ray.draining import Evacuation
from sweep.engine.ray.file_transfer import FileTransfer
from sweep.engine.ray.pending import PendingCalls, has_returned
from sweep.engine.ray.post_mortem import PostMortem
from sweep.engine.ray.private import constructor_error
from sweep.engine.ray.request_handler import RequestHandler
from sweep.engine.ray.resources import count_fitting
from sweep.engine.ray.slot_count import SlotCount
from sweep.engine.ray.storage_watch import StorageWatch
from sweep.engine.ray.worker import FinishedAttempt
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.errors import SweepError, SweepStopped
from sweep.messages import (
    Assignment,
    NextStep,
    Outcome,
    OutcomeKind,
    Progress,
    RunningAttempt,
    RunningTrial,
)
from sweep.script.reference import ScriptReference

if TYPE_CHECKING:
    from sweep.engine.ray.slurm_nodes import SlurmNodes

_TICK = 0.25
"""Time between two checks of Ray, the requests and the progress, in seconds."""
_PROGRESS_INTERVAL = 2.0
"""The longest time between two requests for the progress, in seconds."""


class Supervisor:
    """Runs a sweep on Ray: asks the controller for assignments, and gives them to the workers of a pool.

    A slot waits for one call at a time: the start of its worker, an attempt, or the next assignment.

    Args:
        sweep: the sweep.
        slots: how many attempts can run at the same time at first.
        observer: receives events.
        cluster: the connection to Ray.

    Attributes:
        progress: the latest known state of the sweep; None before the controller has started.
    """

    def __init__(self, sweep: PreparedSweep, slots: int, observer: Observer, cluster: RayCluster) -> None:
        self._sweep = sweep
        self._observer = observer
        self._cluster = cluster
        self._calls = PendingCalls()
        self._controller = ControllerClient(
            sweep, slots, observer.wants_reports, cluster, self._calls, self._running, self._on_restarted
        )
        self._transfer = FileTransfer(sweep, cluster)
        self._pool = WorkerPool(
            sweep,
            slots,
            self._controller.actor,
            self._transfer,
            cluster,
            self._calls,
            observer,
            self._on_worker_ready,
        )
        self._storage_watch = StorageWatch(sweep.spec.storage, observer)
        self._repeats = len(sweep.spec.run_labels)
        limit = sweep.spec.max_parallel if cluster.grows() else 0
        self._slot_count = SlotCount(
            self._pool, self._count_slots, self._repeats, observer, self._on_slots_changed, limit
        )
        self._evacuation = Evacuation(
            self._pool, cluster.leaving_nodes, self._move_attempt, self._kill_attempt, observer
        )
        self._post_mortem = PostMortem(cluster, self._pool, self._transfer, self._on_finished, self._report)
        self._requests = RequestHandler(
            sweep, self._controller, self._pool, observer, self._kill_attempt, self._on_enqueued
        )
        self.progress: Progress | None = None
        self._next_progress = math.inf
        self._early: list[Slot] = []
        """Slots whose workers were ready before the controller."""
        self._is_ready = False
        self._is_on_hold = False
        """Whether the user has been notified that no trial is started because the first ones have failed."""
        self._nodes: SlurmNodes | None = None
        self._draining_until: float | None = None
        self._end: float | None = None
        """When the sweep reaches its time limit, on the monotonic clock."""

    def run(self, interruption: Interruption, grace: float, nodes: SlurmNodes | None = None) -> Progress:
        """Run until no work is left, or until interrupted.

        Args:
            interruption: whether the sweep has been asked to stop.
            grace: how long running trials may then continue, in seconds.
            nodes: the Slurm jobs that give the sweep its machines; None without Slurm.

        Raises:
            SweepError: the objective cannot be imported, the disk is full, or the controller failed.
            RayLost: Ray has died.
        """
        self._nodes = nodes
        try:
            # The controller takes longest to start; the first workers start at the same time.
            self._controller.call(Controller.progress, self._on_controller_ready)
            trials = self._sweep.spec.stop.trials
            self._pool.open_slots(None if trials is None else trials * self._repeats)
            next_tick = time.monotonic()
            while self._pool.slots or self._requests.take(interruption):
                if interruption.signal is not None and self._draining_until is None:
                    self._drain(grace)
                if self._is_over():
                    break
                self._calls.handle_next(self._time_to_next_event(next_tick))
                self._check_clock()
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK
                    self._tick(interruption)
            self.progress = self._controller.close() or self.progress
            if self.progress is not None:
                self._observer.on_progress(self.progress)
        except RayActorError as error:
            self._cluster.check_alive()
            if error.actor_init_failed:
                raise SweepError(constructor_error(error)) from None
            raise SweepStopped("the controller died") from None
        except RayTaskError as error:
            raise ControllerFailed.of(error.cause or error).for_user(self._sweep.directory) from None
        if self.progress is None:
            raise SweepStopped("the controller did not start")
        return self.progress

    def shut_down(self) -> None:
        """Kill all processes of the sweep. Running attempts get no outcome."""
        if self._cluster.is_alive():
            self._pool.kill_all()
            self._transfer.close(self._pool.slots)
            self._controller.kill()
        self._cluster.kill_leftover_processes(self._sweep.directory)

    # Start, clock and end.

    def _on_controller_ready(self, progress: Progress) -> None:
        self.progress = progress
        self._observer.on_startup("starting workers")
        if progress.seconds_left is not None:
            self._end = time.monotonic() + progress.seconds_left
        if progress.total is not None:
            self._pool.limit((progress.total - progress.finished) * self._repeats)
        for slot in self._early:
            self._on_worker_ready(slot)

    def _is_over(self) -> bool:
        now = time.monotonic()
        is_drained = self._draining_until is not None and (
            now >= self._draining_until or self._requests.stops_at_once
        )
        return is_drained or (self._end is not None and now >= self._end)

    def _time_to_next_event(self, next_tick: float) -> float:
        """How long to wait for a call before something else must be done, in seconds."""
        times = [next_tick, self._end, self._draining_until]
        for slot in self._pool.slots:
            times += [slot.deadline, slot.next_request]
        return max(0.0, min(moment for moment in times if moment is not None) - time.monotonic())

    def _check_clock(self) -> None:
        """End attempts that have timed out, and ask for work when the backoff of a trial is over."""
        now = time.monotonic()
        for slot in list(self._pool.slots):
            if slot.next_request is not None and now >= slot.next_request:
                slot.next_request = None
                self._pool.check_worker(slot)
            elif slot.deadline is not None and now >= slot.deadline:
                self._kill_attempt(slot, "timeout", f"ran longer than {self._sweep.spec.trial.timeout:g} s")

    def _tick(self, interruption: Interruption) -> None:
        self._cluster.check_alive()
        self._storage_watch.check()
        if self._draining_until is None:
            self._slot_count.check(self.progress)
            if self.progress is not None:  # before, workers that are ready wait for the controller
                self._evacuation.check()
        if self._nodes is None:
            self._pool.monitor.check(self._pool.starting)
        else:
            self._nodes.check(self.progress, self._pool, self._draining_until is not None)
        working = [slot for slot in self._pool.slots if slot.worker is not None]
        self._pool.task_monitor.check([node for slot in working for node in slot.nodes])
        self._requests.take(interruption)
        if time.monotonic() >= self._next_progress:
            self._next_progress = math.inf  # until there is an answer
            self._storage_watch.asked()
            self._controller.call(Controller.progress, self._on_progress)

    def _count_slots(self) -> int:
        resources = self._pool.resources
        machines = self._cluster.machines(resources.labels)
        return count_fitting(machines, resources, self._sweep.spec.max_parallel)

    def _on_slots_changed(self, slots: int) -> None:
        self._controller.call(Controller.set_slots, _ignore, slots)

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress
        self._storage_watch.answered()
        is_frequent = self._observer.wants_frequent_progress
        self._next_progress = time.monotonic() + (_TICK if is_frequent else _PROGRESS_INTERVAL)
        for running in progress.running:
            if running.is_cancelled:
                self._kill_repeat(running)
        if progress.hold and progress.running and not self._is_on_hold:
            self._is_on_hold = True
            self._observer.on_note(progress.hold)
        self._observer.on_reports(progress.report_events)
        self._observer.on_progress(progress)

    def _kill_repeat(self, running: RunningTrial) -> None:
        """Kill an attempt whose trial has failed or was stopped, unless it is already being ended."""
        key = running.number, running.repeat, running.attempt
        for slot in self._pool.slots:
            run = slot.assignment
            if run is not None and slot.worker is not None and (run.number, run.repeat, run.attempt) == key:
                self._kill_attempt(slot, "stopped", "its trial has failed, or was stopped")

    def _drain(self, grace: float) -> None:
        """Start no more attempts. Running trials have `grace` seconds to reach a checkpoint or to finish."""
        self._draining_until = time.monotonic() + grace
        self._pool.close_idle_slots()
        self._controller.call(Controller.drain, _ignore)
        running = len({run.number for run in self._running()})
        if running and grace > 0:
            if isinstance(self._sweep.objective, ScriptReference):
                text = f"running scripts ({running}) have received SIGTERM and have {grace:g} s to exit"
            else:
                text = f"running trials ({running}) have {grace:g} s to reach a checkpoint"
            self._observer.on_note(f"stopping: {text}; interrupt again to kill them at once")

    def _on_enqueued(self, count: int) -> None:
        """Run trials that have been enqueued: waiting slots ask for work, and closed slots are reopened."""
        if self._draining_until is None:
            self._wake_idle_slots()
            self._pool.extend(count * self._repeats)

    def _wake_idle_slots(self) -> None:
        """Let slots that wait until an attempt can start ask for work now."""
        for slot in self._pool.slots:
            if slot.next_request is not None:
                slot.next_request = time.monotonic()

    # A slot's cycle: next step, attempt, outcome.

    def _on_worker_ready(self, slot: Slot) -> None:
        if self.progress is None:
            self._early.append(slot)
            return
        if not self._is_ready:
            self._is_ready = True
            self._next_progress = 0.0
            self._observer.on_ready(self._pool.capacity, self.progress)
        if slot.assignment is not None or self._pool.must_close(slot):
            self._on_worker_changed(slot)
            return
        if self._evacuation.is_leaving(slot):
            self._pool.replace_worker(slot)
            return
        slot.call, slot.waits_for_controller = None, True
        self._controller.call(Controller.next_step, partial(self._on_next_step, slot), None)

    def _on_worker_changed(self, slot: Slot) -> None:
        """Start the attempt for which a worker was started, or close the slot: another needs its GPU."""
        run, slot.call = slot.assignment, None
        if run is None:
            self._pool.close_for_room(slot)
        elif self._draining_until is not None:
            self._return_assignment(slot, run)
        else:
            self._start_attempt(slot, run)
            self._pool.open_more()

    def _return_assignment(self, slot: Slot, run: Assignment) -> None:
        """Close a slot that does not execute its next attempt because the sweep is being stopped."""
        self._controller.call(Controller.return_assignment, _ignore, run.number, run.attempt, run.repeat)
        self._pool.close_slot(slot)

    def _on_next_step(self, slot: Slot, next_step: NextStep) -> None:
        slot.assignment, slot.waits_for_controller = None, False
        self._observer.on_reports(next_step.report_events)
        if next_step.result is not None:
            self._observer.on_result(next_step.result)
        if next_step.gpu not in (None, self._pool.resources.gpu) and self.progress is not None:
            self._pool.resources = replace(self._pool.resources, gpu=next_step.gpu)
            self._slot_count.follow(self.progress)
        run = next_step.assignment
        if self._draining_until is not None:
            if run is not None:
                self._return_assignment(slot, run)
            else:
                self._pool.close_slot(slot)
        elif run is not None:
            self._assign(slot, run)
        elif next_step.ask_again_in is None:
            self._pool.close_slot(slot)
            self._pool.close_idle_slots()
        elif slot.worker is None:
            self._pool.restart_worker(slot)
            self._wake_idle_slots()  # the trial may now be theirs
        else:
            slot.next_request = time.monotonic() + next_step.ask_again_in

    def _assign(self, slot: Slot, assignment: Assignment) -> None:
        """Start an attempt, in a worker with other resources if it requires them."""
        resources = self._pool.resources_of(assignment)
        if slot.resources == resources:
            self._start_attempt(slot, assignment)
        else:
            slot.assignment, slot.started = assignment, time.time()
            self._pool.change_worker(slot, resources)

    def _start_attempt(self, slot: Slot, assignment: Assignment) -> None:
        slot.assignment, slot.must_move = assignment, False
        slot.started = time.time()
        timeout = self._sweep.spec.trial.timeout
        slot.deadline = None if timeout is None else time.monotonic() + timeout
        self._pool.wait(slot, slot.worker.run.remote(assignment), self._on_attempt_returned)
        self._observer.on_attempt_start(assignment)

    def _on_attempt_returned(self, slot: Slot, call: Any) -> None:
        try:
            finished: FinishedAttempt = ray.get(call)
        except RayError as error:
            self._post_mortem.examine(slot, error)
        else:
            self._on_finished(slot, finished)

    def _on_finished(self, slot: Slot, finished: FinishedAttempt) -> None:
        slot.oom_kills = finished.oom_kills
        if finished.is_worker_spent or self._pool.must_close(slot):
            self._pool.kill_worker(slot)
        self._report(slot, finished.outcome)

    def _kill_attempt(self, slot: Slot, kind: OutcomeKind, reason: str) -> None:
        """End an attempt by killing its worker, unless it has just returned."""
        if slot.call is not None and not has_returned(slot.call) and self._calls.discard(slot.call):
            self._post_mortem.end_attempt(slot, kind, reason)

    def _move_attempt(self, run: Assignment) -> None:
        self._controller.call(Controller.move, _ignore, run.number, run.attempt, run.repeat)

    def _report(self, slot: Slot, outcome: Outcome) -> None:
        """Report an outcome to the controller, and ask it for the next step."""
        slot.call, slot.deadline, slot.waits_for_controller = None, None, True
        if outcome.kind == "disk_full":
            self._pool.bad_machines.on_disk_full(slot, outcome, self._transfer.is_needed(slot))
        if self._evacuation.is_leaving(slot):
            self._pool.kill_worker(slot)
        # Without a worker the slot takes no assignment: a new worker may take long to start.
        has_worker = slot.worker is not None
        self._controller.call(Controller.next_step, partial(self._on_next_step, slot), outcome, has_worker)

    def _running(self) -> list[RunningAttempt]:
        """The running attempts, for a restarted controller."""
        return [
            RunningAttempt(run.number, run.attempt, slot.started, run.repeat, slot.must_move)
            for slot in self._pool.slots
            if (run := slot.assignment) is not None
        ]

    def _on_restarted(self) -> None:
        self._observer.on_note("the controller died and has been restarted; no result is lost")
        self._on_slots_changed(self._pool.capacity)
        if self._draining_until is not None:
            self._controller.call(Controller.drain, _ignore)


def _ignore(result: object) -> None:
    pass
