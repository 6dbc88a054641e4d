"""TensorBoard event files that a script writes: finding them and reading them while they grow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from sweep.script.process import written_files
from sweep.tracking.events import is_from_sweep
from sweep.tracking.numbers import ScalarReader
from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import event_pb2

ANNOUNCED = ".event-files"
"""The file in the trial's directory to which `startup/sitecustomize.py` appends the paths of event files."""

_SKIPPED_DIRECTORIES = ("checkpoint", "wandb", ".wandb")
_HPARAMS = "hparams"
_SPLITS = ("train", "training", "validation", "valid", "val", "eval", "test")
"""Names that frameworks give to directories of curves, not of runs."""
_ADD_HPARAMS_DIRECTORY = re.compile(r"\d{9,}\.\d+")
"""The subdirectory that torch's `add_hparams` creates in the writer's directory."""


class EventFiles:
    """Finds the event files that the processes of a trial write.

    These are the files in the trial's directory, those that `startup/sitecustomize.py` has announced, and
    those that one of the processes has open.

    Args:
        trial: the trial's directory; existing files belong to earlier attempts.
    """

    def __init__(self, trial: Path) -> None:
        self._trial = trial.resolve()
        self._announced = trial / ANNOUNCED
        self._announced.unlink(missing_ok=True)
        self._known: dict[Path, EventStream | None] = dict.fromkeys(self._files_in_directory())
        self._names = _TagNames()

    def find(self, family: list[psutil.Process], is_over: bool = False) -> list[EventStream]:
        """Return the readers of all files found so far.

        Args:
            family: the script's processes.
            is_over: whether the script has exited. Before that, files of `add_hparams` are left out: they
                repeat the last value of each metric, which can be on disk before its curve.
        """
        opened = written_files(family, "tfevents")
        for path in [*self._announced_files(), *self._files_in_directory(), *opened]:
            if path not in self._known and not (path.parent == self._trial and is_from_sweep(path)):
                self._known[path] = EventStream(path, path.parent == self._trial, self._names)
                self._names.add(path.parent)
        streams = [stream for stream in self._known.values() if stream is not None]
        return [stream for stream in streams if not stream.is_of_add_hparams] + [
            stream for stream in streams if stream.is_of_add_hparams and is_over
        ]

    def _announced_files(self) -> Iterator[Path]:
        with suppress(OSError):
            for line in self._announced.read_bytes().splitlines():
                yield Path(os.path.realpath(os.fsdecode(line)))

    def _files_in_directory(self) -> Iterator[Path]:
        for folder, subfolders, files in os.walk(self._trial):
            is_top = Path(folder) == self._trial
            subfolders[:] = sorted(
                name for name in subfolders if not (is_top and name in _SKIPPED_DIRECTORIES)
            )
            for name in sorted(files):
                if "tfevents" in name:
                    yield Path(os.path.realpath(os.path.join(folder, name)))


class _TagNames:
    """Gives unique metric names to the tags of several directories.

    Tags of the directory in which a file was created first keep their names. Tags of its subdirectories, and
    of other directories if they would be ambiguous, are prefixed with the directory's name, as in
    `validation/epoch_loss`.
    """

    def __init__(self) -> None:
        self._main: Path | None = None
        self._seen: set[Path] = set()
        self._owners: dict[str, Path] = {}

    def add(self, directory: Path) -> None:
        """Register a directory in which a file was created."""
        self._seen.add(directory)
        if self._main is None:
            self._main = directory.parent if _is_of_split(directory) else directory

    def is_of_add_hparams(self, directory: Path) -> bool:
        """Whether `add_hparams` has created a directory. Scripts can also name directories after the time."""
        return _ADD_HPARAMS_DIRECTORY.fullmatch(directory.name) is not None and directory.parent in self._seen

    def name(self, tag: str, directory: Path) -> str | None:
        """The metric name of a tag in a directory; None if another directory has the same values already."""
        assert self._main is not None
        if directory == self._main:
            self._owners[tag] = directory
            return tag
        if self.is_of_add_hparams(directory):
            return tag if self._owners.setdefault(tag, directory) == directory else None
        if directory.is_relative_to(self._main):
            return f"{directory.relative_to(self._main).as_posix()}/{tag}"
        if self._owners.setdefault(tag, directory) == directory:
            return tag
        return f"{directory.name}/{tag}"


def _is_of_split(directory: Path) -> bool:
    """Whether a directory contains one of several curves. A run named `train` contains other files too."""
    if directory.name not in _SPLITS:
        return False
    with suppress(OSError):
        return all("tfevents" in name or name == "plugins" for name in os.listdir(directory))
    return True


class EventStream:
    """Reads an event file while it grows.

    Args:
        path: the file.
        is_in_run: whether TensorBoard shows the file itself in the trial's run.
        names: the metric names of tags.
    """

    def __init__(self, path: Path, is_in_run: bool, names: _TagNames) -> None:
        self.path = path
        self.is_in_run = is_in_run
        self._names = names
        self._position = 0
        self._is_broken = False
        self._numbers = ScalarReader()
        self._stepless: dict[str, int] = {}

    @property
    def is_of_add_hparams(self) -> bool:
        """Whether torch's `add_hparams` has written the file."""
        return self._names.is_of_add_hparams(self.path.parent)

    def read(self) -> Iterator[Any]:
        """The events since the last call, with metric names as tags.

        Records of the HParams plugin are left out, because the sweep writes its own.
        """
        for record in self._records():
            event = event_pb2.Event()
            try:
                event.ParseFromString(record)
            except Exception:  # noqa: BLE001 - protobuf's implementations differ in what they raise
                self._is_broken = True
                return
            if event.WhichOneof("what") in ("file_version", "session_log", None):
                continue
            if event.HasField("summary"):
                self._adapt(event)
                if not event.summary.value:
                    continue
            yield event

    def scalars(self, event: Any) -> tuple[int, dict[str, float]]:
        """The step and the scalars of an event.

        Scalars that a script logs without a step all have step 0; they are numbered here.
        """
        step = event.step
        scalars: dict[str, float] = {}
        for value in event.summary.value:
            number = self._numbers.read(value)
            if number is not None:
                scalars[value.tag] = number
                before = self._stepless.get(value.tag, 0)
                if event.step == 0:
                    step = max(step, before)
                    self._stepless[value.tag] = before + 1
        return step, scalars

    def _adapt(self, event: Any) -> None:
        values = event.summary.value
        for index in reversed(range(len(values))):
            tag = self._names.name(values[index].tag, self.path.parent)
            if tag is None or values[index].metadata.plugin_data.plugin_name == _HPARAMS:
                del values[index]
            else:
                values[index].tag = tag

    def _records(self) -> Iterator[bytes]:
        """The complete records since the last call."""
        if self._is_broken:
            return
        try:
            if not self.path.is_file():  # removed, or a pipe or a directory
                return
            for record, end in read_records(self.path, self._position):
                assert record is not None
                self._position = end
                yield record
        except CorruptFileError:
            self._is_broken = True
        except OSError:  # removed meanwhile, or it belongs to another user
            return
