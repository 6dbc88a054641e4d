"""`RepeatedCall`: calls a function every so often in a thread that is kept for the next function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class RepeatedCall:
    """Calls a function at regular intervals, from `start` to `stop`, in another thread.

    One function at a time, usually for one attempt after another. Starting a thread takes a tenth of a
    millisecond, so the thread is kept as long as another function follows within an interval.

    Args:
        interval: seconds between two calls, and before the first one.
        name: the name of the thread.
    """

    def __init__(self, interval: float, name: str) -> None:
        self._interval = interval
        self._name = name
        self._lock = threading.Lock()  # held while the function runs
        self._function: Callable[[], object] | None = None
        self._due = 0.0
        """When the next call is due, on the monotonic clock."""
        self._thread: threading.Thread | None = None

    def start(self, function: Callable[[], object]) -> None:
        """Call `function` at regular intervals, until it raises an exception."""
        with self._lock:
            self._function, self._due = function, time.monotonic() + self._interval
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop calling the function. If it is running, wait until it has returned."""
        with self._lock:
            self._function = None

    def _run(self) -> None:
        wait = self._interval
        while True:
            time.sleep(wait)
            with self._lock:
                if time.monotonic() >= self._due:
                    if self._function is None:  # and no other one has followed
                        self._thread = None
                        return
                    self._call(self._function)
                wait = max(0.0, self._due - time.monotonic())

    def _call(self, function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException:
            self._function = self._thread = None
            raise
        self._due = time.monotonic() + self._interval
