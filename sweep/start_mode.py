"""How a sweep is started, given what is on disk: as a new one, or by continuing the one that is there."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path

import optuna
from optuna.trial import TrialState

from sweep.analysis.resuming import stored_caller
from sweep.analysis.view import SweepView
from sweep.caller import caller
from sweep.controller.requests import has_requests
from sweep.errors import InputError
from sweep.study.compatibility import incompatible_changes
from sweep.study.storage import StudyMissing, check_study, open_url, sqlite_file
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.urls import hide_passwords

_LEFTOVERS = (".lock", ".fence", ".requests", ".password", ".password.tmp", "sweep.tmp")
"""Files of a run that was killed before it wrote the sweep file."""


class StartMode(Enum):
    """How a sweep is started, given what is on disk."""

    NEW = auto()
    REPLACE = auto()
    """An existing sweep of this name is moved to `.old/`."""
    RESUME = auto()
    FINISHED = auto()
    """A stop rule is reached: nothing is run."""


def check_start(spec: SweepSpec, directory: SweepDirectory, view: SweepView | None, fresh: bool) -> StartMode:
    """Decide how a sweep is started. Changes nothing.

    Args:
        spec: the sweep.
        directory: its directory.
        view: the sweep that is there.
        fresh: whether that one is moved aside.

    Raises:
        InputError: the directory or the study belongs to another sweep, or the sweep cannot be resumed.
    """
    if view is None:
        _check_free(spec, directory)
        return StartMode.NEW
    if fresh:
        if spec.storage is not None:
            raise InputError(
                f"storage: {caller().option('fresh', True)} cannot move the study {spec.name!r} out of a "
                f"database; {another_name()}"
            )
        return StartMode.REPLACE
    _check_same_study(spec, view)
    differences = incompatible_changes(view.spec, spec)
    has_no_result = all(trial.state == TrialState.FAIL for trial in view.frozen_trials)
    if differences and has_no_result and spec.storage is None and not view.is_running:
        return StartMode.REPLACE  # no trial has or will have a result that could be mixed up
    if differences:
        raise InputError(
            f"{spec.name}: cannot be resumed: it differs from the sweep in {directory.root}:\n  "
            + "\n  ".join(differences)
            + f"\n  undo the change to resume it; {another_name()}"
            + (
                f"\n  to move the old one aside and start again: {caller().again(fresh=True)}"
                if spec.storage is None
                else ""
            )
        )
    if spec.storage is not None and view.study is not None:
        _check_folder(spec.storage, directory)
    has_work = view.is_running or has_requests(directory.requests)
    is_finished = not has_work and view.as_spec(spec).stopped_by is not None
    return StartMode.FINISHED if is_finished else StartMode.RESUME


def _check_same_study(spec: SweepSpec, view: SweepView) -> None:
    root = view.directory.root
    if view.spec.name != spec.name:
        raise InputError(
            f"{root}: contains the sweep {view.spec.name!r}, whose study has that name; "
            f"rename the directory back; {another_name()}"
        )
    try:
        check_study(view.spec, view.directory, view.study)
    except StudyMissing as error:
        raise InputError(
            f"{error}; "
            + (
                another_name()
                if spec.storage
                else f"to move the old sweep aside and start again: {caller().again(fresh=True)}"
            )
        ) from None


def _check_folder(url: str, directory: SweepDirectory) -> None:
    """Check that the path of a SQLite database names the same file as in the folder of the earlier runs."""
    file = sqlite_file(url, directory)
    if file is not None and file != sqlite_file(url, directory, Path.cwd()):
        raise InputError(
            f"{directory.root}: the study is in {file}, but here storage: {url} is another file; run it in "
            f"the folder in which it was started: {stored_caller(directory).again()}"
        )


def _check_free(spec: SweepSpec, directory: SweepDirectory) -> None:
    """Check that the directory and the study of a new sweep are not in use."""
    root = directory.root
    if root.exists() and (not root.is_dir() or any(path.name not in _LEFTOVERS for path in root.iterdir())):
        raise InputError(f"{root}: already exists and is not a sweep; move it away; {another_name()}")
    if spec.storage is not None:
        names = optuna.study.get_all_study_names(open_url(spec.storage, directory))
        if spec.name in names:
            raise InputError(
                f"storage: {hide_passwords(spec.storage)} has a study {spec.name!r} of another sweep; "
                f"{another_name()}"
            )


def another_name() -> str:
    return f"for another sweep: {caller().again(name='NAME')}"
