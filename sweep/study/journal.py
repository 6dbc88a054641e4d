"""`Journal`: Optuna's journal file with batched writes, synchronised to the disk only for outcomes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileSymlinkLock

_GRACE_PERIOD = 3
"""Seconds after which a lock counts as left by a killed process. Optuna's default is 30; it warns below 3."""


class Journal(BaseJournalBackend):
    """Writes the same file as Optuna's `JournalFileBackend`, under the same lock, at a third of the cost.

    Optuna opens, locks, syncs and closes the file for every line: a trial with six parameters and ten reports
    waits for the disk eighteen times. Here the lines of a `batch` are written together: one lock, one write,
    and one sync if an outcome is among them. Parameters and reports alone are passed to the operating system,
    which keeps them if this process is killed; they reach the disk with the next outcome.

    Other Optuna tools can read and write the file at the same time.

    Args:
        path: the file; created if it is missing. An incomplete last line, left by a process that was killed,
            is moved to `<path>.torn`. Otherwise the next line would be appended to it, and the file would be
            unreadable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = JournalFileSymlinkLock(str(path), grace_period=_GRACE_PERIOD)
        path.touch()
        with self._locked():
            _repair(path)
        self._next = 0
        """The number of the first line that has not been read."""
        self._position = 0
        """Where that line starts in the file, in bytes."""
        self._batch: list[dict[str, Any]] | None = None
        self._batch_read = 0
        """How many lines of the batch have been read."""
        self._must_sync = False
        self._failed_write: OSError | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The lines from this number on: first those of the file, then those of the batch."""
        if self._batch_read == 0:  # no other process writes while a batch holds the lock
            yield from self._read_file(log_number_from)
        while self._batch is not None and self._batch_read < len(self._batch):
            self._batch_read += 1
            yield self._batch[self._batch_read - 1]

    def _read_file(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from != self._next:
            self._next = self._position = 0
        with open(self._path, "rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # another process is writing it
                self._position += len(line)
                self._next += 1
                if self._next > log_number_from:
                    yield json.loads(line)

    def sync(self) -> None:
        """Sync the current batch to the disk at its end, as if it contained an outcome."""
        self._must_sync = self._batch is not None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, or add them to the batch. Outcomes are on the disk afterwards, or after the batch."""
        if self._batch is not None:
            self._batch.extend(logs)
            return
        with self._locked():
            self._write(logs)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write all lines of the block together at its end, even if the block raises an exception.

        Raises:
            OSError: the lines cannot be written. The file is unchanged, and all later writes fail.
        """
        with self._locked():
            self._batch, self._batch_read = [], 0
            try:
                yield
            finally:
                batch, read = self._batch, self._batch_read
                self._batch, self._batch_read = None, 0
                lines = self._write(batch)
                self._next += read
                self._position += sum(map(len, lines[:read]))

    def _write(self, logs: list[dict[str, Any]]) -> list[bytes]:
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        if not lines:
            return lines
        if self._failed_write is not None:
            message = (
                f"{self._failed_write.strerror}: an earlier write failed; later changes were not recorded"
            )
            raise OSError(self._failed_write.errno, message, str(self._path))
        size = os.path.getsize(self._path)
        try:
            with open(self._path, "ab") as file:
                file.write(b"".join(lines))
                file.flush()
                if self._must_sync or any("state" in log or "study_name" in log for log in logs):
                    os.fsync(file.fileno())
                self._must_sync = False
        except OSError as error:
            # For example, the disk is full. Half a line would corrupt the next one, and Optuna's memory is
            # ahead of the file from now on, so this process must not write any more.
            self._failed_write = error
            os.truncate(self._path, size)
            raise
        return lines

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()


def _repair(path: Path) -> None:
    """Move an incomplete end of the file to `<path>.torn`.

    A process that is killed can leave half a line, and a machine that dies can leave bytes that were never
    written, usually zeros. If only the newline is missing, it is added.
    """
    content = path.read_bytes()
    end = len(content)
    while end > 0:
        start = content.rfind(b"\n", 0, end - 1) + 1
        if _is_complete(content[start:end]):
            break
        end = start
    if end < len(content):
        with open(path.with_name(f"{path.name}.torn"), "ab") as torn:
            torn.write(content[end:] + b"\n")
            torn.flush()
            os.fsync(torn.fileno())
        os.truncate(path, end)
    if end > 0 and content[end - 1 : end] != b"\n":
        with open(path, "ab") as file:
            file.write(b"\n")


def _is_complete(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
