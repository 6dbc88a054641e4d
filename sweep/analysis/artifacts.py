"""Artifacts of trials: find them by name and copy them out of a sweep."""

from __future__ import annotations

import math
from pathlib import Path

from optuna.trial import FrozenTrial

from sweep.analysis.view import SweepView
from sweep.controller.runs import repeat_values
from sweep.errors import InputError, suggestion
from sweep.system.durable import copy_atomically
from sweep.trial.artifacts import find_artifacts


def best_repeat(view: SweepView, trial: FrozenTrial) -> int:
    """The index of the (first) repeat with the best value; 0 in a sweep without repeats."""
    values = repeat_values(trial.user_attrs, view.spec.repeats)
    sign = -1 if view.spec.metric.goal == "maximize" else 1
    losses = [math.inf if value is None else sign * value for value in values]
    return losses.index(min(losses)) if losses else 0


def find_artifact(view: SweepView, number: int, repeat: int, name: str) -> Path:
    """The path of an artifact.

    Args:
        view: the sweep.
        number: the trial's number.
        repeat: the index of the repeat that saved it.
        name: the artifact's file name.

    Raises:
        InputError: the trial has no artifact of this name.
    """
    label = view.spec.run_labels[repeat]
    artifacts = find_artifacts(view.directory.trial(number, label).artifacts)
    if name in artifacts:
        return artifacts[name]
    owner = f"trial {number} of {view.spec.name}" + (f" ({label})" if label else "")
    if not artifacts:
        raise InputError(
            f"{owner} has saved no artifacts; the objective saves one with trial.save_artifact({name!r})"
        )
    raise InputError(f"{owner} has no artifact {name!r}; {suggestion(name, artifacts)}")


def export_artifact(artifact: Path, name: str, output: str, *, force: bool) -> Path:
    """Copy an artifact out of its sweep.

    Args:
        artifact: the artifact's path.
        name: the artifact's name, which differs from the path's while it is being replaced.
        output: the path of the copy. If it is a directory or ends with a slash, the directory for the copy.
        force: replace an existing file.

    Returns:
        the path of the copy.

    Raises:
        InputError: the path already exists, or its directory does not.
    """
    is_directory = output.endswith("/")
    target = Path(output)
    if is_directory or target.is_dir():
        target /= name
    if (target.exists() or target.is_symlink()) and not force:
        raise InputError(f"{target}: already exists; replace it with --force, or choose another -o")
    if is_directory:
        target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.is_dir():
        raise InputError(
            f"{target}: the directory {target.parent} does not exist; create it, or end -o with '/'"
        )
    if target.is_dir() and not artifact.is_dir():
        raise InputError(f"{target}: is a directory, but the artifact is a file; choose another -o")
    copy_atomically(artifact, target)
    return target
