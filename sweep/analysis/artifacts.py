"""What a sweep's trials have kept: their artifacts, found by name and copied out."""

from __future__ import annotations

import math
from pathlib import Path

from optuna.trial import FrozenTrial

from sweep.analysis.view import SweepView
from sweep.controller.runs import repeat_values
from sweep.errors import InputError, suggestion
from sweep.system.durable import copy_whole
from sweep.trial.artifacts import find_artifacts


def best_repeat(view: SweepView, trial: FrozenTrial) -> int:
    """The index of the repeat with the best value (the first of them); 0 if the sweep has none."""
    values = repeat_values(trial.user_attrs, view.spec.repeats)
    sign = -1 if view.spec.metric.goal == "maximize" else 1
    losses = [math.inf if value is None else sign * value for value in values]
    return losses.index(min(losses)) if losses else 0


def find_artifact(view: SweepView, number: int, repeat: int, name: str) -> Path:
    """Where an artifact lies.

    Raises:
        InputError: the trial has none of that name.
    """
    label = view.spec.run_labels[repeat]
    found = find_artifacts(view.directory.trial(number, label).artifacts)
    if name in found:
        return found[name]
    who = f"trial {number} of {view.spec.name}" + (f" ({label})" if label else "")
    if not found:
        raise InputError(
            f"{who} has saved no artifacts; the objective does with trial.save_artifact({name!r})"
        )
    raise InputError(f"{who} has no artifact {name!r}; {suggestion(name, found)}")


def take_out(artifact: Path, name: str, output: Path, *, is_folder: bool, force: bool) -> Path:
    """Copy an artifact out of its sweep.

    Args:
        artifact: its path.
        name: its name, which differs from the path's while it is being replaced.
        output: the copy's place, or a folder that is to hold it.
        is_folder: whether `output` is one even if it is not there yet.
        force: replace what is there.

    Returns:
        the copy's place.

    Raises:
        InputError: there is something in its place, or no folder for it.
    """
    place = output / name if is_folder or output.is_dir() else output
    if (place.exists() or place.is_symlink()) and not force:
        raise InputError(f"{place}: is there already; say --force to replace it, or choose another -o")
    if is_folder:
        place.parent.mkdir(parents=True, exist_ok=True)
    if not place.parent.is_dir():
        raise InputError(f"{place}: there is no folder {place.parent}; make it first, or end -o with '/'")
    if place.is_dir() and not artifact.is_dir():
        raise InputError(f"{place}: is a folder, the artifact a file; choose another -o")
    copy_whole(artifact, place)
    return place
