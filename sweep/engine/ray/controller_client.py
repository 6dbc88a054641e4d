"""The supervisor's line to the controller: questions are answered even if the controller dies meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError

from sweep.engine.ray.controller_actor import NotIntroduced
from sweep.messages import RunningAttempt

PATIENCE = 60.0
"""How long to wait for a controller that is being replaced, in seconds."""


@dataclass(frozen=True)
class _Question:
    """A call to the controller, to be made again if it dies before it answers."""

    method: str
    arguments: tuple[Any, ...]
    then: Callable[[Any], None]


class ControllerClient:
    """Calls a controller; if it dies, tells the one that Ray puts into its place what runs, and calls that.

    The calls are idempotent: one that was made twice has one effect.

    Args:
        controller: the actor.
        waiting: calls without an answer, and what takes it; shared with the supervisor, which waits for them.
        running: says which attempts are running, for a new controller.
        on_replaced: is called when another controller has been introduced, before anything else is asked.
    """

    def __init__(
        self,
        controller: Any,
        waiting: dict[Any, Callable[[Any], None]],
        running: Callable[[], Sequence[RunningAttempt]],
        on_replaced: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._waiting = waiting
        self._running = running
        self._on_replaced = on_replaced
        self._asked = 0
        """How many calls have no answer."""
        self._unanswered: list[_Question] = []
        """Calls that a controller did not live to answer."""
        self._lost_since: float | None = None
        """Since when a dead controller is being replaced, on the monotonic clock."""

    def ask(self, method: str, *arguments: Any, then: Callable[[Any], None]) -> None:
        """Call a method; `then` takes the answer, when the supervisor sees it.

        Raises (when the answer is taken):
            RayError: the method failed, or there is no controller any more.
        """
        question = _Question(method, arguments, then)
        if self._lost_since is not None:
            self._unanswered.append(question)
            return
        self._asked += 1
        call = getattr(self._controller, method).remote(*arguments)
        self._waiting[call] = partial(self._on_answer, question)

    def _on_answer(self, question: _Question, call: Any) -> None:
        self._asked -= 1
        try:
            answer = ray.get(call)
        except (ActorUnavailableError, NotIntroduced):
            self._unanswered.append(question)
            if self._lost_since is None:
                self._lost_since = time.monotonic()
        else:
            question.then(answer)
        if self._lost_since is not None and not self._asked:
            # Only now: an answer that was still under way might have brought an assignment.
            self._introduce()

    def _introduce(self) -> None:
        self._waiting[self._controller.adopt.remote(self._running())] = self._on_introduced

    def _on_introduced(self, call: Any) -> None:
        assert self._lost_since is not None
        try:
            ray.get(call)
        except ActorUnavailableError:
            if time.monotonic() - self._lost_since > PATIENCE:
                raise
            time.sleep(0.1)
            self._introduce()
            return
        self._lost_since = None
        self._on_replaced()
        questions, self._unanswered = self._unanswered, []
        for question in questions:
            self.ask(question.method, *question.arguments, then=question.then)
