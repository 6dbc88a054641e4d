"""One process runs a sweep at a time, and nothing that an earlier one left behind writes beside it.

Two locks on files, which the system releases when their holders die:

* The *sweep lock* is held, exclusively, by the process that runs the sweep.
* The *fence* is shared by everything that writes in its name: the controller, the workers, and what their
  trials start. When the process that runs the sweep is killed these live on for a while. So the next one,
  with the sweep lock in its hand, waits until the fence is free.

A worker that was still being started when its sweep was killed takes the fence too late to be waited for. So
each run of a sweep has an id, written into the sweep lock's file; who finds another one there when it has
taken the fence, comes from a run that is over.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sweep.errors import InputError

_NAP = 0.02  # seconds
_LENGTH = 512
"""Bytes of a sweep lock's file, spaces included."""


@dataclass(frozen=True)
class Holder:
    """Who runs a sweep.

    Args:
        pid: the process.
        host: its machine.
        run_id: a word that no other run of the sweep has.
    """

    pid: int
    host: str
    run_id: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class SweepLock:
    """The right to run a sweep. A context manager that gives the run its id.

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

    def __enter__(self) -> str:
        # For a moment it may be held by somebody who only asks whether it is (`is_locked`).
        file = _open_locked(self._path, patience=0.5)
        if file is None:
            raise InputError(
                f"{self._name}: is already being run by {holder(self._path) or 'another process'}; "
                f"watch it with `sweep status {self._name}`, or start another one with --name "
                "(in Python name='...')"
            )
        _held.add(file)
        self._file = file
        return renew_run(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            _held.discard(self._file)
            os.close(self._file)
            self._file = None


_held: set[int] = set()
"""The sweep locks of this process. A process that is forked must not keep them: it may live longer."""


def _forget_locks() -> None:
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)


def renew_run(path: Path) -> str:
    """Give a run of a sweep a new id; who has the old one is turned away by the fence from now on.

    Args:
        path: the sweep lock's file, which this process holds.
    """
    mine = Holder(os.getpid(), socket.gethostname(), secrets.token_hex(8))
    file = _open(path)
    try:  # in one piece, over what is there: others may be reading it
        os.pwrite(file, json.dumps(asdict(mine)).ljust(_LENGTH).encode(), 0)
    finally:
        os.close(file)
    return mine.run_id


def is_locked(path: Path) -> bool:
    """Whether some process runs the sweep now. Changes nothing."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(file, fcntl.LOCK_SH, patience=0)
    finally:
        os.close(file)


def holder(path: Path) -> Holder | None:
    """Who runs the sweep, or ran it last; None if that is not known."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def join_fence(fence: Path, lock: Path, run_id: str) -> int:
    """Take part in a run of a sweep, for as long as the returned descriptor is open in any process.

    Args:
        fence: the fence's file.
        lock: the sweep lock's file.
        run_id: of the run.

    Raises:
        RunIsOver: that run has ended.
    """
    file = _open(fence)
    _lock(file, fcntl.LOCK_SH, patience=None)
    current = holder(lock)
    if current is None or current.run_id != run_id:
        os.close(file)
        raise RunIsOver(f"run {run_id} of the sweep is over")
    return file


class RunIsOver(Exception):
    """A process belongs to a run of a sweep that has ended."""


def wait_for_fence(fence: Path, patience: float) -> bool:
    """Wait until nobody takes part in an earlier run; to be called by the holder of the sweep lock.

    Args:
        fence: the fence's file.
        patience: how long to wait at most, in seconds.

    Returns:
        whether it is free.
    """
    file = _open(fence)
    try:
        return _lock(file, fcntl.LOCK_EX, patience)
    finally:
        os.close(file)


def lock_file(file: Any, patience: float) -> bool:
    """Lock an open file exclusively for whoever has its descriptor, inherited ones included.

    Returns:
        whether it was free within `patience` seconds.
    """
    return _lock(file, fcntl.LOCK_EX, patience)


def _open(path: Path) -> int:
    # For writing too: on NFS an exclusive lock is refused otherwise.
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _open_locked(path: Path, patience: float) -> int | None:
    """Open the file at a path and lock it exclusively; None if that does not work within `patience` seconds.

    While it is waited for, the sweep may be moved away (`--fresh`), and its lock with it: the one that counts
    is at the path now, once its directory is there again.
    """
    for _ in range(int(patience / _NAP)):  # not by the clock: this process may be the one that stands still
        with suppress(FileNotFoundError):
            file = _open(path)
            if _lock(file, fcntl.LOCK_EX, patience=0) and _is_at(file, path):
                return file
            os.close(file)
        time.sleep(_NAP)
    return None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: Any, kind: int, patience: float | None) -> bool:
    """Lock a descriptor within `patience` seconds, None for ever; says whether that worked."""
    if patience is None:
        fcntl.flock(file, kind)
        return True
    end = time.monotonic() + patience
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_NAP)
