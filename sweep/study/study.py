"""The Optuna study of a sweep: where it is stored and what is written beside the trials."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweep.errors import EntryError, InputError
from sweep.messages import RESERVED_PREFIX
from sweep.study.journal import Journal
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

SEED = "seed"
"""Study attribute: what all seeds of the sweep are derived from."""
RUN = "run"
"""Study attribute: the id of the run of the sweep that used it last."""
USAGE = "usage"
"""Study attribute: a `controller.usage.Usage` as a mapping."""
PARAMS = RESERVED_PREFIX + "params"
"""Trial attribute: its parameters, where Optuna's own ones only stand for them."""
METRICS = RESERVED_PREFIX + "metrics"
"""Trial attribute: the last value of everything logged beside the metric."""
REASON = RESERVED_PREFIX + "reason"
"""Trial attribute: why it failed."""
DURATION = RESERVED_PREFIX + "duration_s"
"""Trial attribute: how long its last attempt took, if it had several."""
ATTEMPTS = RESERVED_PREFIX + "attempts"
"""Trial attribute: how often it was executed; absent means once."""
ENDED = RESERVED_PREFIX + "ended"
"""Trial attribute: the last attempt whose end is recorded although the trial goes on."""
REPEATS = RESERVED_PREFIX + "repeats"
"""Trial attribute: the value of each of its repeats, None for those that have none (yet)."""
DECISION = RESERVED_PREFIX + "verdict"
"""Trial attribute: a `Decision` as a mapping, if the state was decided before all repeats had finished."""
FAILURES = RESERVED_PREFIX + "failures"
"""Trial attribute: how many of its attempts count against its retries so far."""
ENQUEUED = "enqueued"
"""Study attribute: the sweep file's `enqueue`, as far as it has been enqueued."""
TOKEN = RESERVED_PREFIX + "enqueued_by"
"""Trial attribute: the wish by which it was enqueued by hand."""
RESUBMISSION_OF = RESERVED_PREFIX + "retry_of"
"""Trial attribute: the failed trial whose parameters it was given by hand."""


class _Quiet(ContextDecorator):
    """Optuna says nothing but errors meanwhile; several threads may be in it."""

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
"""For the process of a caller who may want to hear Optuna again."""


def create_or_load_study(spec: SweepSpec, storage: BaseStorage) -> optuna.Study:
    """The study a controller owns; it chooses sampler and pruner. Optuna is to be quiet in its process."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        study_name=spec.name,
        storage=storage,
        directions=[metric.goal for metric in spec.goals],
        load_if_exists=True,
    )


def open_storage(spec: SweepSpec, directory: SweepDirectory) -> BaseStorage:
    """Where a sweep's study is kept, to write to it."""
    return JournalStorage(Journal(directory.journal)) if spec.storage is None else open_url(spec.storage)


@quiet_optuna
def load_study(spec: SweepSpec, directory: SweepDirectory) -> optuna.Study | None:
    """The study of an existing sweep to read from, or None if it has none yet. Writes nothing.

    Raises:
        InputError: its journal is damaged.
    """
    if spec.storage is None and not directory.journal.exists():
        return None
    try:
        return optuna.load_study(study_name=spec.name, storage=_open_to_read(spec, directory))
    except KeyError:
        return None
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"{directory.journal}: cannot be read: {error}") from None


def _open_to_read(spec: SweepSpec, directory: SweepDirectory) -> BaseStorage:
    if spec.storage is not None:
        return open_url(spec.storage)
    return JournalStorage(JournalFileBackend(str(directory.journal)))


def open_url(url: str) -> BaseStorage:
    """What the sweep file's `storage` names.

    Raises:
        EntryError: it cannot be opened.
    """
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # noqa: BLE001 - every database driver raises its own
        text = " ".join(str(error).split())[:300]
        raise EntryError("storage", f"{url} cannot be opened: {type(error).__name__}: {text}") from None
