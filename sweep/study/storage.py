"""The storage of a sweep's study: opened for writing by its owner, or for reading."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ContextDecorator, contextmanager, suppress
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial

from sweep.errors import EntryError, InputError, SweepError
from sweep.study.database import PATIENCE, Database, describe
from sweep.study.journal import Journal, JournalReader, damaged_line
from sweep.study.replay import IndexedReplay
from sweep.study.snapshot import Snapshot, read_snapshot, without_collections
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.durable import write_atomically
from sweep.system.urls import connection_url, hide_passwords, store_password

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)([^?]+)")
"""The URL of a SQLite database up to the path of its file."""


class StudyMissing(InputError):
    """A sweep has trials, but there is no study of them."""


class _Quiet(ContextDecorator):
    """A context in which Optuna logs only errors. Several threads can enter it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = optuna.logging.get_verbosity()
            self._inside += 1
            optuna.logging.set_verbosity(optuna.logging.ERROR)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                optuna.logging.set_verbosity(self._before)


quiet_optuna = _Quiet()
"""For processes of the user's program, which may use Optuna itself and needs its log level restored."""


_SNAPSHOT_AFTER = 4 << 20
"""The size of a journal, in bytes, at which a running sweep writes the first snapshot."""
_GROWTH = 1.25
"""By which factor the journal grows until the next one. So a snapshot costs the same for each trial."""


class IndexedJournalStorage(JournalStorage):
    """Optuna's journal storage, whose work does not grow with the trials, with a snapshot beside the journal.

    Args:
        journal: the journal.
        snapshot: the path of the snapshot, which need not exist.
        known: a storage of this process that has read the same journal: only what is new is read again.

    Attributes:
        journal: the journal.
    """

    def __init__(
        self, journal: JournalReader, snapshot: Path, known: IndexedJournalStorage | None = None
    ) -> None:
        # Optuna's own constructor replays the journal into a result without indices.
        super().__setstate__({"_backend": journal})
        self.journal = journal
        self._snapshot = snapshot
        self._covered = 0
        """How many bytes of the journal the last snapshot covers, or what it started from."""
        self._writer: threading.Thread | None = None
        self._indexed = self._replay_result = IndexedReplay(self._worker_id_prefix)
        with self._thread_lock, without_collections():
            found = known._take_snapshot() if known is not None else None
            found = found or read_snapshot(snapshot, journal.path)
            if found is not None:
                self._indexed.restore(found.studies, found.trials)
                self.journal.skip_to(found.lines, found.position)
                self._covered = found.position
            self._sync_with_backend()

    @property
    def is_replaced(self) -> bool:
        """Whether the journal that it has read was moved away."""
        return self.journal.is_replaced

    def _sync_with_backend(self) -> None:
        with self.journal.mutex:
            super()._sync_with_backend()

    def look_at_trials(self, study_id: int) -> Sequence[FrozenTrial]:
        """The trials of a study, ordered by number. The caller must not keep the list, which changes."""
        with self._thread_lock:
            self._sync_with_backend()
            return self._indexed.look_at_trials(study_id)

    def write_snapshot_if_due(self) -> None:
        """Write a snapshot in a thread if the journal has grown by a share since the last one."""
        if self.journal.end < max(_SNAPSHOT_AFTER, _GROWTH * self._covered):
            return
        is_writing = self._writer is not None and self._writer.is_alive()
        if not is_writing and (snapshot := self._take_snapshot()) is not None:
            self._writer = threading.Thread(
                target=self._write, args=[snapshot], name="sweep-snapshot", daemon=True
            )
            self._writer.start()

    def write_snapshot(self) -> None:
        """Write a snapshot now, unless there is one that covers the whole journal."""
        if self._writer is not None:
            self._writer.join()
        snapshot = self._take_snapshot()
        if snapshot is not None and snapshot.position != self._covered:
            self._write(snapshot)

    def _take_snapshot(self) -> Snapshot | None:
        """A snapshot; None if a batch is open, or a line before what was read is not yet complete."""
        with self._thread_lock:
            self._sync_with_backend()
            place = self.journal.place
            if place is None:
                return None
            return Snapshot(*place, self._indexed.studies(), self._indexed.every_trial())

    def _write(self, snapshot: Snapshot) -> None:
        self._covered = snapshot.position
        with suppress(OSError):  # it is only a cache
            snapshot.write(self._snapshot, self.journal.path)


def write_spec(spec: SweepSpec, directory: SweepDirectory) -> None:
    """Write the sweep file of a sweep. The password of its database is in a file that others cannot read."""
    if spec.storage is None:
        directory.password.unlink(missing_ok=True)
    else:
        store_password(spec.storage, directory.password)
        spec = spec.model_copy(update={"storage": hide_passwords(spec.storage)})
    write_atomically(directory.spec, spec.to_yaml())


def open_study(
    spec: SweepSpec, directory: SweepDirectory, known: IndexedJournalStorage | None = None
) -> optuna.Study:
    """Create or load the study of a sweep for writing. Its sampler and pruner are not set.

    From now on Optuna only logs errors in this process.

    Args:
        spec: the sweep.
        directory: its directory.
        known: a storage of this process that has read the journal.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = (
        IndexedJournalStorage(Journal(directory.journal), directory.snapshot, known)
        if spec.storage is None
        else open_url(spec.storage, directory, PATIENCE)
    )
    return optuna.create_study(
        study_name=spec.name,
        storage=storage,
        directions=[metric.goal for metric in spec.goals],
        load_if_exists=True,
    )


@quiet_optuna
def load_study(spec: SweepSpec, directory: SweepDirectory) -> optuna.Study | None:
    """Load the study of a sweep for reading; returns None if it has none yet. Writes nothing.

    Raises:
        InputError: its journal is damaged, or its database cannot be read.
    """
    if not _has_study(spec, directory):
        return None
    with reading(spec, directory):
        storage = (
            IndexedJournalStorage(JournalReader(directory.journal), directory.snapshot)
            if spec.storage is None
            else open_url(spec.storage, directory)
        )
        with suppress(KeyError):
            return optuna.load_study(study_name=spec.name, storage=storage)
    return None


def _has_study(spec: SweepSpec, directory: SweepDirectory) -> bool:
    """Whether the file with the study exists: SQLite would create it. A server has to be asked."""
    if spec.storage is None:
        return directory.journal.exists()
    file = sqlite_file(spec.storage, directory)
    return file is None or file.exists()


def check_study(spec: SweepSpec, directory: SweepDirectory, study: optuna.Study | None) -> None:
    """Check that a sweep has a study if it has trials.

    Raises:
        StudyMissing: it has none.
    """
    if study is None and any(directory.root.glob("trial-*")):
        place = str(directory.journal)
        if spec.storage is not None:
            place = hide_passwords(_located(spec.storage, directory))
        raise StudyMissing(
            f"{directory.root}: contains trials, but their study is missing from {place}; restore it"
        )


def sqlite_file(url: str, directory: SweepDirectory, folder: Path | None = None) -> Path | None:
    """The file of a sweep's SQLite database; None if the study is in another database.

    Args:
        url: the URL in the sweep file.
        directory: the sweep's directory.
        folder: the folder to which the path in the URL is relative, instead of that in which the sweep was
            started.
    """
    found = _SQLITE.match(connection_url(url, directory.password))
    if found is None:
        return None
    return (folder or _folder(found[2], directory)) / found[2]


def _folder(file: str, directory: SweepDirectory) -> Path:
    """The folder to which the path of a database is relative: that in which the sweep was last started."""
    here = started_in = Path.cwd()
    with suppress(OSError, ValueError, LookupError, TypeError):  # it has not been started yet
        started_in = Path(json.loads(directory.command.read_text("utf-8"))["folder"])
    if directory.root.is_relative_to(started_in):
        return started_in
    # The folder may have been moved or copied since then.
    is_moved = directory.root.is_relative_to(here) or not (started_in / file).exists()
    return here if is_moved else started_in


def _located(url: str, directory: SweepDirectory) -> str:
    """The URL with which a database is opened. It names the file of SQLite by its absolute path."""
    full, file = connection_url(url, directory.password), sqlite_file(url, directory)
    return full if file is None else _SQLITE.sub(lambda found: f"{found[1]}{file}", full, count=1)


@contextmanager
def reading(spec: SweepSpec, directory: SweepDirectory) -> Iterator[None]:
    """A context in which the study of a sweep is read.

    Raises:
        InputError: its journal is damaged, or its database cannot be reached.
    """
    try:
        yield
    except StorageInternalError as error:
        assert spec.storage is not None
        url = _located(spec.storage, directory)
        raise InputError(f"storage: {hide_passwords(url)} cannot be read: {describe(error, url)}") from None
    except (ValueError, TypeError, OSError) as error:
        number = damaged_line(directory.journal)
        why = error if number is None else f"line {number} is damaged; restore the file from a copy"
        raise InputError(f"{directory.journal}: cannot be read: {why}") from None


def open_url(url: str, directory: SweepDirectory, patience: float = 0.0) -> BaseStorage:
    """Open the database that the sweep file names.

    Args:
        url: its URL.
        directory: the sweep's directory.
        patience: how long each call waits if the database cannot be reached, in seconds.

    Raises:
        EntryError: it cannot be opened.
        SweepError: it could not be reached for too long.
    """
    full = _located(url, directory)
    try:
        return Database(full, patience)
    except SweepError:
        raise
    except Exception as error:  # noqa: BLE001 - every database driver raises its own
        raise EntryError(
            "storage", f"{hide_passwords(url)} cannot be opened: {describe(error, full)}"
        ) from None
