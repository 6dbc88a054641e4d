"""TensorBoard event files that a trial's own writers create: finding them and reading them while they grow.

They are read in the same way for scripts (`ScriptRun`) and functions (`sweep.objective.event_files`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from sweep.script.process import written_files
from sweep.script.startup.sweep_event_files import SPLITS, is_in_sweep, newest_addition
from sweep.system.directory import TrialDirectory
from sweep.tracking.events import Span, is_from_sweep
from sweep.tracking.foreign import (
    HPARAMS,
    clean_up,
    disable_hparams,
    hide,
    is_event_file,
    is_shown,
)
from sweep.tracking.numbers import ScalarReader
from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import event_pb2
from sweep.trial.scalars import STEPS

ANNOUNCED = ".event-files"
"""The file in the trial's directory to which `sweep_event_files.py` appends what it knows of event files."""
_ANNOUNCED_BY_OTHERS = ".other-event-files"
"""The same for the files of other ranks than 0 of a distributed training."""

_SKIPPED_DIRECTORIES = ("checkpoint", "artifacts", "wandb", ".wandb")
_ADD_HPARAMS_DIRECTORY = re.compile(r"\d{9,}\.\d+")
"""The subdirectory that torch's `add_hparams` creates in the writer's directory."""


class WrittenScalars(NamedTuple):
    """Scalars of one step in an event file, and the event to copy; None if the file is in the trial's run."""

    step: int
    values: dict[str, float]
    event: Any | None


class _Event(NamedTuple):
    """An event of an event file, with its scalars."""

    step: int
    scalars: dict[str, float]
    event: Any


class EventFiles:
    """Finds and reads the event files that the processes of a trial write.

    These are the files in the trial's directory, those that `startup/sweep_event_files.py` has announced, and
    those that one of the processes has open.

    Args:
        trial: the trial's directory; existing files belong to earlier attempts.
        family: the processes of the trial that exist already, with files that are not the attempt's.

    Attributes:
        written_tags: the tags of scalars in files of the trial's own run, which are not copied.
        invalid_steps: the steps of last values that are out of range, by metric.
    """

    def __init__(self, trial: Path, family: Iterable[psutil.Process] = ()) -> None:
        self._trial = trial.resolve()
        self._own_folders = str(self._trial), str(TrialDirectory(self._trial).system)
        """Where the sweep itself writes event files."""
        self._announced = trial / ANNOUNCED
        self._announced_by_others = trial / _ANNOUNCED_BY_OTHERS
        self._announced.unlink(missing_ok=True)
        self._announced_by_others.unlink(missing_ok=True)
        clean_up(self._trial)
        earlier = [*self._files_in_directory(), *written_files(family, "tfevents")]
        self._known: dict[Path, EventStream | None] = dict.fromkeys(earlier)
        self._names = _TagNames()
        self._began = time.time_ns()
        self._is_over = False
        self.written_tags: set[str] = set()
        self.invalid_steps: dict[str, int] = {}

    def read(
        self, streams: Iterable[EventStream], accepts: Callable[[str], bool], is_delayed: bool = False
    ) -> Iterator[WrittenScalars]:
        """The events since the last call.

        TensorBoard's Python loader follows one file of a run, and a run is a directory. So the events of
        files outside the trial's directory are to be copied to the trial's own file.

        Args:
            streams: the result of `find`.
            accepts: whether a metric comes from event files. Others are removed from the events.
            is_delayed: whether to read only what was written before the last call.
        """
        for stream in streams:
            for step, scalars, event in stream.read(is_delayed, self._is_over):
                if not 0 <= step < STEPS:  # TensorBoard's HParams tab answers HTTP 500 to such a step
                    self.invalid_steps.update(dict.fromkeys(scalars, step))
                    continue
                for name in scalars:
                    self.invalid_steps.pop(name, None)
                accepted = {name: value for name, value in scalars.items() if accepts(name)}
                if stream.is_in_run:
                    self.written_tags.update(scalars)
                    yield WrittenScalars(step, accepted, None)
                elif without_scalars(event, scalars.keys() - accepted.keys()) is not None:
                    event.step = step
                    yield WrittenScalars(step, accepted, event)

    def hide(self) -> None:
        """Hide all files from TensorBoard, except those in the trial's own run. The attempt is over."""
        clean_up(self._trial)
        for path, stream in self._known.items():
            if (
                stream is not None
                and not stream.is_in_run
                and is_shown(path.name)
                and self._is_in_sweep(path)
            ):
                hide(path)

    def _is_in_sweep(self, path: Path) -> bool:
        return is_in_sweep(str(self._trial), str(path.parent))

    def find(self, family: Iterable[psutil.Process], is_over: bool = False) -> list[EventStream]:
        """Return the readers of all files found so far.

        Args:
            family: the trial's processes.
            is_over: whether the attempt is over. Before that, files of `add_hparams` are left out: they
                repeat the last value of each metric, which can be on disk before its curve. The files of
                other ranks than 0 count then, if rank 0 has none.
        """
        self._is_over = is_over
        opened = written_files(family, "tfevents")
        others = dict(_announcements(self._announced_by_others))
        announced = dict(_announcements(self._announced))
        found = [*announced, *self._files_in_directory(), *opened]
        found = [path for path in found if path not in others]
        if is_over and not found and not any(self._known.values()):
            announced, found = others, sorted(others)
        for path in found:
            if path not in self._known and not self._is_of_sweep(path):
                is_in_run = path.parent == self._trial and is_shown(path.name)
                is_run = is_shown(path.name) and self._is_in_sweep(path)
                self._known[path] = EventStream(path, is_in_run, is_run, self._names)
                newest = announced[path] if path in announced else newest_addition(str(path.parent))
                self._names.add(path.parent, newest > self._began)
        streams = [stream for stream in self._known.values() if stream is not None]
        return [stream for stream in streams if not stream.is_of_add_hparams] + [
            stream for stream in streams if stream.is_of_add_hparams and is_over
        ]

    def _is_of_sweep(self, path: Path) -> bool:
        return is_from_sweep(path.name) and str(path.parent) in self._own_folders

    def _files_in_directory(self) -> Iterator[Path]:
        for folder, subfolders, files in os.walk(self._trial):
            is_top = folder == str(self._trial)
            subfolders[:] = sorted(
                name for name in subfolders if not (is_top and name in _SKIPPED_DIRECTORIES)
            )
            for name in sorted(files):
                is_own = is_from_sweep(name) and folder in self._own_folders
                if is_event_file(name) and not is_own:
                    yield Path(os.path.realpath(os.path.join(folder, name)))


def _announcements(file: Path) -> Iterator[tuple[Path, int]]:
    """The event files that the trial's processes have announced, and what `newest_addition` found then."""
    with suppress(OSError):
        for line in file.read_bytes().splitlines():
            newest, _, path = line.partition(b" ")
            yield Path(os.path.realpath(os.fsdecode(path))), int(newest)


def without_scalars(event: Any, names: Collection[str]) -> Any | None:
    """Remove scalars from an event, and return it; None if nothing remains."""
    values = event.summary.value
    for index in reversed(range(len(values))):
        if values[index].tag in names:
            del values[index]
    return None if event.HasField("summary") and not values else event


class _TagNames:
    """Gives unique metric names to the tags of several directories.

    Tags of the subdirectories of the directory in which a file was created first are prefixed with their
    names, as in `validation/epoch_loss`. Of other directories, the first one that has a tag keeps its name,
    and the others' are prefixed in this way. A tag never changes its name, so that no curves are mixed.
    """

    def __init__(self) -> None:
        self._main: Path | None = None
        self._seen: set[Path] = set()
        self._owners: dict[str, Path] = {}

    def add(self, directory: Path, has_additions: bool = False) -> None:
        """Register a directory in which a file was created.

        Args:
            directory: the directory.
            has_additions: whether the attempt had put other files there before: then a directory named
                `train` contains a run, and not one of several curves.
        """
        self._seen.add(directory)
        if self._main is None:
            is_of_split = directory.name in SPLITS and not has_additions
            self._main = directory.parent if is_of_split else directory

    def is_of_add_hparams(self, directory: Path) -> bool:
        """Whether `add_hparams` has created a directory. Scripts can also name directories after the time."""
        return _ADD_HPARAMS_DIRECTORY.fullmatch(directory.name) is not None and directory.parent in self._seen

    def name(self, tag: str, directory: Path) -> str | None:
        """The metric name of a tag in a directory; None if another directory has the same values already."""
        assert self._main is not None
        if directory == self._main and self.is_of_add_hparams(self._owners.get(tag, directory)):
            self._owners[tag] = directory  # a curve counts more than the number of `add_hparams`
        if self.is_of_add_hparams(directory):
            return tag if self._owners.setdefault(tag, directory) == directory else None
        if directory != self._main and directory.is_relative_to(self._main):
            return f"{directory.relative_to(self._main).as_posix()}/{tag}"
        if self._owners.setdefault(tag, directory) == directory:
            return tag
        return f"{directory.name}/{tag}"


class _Steps:
    """Counts the scalars that a script logs without a step: in a file they all have step 0.

    Steps are given if the tag gets another one. So its second event at step 0 is held until its third event.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        """How many events at step 0 each tag without steps has."""
        self._given: set[str] = set()
        """The tags with steps."""
        self._held: dict[str, _Event] = {}

    def add(self, found: _Event) -> Iterator[_Event]:
        """Add an event; returns those whose steps are known now."""
        if found.step != 0:
            self._given.update(found.scalars)
        for tag, held in [*self._held.items()]:
            if held.scalars.keys() & found.scalars.keys():
                yield self._counted(self._held.pop(tag))
        second = [tag for tag in found.scalars if self._counts.get(tag) == 1 and tag not in self._given]
        if found.step == 0 and second:
            self._held[second[0]] = found
        else:
            yield self._counted(found)

    def rest(self) -> Iterator[_Event]:
        """What is held. Nothing follows."""
        yield from map(self._counted, self._held.values())
        self._held.clear()

    def _counted(self, found: _Event) -> _Event:
        step = found.step
        if step == 0:
            for tag in found.scalars.keys() - self._given:
                before = self._counts.get(tag, 0)
                step = max(step, before)
                self._counts[tag] = before + 1
        return found._replace(step=step)


class EventStream:
    """Reads an event file while it grows.

    Args:
        path: the file.
        is_in_run: whether TensorBoard shows the file itself in the trial's run.
        is_run: whether TensorBoard shows the file itself, in any run of the sweep.
        names: the metric names of tags.
    """

    def __init__(self, path: Path, is_in_run: bool, is_run: bool, names: _TagNames) -> None:
        self.path = path
        self.is_in_run = is_in_run
        self._is_run = is_run
        self._names = names
        self._position = 0
        self._size = 0
        """The size of the file when it was last read."""
        self._is_broken = False
        self._numbers = ScalarReader()
        self._steps = _Steps()

    @property
    def is_of_add_hparams(self) -> bool:
        """Whether torch's `add_hparams` has written the file."""
        return self._names.is_of_add_hparams(self.path.parent)

    def read(self, is_delayed: bool, is_over: bool) -> Iterator[_Event]:
        """The events since the last call, with metric names as tags, and counted steps if none were given.

        Records of the HParams plugin are left out, because the sweep writes its own. If TensorBoard reads the
        file, they are disabled in it.

        Args:
            is_delayed: whether to read only what was written before the last call.
            is_over: whether the attempt is over.
        """
        for event in self._events(is_delayed):
            numbers = [(value.tag, self._numbers.read(value)) for value in event.summary.value]
            scalars = {tag: number for tag, number in numbers if number is not None}
            yield from self._steps.add(_Event(event.step, scalars, event))
        if is_over:
            yield from self._steps.rest()

    def _events(self, is_delayed: bool) -> Iterator[Any]:
        for record, span in self._records(is_delayed):
            event = event_pb2.Event()
            try:
                event.ParseFromString(record)
            except Exception:  # noqa: BLE001 - protobuf's implementations differ in what they raise
                self._is_broken = True
                return
            if event.WhichOneof("what") in ("file_version", "session_log", None):
                continue
            if event.HasField("summary"):
                self._adapt(event, span)
                if not event.summary.value:
                    continue
            yield event

    def _adapt(self, event: Any, span: Span) -> None:
        values = event.summary.value
        is_hparams = [value.metadata.plugin_data.plugin_name == HPARAMS for value in values]
        if self._is_run and any(is_hparams):
            disable_hparams(self.path, span)
        for index in reversed(range(len(values))):
            tag = self._names.name(values[index].tag, self.path.parent)
            if tag is None or is_hparams[index]:
                del values[index]
            else:
                values[index].tag = tag

    def _records(self, is_delayed: bool) -> Iterator[tuple[bytes, Span]]:
        """The complete records since the last call, and their positions."""
        if self._is_broken:
            return
        try:
            if not self.path.is_file():  # removed, or a pipe or a directory
                return
            before, self._size = self._size, self.path.stat().st_size
            for record, end in read_records(self.path, self._position):
                assert record is not None
                if is_delayed and end > before:
                    return
                span, self._position = Span(self._position, end), end
                yield record, span
        except CorruptFileError:
            self._is_broken = True
        except OSError:  # removed meanwhile, or it belongs to another user
            return
