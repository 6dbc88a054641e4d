"""Finds the objective that a sweep file names, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import EntryError, nearest
from sweep.objective.function import FunctionReference
from sweep.objective.pickled_function import PickledFunction
from sweep.script.reference import ScriptReference
from sweep.sweepfile.command import depends_on_trial

if TYPE_CHECKING:
    from sweep.sweepfile import SweepSpec

ObjectiveReference = FunctionReference | ScriptReference | PickledFunction


def find_objective(spec: SweepSpec, near: Path) -> ObjectiveReference:
    """Find the function or script that a sweep file's `objective`, or `program` and `command`, names.

    Args:
        spec: the sweep.
        near: the sweep file's directory, searched for files after the current directory.

    Raises:
        EntryError: it does not exist, or cannot be run.
    """
    if spec.objective is not None:
        return FunctionReference.find(spec.objective, near)
    return ScriptReference.find(spec, near, working_directory(spec))


def working_directory(spec: SweepSpec) -> Path:
    """The directory in which objectives run: the sweep file's `cwd`, else the current directory.

    A `cwd` in the trial's directory is not returned: a script changes to it when it starts.

    Raises:
        EntryError: there is no such directory.
    """
    if spec.cwd is None or depends_on_trial(spec.cwd):
        return Path.cwd()
    path = (Path.cwd() / spec.cwd).resolve()
    if not path.is_dir():
        folders = [folder.name for folder in path.parent.glob("*") if folder.is_dir()]
        near = nearest(path.name, folders)
        hint = f"; did you mean {Path(spec.cwd).parent / near}?" if near else ""
        raise EntryError("cwd", f"there is no directory {spec.cwd}{hint} (looked in {Path.cwd()})")
    return path
