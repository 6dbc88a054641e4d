"""`Sender`: sends what changes in a run directory to where the sweep's directory is, on another machine."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sweep.engine.transfer.contents import SentFile, parts
from sweep.engine.transfer.inside import inner_target
from sweep.engine.transfer.messages import (
    CHUNK,
    Change,
    Entry,
    MakeDirectory,
    MakeLink,
    Place,
    Remove,
    SentRun,
    Status,
    Store,
    Write,
    scan,
)
from sweep.engine.transfer.units import Unit, find_units, is_of_unit, plain, subtree
from sweep.system.trees import remove_tree

INTERVAL = 0.5
"""Seconds between two looks for changes."""
_PAUSE = 20
"""How many times as long as it has looked for changes, a sender pauses: there can be 100,000 files."""
_LONGEST_PAUSE = 3.0  # seconds
_ROUNDS = 5
"""How often changes are sent at the end of an attempt, if something still writes."""
_UNKNOWN = Entry("file", -1)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OVERHEAD = 200
"""Bytes that a change takes besides its data."""


class Sender:
    """Sends the files of one attempt to a store: with each call what has changed since the last one.

    A file that has only grown is continued. A checkpoint or an artifact appears in the store when it is
    complete. It is sent after the files that were written before it, so that a trial that resumes from it
    has its curves up to there. Between the parts of a large file, the changes of small ones are sent.

    Args:
        root: the run directory.
        run: the attempt.
        store: the store.
        snapshots: a folder on the same file system, which keeps a checkpoint until it has been sent.

    Attributes:
        problems: the entries that cannot be sent, each with the reason.
    """

    def __init__(self, root: Path, run: SentRun, store: Store, snapshots: Path) -> None:
        self._root = root
        self._run = run
        self._store = store
        self._snapshots = snapshots
        self._files: dict[str, SentFile] = {}
        self._others: dict[str, Entry] = {}
        """The directories and links that were sent."""
        self._units: dict[str, Unit] = {}
        """The checkpoints and artifacts that were sent."""
        self._outdated: set[str] = set()
        """Files of which the store has an earlier version that this sender does not know."""
        self._batch: list[tuple[Change, Callable[[], object] | None]] = []
        """Changes to be sent, each with what to do once the store has it; None for what is only staged."""
        self._batch_size = 0
        self._token = secrets.token_hex(4)
        self._names = 0
        """How many names have been used for what is staged, and for snapshots."""
        self._next_look = self._due = 0.0
        self._effort = 0.0
        """The CPU time that the last look at all entries has taken, in seconds."""
        self._current: str | None = None
        """The large file that is being sent."""
        self._has_lost = False
        """Whether the store has lost something since the last call."""
        self.problems: dict[str, str] = {}

    def adopt(self, known: Mapping[str, Entry]) -> None:
        """Send only what differs from what the store has. A file of the same size and time does not.

        Args:
            known: the entries of the store. The run directory was a copy of them once.
        """
        entries = scan(self._root)
        for path, unit in find_units(self._root).items():
            if plain(unit) == plain(subtree(known, path)):
                self._units[path] = unit
        for path, entry in known.items():
            found = entries.get(path)
            if is_of_unit(path, entry):
                if path.count("/") == 1 and found is None:
                    self._units[path] = {}  # removed meanwhile
            elif found is None or (found.kind != "file" and found == entry):
                self._others[path] = entry
            elif plain({path: found}) != plain({path: entry}):
                self._outdated.add(path)
            else:
                with self._opened(path) as file:
                    if file is not None:
                        self._files[path] = SentFile.whole(file)

    def send_if_due(self) -> None:
        """Send what has changed, unless looking for changes is so expensive that it is too early."""
        if time.monotonic() >= self._due:
            self.send()
            self._due = time.monotonic() + min(_LONGEST_PAUSE, _PAUSE * self._effort)

    def send(self) -> None:
        """Send what has changed."""
        self._has_lost = False
        units = find_units(self._root)
        snapshots = {
            path: folder
            for path, unit in units.items()
            if unit != self._units.get(path) and (folder := self._snapshot(path)) is not None
        }
        entries, large = self._look()
        for path in large:
            self._send_large(path)
        for path, folder in snapshots.items():
            self._send_unit(path, units[path], folder)
        self._flush()
        self._remove_missing(entries.keys() | units.keys(), units)
        self._flush()

    def finish(self) -> None:
        """Send everything at the end of the attempt, and check that it is what the files contain.

        Raises:
            ConnectionError: the store has lost something each time.
        """
        for _ in range(_ROUNDS):
            self.send()
            changed = self._find_changed()
            if not changed and not self._has_lost:
                return
        if self._has_lost:
            raise ConnectionError("files of the trial could not be sent to the machine of the sweep")
        for path in changed:
            self.problems[path] = "has changed while it was being sent"

    def _find_changed(self) -> list[str]:
        """Find the files whose contents are not what was sent, whatever their status tells."""
        changed = []
        for path, sent in self._files.items():
            with self._opened(path) as file:
                if file is None or not sent.is_same(file):
                    changed.append(path)
        for path in changed:
            self._files[path] = replace(self._files[path], size=-1, edges=b"")  # to be sent completely
        return changed

    def _look(self) -> tuple[dict[str, Entry], list[str]]:
        """Send the changes of small files.

        Returns:
            all entries that do not belong to a unit, and the files with large changes.
        """
        self._next_look = math.inf  # not again before it is done
        before = time.thread_time()
        entries = {path: entry for path, entry in scan(self._root).items() if not is_of_unit(path, entry)}
        self._effort = time.thread_time() - before
        large = []
        for path, entry in entries.items():
            known = self._files.get(path)
            if entry.kind != "file":
                self._send_other(path, entry)
            elif (known is None or not known.is_current(entry)) and not self._send_file(path):
                large.append(path)
        self._flush()
        self._next_look = time.monotonic() + INTERVAL
        return entries, large

    def _send_other(self, path: str, entry: Entry) -> None:
        if self._others.get(path) == entry:
            return
        if entry.kind == "directory":
            change: Change = MakeDirectory(path)
        else:
            target = inner_target(self._root, path, entry.target)
            if target is None:
                self.problems[path] = "is a link out of the trial's directory"
                return
            change = MakeLink(path, target)
        if path in self._files or path in self._others:  # it was something else
            self._forget(path)
        self._add(change, partial(self._others.__setitem__, path, entry))

    def _send_large(self, path: str) -> None:
        self._current = path
        try:
            self._send_file(path, is_large=True)
        finally:
            self._current = None

    def _send_file(self, path: str, is_large: bool = False) -> bool:
        """Send what has changed in a file; returns False if that is too large, unless `is_large`."""
        limit = math.inf if is_large else CHUNK
        with self._opened(path) as file:
            if file is None or (path == self._current and not is_large):
                return True
            known = self._files.get(path)
            status = os.fstat(file)
            if known is not None and known.is_continued(file):
                if status.st_size - known.size > limit:
                    return False
                self._send_growth(path, file, known)
            else:
                if status.st_size > limit:
                    return False
                self._send_whole(path, file, known is not None and known.inode == status.st_ino)
        return True

    def _send_growth(self, path: str, file: int, known: SentFile) -> None:
        status = os.fstat(file)
        digest, offset = known.digest.copy(), known.size
        for data in parts(file, known.size, status.st_size):
            digest.update(data)
            change = Write(path, offset, data, Status.of(status))
            offset += len(data)
            sent = SentFile.of(file, status, offset, digest.copy())
            self._add(change, partial(self._files.__setitem__, path, sent))
            if not self._flush_full(path):
                return

    def _send_whole(self, path: str, file: int, keeps_file: bool) -> None:
        name = self._new_name()
        status = os.fstat(file)
        digest = hashlib.blake2b()
        size = self._stage(name, file, status.st_size, digest)
        if size is None:
            return
        place = Place(name, path, (("", size, Status.of(status)),), keeps_file or path in self._outdated)
        self._outdated.discard(path)
        if path in self._others:  # it was a directory or a link
            self._forget(path)
        self._add(place, partial(self._files.__setitem__, path, SentFile.of(file, status, size, digest)))

    def _stage(self, name: str, file: int, end: int, digest: Any = None) -> int | None:
        """Send the contents of a file to the staging area.

        Returns:
            how many bytes it has now; None if the store has lost some of them.
        """
        offset = 0
        for data in parts(file, 0, end):
            if digest is not None:
                digest.update(data)
            self._add(Write(name, offset, data), None)
            offset += len(data)
            if not self._flush_full(name):
                return None
        return offset

    def _send_unit(self, path: str, unit: Unit, folder: Path) -> None:
        """Send a checkpoint or an artifact from its snapshot."""
        name = self._new_name()
        files = []
        if "" not in unit:
            self._add(MakeDirectory(name, is_staged=True), None)
        for inner, entry in unit.items():
            staged = f"{name}/{inner}" if inner else name
            if entry.kind == "directory":
                self._add(MakeDirectory(staged, is_staged=True), None)
            elif entry.kind == "link":
                target = inner_target(self._root / path, inner, entry.target)
                if target is None:
                    self.problems[f"{path}/{inner}"] = "is a link out of its directory"
                else:
                    self._add(MakeLink(staged, target, is_staged=True), None)
            else:
                with self._opened(path, folder / inner) as file:
                    size = None if file is None else self._stage(staged, file, entry.size)
                if size is None:
                    break
                files.append((inner, size, entry.status))
        else:
            place = Place(name, path, tuple(files), is_durable=True)
            self._add(place, partial(self._units.__setitem__, path, unit))
        if folder.is_relative_to(self._snapshots):
            remove_tree(folder)

    def _snapshot(self, path: str) -> Path | None:
        """A directory that keeps what a unit contains now; None if it has just been removed."""
        source, target = self._root / path, self._snapshots / self._new_name()
        try:
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, copy_function=os.link)
            else:
                os.link(source, target)
        except OSError:  # among them shutil.Error
            remove_tree(target)
            # A file system without hard links: it can be removed while it is being sent.
            return source if source.exists() else None
        return target

    def _remove_missing(self, present: set[str], units: Mapping[str, Unit]) -> None:
        if any(self._units.get(path) != unit for path, unit in units.items()):
            present = present | self._units.keys()  # the trial resumes from them meanwhile
        known = self._files.keys() | self._others.keys() | self._units.keys()
        removed = ""
        for path in sorted(known - present):
            if not os.path.lexists(self._root / path) and not path.startswith(f"{removed}/"):
                removed = path
                self._add(Remove(path), partial(self._forget, path))

    # The changes that are being sent.

    def _new_name(self) -> str:
        self._names += 1
        return f"{self._token}.{self._names}"

    def _add(self, change: Change, on_applied: Callable[[], object] | None) -> None:
        self._batch.append((change, on_applied))
        self._batch_size += _OVERHEAD + (len(change.data) if isinstance(change, Write) else 0)
        if not isinstance(change, Write) and self._batch_size >= CHUNK:
            self._flush()

    def _flush_full(self, path: str) -> bool:
        """Send the changes if they are a full chunk; then also those of small files if it is time for them.

        Returns:
            whether the store has `path` so far.
        """
        if self._batch_size < CHUNK:
            return True
        is_whole = path not in self._flush()
        if time.monotonic() >= self._next_look:
            self._look()
        return is_whole

    def _flush(self) -> frozenset[str]:
        """Send the changes; returns the paths that must be sent again."""
        batch, self._batch, self._batch_size = self._batch, [], 0
        if not batch:
            return frozenset()
        lost = self._store.apply(self._run, tuple(change for change, _ in batch))
        for change, on_applied in batch:
            if change.path in lost:
                self._has_lost = True
                if on_applied is not None:
                    self._mark_lost(change)
            elif on_applied is not None:
                on_applied()
        return lost

    def _mark_lost(self, change: Change) -> None:
        """Remember that the store may have something else, or nothing, at the place of a change."""
        self._forget(change.path)
        if isinstance(change, Place) and change.is_durable:
            self._units[change.path] = {}
        else:
            self._others[change.path] = _UNKNOWN

    def _forget(self, path: str) -> None:
        """Forget that an entry, and what it contains, was sent."""
        self._outdated.discard(path)
        for sent in (self._files, self._others, self._units):
            for known in [name for name in sent if name == path or name.startswith(f"{path}/")]:
                del sent[known]

    @contextmanager
    def _opened(self, path: str, place: Path | None = None) -> Iterator[int | None]:
        """The descriptor of a file; None if it has just been removed or replaced, or cannot be read.

        Args:
            path: its relative path.
            place: where it is, if not in the run directory.
        """
        file = None
        try:
            file = os.open(place or self._root / path, _READ)
        except PermissionError as error:
            self.problems[path] = f"cannot be read: {error.strerror}"
        except OSError:
            pass
        try:
            yield file
        finally:
            if file is not None:
                os.close(file)
