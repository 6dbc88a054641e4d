"""One process runs a sweep at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from sweep.errors import InputError


class SweepLock:
    """The right to run a sweep: an exclusive lock on a file, which the system releases when its holder dies.

    Args:
        path: the lock file; made if it is missing.
        name: of the sweep, for the message.

    Raises:
        InputError: on entering, if another process runs the sweep.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._file: int | None = None

    def __enter__(self) -> SweepLock:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock_soon(file):
            holder = os.read(file, 4096).decode(errors="replace")
            os.close(file)
            raise InputError(
                f"{self._name}: is already being run by {_describe(holder)}; "
                f"watch it with `sweep status {self._name}`, or start another one with --name"
            )
        os.ftruncate(file, 0)
        os.write(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock_soon(file: int) -> bool:
    """Get the lock; for a moment it may be held by somebody who only asks whether it is (`is_locked`)."""
    for _ in range(20):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.025)
        else:
            return True
    return False


def is_locked(path: Path) -> bool:
    """Whether some process runs the sweep now. Changes nothing."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _describe(holder: str) -> str:
    try:
        data = json.loads(holder)
        return f"process {data['pid']} on {data['host']}"
    except (ValueError, KeyError):
        return "another process"
