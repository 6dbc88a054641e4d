"""Redirection of an objective's output to a file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from sweep.system import processes
from sweep.system.lock import DEAD_MACHINE_TIMEOUT, lock_file


@contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Append everything that this process and its children print to `path`, with file descriptors 1 and 2.

    Every process that has the file as its output, children included, holds a lock on it. So two attempts of a
    trial never run at the same time, even if the process of the first one could not be killed in time.

    Raises:
        OSError: another attempt does not terminate.
    """
    streams = sys.stdout, sys.stderr
    _flush(*streams)
    saved = os.dup(0), os.dup(1), os.dup(2)
    file = _open_locked(path)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    try:
        yield
    finally:
        _flush(sys.stdout, sys.stderr, *streams)
        for descriptor, original in enumerate(saved):
            os.dup2(original, descriptor)
            os.close(original)
        sys.stdout, sys.stderr = (
            stream if not stream.closed else os.fdopen(descriptor, "w", buffering=1, closefd=False)
            for descriptor, stream in zip((1, 2), streams, strict=True)
        )


@contextmanager
def tee_output(path: Path) -> Iterator[None]:
    """Print as usual, and append the output to `path` too. The terminal stays usable for `breakpoint()`."""
    with (
        os.fdopen(_open_locked(path), "a", encoding="utf-8", errors="backslashreplace", buffering=1) as file,
        redirect_stdout(_Tee(sys.stdout, file)),
        redirect_stderr(_Tee(sys.stderr, file)),
    ):
        yield


def _open_locked(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if not lock_file(file, patience=0):
        processes.terminate_trial(path.parent, path)
        if not lock_file(file, DEAD_MACHINE_TIMEOUT):
            os.close(file)
            raise OSError(f"{path.parent.name}: a process of an earlier attempt does not terminate")
    return file


class _Tee(io.TextIOBase):
    """Writes text to a terminal and to a file."""

    def __init__(self, terminal: TextIO, file: TextIO) -> None:
        self._terminal = terminal
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(text)
        return self._terminal.write(text)

    @property
    def buffer(self) -> _BinaryTee:
        return _BinaryTee(self._terminal, self._file)

    def flush(self) -> None:
        for stream in (self._file, self._terminal):
            if not stream.closed:  # Python flushes this object once more when nothing refers to it any longer
                stream.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


class _BinaryTee(io.RawIOBase):
    def __init__(self, terminal: TextIO, file: TextIO) -> None:
        self._streams = file, terminal

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        for stream in self._streams:
            stream.flush()
            if hasattr(stream, "buffer"):
                stream.buffer.write(data)
                stream.buffer.flush()
            else:  # in a notebook
                stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)


def _flush(*streams: Any) -> None:
    """Flush what can be flushed: an objective can replace sys.stdout with any object, or close it."""
    for stream in streams:
        with suppress(Exception):
            stream.flush()
