"""What W&B's package repeats from TensorBoard event files (`sync_tensorboard=True`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from google.protobuf.message import DecodeError

from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import event_pb2

_STEP = "global_step"


class TensorboardMirror:
    """Distinguishes the rows of a run's history that W&B has copied from event files.

    W&B copies whatever is in the log directory, other trials' files too, and gives the rows its own steps. A
    copied row has the time of its event, which distinguishes it from a row with `global_step` that the script
    itself logs.
    """

    def __init__(self) -> None:
        self._directories: dict[Path, None] = {}
        self._positions: dict[Path, int] = {}
        self._times: set[float] = set()

    def add(self, log_directory: str, bases: list[Path]) -> None:
        """Add a log directory, whose path may be relative to any of the bases."""
        self._directories.update(dict.fromkeys(base / log_directory for base in bases))

    def has_row(self, numbers: Mapping[str, float]) -> bool:
        """Whether a row is a copy.

        Args:
            numbers: the numbers of the row, also those that W&B adds.
        """
        if not self._directories or not any(name.split("/")[-1] == _STEP for name in numbers):
            return False
        time = numbers.get("_timestamp")
        if time not in self._times:  # W&B has read the event from the file, so it is there
            self._read()
        return time in self._times

    def _read(self) -> None:
        for directory in self._directories:
            with suppress(OSError):
                for name in os.listdir(directory):
                    if "tfevents" in name:
                        self._read_file(directory / name)

    def _read_file(self, path: Path) -> None:
        with suppress(OSError, CorruptFileError, DecodeError):
            for record, end in read_records(path, self._positions.get(path, 0)):
                assert record is not None
                self._positions[path] = end
                self._times.add(event_pb2.Event.FromString(record).wall_time)
