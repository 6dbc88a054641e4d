"""What runs inside Ray's worker processes: one warm worker per slot."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil
import ray
from ray.exceptions import ActorUnavailableError, RayError

from sweep.engine.attempt import AttemptRunner, AttemptSettings, ObjectiveImportError
from sweep.engine.isolation import count_descriptors
from sweep.engine.output import redirected_descriptors
from sweep.engine.ray.controller_client import PATIENCE
from sweep.messages import Assignment, Outcome, Suggestion, TrialMessage
from sweep.system import processes
from sweep.system.lock import join_run

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SEND_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class WorkerLimits:
    """When a worker has served its time.

    Args:
        trials: after so many, None for any number.
        memory: when it occupies so much, in bytes, None for any amount.
    """

    trials: int | None
    memory: float | None


@dataclass(frozen=True)
class Started:
    """What a worker says of itself when it has started.

    Args:
        problem: why the objective cannot be imported, or nothing.
        node: Ray's message for the machine it runs on.
        kernel_kills: the machine's `processes.count_kernel_kills`.
    """

    problem: str
    node: str
    kernel_kills: int


@dataclass(frozen=True)
class Served:
    """An attempt's outcome.

    Args:
        outcome: of the attempt.
        is_spent: whether the worker is to be replaced before the next one.
        kernel_kills: the machine's `processes.count_kernel_kills` now.
    """

    outcome: Outcome
    is_spent: bool
    kernel_kills: int


def _no_terminal(*arguments: Any, **more: Any) -> None:
    raise RuntimeError(
        "breakpoint() needs a terminal, and a worker has none; run the trial with "
        "`sweep debug FILE --trial N`, or the sweep with --inline"
    )


class RayWorker:
    """An actor that runs one trial after another and keeps imports and the CUDA context between them.

    Args:
        settings: what all attempts have in common.
        run_id: of the sweep's run.
        controller: the actor to report to.
        threads: how many threads numeric libraries may use: a trial's share of the cores.
        limits: when it has served its time.
    """

    def __init__(
        self, settings: AttemptSettings, run_id: str, controller: Any, threads: int, limits: WorkerLimits
    ) -> None:
        processes.exit_with_parent()
        processes.adopt_orphans()
        # As standard input, for this is what all child processes inherit unless they are given another one.
        # Reading from it is like reading from /dev/null.
        fence = join_run(settings.directory.fence, settings.directory.lock, run_id)
        os.dup2(fence, 0)
        os.close(fence)
        # Before numpy or torch is imported, which read these once. Ray has set the first one its own way.
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
            os.environ[variable] = str(threads)
        os.chdir(settings.working_directory)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.breakpointhook = _no_terminal  # Ray's own would open a port and wait for ever
        self._settings = settings
        self._controller = controller
        self._limits = limits
        self._runner: AttemptRunner | None = None
        self._served = 0

    def load(self) -> Started:
        """Import the objective."""
        problem = ""
        try:
            self._runner = AttemptRunner(self._settings, redirected_descriptors)
        except ObjectiveImportError as error:
            problem = str(error)
        node = ray.get_runtime_context().get_node_id()
        return Started(problem, node, processes.count_kernel_kills())

    def run(self, assignment: Assignment) -> Served:
        """Run one attempt. Its last reports travel with the outcome."""
        assert self._runner is not None
        channel = _RayChannel(self._controller, assignment)
        outcome = self._runner.run(assignment, channel)
        unsent = channel.close()
        self._served += 1
        return Served(
            replace(outcome, reports=unsent) if unsent else outcome,
            self._is_spent(outcome),
            processes.count_kernel_kills(),
        )

    def probe(self) -> None:
        """Answer: then this process lives."""

    def _is_spent(self, outcome: Outcome) -> bool:
        limits = self._limits
        return (
            outcome.kind == "oom"  # what has filled the memory may still be there
            or (self._runner is not None and not self._runner.is_sound)
            or (limits.trials is not None and self._served >= limits.trials)
            or (limits.memory is not None and psutil.Process().memory_info().rss >= limits.memory)
            or count_descriptors() > resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 2
        )


class _RayChannel:
    """Reports of one attempt, sent by a thread of their own, so that `trial.report` returns at once.

    A call takes about a millisecond of both processes, so what is reported within a tenth of a second goes in
    one; a shorter trial's reports need no call at all, for they travel with its outcome. A call that was not
    answered, because the controller died, is made again when there is another one.
    """

    def __init__(self, controller: Any, assignment: Assignment) -> None:
        self._controller = controller
        self._attempt = assignment.number, assignment.attempt
        self._repeat = assignment.repeat
        self._pending: list[TrialMessage] = []
        self._pending_lock = threading.Lock()
        # Held while a call is made and answered: calls leave in order, and `close` waits for the last one.
        self._sending = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def report(self, message: TrialMessage) -> None:
        """Send it soon. A thread that the objective left behind reports into nothing."""
        if self._closed.is_set():
            return
        with self._pending_lock:
            self._pending.append(message)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send_regularly, name="sweep-reports", daemon=True
                )
                self._thread.start()

    def should_prune(self) -> bool:
        return self._closed.is_set() or bool(self._ask(self._controller.should_prune))

    def must_end(self) -> bool:
        return self._closed.is_set() or bool(self._ask(self._controller.must_end))

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        if self._closed.is_set():
            return Suggestion(problem="the trial is over")
        suggestion: Suggestion = self._ask(self._controller.suggest, name, distribution)
        return suggestion

    def close(self) -> tuple[TrialMessage, ...]:
        """The reports that have not been sent. All others have arrived."""
        self._closed.set()
        with self._sending:
            return self._take()

    def _ask(self, method: Any, *arguments: Any) -> Any:
        """Make a call that takes the pending reports along, until it is answered."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self._send(method, *arguments)
            except ActorUnavailableError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_SEND_EVERY)

    def _send(self, method: Any, *arguments: Any) -> Any:
        with self._sending:
            reports = self._take()
            try:
                return ray.get(method.remote(*self._attempt, reports, self._repeat, *arguments))
            except RayError:
                with self._pending_lock:
                    self._pending[:0] = reports
                raise

    def _take(self) -> tuple[TrialMessage, ...]:
        with self._pending_lock:
            reports, self._pending = tuple(self._pending), []
            return reports

    def _send_regularly(self) -> None:
        while not self._closed.wait(_SEND_EVERY):
            if not self._pending:
                continue
            try:
                self._send(self._controller.report)
            except ActorUnavailableError:  # another one will be there soon
                continue
            except RayError:  # it is gone or failing: the supervisor sees that too
                return
