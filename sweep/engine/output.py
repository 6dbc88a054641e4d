"""Where the output of an objective goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from sweep.system import processes
from sweep.system.lock import lock_file

_PATIENCE = 60.0  # seconds


@contextmanager
def redirected_descriptors(path: Path) -> Iterator[None]:
    """Append everything this process and its children print to `path`, whatever they print it with.

    Whoever has it as its output, children included, holds a lock on it: two attempts of a trial never run
    side by side, not even if the process of the first one could not be ended in time.

    Raises:
        OSError: another attempt does not end.
    """
    streams = sys.stdout, sys.stderr
    _flush(*streams)
    saved = os.dup(0), os.dup(1), os.dup(2)
    file = _open_alone(path)
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


def _open_alone(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if not lock_file(file, patience=0):
        processes.terminate_trial(path.parent, path)
        if not lock_file(file, _PATIENCE):
            os.close(file)
            raise OSError(f"{path.parent.name}: something that an earlier attempt started does not end")
    return file


@contextmanager
def copied_output(path: Path) -> Iterator[None]:
    """Print as always, and append it to `path` too: for a terminal on which `breakpoint()` has to work."""
    with (
        os.fdopen(_open_alone(path), "a", encoding="utf-8", buffering=1) as file,
        redirect_stdout(_Tee(sys.stdout, file)),
        redirect_stderr(_Tee(sys.stderr, file)),
    ):
        yield


class _Tee(io.TextIOBase):
    def __init__(self, terminal: TextIO, file: TextIO) -> None:
        self._terminal = terminal
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(text)
        return self._terminal.write(text)

    @property
    def buffer(self) -> _TeeOfBytes:
        return _TeeOfBytes(self._terminal, self._file)

    def flush(self) -> None:
        self._file.flush()
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


class _TeeOfBytes(io.RawIOBase):
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
            else:  # a notebook's
                stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)


def _flush(*streams: Any) -> None:
    """Flush what can be flushed: objectives put all kinds of things into sys.stdout, or close it."""
    for stream in streams:
        with suppress(Exception):
            stream.flush()
