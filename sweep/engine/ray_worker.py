"""What runs inside Ray's worker processes: one warm worker per slot."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError

from sweep.core.messages import Assignment, Outcome, Report
from sweep.engine.attempt import AttemptRunner, AttemptSettings, ObjectiveImportError
from sweep.engine.surroundings import redirected_descriptors

_SEND_EVERY = 0.1  # seconds


class RayWorker:
    """An actor that runs one trial after another and keeps imports and the CUDA context between them.

    Args:
        settings: what all attempts have in common.
        controller: the actor to report to.
        threads: how many threads numeric libraries may use: a trial's share of the cores.
    """

    def __init__(self, settings: AttemptSettings, controller: Any, threads: int) -> None:
        # Before numpy or torch is imported, which read these once. Ray has set the first one its own way.
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
            os.environ[variable] = str(threads)
        os.chdir(settings.working_directory)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        self._settings = settings
        self._controller = controller
        self._runner: AttemptRunner | None = None

    def load(self) -> str:
        """Import the objective; returns what is wrong with it, or nothing."""
        try:
            self._runner = AttemptRunner(self._settings, redirected_descriptors)
        except ObjectiveImportError as error:
            return str(error)
        return ""

    def run(self, assignment: Assignment) -> Outcome:
        """Run one attempt. Its last reports travel with the outcome."""
        assert self._runner is not None
        channel = _RayChannel(self._controller, assignment)
        outcome = self._runner.run(assignment, channel)
        unsent = channel.close()
        return replace(outcome, reports=unsent) if unsent else outcome


class _RayChannel:
    """Reports of one attempt, sent by a thread of their own, so that `trial.report` returns at once.

    A call takes about a millisecond of both processes, so what is reported within a tenth of a second goes in
    one; a shorter trial's reports need no call at all, for they travel with its outcome.
    """

    def __init__(self, controller: Any, assignment: Assignment) -> None:
        self._controller = controller
        self._attempt = assignment.number, assignment.attempt
        self._pending: list[Report] = []
        self._pending_lock = threading.Lock()
        # Held while a call is made and answered: calls leave in order, and `close` waits for the last one.
        self._sending = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def report(self, report: Report) -> None:
        """Send it soon. A thread that the objective left behind reports into nothing."""
        if self._closed.is_set():
            return
        with self._pending_lock:
            self._pending.append(report)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send_regularly, name="sweep-reports", daemon=True
                )
                self._thread.start()

    def should_prune(self) -> bool:
        if self._closed.is_set():
            return True
        with self._sending:
            verdict = self._controller.should_prune.remote(*self._attempt, self._take())
            return bool(ray.get(verdict))

    def close(self) -> tuple[Report, ...]:
        """The reports that have not been sent. All others have arrived."""
        self._closed.set()
        with self._sending:
            return self._take()

    def _take(self) -> tuple[Report, ...]:
        with self._pending_lock:
            reports, self._pending = tuple(self._pending), []
            return reports

    def _send_regularly(self) -> None:
        while not self._closed.wait(_SEND_EVERY):
            with self._sending:
                reports = self._take()
                if not reports:
                    continue
                try:
                    ray.get(self._controller.report.remote(*self._attempt, reports))
                except RayError:  # the controller is gone or failing: the supervisor sees that too
                    with self._pending_lock:
                        self._pending[:0] = reports
                    return
