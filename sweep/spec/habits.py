"""What people write in a call out of habit, from Optuna and elsewhere, and what is written here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from sweep.errors import InputError
from sweep.spec.types import show

_FOR_FUNCTIONS = {"parameters": "space={...}", "objective": "it is the first argument"}
_ELSEWHERE = {
    "timeout": "stop={'hours': 2} is for the sweep, trial={'timeout': '30m'} for each trial",
    "n_jobs": "max_parallel=4",
    "catch": "a trial that raises fails, and the sweep goes on",
    "study_name": "name='...'",
    "gc_after_trial": "trial={'isolate': True} gives each trial a new process",
    "show_progress_bar": "progress=True",
    "ntrials": "n_trials=20",
    "trials": "n_trials=20",
}
"""Words that people know from elsewhere, and what is written here."""
_TYPES = {
    "TPESampler": "tpe",
    "GPSampler": "gp",
    "CmaEsSampler": "cmaes",
    "NSGAIISampler": "nsga2",
    "NSGAIIISampler": "nsga3",
    "QMCSampler": "qmc",
    "RandomSampler": "random",
    "GridSampler": "grid",
    "BruteForceSampler": "brute_force",
    "NopPruner": "none",
    "MedianPruner": "median",
    "PercentilePruner": "percentile",
    "SuccessiveHalvingPruner": "asha",
    "HyperbandPruner": "hyperband",
    "ThresholdPruner": "threshold",
    "WilcoxonPruner": "wilcoxon",
    "PatientPruner": "patient",
}
"""Optuna's classes, and a sweep file's `type`."""


def check_options(options: Mapping[str, Any], is_function: bool) -> None:
    """See that no option of a call is a word from elsewhere, or an object that a sweep file cannot hold.

    Args:
        options: of the call.
        is_function: whether it is a function that is swept; a file or a spec has more keys of its own.

    Raises:
        InputError: one is; it says what to write.
    """
    hints = {**_ELSEWHERE, **(_FOR_FUNCTIONS if is_function else {})}
    for key, value in options.items():
        if key in hints:
            raise InputError(f"sweep.run: {key}: {hints[key]}")
        class_ = value if inspect.isclass(value) else type(value)
        if issubclass(class_, (BaseSampler, BasePruner)):
            raise InputError(
                f"sweep.run: {key}: {class_.__name__} is one of Optuna's classes, and a sweep is written "
                f"down in words; write {key}={_in_words(class_)}, with further options beside them"
            )


def _in_words(class_: type) -> str:
    is_builtin = class_.__module__.partition(".")[0] == "optuna" and class_.__name__ in _TYPES
    words: dict[str, Any] = {"type": f"{class_.__module__}:{class_.__qualname__}"}
    if is_builtin:
        words["type"] = _TYPES[class_.__name__]
        if issubclass(class_, BaseSampler):
            words["seed"] = 3
    return repr(words).replace("'", '"')


def read_direction(value: Any) -> Any:
    """A direction, Optuna's `StudyDirection` included, as in a sweep file, which knows what words there are.

    Raises:
        InputError: they are several.
    """
    if isinstance(value, (list, tuple)):
        raise InputError(
            f"sweep.run: direction: expected one word, got {show(value)}; several are directions=[...]"
        )
    return value.name.lower() if isinstance(value, StudyDirection) else value


def read_directions(value: Any) -> list[Any]:
    """Several of them.

    Raises:
        InputError: they are no list, or none.
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError(
            f"sweep.run: directions: expected a list such as ['minimize', 'maximize'], got {show(value)}; "
            "for one metric write direction='minimize'"
        )
    return [read_direction(each) for each in value]
