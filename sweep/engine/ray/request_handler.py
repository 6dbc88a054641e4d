"""Carries out the requests that other processes send to a running sweep."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from sweep.controller.controller import Controller
from sweep.controller.requests import RequestInbox, SentRequest
from sweep.engine.base import PreparedSweep
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray.controller_client import ControllerClient
from sweep.engine.ray.worker_pool import Slot, WorkerPool
from sweep.messages import STOPPED_BY_USER, AttemptResult, OutcomeKind
from sweep.system.lock import current_session


class RequestHandler:
    """Stops the sweep or a trial, and enqueues trials, when another process requests it.

    Args:
        sweep: the sweep.
        controller: its controller.
        pool: its slots.
        observer: receives events.
        kill_attempt: ends the attempt of a slot with an outcome of this kind, and the reason.
        on_enqueued: called with the number of trials that have been enqueued.

    Attributes:
        stops_at_once: whether the sweep has been asked to stop a second time.
    """

    def __init__(
        self,
        sweep: PreparedSweep,
        controller: ControllerClient,
        pool: WorkerPool,
        observer: Observer,
        kill_attempt: Callable[[Slot, OutcomeKind, str], None],
        on_enqueued: Callable[[int], None],
    ) -> None:
        self._controller = controller
        self._pool = pool
        self._observer = observer
        self._kill_attempt = kill_attempt
        self._on_enqueued = on_enqueued
        self._inbox = RequestInbox(sweep.directory.requests, current_session(sweep.directory.lock) or "")
        self._unanswered = 0
        """The number of requests that the controller has not answered."""
        self.stops_at_once = False

    def take(self, interruption: Interruption) -> bool:
        """Carry out the requests since the last call; returns whether there were any or one is open."""
        taken = self._inbox.take()
        for sent in taken:
            self._handle(sent, interruption)
        return bool(taken) or self._unanswered > 0

    def _handle(self, sent: SentRequest, interruption: Interruption) -> None:
        request, then = sent.request, partial(self._on_answered, sent)
        if request.stop:
            self.stops_at_once = interruption.signal is not None  # this is the second request
            interruption.request(signal.SIGINT)
        if request.stop_trial is not None:
            self._stop_trial(request.stop_trial)
        if request.resubmit:
            self._controller.call(Controller.resubmit, then, request.resubmit)
        elif request.enqueue:
            self._controller.call(Controller.enqueue, then, request.enqueue, request.token)
        else:
            sent.complete()
            return
        self._unanswered += 1

    def _stop_trial(self, number: int) -> None:
        # The trial, or another repeat of it, can wait for a slot, also if an attempt has just ended.
        self._controller.call(Controller.stop_trial, self._on_trial_stopped, number, STOPPED_BY_USER)
        for slot in list(self._pool.slots):
            if slot.assignment is not None and slot.assignment.number == number:
                self._kill_attempt(slot, "stopped", STOPPED_BY_USER)

    def _on_trial_stopped(self, result: AttemptResult | None) -> None:
        if result is not None:
            self._observer.on_attempt_end(result)

    def _on_answered(self, sent: SentRequest, result: object) -> None:
        self._unanswered -= 1
        sent.complete()
        # Not what the controller returns: it may have enqueued them, died, and answered only now.
        self._on_enqueued(len(sent.request.resubmit or sent.request.enqueue))
