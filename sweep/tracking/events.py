"""Event files that lose nothing: every record is in the operating system's hands when the call returns.

tensorboardX's own writer has two threads and a queue, and writes a file every two minutes; what a killed
process had not written is lost. It also names a file by second and host, so that two writers of one second
overwrite each other. Here there is one file per writer, written in the calling thread.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from sweep.tracking.tensorboardx import FileWriter, RecordWriter, SummaryWriter, event_pb2

_HOST = socket.gethostname()
_SUFFIX = ".sweep"
_LONGEST_WAIT = 5.0
"""Seconds; somebody may have put a file with a name from far ahead into the directory."""
_FILE_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\..*")


def event_files(directory: Path) -> list[Path]:
    """The event files of a run directory in the order in which TensorBoard reads them."""
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if "tfevents" in entry.name and entry.is_file()]
    return [directory / name for name in sorted(names)]


def is_own(path: Path) -> bool:
    """Whether an event file is one of ours, to go by its name."""
    return path.name.endswith(_SUFFIX)


def next_event_file(directory: Path) -> Path:
    """The name of a new event file that sorts behind all that are there, and before those of other writers.

    TensorBoard's Python loader follows only the last file of a directory, by name. Both loaders drop what
    stands before the word that it is void: a script whose first file had the name of the same second, or an
    earlier one, would have no curves. That word is in our file, hence the second before.
    """
    second = int(time.time()) - 1
    for path in event_files(directory):
        found = _FILE_NAME.fullmatch(path.name)
        if found is not None:
            second = max(second, int(found[1]) + 1)
    return directory / f"events.out.tfevents.{second:010d}.{_HOST}{_SUFFIX}"


def let_others_begin(path: Path) -> None:
    """Wait until event files that others begin sort behind one of ours; as a rule they do so already."""
    found = _FILE_NAME.fullmatch(path.name)
    assert found is not None
    time.sleep(min(max(0.0, int(found[1]) + 1 - time.time()), _LONGEST_WAIT))


def last_event_file(directory: Path) -> EventFile:
    """The last event file of a run whose writer has closed it, to write on behind its end.

    A second file for each trial would double what TensorBoard has to open.
    """
    last = event_files(directory)[-1]
    if not is_own(last):
        return EventFile(directory)  # the objective's own, which we leave alone
    return EventFile(directory, path=last)


def rewrite(path: Path, span: Span, summary: Any) -> None:
    """Put a summary into the place of another one, in a file that nobody writes to any more.

    Args:
        path: the file.
        span: where the event of the other one stands.
        summary: the new one.
    """
    aside = path.with_name(".rewritten")  # what says tfevents in its name is read by TensorBoard
    with open(path, "rb") as old, open(aside, "wb") as new:
        new.write(old.read(span.start))
        event = event_pb2.Event()
        event.ParseFromString(old.read(span.end - span.start)[12:-4])  # for its time
        event.summary.CopyFrom(summary)
        records = _Records(aside)
        new.flush()
        records.write(event.SerializeToString())
        records.close()
        new.seek(0, os.SEEK_END)
        shutil.copyfileobj(old, new)
    aside.replace(path)


class Span(NamedTuple):
    """Where a record stands in a file, in bytes."""

    start: int
    end: int


class EventFile:
    """A new event file in `directory`, created at once; the directory is made if it is missing.

    Thread-safe. It has the methods that tensorboardX's `FileWriter` expects of an event writer.

    Args:
        directory: the run directory.
        path: write on behind a file that is there and whole, instead of a new one.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
        self.path = path or next_event_file(directory)
        self._lock = threading.Lock()
        self._records: _Records | None = _Records(self.path)
        self._void_from: int | None = None
        if path is None:
            self.add_event(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def void(self, step: int | None) -> None:
        """Once something more is written here, what earlier files of the run hold from `step` on is void.

        Until then another call can say it better; with None nothing is void. TensorBoard's Python loader
        heeds it only if the first file of a directory says so too; so every attempt does.
        """
        self._void_from = step

    def add_summary(self, summary: Any, step: int | None = None) -> None:
        """Write one summary, now."""
        self.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def add_event(self, event: Any) -> None:
        """Write one event; it survives the death of this process. After `finish` nothing is written."""
        with self._lock:
            if self._records is not None:
                self._write_void()
                self._records.write(event.SerializeToString())
                self._records.push()

    def _write_void(self) -> None:
        if self._records is not None and self._void_from is not None:
            session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            start = event_pb2.Event(wall_time=time.time(), step=self._void_from, session_log=session)
            self._records.write(start.SerializeToString())
            self._void_from = None

    def sync(self) -> None:
        """Wait until all that was written survives the death of the machine."""
        with self._lock:
            if self._records is not None:
                self._records.flush()

    def finish(self) -> None:
        """Close the file."""
        with self._lock:
            self._write_void()
            if self._records is not None:
                self._records.close()
                self._records = None

    def get_logdir(self) -> str:
        """The run directory, as tensorboardX asks for it."""
        return str(self.path.parent)

    def flush(self) -> None:
        """Nothing to do: nothing waits in a buffer."""

    def close(self) -> None:
        """An objective may close its writer before the trial ends; the file stays open until `finish`."""

    def reopen(self) -> None:
        """Nothing to do: see `close`."""


class _Records(RecordWriter):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        # RecordWriter itself would empty a file that is there.
        self._writer = open(path, "ab")  # noqa: SIM115 - closed by `close`

    def push(self) -> None:
        """Hand what was written to the operating system, without waiting for the disk as `flush` does."""
        self._writer.flush()


class RunWriter(SummaryWriter):  # type: ignore[misc]
    """A tensorboardX `SummaryWriter` whose records go into one `EventFile`.

    An objective gets it as `trial.writer`; closing it does no harm.
    """

    def __init__(self, file: EventFile) -> None:
        self._file = file
        super().__init__(logdir=file.get_logdir())

    def add_hparams(
        self, hparam_dict: Any, metric_dict: Any, name: str | None = None, global_step: int | None = None
    ) -> None:
        """Write the metrics as scalars. The row with the parameters is there already.

        tensorboardX would open another run and declare the columns again, whereupon TensorBoard shows either
        these or the sweep's.
        """
        for tag, value in metric_dict.items():
            self.add_scalar(tag, value, global_step)

    def _get_file_writer(self) -> FileWriter:
        # The one place where SummaryWriter makes its FileWriter, with threads, a queue and a file of its own.
        # Both attributes are None at first and after close().
        self.file_writer: FileWriter | None = self.file_writer or _FileWriter(self._file)
        self.all_writers = {self._file.get_logdir(): self.file_writer}
        return self.file_writer


class _FileWriter(FileWriter):  # type: ignore[misc]
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file
        self._default_metadata: dict[str, Any] = {}
