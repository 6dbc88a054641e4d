"""The storage of a sweep's study: opened for writing by its owner, or for reading."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweep.errors import EntryError, InputError
from sweep.study.journal import Journal, damaged_line
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory


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


def create_or_load_study(spec: SweepSpec, storage: BaseStorage) -> optuna.Study:
    """Create or load the study of a sweep for writing. Its sampler and pruner are not set."""
    return optuna.create_study(
        study_name=spec.name,
        storage=storage,
        directions=[metric.goal for metric in spec.goals],
        load_if_exists=True,
    )


def open_storage(spec: SweepSpec, directory: SweepDirectory) -> BaseStorage:
    """Open the storage of a sweep's study for writing. From now on Optuna only logs errors here."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return JournalStorage(Journal(directory.journal)) if spec.storage is None else open_url(spec.storage)


@quiet_optuna
def load_study(spec: SweepSpec, directory: SweepDirectory) -> optuna.Study | None:
    """Load the study of a sweep for reading; returns None if it has none yet. Writes nothing.

    Raises:
        InputError: its journal is damaged.
    """
    if spec.storage is None and not directory.journal.exists():
        return None
    try:
        storage = (
            JournalStorage(JournalFileBackend(str(directory.journal)))
            if spec.storage is None
            else open_url(spec.storage)
        )
        return optuna.load_study(study_name=spec.name, storage=storage)
    except KeyError:
        return None
    except (ValueError, TypeError, OSError) as error:
        number = damaged_line(directory.journal) if spec.storage is None else None
        why = error if number is None else f"line {number} is damaged; restore the file from a copy"
        raise InputError(f"{directory.journal}: cannot be read: {why}") from None


def open_url(url: str) -> BaseStorage:
    """Open the storage that the sweep file names.

    Raises:
        EntryError: it cannot be opened.
    """
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # noqa: BLE001 - every database driver raises its own
        text = " ".join(str(error).split())[:300]
        raise EntryError("storage", f"{url} cannot be opened: {type(error).__name__}: {text}") from None
