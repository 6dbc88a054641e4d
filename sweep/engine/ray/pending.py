"""Ray calls that have not returned yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray


class PendingCalls:
    """Ray calls that have not returned yet, each with the function that handles its result.

    One thread waits for all of them, so their handlers never run at the same time.
    """

    def __init__(self) -> None:
        self._handlers: dict[Any, Callable[[Any], None]] = {}

    def add(self, call: Any, handler: Callable[[Any], None]) -> None:
        """Wait for a call; `handler` receives it when it has returned or failed."""
        self._handlers[call] = handler

    def discard(self, call: Any) -> bool:
        """Stop waiting for a call; returns whether it was pending."""
        return self._handlers.pop(call, None) is not None

    def handle_next(self, timeout: float) -> None:
        """Wait until a call has returned, and handle it.

        Args:
            timeout: how long to wait at most, in seconds.
        """
        if not self._handlers:  # ray.wait requires at least one call
            time.sleep(timeout)
            return
        for call in ray.wait(list(self._handlers), timeout=timeout)[0]:
            self._handlers.pop(call)(call)


def has_returned(call: Any) -> bool:
    """Whether a call has returned or failed."""
    return bool(ray.wait([call], timeout=0)[0])
