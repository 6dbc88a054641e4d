"""Reading scalars back from event files: what a worker wrote before it was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sweep.tracking.events import Span, event_files
from sweep.tracking.hparams import SESSION_END_TAG, SESSION_START_TAG
from sweep.tracking.numbers import ScalarNumbers
from sweep.tracking.records import BrokenFileError, read_records
from sweep.tracking.tensorboardx import event_pb2

_LARGE = 1 << 18
"""Bytes; larger records hold pictures and the like, and are skipped: there may be gigabytes of them."""


def read_scalars(run: Path) -> dict[str, dict[int, float]]:
    """All scalars of a run directory: for each tag its values by step, in the order written.

    A record that was cut off in the middle ends its file. Values have single precision, as in TensorBoard.
    """
    scalars: dict[str, dict[int, float]] = {}
    numbers = ScalarNumbers()
    for _, _, event in _events(run):
        if event.HasField("session_log") and event.session_log.status == event_pb2.SessionLog.START:
            # Another attempt began: what the last one wrote from this step on is void.
            for tag, values in scalars.items():
                scalars[tag] = {step: value for step, value in values.items() if step < event.step}
        for value in event.summary.value:
            if (number := numbers.read(value)) is not None:
                scalars.setdefault(value.tag, {})[event.step] = number
    return {tag: values for tag, values in scalars.items() if values}


class Row(NamedTuple):
    """A record that tells TensorBoard a trial's parameters: its file, where it stands there, its content."""

    path: Path
    span: Span
    content: bytes


def find_row(run: Path) -> Row | None:
    """What TensorBoard has been told of a run's parameters first: that stands."""
    for path, span, event in _events(run):
        for value in event.summary.value:
            if value.tag == SESSION_START_TAG:
                return Row(path, span, value.metadata.plugin_data.content)
    return None


def has_ended(run: Path) -> bool:
    """Whether TensorBoard has been told the outcome of a run."""
    return any(value.tag == SESSION_END_TAG for _, _, event in _events(run) for value in event.summary.value)


def _events(run: Path) -> Iterator[tuple[Path, Span, Any]]:
    """The events of a run, but for those with large contents, and where they stand."""
    for path in event_files(run):
        end = 0
        with suppress(BrokenFileError):  # the disk or its machine died
            for record, behind in read_records(path, largest=_LARGE):
                span, end = Span(end, behind), behind
                if record is None:
                    continue
                event = event_pb2.Event()
                try:
                    event.ParseFromString(record)
                except Exception:  # noqa: BLE001 - protobuf's implementations differ in what they raise
                    break
                yield path, span, event
