"""The surroundings of an objective in its process: random generators, environment, output."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO


def seed_generators(seed: int) -> None:
    """Seed random, and numpy and torch if they are loaded."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@contextmanager
def restored() -> Iterator[None]:
    """Put the working directory and the environment back afterwards."""
    directory = os.getcwd()
    environment = dict(os.environ)
    try:
        yield
    finally:
        os.chdir(directory)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)


@contextmanager
def redirected_descriptors(path: Path) -> Iterator[None]:
    """Append everything this process and its children print to `path`, whatever they print it with."""
    streams = sys.stdout, sys.stderr
    _flush(*streams)
    saved = os.dup(1), os.dup(2)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    try:
        yield
    finally:
        _flush(sys.stdout, sys.stderr, *streams)
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        sys.stdout, sys.stderr = (
            stream if not stream.closed else os.fdopen(descriptor, "w", buffering=1, closefd=False)
            for descriptor, stream in zip((1, 2), streams, strict=True)
        )


@contextmanager
def copied_output(path: Path) -> Iterator[None]:
    """Print as always, and append it to `path` too: for a terminal on which `breakpoint()` has to work."""
    with (
        open(path, "a", encoding="utf-8", buffering=1) as file,
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

    def flush(self) -> None:
        self._file.flush()
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


def _flush(*streams: Any) -> None:
    """Flush what can be flushed: objectives put all kinds of things into sys.stdout, or close it."""
    for stream in streams:
        with suppress(Exception):
            stream.flush()
