"""The Optuna study of a sweep: where it is stored and what is written beside the trials."""

from __future__ import annotations



import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage

from sweep.core.journal import Journal
from sweep.directory import SweepDirectory
from sweep.errors import InputError
from sweep.spec import SweepSpec

SEED = "seed"
"""Study attribute: what all seeds of the sweep are derived from."""
USAGE = "usage"
"""Study attribute: a `core.usage.Usage` as a mapping."""
METRICS = "metrics"
"""Trial attribute: the last value of everything logged beside the metric."""
REASON = "reason"
"""Trial attribute: why it failed."""
ATTEMPTS = "attempts"
"""Trial attribute: how often it was executed; absent means once."""


def create_or_load_study(
    spec: SweepSpec, directory: SweepDirectory, sampler: BaseSampler, pruner: BasePruner
) -> optuna.Study:
    """The study a controller owns."""
    _quiet()
    return optuna.create_study(
        study_name=spec.name,
        storage=open_storage(spec, directory),
        direction=spec.metric.goal,
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )


def load_study(spec: SweepSpec, directory: SweepDirectory) -> optuna.Study | None:
    """The study of an existing sweep to read from, or None if it has none yet. Writes nothing."""
    _quiet()
    if spec.storage is None and not directory.journal.exists():
        return None
    try:
        return optuna.load_study(study_name=spec.name, storage=open_storage(spec, directory))
    except KeyError:
        return None


def open_storage(spec: SweepSpec, directory: SweepDirectory) -> BaseStorage:
    """The journal, or what the sweep file's `storage` names.

    Raises:
        InputError: that storage cannot be opened.
    """
    if spec.storage is None:
        return JournalStorage(Journal(directory.journal))
    try:
        return optuna.storages.get_storage(spec.storage)
    except Exception as error:  # noqa: BLE001 - every database driver raises its own
        text = " ".join(str(error).split())[:300]
        raise InputError(f"storage: {spec.storage} cannot be opened: {type(error).__name__}: {text}") from None



def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
