"""Event files without a buffer: when a call returns, its record has been passed to the operating system.

tensorboardX's own writer has two threads and a queue, and writes to its file every two minutes. Events
that a killed process had not written are lost. It also names a file by second and host, so that two writers
of the same second overwrite each other. Here each writer has its own file, which the calling thread writes.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import RecordFile, event_pb2, summary_pb2

_HOST = socket.gethostname()
_SUFFIX = ".sweep"
_LONGEST_WAIT = 5.0
"""Seconds. A directory may contain a file whose name is far in the future."""
_FILE_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.(.*)")


def event_files(directory: Path) -> list[Path]:
    """The event files of a run directory in the order in which TensorBoard reads them."""
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if "tfevents" in entry.name and entry.is_file()]
    return [directory / name for name in sorted(names)]


def is_from_sweep(name: str) -> bool:
    """Whether the sweep itself has written an event file with this name."""
    return name.endswith(_SUFFIX)


def last_host(run: Path) -> str:
    """The machine on which the last attempt of a run was executed, from the name of its event file."""
    names = [path.name for path in event_files(run) if is_from_sweep(path.name)]
    match = _FILE_NAME.fullmatch(names[-1].removesuffix(_SUFFIX)) if names else None
    return match[2] if match is not None else ""


def next_event_file(directory: Path) -> Path:
    """The name of a new event file that sorts after all existing files and before those of other writers.

    TensorBoard's Python loader follows only the last file of a directory, by name. Both loaders drop points
    that come before a purge step. The sweep's file contains that purge step, so it has the name of the
    previous second: a script's file with the name of the same second, or an earlier one, would lose its
    curves.
    """
    second = int(time.time()) - 1
    for path in event_files(directory):
        match = _FILE_NAME.fullmatch(path.name)
        if match is not None:
            second = max(second, int(match[1]) + 1)
    return directory / f"events.out.tfevents.{second:010d}.{_HOST}{_SUFFIX}"


def wait_for_later_names(path: Path) -> None:
    """Wait until new event files of other writers sort after one of the sweep's; usually they already do."""
    match = _FILE_NAME.fullmatch(path.name)
    assert match is not None
    time.sleep(min(max(0.0, int(match[1]) + 1 - time.time()), _LONGEST_WAIT))


def last_event_file(directory: Path) -> EventFile:
    """The last event file of a run, opened for appending. Its writer has closed it.

    A second file per trial would double the number of files that TensorBoard opens.
    """
    last = event_files(directory)[-1]
    if not is_from_sweep(last.name):
        return EventFile(directory)  # the objective's own file, which is not modified
    return EventFile(directory, path=last)


def replace_summary(path: Path, span: Span, summary: Any) -> None:
    """Replace a summary in a file that is no longer written to.

    Args:
        path: the file.
        span: the position of the event that contains the old summary.
        summary: the new one.
    """
    with open(path, "rb") as old, _replacement(path) as (new, records):
        new.write(old.read(span.start))
        event = event_pb2.Event()
        event.ParseFromString(old.read(span.end - span.start)[12:-4])  # keeps its time
        event.summary.CopyFrom(summary)
        new.flush()
        records.write(event.SerializeToString())
        records.push()
        new.seek(0, os.SEEK_END)
        shutil.copyfileobj(old, new)


def rename_tags(run: Path, tags: Mapping[str, str]) -> None:
    """Rename tags in all of the sweep's files of a run, which are no longer written to.

    Args:
        run: the run directory.
        tags: the new names by the old ones; values whose new name is empty are removed.
    """
    needles = [tag.encode() for tag in tags]
    for path in (path for path in event_files(run) if is_from_sweep(path.name)):
        with _replacement(path) as (_, records), suppress(CorruptFileError):
            for content, _ in read_records(path):
                assert content is not None
                if any(needle in content for needle in needles):
                    content = _with_tags(content, tags)
                records.write(content)


def _with_tags(content: bytes, tags: Mapping[str, str]) -> bytes:
    event = event_pb2.Event.FromString(content)
    values = [value for value in event.summary.value if tags.get(value.tag) != ""]
    for value in values:
        value.tag = tags.get(value.tag, value.tag)
    if event.HasField("summary"):
        event.summary.CopyFrom(summary_pb2.Summary(value=values))
    return bytes(event.SerializeToString())


@contextmanager
def _replacement(path: Path) -> Iterator[tuple[BinaryIO, RecordFile]]:
    """A new file that takes the place of an old one, and a writer that appends records to it."""
    temporary = path.with_name(".rewritten")  # TensorBoard reads every file with tfevents in its name
    with open(temporary, "wb") as new:
        records = RecordFile(temporary)
        yield new, records
        records.close()
    temporary.replace(path)


class Span(NamedTuple):
    """The position of a record in a file, in bytes."""

    start: int
    end: int


def write_event_file(directory: Path, purge_step: int, events: Iterable[Any]) -> Path:
    """Write an event file with a purge step and the events that follow it: the whole file, or none."""
    path = next_event_file(directory)
    with _replacement(path) as (_, records):
        version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
        session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        start = event_pb2.Event(wall_time=time.time(), step=purge_step, session_log=session)
        for event in (version, start, *events):
            records.write(event.SerializeToString())
    return path


class EventFile:
    """Writes a new event file in `directory`, which is created if it is missing.

    Thread-safe.

    Args:
        directory: the run directory.
        path: append to this existing, complete file instead.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
        self.path = path or next_event_file(directory)
        self._lock = threading.Lock()
        self._records: RecordFile | None = RecordFile(self.path)
        self._purge_step: int | None = None
        if path is None:
            self.add_event(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def set_purge_step(self, step: int | None) -> None:
        """Have TensorBoard drop the points of earlier files of the run from `step` on.

        It takes effect with the next record; until then another call replaces it, and None cancels it.
        TensorBoard's Python loader respects it only if the first file of a directory has a purge step too,
        so every attempt sets one.
        """
        self._purge_step = step

    def write_purge_step(self) -> None:
        """Have it take effect now, before another file gets points that it would drop."""
        with self._lock:
            self._write_purge_step()
            if self._records is not None:
                self._records.push()

    def add_summary(self, summary: Any, step: int | None = None) -> None:
        """Write one summary immediately."""
        self.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def add_event(self, event: Any) -> None:
        """Write one event, which survives the death of this process. After `finish` it is ignored."""
        with self._lock:
            if self._records is not None:
                self._write_purge_step()
                self._records.write(event.SerializeToString())
                self._records.push()

    def _write_purge_step(self) -> None:
        if self._records is not None and self._purge_step is not None:
            session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            start = event_pb2.Event(wall_time=time.time(), step=self._purge_step, session_log=session)
            self._records.write(start.SerializeToString())
            self._purge_step = None

    def sync(self) -> None:
        """Wait until everything written survives a power failure."""
        with self._lock:
            if self._records is not None:
                self._records.flush()

    def finish(self) -> None:
        """Close the file."""
        with self._lock:
            self._write_purge_step()
            if self._records is not None:
                self._records.close()
                self._records = None
