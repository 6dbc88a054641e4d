"""Locks that ensure that only one process runs a sweep, and that processes of earlier runs write no more.

There are two lock files. The operating system releases a lock when the processes that hold it have died.

* The *sweep lock* is held exclusively by the process that runs the sweep.
* The *fence* is shared by all processes of a run: the controller, the workers, and processes of trials.
  If the process that runs the sweep is killed, these continue to run for a while. The next one takes the
  sweep lock, then waits until the fence is free.

A worker that was still starting when its sweep was killed takes the fence too late for that. So each run has
an id, which is written into the sweep lock's file. A process that takes the fence and finds another id there
belongs to an earlier run, and exits.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
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

_POLL_INTERVAL = 0.02  # seconds
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""The errors of a file system without locks, such as NFS without lockd or Lustre without `-o flock`."""
DEAD_MACHINE_TIMEOUT = 150.0
"""How long to wait, in seconds, for a lock whose holder may be on a machine that has died. NFS servers
keep it until the machine's lease is over, by default 90 s after it was last renewed."""
_REQUEST_TIMEOUT = 60.0
"""How long a command may take that changes the study of a sweep that no process runs, in seconds."""
_FILE_SIZE = 512
"""Bytes of a sweep lock's file, padded with spaces."""


@dataclass(frozen=True)
class Holder:
    """The process that runs a sweep.

    Args:
        pid: its process id.
        host: its machine.
        run_id: identifies the run; unique among the runs of the sweep.
        session: identifies the session: the id of its first run. If Ray dies, another run follows in the same
            process.
        is_request: whether it does not run the sweep, but changes its study, as `sweep retry` does.
    """

    pid: int
    host: str
    run_id: str
    session: str = ""
    is_request: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class SweepLock:
    """The exclusive lock of a sweep. A context manager that yields the id of the new run.

    Args:
        path: the lock file; created if it is missing.
        name: the sweep's name, for the message.
        advice: the end of the message: what to do instead.
        is_request: see `Holder`.

    Raises:
        InputError: on entering, if another process runs the sweep.
    """

    def __init__(self, path: Path, name: str, advice: str = "", is_request: bool = False) -> None:
        self._path = path
        self._name = name
        self._advice = advice
        self._is_request = is_request
        self._file: int | None = None

    def __enter__(self) -> str:
        # Another process may hold it for a moment to test it (`is_locked`).
        file = _open_locked(self._path, patience=0.5)
        other = holder(self._path)
        if file is None and other is not None and other.is_request:
            file = _open_locked(self._path, _REQUEST_TIMEOUT)
        if file is None:
            raise InputError(
                f"{self._name}: is already being run by {other or 'another process'}{self._advice}"
            )
        _held.add(file)
        self._file = file
        return _write_holder(self._path, session=None, is_request=self._is_request)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            _held.discard(self._file)
            os.close(self._file)
            self._file = None


_held: set[int] = set()
"""The sweep locks of this process. A forked child closes them, because it may live longer."""


def _forget_locks() -> None:
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)


def renew_run_id(path: Path) -> str:
    """Write a new run id; from now on `join_run` refuses processes with the old one. The session continues.

    Args:
        path: the sweep lock's file, which this process has locked.
    """
    before = holder(path)
    return _write_holder(path, before.session if before is not None else None)


def _write_holder(path: Path, session: str | None, is_request: bool = False) -> str:
    run_id = secrets.token_hex(8)
    current = Holder(
        os.getpid(), socket.gethostname(), run_id, run_id if session is None else session, is_request
    )
    file = _open(path)
    try:  # one write over the old contents: other processes may be reading
        os.pwrite(file, json.dumps(asdict(current)).ljust(_FILE_SIZE).encode(), 0)
    finally:
        os.close(file)
    return run_id


def has_locks(path: Path) -> bool:
    """Whether the file system of an existing file has locks."""
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    finally:
        os.close(file)
    return True


def is_locked(path: Path) -> bool:
    """Whether a process runs the sweep now. Changes nothing."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock_file(file, patience=0, shared=True)
    finally:
        os.close(file)


def holder(path: Path) -> Holder | None:
    """The process that runs the sweep, or ran it last; None if that is unknown."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def current_session(path: Path) -> str | None:
    """The session of the process that runs the sweep; None if no process runs it."""
    process = holder(path) if is_locked(path) else None
    return process.session if process is not None else None


def join_run(fence: Path, lock: Path, run_id: str) -> int:
    """Share the fence of a run for as long as any process has the returned descriptor open.

    Args:
        fence: the fence's file.
        lock: the sweep lock's file.
        run_id: the id of the run.

    Raises:
        StaleRunError: another run has begun.
    """
    file = hold_fence(fence)
    current = holder(lock)
    if current is None or current.run_id != run_id:
        os.close(file)
        raise StaleRunError(f"run {run_id} of the sweep is over")
    return file


def hold_fence(fence: Path) -> int:
    """Share a fence, which is created if it is missing, as long as the returned descriptor is open."""
    file = _open(fence)
    lock_file(file, patience=math.inf, shared=True)
    return file


class StaleRunError(Exception):
    """A process belongs to an earlier run of the sweep."""


def wait_for_fence(fence: Path, patience: float) -> bool:
    """Wait until all processes of earlier runs have exited. The caller holds the sweep lock.

    Args:
        fence: the fence's file.
        patience: the longest wait, in seconds.

    Returns:
        whether the fence is free.
    """
    file = _open(fence)
    try:
        return lock_file(file, patience)
    finally:
        os.close(file)


def lock_file(file: Any, patience: float, shared: bool = False) -> bool:
    """Lock an open file. Every process that inherits its descriptor holds the lock too.

    Args:
        file: the file, or its descriptor. If its file system has no locks, nothing waits.
        patience: how many seconds to wait for the lock.
        shared: whether other processes may share the lock; exclusive by default.

    Returns:
        whether the file is locked now.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_INTERVAL)


def _open(path: Path) -> int:
    # Writable, because NFS refuses an exclusive lock otherwise.
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _open_locked(path: Path, patience: float) -> int | None:
    """Open and lock the file at a path; None if that fails for `patience` seconds.

    Meanwhile another process may move the sweep's directory away (`--fresh`), with the lock file in it. Then
    the file that is at the path afterwards counts.
    """
    for _ in range(int(patience / _POLL_INTERVAL)):  # counted, because this process itself may be suspended
        with suppress(FileNotFoundError):
            file = _open(path)
            if lock_file(file, patience=0) and _is_at(file, path):
                return file
            os.close(file)
        time.sleep(_POLL_INTERVAL)
    return None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
