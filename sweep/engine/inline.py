"""The inline engine: one trial after another in this process, without Ray. `breakpoint()` works."""

from __future__ import annotations

import os
import signal
import threading
import time
from bdb import BdbQuit
from contextlib import nullcontext

from optuna.distributions import BaseDistribution

from sweep.controller.controller import Controller
from sweep.controller.requests import take_requests
from sweep.engine.attempt import AttemptRunner, ObjectiveImportError
from sweep.engine.base import Engine, Interruption, Observer, Sweep
from sweep.engine.classify import NO_SPACE, not_recorded
from sweep.engine.output import copied_output
from sweep.errors import InputError, SweepError
from sweep.messages import Assignment, Progress, Suggestion, TrialMessage
from sweep.script.reference import ScriptReference
from sweep.sweepfile import SweepSpec
from sweep.system.lock import join_run

_NAP = 0.25  # seconds
_process = threading.RLock()
"""Held by the thread whose trials have this process's output, directory and environment; an objective may
run a sweep of its own."""


class InlineEngine(Engine):
    """Runs trials in the process that calls it."""

    def __enter__(self) -> InlineEngine:
        if not _process.acquire(blocking=False):
            raise InputError(
                "another thread runs a sweep in this process; wait for its end, or run them without inline"
            )
        return self

    def __exit__(self, *error: object) -> None:
        _process.release()

    def slots(self, spec: SweepSpec) -> int:
        return 1

    def run(self, sweep: Sweep, observer: Observer, interruption: Interruption, grace: float) -> Progress:
        os.chdir(sweep.working_directory)
        try:
            runner = AttemptRunner(sweep.attempt_settings, copied_output, is_guest=True)
        except ObjectiveImportError as error:
            raise SweepError(str(error)) from None
        fence = join_run(sweep.directory.fence, sweep.directory.lock, sweep.run_id)
        try:
            return self._run(runner, sweep, observer, interruption)
        finally:
            os.close(fence)

    def _run(
        self, runner: AttemptRunner, sweep: Sweep, observer: Observer, interruption: Interruption
    ) -> Progress:
        controller = Controller(
            sweep.spec, sweep.directory, slots=1, keeps_report_events=observer.wants_reports
        )
        observer.opened(1, controller.progress())
        try:
            while interruption.signal is None:
                self._heed(controller, sweep, interruption)
                next_step = controller.next_step(None)
                assignment = next_step.assignment
                if assignment is None:
                    if next_step.ask_again_in is None:
                        break
                    time.sleep(min(next_step.ask_again_in, _NAP))
                    continue
                observer.started(assignment)
                channel = _DirectChannel(controller, assignment, interruption, observer)
                # Ours to watch, a script needs no exception out of nowhere, which may tear what is in hand.
                is_script = isinstance(sweep.objective, ScriptReference)
                with nullcontext() if is_script else interruption.raising():
                    outcome = runner.run(assignment, channel)
                if interruption.signal is not None and not is_script:
                    break  # the objective has caught the exception: what it says then is no outcome
                result = controller.finish(outcome)
                if result is not None:
                    observer.ended(result)
                if outcome.kind == "disk_full":
                    raise SweepError(
                        f"{outcome.reason}; trial {outcome.number} stays as it is. "
                        "Make room, then the same command goes on"
                    )
        except BdbQuit:  # to leave the debugger is to leave the sweep: it would be back in the next trial
            interruption.request(signal.SIGINT)
        except KeyboardInterrupt:
            if interruption.signal is None:  # raised by the objective, not by a signal we know of
                raise
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise not_recorded(error) from None
        return controller.close()

    @staticmethod
    def _heed(controller: Controller, sweep: Sweep, interruption: Interruption) -> None:
        """Do what other processes have asked for. A trial that is to be stopped has ended by now."""
        for request in take_requests(sweep.directory.requests, sweep.run_id):
            if request.stop:
                interruption.request(signal.SIGINT)
            controller.resubmit(request.resubmit)
            controller.enqueue(request.enqueue, request.token)


class _DirectChannel:
    """Calls the controller, which lives in the same process."""

    def __init__(
        self,
        controller: Controller,
        assignment: Assignment,
        interruption: Interruption,
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._controller = controller
        self._interruption = interruption
        self._trial = assignment.number, assignment.attempt
        self._repeat = assignment.repeat

    def report(self, message: TrialMessage) -> None:
        with self._interruption.waiting():
            self._controller.report(*self._trial, [message], self._repeat)
        if self._observer.wants_reports:
            self._observer.reported(self._controller.take_report_events())

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        with self._interruption.waiting():
            return self._controller.suggest(*self._trial, [], self._repeat, name, distribution)

    def should_prune(self) -> bool:
        with self._interruption.waiting():
            return self._controller.should_prune(*self._trial, [], self._repeat)

    def must_end(self) -> bool:
        if self._interruption.signal is not None:
            raise KeyboardInterrupt
        with self._interruption.waiting():
            return self._controller.must_end(*self._trial, [], self._repeat)
