"""`Journal`: Optuna's journal file with batched writes, synchronised to the disk only for outcomes."""

from __future__ import annotations

import json
import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileSymlinkLock

from sweep.system.durable import sync_path

_GRACE_PERIOD = 3
"""Seconds after which a lock counts as left by a killed process. Optuna's default is 30; it warns below 3."""


_BLOCK = 1 << 20
"""How much of the file is read at once, in bytes."""


class JournalReader(BaseJournalBackend):
    """Reads the lines that any process has appended to a journal, in blocks.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mutex = threading.RLock()
        """Held while lines are read and applied, or a batch is written, which threads can do at once."""
        self._returned = 0
        """How many lines `read_logs` has returned."""
        self._position = 0
        """Where the first line that it has not returned starts in the file, in bytes."""
        self._file: tuple[int, int] | None = None
        """The device and the number of the file that was read last."""
        self._skipped: deque[tuple[int, int]] = deque()
        """Where lines start and end in the file, after `_position`, that it returned from a batch."""

    @property
    def place(self) -> tuple[int, int] | None:
        """How many lines were returned, and where they end in the file, if no other lines are before that."""
        return (self._returned, self._position) if not self._skipped else None

    @property
    def end(self) -> int:
        """Where the last line that it has returned from the file, or from a batch since written, ends."""
        return self._skipped[-1][1] if self._skipped else self._position

    @property
    def is_replaced(self) -> bool:
        """Whether there is another file at the path than the one that was read, or none."""
        try:
            return _identity(os.stat(self.path)) != self._file
        except OSError:
            return True

    def skip_to(self, lines: int, position: int) -> None:
        """Go on after this many lines, which end at this position, as if they had been returned."""
        self._returned, self._position = lines, position

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The lines that were not returned before.

        Args:
            log_number_from: how many lines were returned before; 0 starts again.
        """
        self._start_again(log_number_from)
        # Opened each time: a network file system only then asks for what other machines have written.
        with open(self.path, "rb", buffering=0) as file:
            yield from self._read(file.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise NotImplementedError(
            "this study can only be read; run more trials with `sweep run` or `sweep.run`, or open its "
            "journal with Optuna's own JournalStorage"
        )

    def _start_again(self, log_number_from: int) -> None:
        if log_number_from == 0:
            self._returned = self._position = 0
            self._skipped.clear()
        assert log_number_from == self._returned

    def _read(self, descriptor: int) -> Iterator[dict[str, Any]]:
        status = os.fstat(descriptor)
        self._file, size = _identity(status), status.st_size
        while True:
            if self._skipped and self._skipped[0][0] == self._position:
                _, self._position = self._skipped.popleft()
                continue
            end = self._skipped[0][0] if self._skipped else size
            if end <= self._position:
                break
            lines = _read_lines(descriptor, self._position, end)
            if not lines:
                break  # another process is writing it
            records = _parse(lines)
            for line in lines:
                try:
                    record = next(records)
                except ValueError:
                    if self._position + len(line) + 1 == size:
                        return  # the last line, left by a machine that died: the next writer moves it away
                    raise
                self._returned += 1
                self._position += len(line) + 1
                yield record


def _parse(lines: list[bytes]) -> Iterator[Any]:
    """The records in some lines. It is quicker to parse many lines as one list than one by one."""
    if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        with suppress(ValueError):
            records = json.loads(b"[" + b",".join(lines) + b"]")
            if len(records) == len(lines):
                return iter(records)
    return map(json.loads, lines)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _read_lines(descriptor: int, start: int, end: int) -> list[bytes]:
    """The next complete lines of a file; at least one if there is any between `start` and `end`."""
    length = _BLOCK
    while True:
        block = os.pread(descriptor, min(length, end - start), start)
        *lines, _ = block.split(b"\n")
        if lines or len(block) < length:
            return lines
        length *= 2


class Journal(JournalReader):
    """Writes the same file as Optuna's `JournalFileBackend`, under the same lock, at a third of the cost.

    Optuna opens, locks, syncs and closes the file for every line: a trial with six parameters and ten reports
    waits for the disk eighteen times. Here the lines of a `batch` are collected and written together, with
    one sync if an outcome is among them. It goes on while the next trial is sampled in the same batch.
    Parameters and reports alone are passed to the operating system, which keeps them if this process is
    killed; they reach the disk with the next outcome.

    Other Optuna tools can read and write the file at the same time. The lock is held only for the write,
    never while samplers and pruners run or the disk is waited for: a process that waits for it breaks it
    after its grace period. So others can write during a batch. A line whose meaning depends on the order is
    therefore written at once, with those before it: one that creates a trial, whose number is its place, or
    that starts an enqueued trial, which belongs to the first process that does.

    Args:
        path: the file; created if it is missing. An incomplete last line, left by a process that was killed,
            is moved to `<path>.torn`. Otherwise the next line would be appended to it, and the file would be
            unreadable.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = JournalFileSymlinkLock(str(path), grace_period=_GRACE_PERIOD)
        path.touch()
        with self._locked():
            _repair(path)
        self._descriptor = os.open(path, os.O_RDONLY)
        """The open file: each change of the study first reads what others have written."""
        weakref.finalize(self, os.close, self._descriptor)
        self._batch: list[dict[str, Any]] | None = None
        self._returned_of_batch = 0
        """How many lines of the batch it has returned."""
        self._must_sync = False
        self._syncing: Future[None] | None = None
        self._sync_thread = ThreadPoolExecutor(1, "sweep-journal")
        self._failed_write: OSError | None = None

    @property
    def place(self) -> tuple[int, int] | None:
        return super().place if self._batch is None else None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The lines that were not returned before: first those of the file, then those of the batch.

        Args:
            log_number_from: how many lines were returned before; 0 starts again.
        """
        if log_number_from == 0:
            self._returned_of_batch = 0
        self._start_again(log_number_from)
        yield from self._read(self._descriptor)
        while self._batch is not None and self._returned_of_batch < len(self._batch):
            self._returned_of_batch += 1
            self._returned += 1
            yield self._batch[self._returned_of_batch - 1]

    def sync(self) -> None:
        """Have what the current batch contains on the disk at its end, as if it were an outcome."""
        self._must_sync = self._batch is not None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, or add them to the batch. Outcomes are on the disk afterwards, or after the batch."""
        with self.mutex:
            if self._batch is None:
                self._write(logs)
                self._sync()
                return
            self._batch.extend(logs)
            if any(_depends_on_order(log) for log in logs):
                self._flush()
                self._start_sync()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect the lines of the block, and write them at its end, even if the block raises an exception.

        Raises:
            OSError: the lines cannot be written. The file is unchanged, and all later writes fail.
        """
        self._batch = []
        try:
            yield
        finally:
            with self.mutex:
                try:
                    self._flush()
                finally:
                    self._batch = None
                self._sync()

    def _flush(self) -> None:
        """Write the lines of the batch, and go on with an empty batch."""
        assert self._batch is not None
        batch, returned = self._batch, self._returned_of_batch
        self._batch, self._returned_of_batch = [], 0
        self._write(batch, returned)

    def _write(self, logs: list[dict[str, Any]], returned: int = 0) -> None:
        """Append lines, of which the first ones have been returned by `read_logs`."""
        if not logs:
            return
        if self._failed_write is not None:
            message = (
                f"{self._failed_write.strerror}: an earlier write failed; later changes were not recorded"
            )
            raise OSError(self._failed_write.errno, message, str(self.path))
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        with self._locked():
            start = self._append(b"".join(lines))
        if returned:
            self._skipped.append((start, start + sum(map(len, lines[:returned]))))
        self._must_sync |= any(log.get("state") or "study_name" in log for log in logs)

    def _append(self, content: bytes) -> int:
        """Append to the file; returns where it starts in the file, in bytes."""
        size = os.path.getsize(self.path)
        try:
            if size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n":
                _repair(self.path)  # another program has died while it wrote
                size = os.path.getsize(self.path)
            with open(self.path, "ab") as file:
                file.write(content)
                file.flush()
                return file.tell() - len(content)
        except OSError as error:
            # For example, the disk is full. Half a line would corrupt the next one, and Optuna's memory is
            # ahead of the file from now on, so this process must not write any more.
            self._failed_write = error
            os.truncate(self.path, size)
            raise

    def _start_sync(self) -> None:
        """Have the disk work on the outcomes so far while the batch goes on: the next trial is sampled."""
        if self._must_sync and self._syncing is None:
            self._must_sync = False
            self._syncing = self._sync_thread.submit(sync_path, self.path)

    def _sync(self) -> None:
        """Wait until all outcomes are on the disk."""
        syncing, self._syncing = self._syncing, None
        must_sync, self._must_sync = self._must_sync, False
        try:
            if syncing is not None:
                syncing.result()
            if must_sync:
                sync_path(self.path)
        except OSError as error:
            self._failed_write = error
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.acquire()
        try:
            yield
        finally:
            with suppress(
                RuntimeError
            ):  # this process was suspended meanwhile, and another one took the lock
                self._lock.release()


def _depends_on_order(log: dict[str, Any]) -> bool:
    """Whether a line means something else if lines of other processes come before it."""
    return "datetime_start" in log or "study_name" in log


def _repair(path: Path) -> None:
    """Move an incomplete end of the file to `<path>.torn`.

    A process that is killed can leave half a line, and a machine that dies can leave bytes that were never
    written, usually zeros. If only the newline is missing, it is added.
    """
    size = path.stat().st_size
    if size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = size
        while end > 0:
            start = content.rfind(b"\n", 0, end - 1) + 1
            if _is_complete(content[start:end]):
                break
            end = start
        rest, has_newline = content[end:], content[end - 1 : end] == b"\n"
    if rest:
        with open(path.with_name(f"{path.name}.torn"), "ab") as torn:
            torn.write(rest + b"\n")
            torn.flush()
            os.fsync(torn.fileno())
        os.truncate(path, end)
    if end > 0 and not has_newline:
        with open(path, "ab") as last:
            last.write(b"\n")


def damaged_line(path: Path) -> int | None:
    """The number of the first line of a journal that is not a record; None if there is none."""
    with suppress(OSError), path.open("rb") as file:
        return next((number for number, line in enumerate(file, 1) if not _is_complete(line)), None)
    return None


def _is_complete(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
