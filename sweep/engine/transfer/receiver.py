"""`Receiver`: writes what other machines send into the sweep's directory."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from sweep.engine.transfer import inside
from sweep.engine.transfer.inside import check_link, split
from sweep.engine.transfer.messages import (
    CHUNK,
    Change,
    Entry,
    MakeDirectory,
    MakeLink,
    Place,
    Remove,
    SentRun,
    StaleAttemptError,
    Status,
    Write,
    scan,
)
from sweep.system.directory import SweepDirectory
from sweep.system.durable import sync, sync_path
from sweep.system.trees import remove_tree

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL)
"""The errors of `inside.open_file` if the path has no regular file."""


class Receiver:
    """A `Store` in the sweep's directory. Thread-safe.

    What other machines send never leaves the directory of its trial. A change that is repeated because it was
    not answered has no second effect.

    Args:
        directory: the sweep's directory.
        labels: the labels that the repeats of a trial can have.
    """

    def __init__(self, directory: SweepDirectory, labels: Collection[str]) -> None:
        self._directory = directory
        self._labels = frozenset(labels)
        self._root = directory.root
        self._lock = threading.Lock()
        self._locks: dict[tuple[int, str], threading.Lock] = defaultdict(threading.Lock)
        self._current: dict[tuple[int, str], int] = {}
        """The last attempt of each run that has begun."""
        self._closed: dict[tuple[int, str], int] = {}
        """The last attempt of each run that is over."""
        remove_tree(directory.arriving)

    def open(self, run: SentRun) -> dict[str, Entry]:
        """Begin an attempt; returns what earlier ones have left.

        Without the output of ranks above 0, which arrives another way: rank 0 would send an old copy of it.
        """
        with self._attempt(run):
            trial = self._directory.trial(run.number, run.label)
            return {
                path: entry for path, entry in scan(trial.root).items() if not trial.is_of_other_rank(path)
            }

    def read(self, run: SentRun, path: str, offset: int) -> bytes:
        """Read at most `CHUNK` bytes of a file."""
        with self._attempt(run):
            file = inside.open_file(self._root, self._path(run, path), os.O_RDONLY)
            try:
                return os.pread(file, CHUNK, offset)
            finally:
                os.close(file)

    def apply(self, run: SentRun, changes: Sequence[Change]) -> frozenset[str]:
        """Apply changes in their order; returns the paths that must be sent again, completely."""
        with self._attempt(run):
            return frozenset(change.path for change in changes if not self._apply(run, change))

    def close(self, run: SentRun) -> None:
        """End an attempt: nothing that it sends is accepted any more."""
        with suppress(StaleAttemptError), self._attempt(run):
            self._closed[run.number, run.label] = run.attempt
            inside.remove(self._root, self._staging_area(run))

    @contextmanager
    def _attempt(self, run: SentRun) -> Iterator[None]:
        """Inside the block, nothing else changes the files of a run.

        Raises:
            StaleAttemptError: another attempt has begun, or this one is over.
            ValueError: the sweep has no such run.
        """
        is_valid = isinstance(run.number, int) and isinstance(run.attempt, int) and run.number >= 0
        if not is_valid or run.label not in self._labels:
            raise ValueError(f"{run}: is not a run of this sweep")
        key = run.number, run.label
        with self._lock:
            lock = self._locks[key]
        with lock:
            if run.attempt < self._current.get(key, 0) or run.attempt <= self._closed.get(key, 0):
                raise StaleAttemptError(f"trial {run.number}: attempt {run.attempt} is over")
            self._current[key] = run.attempt
            yield

    def _path(self, run: SentRun, path: str, is_staged: bool = False) -> str:
        trial = self._directory.trial(run.number, run.label).root.relative_to(self._root).as_posix()
        return "/".join([self._staging_area(run) if is_staged else trial, *split(path)])

    def _staging_area(self, run: SentRun) -> str:
        return f"{self._directory.arriving.name}/{run.number}.{run.attempt}.{run.label}"

    def _apply(self, run: SentRun, change: Change) -> bool:
        """Apply a change; returns whether that was possible."""
        match change:
            case Write(path, offset, data, status):
                return self._write(self._path(run, path, is_staged=status is None), offset, data, status)
            case Place():
                return self._place(run, change)
            case MakeDirectory(path, is_staged):
                inside.make_directory(self._root, self._path(run, path, is_staged))
            case MakeLink(path, target, is_staged):
                check_link(path.partition("/")[2] if is_staged else path, target)
                inside.link(self._root, self._path(run, path, is_staged), target)
            case Remove(path):
                inside.remove(self._root, self._path(run, path))
        return True

    def _write(self, path: str, offset: int, data: bytes, status: Status | None) -> bool:
        with self._existing(path, os.O_WRONLY | os.O_CREAT) as file:
            # If it has the part already, the first answer was lost. More than that is unknown to this sender.
            if file is None or os.fstat(file).st_size not in (offset, offset + len(data)):
                return False
            while data:
                written = os.pwrite(file, data, offset)
                data, offset = data[written:], offset + written
            if status is not None:
                _set_status(file, status)
        return True

    def _place(self, run: SentRun, change: Place) -> bool:
        source, target = self._path(run, change.source, is_staged=True), self._path(run, change.path)
        for name, size, status in change.files:
            with self._existing(f"{source}/{name}" if name else source, os.O_WRONLY) as file:
                if file is None or os.fstat(file).st_size != size:
                    inside.remove(self._root, source)
                    # If it is at its place already, the first answer was lost.
                    return change.is_durable and self._has(target, change.files)
                _set_status(file, status)
        if change.keeps_file and self._overwrite(source, target, change.files[0][2]):
            inside.remove(self._root, source)
            return True
        if change.is_durable:
            sync(inside.place(self._root, source))
        try:
            inside.move(self._root, source, target)
        except FileNotFoundError:  # a directory without files that was not staged
            return False
        if change.is_durable:
            sync_path((self._root / target).parent)
        return True

    def _has(self, path: str, files: Iterable[tuple[str, int, Status]]) -> bool:
        """Whether a place has these files, as far as their status tells."""
        for name, size, status in files:
            with self._existing(f"{path}/{name}" if name else path, os.O_RDONLY) as file:
                if file is None:
                    return False
                found = os.fstat(file)
                if (found.st_size, Status.of(found)) != (size, status):
                    return False
        return True

    def _overwrite(self, source: str, target: str, status: Status) -> bool:
        """Copy a staged file over an existing one; returns whether there is one."""
        with self._existing(target, os.O_WRONLY) as new, self._existing(source, os.O_RDONLY) as old:
            if new is None or old is None:
                return False
            with open(old, "rb", closefd=False) as reader, open(new, "wb", closefd=False) as writer:
                shutil.copyfileobj(reader, writer, CHUNK)
            os.ftruncate(new, os.fstat(old).st_size)
            _set_status(new, status)
        return True

    @contextmanager
    def _existing(self, path: str, flags: int) -> Iterator[int | None]:
        """The descriptor of a regular file; None if something else is there, or nothing."""
        try:
            file = inside.open_file(self._root, path, flags)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            yield None
            return
        try:
            yield file
        finally:
            os.close(file)


def _set_status(file: int, status: Status) -> None:
    os.fchmod(file, status.mode & 0o777)
    os.utime(file, ns=(status.mtime_ns, status.mtime_ns))
