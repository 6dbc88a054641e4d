"""Interruption of a running sweep: by Ctrl-C, by a signal, or by another process that asks it to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Records whether the sweep has been asked to stop. A flag, so that no write is interrupted halfway.

    A second signal raises KeyboardInterrupt wherever the program is. A third one terminates the process.

    Attributes:
        signal: the number of the first signal; None if there was none.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._pid = os.getpid()
        self._raises = False
        self._previous_handlers: dict[signal.Signals, Any] = {}

    @contextmanager
    def catch_signals(self) -> Iterator[None]:
        """Handle SIGINT, SIGTERM and SIGHUP inside the block.

        Only the main thread can; in other threads no signal is caught. Signals that are ignored (`nohup`)
        stay ignored.
        """
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in _SIGNALS}
            self._previous_handlers = {
                number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN
            }
        self.reinstall_handlers()
        try:
            yield
        finally:
            for number, handler in self._previous_handlers.items():
                signal.signal(number, handler)

    def reinstall_handlers(self) -> None:
        """Inside `catch_signals`: handle signals again after `ray.init` has installed its own handlers."""
        for number in self._previous_handlers:
            signal.signal(number, self._on_signal)

    @contextmanager
    def raise_at_once(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the first signal too: for code that does not check `signal`."""
        self._raises, before = True, self._raises
        try:
            if self.signal is not None:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = before

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Inside `raise_at_once`: raise only at the end of the block, which must not be interrupted."""
        self._raises, before = False, self._raises
        earlier = self.signal
        try:
            yield
        finally:
            self._raises = before
        if before and self.signal is not None and earlier is None:
            raise KeyboardInterrupt

    def request(self, number: int) -> None:
        """Ask the sweep to stop, as the first signal `number` does."""
        if self.signal is None:
            self.signal = number

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process that an objective has forked, for example of a pool
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.signal = number
        if self._raises:
            raise KeyboardInterrupt
