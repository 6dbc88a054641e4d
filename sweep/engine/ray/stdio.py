"""Ray's words kept off the terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_CHATTERER = "ray_listen_error_messages"
"""The thread in which Ray prints a paragraph for each worker that dies, `log_to_driver` or not. What happened
to a trial is told by its outcome."""


class _WithoutRay:
    """A text stream that ignores what Ray's thread writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name == _CHATTERER:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Keep what Ray's own thread prints off stdout."""
    before = sys.stdout
    sys.stdout = _WithoutRay(before)
    try:
        yield
    finally:
        sys.stdout = before


@contextmanager
def no_stderr() -> Iterator[None]:
    """Drop all that this process writes to stderr: the parts of Ray that are not Python know no other way."""
    sys.stderr.flush()
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(nowhere)
        os.close(before)
