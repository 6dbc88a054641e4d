"""`Included`: which events of earlier attempts belong to the checkpoint from which a trial resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.tracking.numbers import HOURS, ScalarReader
from sweep.tracking.read import is_start, read_events
from sweep.tracking.tensorboardx import event_pb2, summary_pb2


@dataclass(frozen=True)
class Included:
    """What a checkpoint includes of a run: TensorBoard drops everything from a step on, and that can be more.

    Steps can be counted in several ways, such as in epochs and in batches.

    Args:
        run: the run directory.
        without: the event file of the attempt that resumes.
        ends: the last step of each tag when the checkpoint was saved.
        saved: when it was saved, in seconds since the epoch. Other events, such as histograms, belong to it
            if they are older.
    """

    run: Path
    without: Path
    ends: Mapping[str, int]
    saved: float
    _numbers: ScalarReader = field(default_factory=ScalarReader)

    def first_excluded(self, default: int) -> int:
        """The lowest step of a scalar that the checkpoint does not include, or `default` if that is lower."""
        steps: list[int] = []
        for event in read_events(self.run, self.without):
            if is_start(event):
                steps = [step for step in steps if step < event.step]
            elif any(
                self._is_scalar(value) and self._excludes(value, event) for value in event.summary.value
            ):
                steps.append(event.step)
        return min([default, *steps])

    def events(self, first: int) -> list[Any]:
        """What the checkpoint includes from step `first` on, except large events."""
        found: list[Any] = []
        for event in read_events(self.run, self.without):
            if is_start(event):
                found = [earlier for earlier in found if earlier.step < event.step]
            elif event.step >= first:
                values = [value for value in event.summary.value if not self._excludes(value, event)]
                summary = summary_pb2.Summary(value=values)
                if values:
                    found.append(event_pb2.Event(wall_time=event.wall_time, step=event.step, summary=summary))
        return found

    def _is_scalar(self, value: Any) -> bool:
        return value.tag != HOURS and self._numbers.read(value) is not None

    def _excludes(self, value: Any, event: Any) -> bool:
        if self._is_scalar(value) and value.tag in self.ends:
            return bool(event.step > self.ends[value.tag])
        return bool(event.wall_time > self.saved)
