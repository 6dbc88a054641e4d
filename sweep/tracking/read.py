"""Reads a run's scalars and HParams records from its event files, even after its writer was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sweep.tracking.events import Span, event_files
from sweep.tracking.hparams import SESSION_END_TAG, SESSION_START_TAG
from sweep.tracking.numbers import HOURS, ScalarReader
from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import event_pb2

_LARGE = 1 << 18
"""Bytes. Larger records, such as images, are skipped: there may be gigabytes of them."""


class Point(NamedTuple):
    """A value of a curve, and when it was logged, in seconds since the epoch if that is known."""

    value: float
    time: float | None


def read_scalars(run: Path) -> dict[str, dict[int, float]]:
    """All scalars of a run directory: for each tag its values by step, in the order written.

    The time, which the sweep adds, is not among them. A file is read up to its first incomplete record.
    Values have single precision, as in TensorBoard.
    """
    return {
        tag: {step: point.value for step, point in points.items()} for tag, points in read_points(run).items()
    }


def read_points(run: Path) -> dict[str, dict[int, Point]]:
    """As `read_scalars`, with the time of each value."""
    curves: dict[str, dict[int, Point]] = {}
    numbers = ScalarReader()
    for _, _, event in _events(run):
        if is_start(event):
            for tag, points in curves.items():
                curves[tag] = {step: point for step, point in points.items() if step < event.step}
        for value in event.summary.value:
            if (number := numbers.read(value)) is not None:
                curves.setdefault(value.tag, {})[event.step] = Point(number, event.wall_time)
    return {tag: points for tag, points in curves.items() if points and tag != HOURS}


def is_start(event: Any) -> bool:
    """Whether an event is a purge step: another attempt has started here."""
    return bool(event.HasField("session_log") and event.session_log.status == event_pb2.SessionLog.START)


def read_events(run: Path, without: Path) -> Iterator[Any]:
    """The summaries and the purge steps of a run, except large ones, in the order written.

    Args:
        run: the run directory.
        without: an event file that is left out.
    """
    return (
        event
        for path, _, event in _events(run)
        if path != without and (event.HasField("summary") or is_start(event))
    )


def read_values(run: Path) -> Iterator[tuple[Any, int]]:
    """The values of all summaries of a run, with their steps."""
    for _, _, event in _events(run):
        for value in event.summary.value:
            yield value, event.step


class Row(NamedTuple):
    """The session start record of a trial: its file, its position in the file, and its content."""

    path: Path
    span: Span
    content: bytes


def find_row(run: Path) -> Row | None:
    """The first session start record of a run. TensorBoard ignores later ones."""
    for path, span, event in _events(run):
        for value in event.summary.value:
            if value.tag == SESSION_START_TAG:
                return Row(path, span, value.metadata.plugin_data.content)
    return None


def has_ended(run: Path) -> bool:
    """Whether a run has a session end record."""
    return any(value.tag == SESSION_END_TAG for _, _, event in _events(run) for value in event.summary.value)


def _events(run: Path) -> Iterator[tuple[Path, Span, Any]]:
    """The events of a run except large ones, with their files and positions."""
    for path in event_files(run):
        end = 0
        with suppress(CorruptFileError):  # a disk or machine failed
            for record, next_start in read_records(path, largest=_LARGE):
                span, end = Span(end, next_start), next_start
                if record is None:
                    continue
                event = event_pb2.Event()
                try:
                    event.ParseFromString(record)
                except Exception:  # noqa: BLE001 - protobuf's implementations differ in what they raise
                    break
                yield path, span, event
