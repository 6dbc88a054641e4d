"""The standard streams of this process: output that cannot be written does not end a sweep."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

_lock = threading.Lock()
_guarded: list[tuple[str, Any, Any]] = []
"""The names of the guarded streams in `sys`, the original streams, and those that replace them."""
_users = 0
"""How many `guarded_streams` are entered. Threads can run sweeps at the same time."""


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Inside the block, printing never raises because of the stream.

    Characters that a stream's encoding does not have are escaped. When a stream cannot be written (a broken
    pipe, a full disk, a terminal that is gone), the rest of its output is discarded; `lost_output` tells why.
    Streams that are closed, as after `>&-`, become /dev/null.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _open_descriptors()
            for name in ("stdout", "stderr"):
                original = getattr(sys, name)
                guard = _GuardedText(original)
                setattr(sys, name, guard)
                _guarded.append((name, original, guard))
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for name, original, guard in _guarded:
                    guard.flush()
                    if getattr(sys, name) is guard:
                        setattr(sys, name, original)
                _guarded.clear()


def lost_output() -> OSError | ValueError | None:
    """Inside `guarded_streams`: why the output on stdout could not be written; None if it was."""
    stdout = sys.stdout
    if not isinstance(stdout, _GuardedText):
        return None
    stdout.flush()
    return stdout.problem or getattr(getattr(stdout, "buffer", None), "problem", None)


def can_encode(text: str) -> bool:
    """Whether stdout can represent a text without escapes."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _open_descriptors() -> None:
    """Open the standard descriptors that are closed, and streams for them.

    Otherwise the next file that is opened, for example the journal, would get the number, and what a child
    process prints would be written into it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(null, True)
        with suppress(OSError):
            os.set_blocking(descriptor, True)  # another process that shares a pipe can have changed that
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


class _Guarded:
    """A stream whose problems do not reach the code that writes to it. Everything else is that stream's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.problem: OSError | ValueError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        with suppress(ValueError):  # it is closed
            return bool(self._stream.isatty())
        return False

    def flush(self) -> None:
        self._try(self._stream.flush)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def write(self, data: Any) -> int:
        self._try(self._stream.write, data)
        return len(data)

    def _try(self, function: Callable[..., object], *arguments: object) -> None:
        if self.problem is not None:
            return
        try:
            function(*arguments)
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.problem = error
            self._discard_rest()

    def _discard_rest(self) -> None:
        """Redirect the descriptor, which has buffered output and which children share, to /dev/null."""
        with suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
            descriptor = self._stream.fileno()
            if descriptor in (1, 2):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


class _GuardedText(_Guarded):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            # On a terminal the columns of tables stay aligned.
            errors = "replace" if self.isatty() else "backslashreplace"
            self._try(self._stream.write, data.encode(encoding, errors).decode(encoding))
            return len(data)

    @cached_property
    def buffer(self) -> _Guarded:
        return _Guarded(self._stream.buffer)
