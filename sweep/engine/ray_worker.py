"""What runs inside Ray's worker processes: one warm worker per slot."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import ray

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
        self._channel = _RayChannel(controller)
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
        self._channel.open(assignment)
        outcome = self._runner.run(assignment, self._channel)
        return self._channel.close(outcome)


class _RayChannel:
    """Reports to the controller from a thread of its own, so that `trial.report` returns at once.

    A call takes about a millisecond of both processes, so what is reported within a tenth of a second goes in
    one; a short trial's reports need no call at all, for they travel with its outcome.
    """

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self._trial = (-1, -1)
        self._pending: list[Report] = []
        self._news = threading.Condition()
        # Held while a call is made and answered: calls leave in order, and `close` waits for the last one.
        self._sending = threading.Lock()
        threading.Thread(target=self._send_forever, name="sweep-reports", daemon=True).start()

    def open(self, assignment: Assignment) -> None:
        with self._news:
            self._trial = (assignment.number, assignment.attempt)
            self._pending = []

    def report(self, report: Report) -> None:
        with self._news:
            self._pending.append(report)
            self._news.notify()

    def should_prune(self) -> bool:
        with self._sending:
            verdict = self._controller.should_prune.remote(*self._trial, self._take())
            return bool(ray.get(verdict))

    def close(self, outcome: Outcome) -> Outcome:
        """The outcome together with the reports that have not been sent. All others have arrived."""
        with self._sending:
            left = self._take()
        return replace(outcome, reports=left) if left else outcome

    def _take(self) -> tuple[Report, ...]:
        with self._news:
            reports, self._pending = tuple(self._pending), []
            return reports

    def _send_forever(self) -> None:
        while True:
            with self._news:
                while not self._pending:
                    self._news.wait()
            with self._sending:
                reports = self._take()
                if reports:
                    ray.get(self._controller.report.remote(*self._trial, reports))
            time.sleep(_SEND_EVERY)
