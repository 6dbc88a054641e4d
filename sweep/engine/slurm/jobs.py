"""`SlurmJobs`: keeps as many Slurm jobs as a sweep has work for."""

from __future__ import annotations

import math
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from sweep.engine.slurm.options import SlurmOptions
from sweep.engine.slurm.queue import Job, SlurmError, SlurmQueue
from sweep.errors import InputError, SweepStopped
from sweep.sweepfile.resources import Resources
from sweep.system.directory import SweepDirectory

_ASK_EVERY = 5.0
"""Time between two questions to squeue, in seconds; twice as long after each that brought nothing new."""
_ASK_AT_LEAST_EVERY = 30.0  # seconds
_LISTED_WITHIN = 30.0
"""How long squeue may take to list a new job, in seconds: some sites cache its output."""
_LONGEST_END = 45.0
"""How long cancelled jobs may take to end, in seconds. Slurm kills them after KillWait, 30 seconds."""
_MAX_FAILURES = 3
_HELD_BACK = ("BeginTime", "JobHoldMaxRequeue")
"""Why Slurm itself does not start a job that it has requeued."""
_PAUSE = 600.0
"""How long no job is submitted after that many failures while other jobs run, in seconds."""
_LOG_TAIL = 5
"""Lines of a job's output that a message shows."""


@dataclass(frozen=True)
class JobNode:
    """What a job has contributed: the machine that has joined the sweep's Ray.

    Args:
        slots: how many workers it has room for.
        workers: how many workers it has.
    """

    slots: int
    workers: int


@dataclass
class _Job:
    """What is known about a job of this run."""

    listed: Job
    submitted: float
    has_started: bool = False
    has_joined: bool = False


class SlurmJobs:
    """The Slurm jobs of one run of a sweep. A thread submits and cancels them: Slurm may take long to answer.

    Args:
        directory: the sweep's directory.
        options: how many jobs there may be.
        resources: what one trial needs.
    """

    def __init__(self, directory: SweepDirectory, options: SlurmOptions, resources: Resources) -> None:
        self._logs = directory.jobs
        self._options = options
        self._request = options.request(resources)
        agent = [sys.executable, "-m", "sweep.engine.ray.job_agent", str(directory.root)]
        self._script = f"#!/bin/sh\nexec {shlex.join(agent)}\n"
        self._queue = SlurmQueue(directory)
        self._jobs: dict[str, _Job] = {}
        self._ended: list[str] = []
        """Jobs whose end has not been reported."""
        self._attempts = math.inf
        self._nodes: Mapping[str, JobNode] = {}
        self._slots = 1
        """How many workers a job has room for, as far as is known."""
        self._failures = 0
        """How many jobs in a row have ended without joining."""
        self._paused_until = 0.0
        """When jobs are submitted again, on the monotonic clock, if some run and others cannot join."""
        self._notes: SimpleQueue[str] = SimpleQueue()
        self._said: dict[str, str] = {}
        """The last note of each kind."""
        self._error: Exception | None = None
        self._is_closed = threading.Event()
        self._changed = threading.Event()
        self._lock = threading.Lock()
        """Held while jobs are submitted and while the queue is compared with what is wanted."""

    # For the thread of the sweep.

    def start(self, attempts: float) -> None:
        """Submit the first jobs.

        Args:
            attempts: how many workers could run at once; infinity if that is unknown.

        Raises:
            InputError: Slurm does not accept the job.
        """
        self._attempts = attempts
        try:
            self._submit(min(1, self._wanted()))
        except SlurmError as error:
            raise InputError(f"--slurm: {error}; --slurm-args changes what a job requests") from None
        self._changed.set()  # for the other jobs
        context = copy_context()  # for messages that say how the sweep was started
        threading.Thread(target=context.run, args=(self._follow,), name="slurm", daemon=True).start()

    def update(self, attempts: float, nodes: Mapping[str, JobNode]) -> list[str]:
        """Tell how much work there is; returns at once.

        Args:
            attempts: how many workers could run at once; infinity if that is unknown.
            nodes: the machines that have joined, by the number of their job.

        Returns:
            new notes for the user.

        Raises:
            SweepStopped: the jobs cannot join.
        """
        if self._error is not None:
            raise self._error
        if (attempts, nodes.keys()) != (self._attempts, self._nodes.keys()):
            self._changed.set()
        self._attempts, self._nodes = attempts, nodes
        if nodes:
            self._slots = max(1, *(node.slots for node in nodes.values()))
        notes = []
        with suppress(Empty):
            while True:
                notes.append(self._notes.get_nowait())
        return notes

    def close(self) -> str:
        """Cancel all jobs; returns a note if that fails."""
        self._is_closed.set()
        self._changed.set()
        with self._lock:
            numbers, self._jobs = list(self._jobs), {}
        for _ in range(3):
            try:
                # Not only those that are known: one can be back in the queue, or sbatch has not answered.
                self._queue.cancel_all()
                left = [job for job in self._queue.jobs() if not job.is_ending]
            except SlurmError as error:
                failure = str(error)
            else:
                if not left:
                    return ""
                failure = f"{_count(len(left))} could not be cancelled"
            time.sleep(1)
        return f"{failure}; the jobs end by themselves within a minute, or with: scancel {' '.join(numbers)}"

    # In the thread of the jobs.

    def _follow(self) -> None:
        pause = _ASK_EVERY
        while not self._is_closed.is_set():
            if self._changed.wait(pause):
                self._changed.clear()
                pause = _ASK_EVERY / 2
                self._is_closed.wait(1)  # a machine that leaves is gone a moment before its job is
            try:
                has_changed = self.step()
            except SlurmError as error:  # the jobs run on while the controller does not answer
                self._note("error", f"Slurm: {error}; the jobs are asked for again later")
                has_changed = False
            except Exception as error:  # noqa: BLE001 - for the sweep's thread
                self._error = error
                return
            else:
                self._said.pop("error", None)
            pause = _ASK_EVERY if has_changed else min(2 * pause, _ASK_AT_LEAST_EVERY)

    def step(self) -> bool:
        """Compare the jobs in Slurm with those that are wanted, and submit or cancel some.

        Returns:
            whether anything has changed.

        Raises:
            SlurmError: Slurm does not answer, or accepts no further job.
            SweepStopped: the jobs cannot join.
        """
        with self._lock:
            if self._is_closed.is_set():
                return False
            before = {number: job.listed for number, job in self._jobs.items()}
            strangers = self._look()
            surplus = self._surplus()
            for number in surplus:
                del self._jobs[number]
            self._queue.cancel([*strangers, *surplus])
            if not self._nodes or time.monotonic() >= self._paused_until:
                self._submit(self._wanted() - len(self._active()))
            self._describe()
            return before != {number: job.listed for number, job in self._jobs.items()}

    def _look(self) -> list[str]:
        """Learn how the jobs are from squeue; returns those that are to be cancelled."""
        now = time.monotonic()
        listed = {job.id: job for job in self._queue.jobs()}
        # Jobs of an earlier run, or that came back to the queue after they had left it.
        strangers = [job.id for job in listed.values() if job.id not in self._jobs and not job.is_ending]
        for number, job in list(self._jobs.items()):
            job.has_joined |= number in self._nodes
            job.has_started |= job.has_joined
            found = listed.get(number)
            if found is not None:
                job.listed = found
                job.has_started |= not found.is_pending
                is_requeued = job.has_started and found.is_pending
                # Slurm holds it back for two minutes, or until somebody releases it.
                if (is_requeued and found.reason in _HELD_BACK) or found.is_launch_failed:
                    strangers.append(number)
                    found = None
            elif number in self._nodes or self._may_be_new(number, job, now):
                continue
            if found is None or found.is_ending:
                self._check_failure(number, job)
                del self._jobs[number]  # not earlier: `close` cancels a job that is held
                self._ended.append(number)
        return strangers

    def _check_failure(self, number: str, job: _Job) -> None:
        """Count jobs that end before they have joined, unless somebody has ended them.

        Raises:
            SweepStopped: several in a row have, and no other job runs trials.
        """
        lines: list[str] = []
        with suppress(OSError):
            lines = self._log(number).read_text(errors="replace").splitlines()
        end = job.listed
        if not lines and not job.has_joined and not end.is_launch_failed:
            end = self._queue.end_of(number) or end
        if job.has_joined:
            self._failures = 0
        elif end.is_launch_failed or (lines and not any("CANCELLED" in line for line in lines)):
            self._failures += 1
        if self._failures < _MAX_FAILURES:
            return
        if not lines:
            why = f"Slurm could not start job {number}: {end.reason}"
            if not end.is_pending:
                why += f"; its machine must be able to write to {self._logs}"
        else:
            why = f"the end of {self._log(number)}:\n  " + "\n  ".join(lines[-_LOG_TAIL:])
        what = f"{self._failures} Slurm jobs in a row ended before they joined the sweep"
        if not self._nodes:
            raise SweepStopped(f"{what}; {why}")
        if time.monotonic() >= self._paused_until:
            self._notes.put(f"{what}; more are submitted in {_PAUSE / 60:.0f} minutes; {why}")
        self._failures, self._paused_until = 0, time.monotonic() + _PAUSE

    def _may_be_new(self, number: str, job: _Job, now: float) -> bool:
        """Whether squeue may not know a job yet."""
        return now - job.submitted < _LISTED_WITHIN and not self._log(number).exists()

    def _log(self, number: str) -> Path:
        """The output of a job. Slurm creates it when the job starts."""
        return self._logs / f"{number}.log"

    def _active(self) -> list[str]:
        """The jobs that run, or will run."""
        return [number for number, job in self._jobs.items() if not job.listed.is_ending]

    def _wanted(self) -> int:
        """How many jobs the sweep has work for."""
        jobs = self._attempts if math.isinf(self._attempts) else math.ceil(self._attempts / self._slots)
        return int(max(self._options.least, min(jobs, self._options.most)))

    def _surplus(self) -> list[str]:
        """Jobs that are not needed: those that wait, the youngest first, then those without a worker."""
        active = self._active()[::-1]
        waiting = [number for number in active if self._jobs[number].listed.is_pending]
        idle = [number for number in active if (node := self._nodes.get(number)) and node.workers == 0]
        return [*waiting, *idle][: max(0, len(active) - self._wanted())]

    def _submit(self, count: int) -> None:
        new: list[str] = []
        try:
            for _ in range(count):
                if self._is_closed.is_set():
                    break
                number = self._queue.submit(self._script, self._request)
                new.append(number)
                self._jobs[number] = _Job(Job(number, "PENDING"), time.monotonic())
        finally:
            if new:
                before = f"{_jobs(self._ended)} ended; " if self._ended else ""
                self._ended.clear()
                self._notes.put(f"Slurm: {before}submitted {_jobs(new)}; output: {_shown(self._logs)}")

    def _describe(self) -> None:
        """Say what is waited for while no job runs."""
        jobs = [job.listed for job in self._jobs.values()]
        waiting = [job for job in jobs if job.is_pending]
        if not waiting or len(waiting) < len(jobs):
            self._said.pop("queue", None)
            return
        reasons = Counter(job.reason for job in waiting if job.reason not in ("", "None"))
        if reasons:  # Slurm knows it after some seconds
            why = ", ".join(reasons)
            self._note("queue", f"{_count(len(waiting))} queued in Slurm ({why}), 0 running")

    def _note(self, kind: str, text: str) -> None:
        if self._said.get(kind) != text:
            self._said[kind] = text
            self._notes.put(text)


def cancel_earlier_jobs(directory: SweepDirectory) -> None:
    """Cancel the jobs of earlier runs of a sweep, and wait until they have ended.

    Raises:
        InputError: Slurm does not answer.
    """
    queue = SlurmQueue(directory)
    end = time.monotonic() + _LONGEST_END
    try:
        while queue.jobs() and time.monotonic() < end:
            queue.cancel_all()
            time.sleep(1)
    except SlurmError as error:
        raise InputError(f"--slurm: {error}") from None


def _jobs(numbers: Sequence[str]) -> str:
    return f"{'job' if len(numbers) == 1 else 'jobs'} {', '.join(numbers)}"


def _count(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"


def _shown(folder: Path) -> str:
    with suppress(ValueError):
        return f"{folder.relative_to(Path.cwd())}/"
    return f"{folder}/"
