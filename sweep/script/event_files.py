"""The event files that a script itself writes, wherever it does: which they are, and what is new in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from sweep.script.process import written_files
from sweep.tracking.events import is_own
from sweep.tracking.numbers import ScalarNumbers
from sweep.tracking.records import BrokenFileError, read_records
from sweep.tracking.tensorboardx import event_pb2

ANNOUNCED = ".event-files"
"""Where `startup/sitecustomize.py` leaves the paths of files, in the trial's directory."""

_NOT_LOOKED_INTO = ("checkpoint", "wandb", ".wandb")
_HPARAMS = "hparams"
_SPLITS = ("train", "training", "validation", "valid", "val", "eval", "test")
"""Names of directories that frameworks give to curves, not to runs."""
_OF_ADD_HPARAMS = re.compile(r"\d{9,}\.\d+")
"""The directory that torch's `add_hparams` makes, below the writer's, for what it is given."""


class EventFiles:
    """The event files that the processes of a trial write.

    They are those in the trial's directory, those that Python's writers have announced, and those that one of
    the processes has open.

    Args:
        trial: the trial's directory; files that are there already belong to earlier attempts.
    """

    def __init__(self, trial: Path) -> None:
        self._trial = trial.resolve()
        self._announced = trial / ANNOUNCED
        self._announced.unlink(missing_ok=True)
        self._known: dict[Path, EventStream | None] = dict.fromkeys(self._inside())
        self._names = _Names()

    def look(self, family: list[psutil.Process], is_over: bool = False) -> list[EventStream]:
        """The files that are known by now.

        Args:
            family: the script's processes.
            is_over: whether the script has ended: before that, what `add_hparams` writes is left out. It
                repeats metrics in one number, which may be on the disk before the curve.
        """
        for path in [*self._told(), *self._inside(), *written_files(family, "tfevents")]:
            if path not in self._known and not (path.parent == self._trial and is_own(path)):
                self._known[path] = EventStream(path, path.parent == self._trial, self._names)
                self._names.see(path.parent)
        streams = [stream for stream in self._known.values() if stream is not None]
        return [stream for stream in streams if not stream.is_of_add_hparams] + [
            stream for stream in streams if stream.is_of_add_hparams and is_over
        ]

    def _told(self) -> Iterator[Path]:
        with suppress(OSError):
            for line in self._announced.read_bytes().splitlines():
                yield Path(os.path.realpath(os.fsdecode(line)))

    def _inside(self) -> Iterator[Path]:
        for place, folders, files in os.walk(self._trial):
            is_top = Path(place) == self._trial
            folders[:] = sorted(name for name in folders if not (is_top and name in _NOT_LOOKED_INTO))
            for name in sorted(files):
                if "tfevents" in name:
                    yield Path(os.path.realpath(os.path.join(place, name)))


class _Names:
    """Makes one set of names of the tags of several directories.

    The tags of the directory that was begun first keep their names, whichever is written to first. Those of
    directories below it, or beside it, are known by their directories as well, as `validation/epoch_loss`,
    where they would be mistaken for each other.
    """

    def __init__(self) -> None:
        self._main: Path | None = None
        self._seen: set[Path] = set()
        self._owners: dict[str, Path] = {}

    def see(self, directory: Path) -> None:
        """A file has been begun there."""
        self._seen.add(directory)
        if self._main is None:
            self._main = directory.parent if _is_of_split(directory) else directory

    def is_of_add_hparams(self, directory: Path) -> bool:
        """Whether it is one that `add_hparams` has made; others name their own directories by the time."""
        return _OF_ADD_HPARAMS.fullmatch(directory.name) is not None and directory.parent in self._seen

    def name(self, tag: str, directory: Path) -> str | None:
        """What a tag of a directory is called; None if what stands there is known already."""
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
    """Whether it has one of several curves. Who calls a run `train` keeps other things there too."""
    if directory.name not in _SPLITS:
        return False
    with suppress(OSError):
        return all("tfevents" in name or name == "plugins" for name in os.listdir(directory))
    return True


class EventStream:
    """An event file that is read while it grows.

    Args:
        path: the file.
        is_in_run: whether TensorBoard shows it in the trial's run as it is.
        names: the trial's.
    """

    def __init__(self, path: Path, is_in_run: bool, names: _Names) -> None:
        self.path = path
        self.is_in_run = is_in_run
        self._names = names
        self._at = 0
        self._is_broken = False
        self._numbers = ScalarNumbers()
        self._stepless: dict[str, int] = {}

    @property
    def is_of_add_hparams(self) -> bool:
        """Whether torch's `add_hparams` has written it."""
        return self._names.is_of_add_hparams(self.path.parent)

    def read(self) -> Iterator[Any]:
        """The events since the last time, with the names that they have in the trial.

        The records of the HParams plugin are left out: the sweep has its own.
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
        """The step of an event and its scalars.

        Who gives no step gives 0 each time: those are counted.
        """
        step = event.step
        found: dict[str, float] = {}
        for value in event.summary.value:
            number = self._numbers.read(value)
            if number is not None:
                found[value.tag] = number
                before = self._stepless.get(value.tag, 0)
                if event.step == 0:
                    step = max(step, before)
                    self._stepless[value.tag] = before + 1
        return step, found

    def _adapt(self, event: Any) -> None:
        values = event.summary.value
        kept = []
        for one in values:
            tag = self._names.name(one.tag, self.path.parent)
            if tag is not None and one.metadata.plugin_data.plugin_name != _HPARAMS:
                one.tag = tag
                kept.append(type(one).FromString(one.SerializeToString()))
        if len(kept) < len(values):
            del values[:]
            values.extend(kept)

    def _records(self) -> Iterator[bytes]:
        """The whole records since the last time; one that is being written is for the next time."""
        if self._is_broken:
            return
        try:
            if not self.path.is_file():  # removed, or a pipe or a directory: nobody would ever write into it
                return
            for record, end in read_records(self.path, self._at):
                assert record is not None
                self._at = end
                yield record
        except BrokenFileError:
            self._is_broken = True
        except OSError:  # the script has removed it meanwhile, or it is another user's
            return
