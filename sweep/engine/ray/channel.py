"""The channel of a trial in a Ray worker: sends reports to the controller, and asks it for decisions."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from sweep.engine.ray.controller_actor import RESTART_TIMEOUT
from sweep.messages import Assignment, Suggestion, TrialMessage
from sweep.system.repeating import RepeatedCall

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SEND_INTERVAL = 0.1  # seconds


def new_sender() -> RepeatedCall:
    """The thread in which the channels of a worker send reports."""
    return RepeatedCall(_SEND_INTERVAL, "sweep-reports")


class RayChannel:
    """The channel of one attempt. A thread sends its reports, so that `trial.report` returns at once.

    A call costs both processes about a millisecond. So the reports of a tenth of a second share one call, and
    those of a shorter trial are sent with its outcome. A call that fails because the controller died is
    repeated when Ray has restarted it.

    Args:
        controller: the handle of the controller.
        assignment: the attempt.
        sender: the thread that sends reports.
    """

    def __init__(self, controller: Any, assignment: Assignment, sender: RepeatedCall) -> None:
        self._controller = controller
        self._assignment = assignment
        self._sender = sender
        self._unsent: deque[TrialMessage] = deque()
        # Held until a call is answered: calls are made in order, and `close` waits for the last one.
        self._call_lock = threading.Lock()
        self._is_closed = False
        self._is_sending = False

    def report(self, message: TrialMessage) -> None:
        """Send a message soon. Messages of a thread that outlives its attempt are discarded."""
        if self._is_closed:
            return
        self._unsent.append(message)
        if not self._is_sending:
            self._is_sending = True
            self._sender.start(self._send_unsent)

    def should_prune(self) -> bool:
        return self._is_closed or bool(self._call("should_prune"))

    def must_end(self) -> bool:
        return self._is_closed or bool(self._call("must_end"))

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        if self._is_closed:
            return Suggestion(problem="the trial is over")
        suggestion: Suggestion = self._call("suggest", name, distribution)
        return suggestion

    def close(self) -> tuple[TrialMessage, ...]:
        """Close the channel; returns the messages that have not been sent. All others have arrived."""
        self._is_closed = True
        if self._is_sending:
            self._sender.stop()
        with self._call_lock:
            return self._take_unsent()

    def _call(self, method: str, *arguments: Any) -> Any:
        end = time.monotonic() + RESTART_TIMEOUT
        while True:
            try:
                return self._send(method, *arguments)
            except ActorUnavailableError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_SEND_INTERVAL)

    def _send(self, method: str, *arguments: Any) -> Any:
        """Call a method of the controller. The unsent messages are sent with the call."""
        with self._call_lock:
            messages = self._take_unsent()
            run = self._assignment
            try:
                arguments = run.number, run.attempt, messages, run.repeat, *arguments
                return ray.get(self._controller.call_for_trial.remote((method, arguments)))
            except RayError:
                self._unsent.extendleft(reversed(messages))
                raise

    def _take_unsent(self) -> tuple[TrialMessage, ...]:
        # Other threads can add messages meanwhile, but only the thread that holds the lock takes them.
        return tuple(self._unsent.popleft() for _ in range(len(self._unsent)))

    def _send_unsent(self) -> None:
        if self._unsent and not self._is_closed:
            # If the controller is being restarted, they are sent later. If it has failed, the supervisor
            # handles that.
            with suppress(RayError):
                self._send("report")
