"""The inline engine: runs one trial after another in this process, without Ray. `breakpoint()` works."""

from __future__ import annotations

import os
import signal
import threading
import time
from bdb import BdbQuit
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial

from optuna.distributions import BaseDistribution

from sweep.controller.controller import Controller
from sweep.controller.requests import RequestInbox
from sweep.engine.attempt import AttemptRunner, ObjectiveImportError
from sweep.engine.base import Engine, PreparedSweep
from sweep.engine.classify import disk_full_error
from sweep.engine.controller_guard import ControllerFailed, ControllerGuard
from sweep.engine.interruption import Interruption
from sweep.engine.isolation import isolated
from sweep.engine.observer import Observer
from sweep.engine.output import tee_output
from sweep.engine.threads import late_variables
from sweep.errors import InputError, SweepError
from sweep.messages import STOPPED_BY_USER, Assignment, Progress, Suggestion, TrialMessage
from sweep.script.reference import ScriptReference
from sweep.study.database import PATIENCE, while_waiting
from sweep.sweepfile import SweepSpec
from sweep.system.lock import current_session, join_run
from sweep.system.urls import hide_passwords

_POLL_INTERVAL = 0.25  # seconds
_NOTE_AFTER = 5.0  # seconds
_process_lock = threading.RLock()
"""Held by the thread whose trials use the output, the working directory and the environment of this process.
Reentrant, because an objective can run another sweep."""


class InlineEngine(Engine):
    """Runs trials in the process that calls it."""

    def __enter__(self) -> InlineEngine:
        if not _process_lock.acquire(blocking=False):
            raise InputError(
                "another thread runs a sweep in this process; wait until it has finished, "
                "or leave out inline=True"
            )
        return self

    def __exit__(self, *error: object) -> None:
        _process_lock.release()

    def slots(self, spec: SweepSpec) -> int:
        return 1

    def run(
        self, sweep: PreparedSweep, observer: Observer, interruption: Interruption, grace: float
    ) -> Progress:
        with isolated({}, kill_children=False):  # the import of the objective changes this process, too
            try:
                runner = AttemptRunner(sweep.attempt_settings, tee_output, in_user_process=True)
            except ObjectiveImportError as error:
                raise SweepError(str(error)) from None
            os.chdir(sweep.working_directory)
            with ExitStack() as exits:
                exits.callback(os.close, join_run(sweep.directory.fence, sweep.directory.lock, sweep.run_id))
                try:
                    return self._run(runner, sweep, observer, interruption, exits)
                except (ControllerFailed, OSError) as error:
                    failure = ControllerFailed.of(error)
                    if isinstance(error, OSError) and not failure.is_disk_full:
                        raise
                    raise failure.for_user(sweep.directory) from None

    def _run(
        self,
        runner: AttemptRunner,
        sweep: PreparedSweep,
        observer: Observer,
        interruption: Interruption,
        exits: ExitStack,
    ) -> Progress:
        exits.enter_context(while_waiting(_StorageWait(sweep.spec.storage, observer, interruption)))
        controller = ControllerGuard(partial(_open_controller, sweep, observer))
        if note := late_variables(sweep.attempt_settings.env):
            observer.on_note(note)
        exits.enter_context(controller.call(Controller.saving_usage))
        inbox = RequestInbox(sweep.directory.requests, current_session(sweep.directory.lock) or "")
        progress = controller.call(Controller.progress)
        observer.on_ready(1, progress)
        has_warned = False
        try:
            while interruption.signal is None:
                _handle_requests(controller, inbox, interruption, observer)
                next_step = controller.call(Controller.next_step, None)
                assignment = next_step.assignment
                if assignment is None:
                    wait = next_step.ask_again_in
                    if wait is None and not _handle_requests(controller, inbox, interruption, observer):
                        break
                    time.sleep(min(wait or 0.0, _POLL_INTERVAL))
                    continue
                observer.on_attempt_start(assignment)
                channel = _DirectChannel(controller, assignment, interruption, observer)
                # A script is watched by this package's own code, which checks the flag; an exception could
                # interrupt that code anywhere.
                is_script = isinstance(sweep.objective, ScriptReference)
                with nullcontext() if is_script else interruption.raise_at_once():
                    outcome = runner.run(assignment, channel)
                if runner.left and not has_warned:
                    observer.on_note(
                        f"trial {assignment.number} changed this process for the later ones: "
                        f"{'; '.join(runner.left)}; on Ray its worker would be replaced"
                    )
                    has_warned = True
                if interruption.signal is not None and not is_script:
                    break  # the objective may have caught KeyboardInterrupt: its result is not an outcome
                result = controller.call(Controller.finish, outcome)
                if result is not None:
                    observer.on_result(result)
                if outcome.kind == "disk_full":
                    raise disk_full_error(outcome)
        except BdbQuit:  # quitting the debugger stops the sweep: the next trial would open the debugger again
            interruption.request(signal.SIGINT)
        except KeyboardInterrupt:
            if interruption.signal is None:  # raised by the objective, not by a signal
                raise
        try:
            return controller.call(Controller.close)
        except KeyboardInterrupt:
            if sweep.spec.storage is None:
                raise
            return progress  # the database is away, so it is not known more exactly


class _StorageWait:
    """What is done while the sweep waits for its database: the user is told, and can interrupt it.

    Args:
        url: the URL of the database.
        observer: receives the notes.
        interruption: ends the waiting.
    """

    def __init__(self, url: str | None, observer: Observer, interruption: Interruption) -> None:
        self._url, self._observer, self._interruption = url, observer, interruption
        self._since: float | None = None
        self._is_noted = False

    def __call__(self, is_waiting: bool) -> None:
        """Look at the interruption and the time, before each repetition of a call and after the last one.

        Raises:
            KeyboardInterrupt: the sweep has been asked to stop.
        """
        if is_waiting and self._interruption.signal is not None:
            raise KeyboardInterrupt
        now = time.monotonic()
        self._since = self._since or now
        if is_waiting and not self._is_noted and now - self._since > _NOTE_AFTER:
            self._is_noted = True
            self._observer.on_note(
                f"storage: {hide_passwords(str(self._url))} does not answer; the sweep waits for it for "
                f"{PATIENCE / 60:g} min"
            )
        elif not is_waiting:
            if self._is_noted:
                self._observer.on_note(f"storage: answers again, after {now - self._since:.0f} s")
            self._since, self._is_noted = None, False


def _open_controller(sweep: PreparedSweep, observer: Observer) -> Controller:
    return Controller(
        sweep.spec,
        sweep.directory,
        slots=1,
        keeps_report_events=observer.wants_reports,
        known=sweep.known,
    )


def _handle_requests(
    controller: ControllerGuard, inbox: RequestInbox, interruption: Interruption, observer: Observer
) -> bool:
    """Carry out requests of other processes; returns whether there were any.

    No trial is running. One that waits for its next attempt can be stopped.
    """
    taken = inbox.take()
    for sent in taken:
        if sent.request.stop:
            interruption.request(signal.SIGINT)
        if sent.request.stop_trial is not None:
            stopped = controller.call(Controller.stop_trial, sent.request.stop_trial, STOPPED_BY_USER)
            if stopped is not None:
                observer.on_attempt_end(stopped)
        controller.call(Controller.resubmit, sent.request.resubmit)
        controller.call(Controller.enqueue, sent.request.enqueue, sent.request.token)
        sent.complete()
    return bool(taken)


@dataclass(frozen=True)
class _DirectChannel:
    """The channel of a trial whose controller is in the same process."""

    controller: ControllerGuard
    assignment: Assignment
    interruption: Interruption
    observer: Observer

    def report(self, message: TrialMessage) -> None:
        run = self.assignment
        with self.interruption.defer():
            self.controller.call(Controller.report, run.number, run.attempt, [message], run.repeat)
        if self.observer.wants_reports:
            self.observer.on_reports(self.controller.call(Controller.take_report_events))

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        run = self.assignment
        with self.interruption.defer():
            return self.controller.call(
                Controller.suggest, run.number, run.attempt, [], run.repeat, name, distribution
            )

    def should_prune(self) -> bool:
        run = self.assignment
        with self.interruption.defer():
            return self.controller.call(Controller.should_prune, run.number, run.attempt, [], run.repeat)

    def must_end(self) -> bool:
        run = self.assignment
        if self.interruption.signal is not None:
            raise KeyboardInterrupt
        with self.interruption.defer():
            return self.controller.call(Controller.must_end, run.number, run.attempt, [], run.repeat)
