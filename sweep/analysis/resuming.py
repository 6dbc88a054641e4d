"""How to resume a sweep, or to continue it after it has finished, for messages."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sweep.analysis.view import SweepView
from sweep.caller import PLACEHOLDER, Caller, CommandLine, PythonCall, caller
from sweep.sweepfile.model import Stop
from sweep.system.directory import RUNS, SweepDirectory
from sweep.system.remote.store import remote_runs


def name_for_commands(directory: SweepDirectory) -> str:
    """The name by which a command finds a sweep from the current folder: `digits-cnn`, or a path."""
    root = directory.root
    return shlex.quote(root.name if root.parent == RUNS.resolve() else _shown(str(root), Path.cwd()))


def _shown(place: str, folder: Path) -> str:
    """A path or a URL, relative to a folder if it is below it."""
    path = Path(place)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else place


def _place(directory: SweepDirectory) -> str:
    """Where a sweep is: the path of its directory, or the URL of which that is a copy."""
    remote = remote_runs(directory.root.parent)
    return str(directory.root) if remote is None else f"{remote.url}/{directory.name}"


def store_caller(directory: SweepDirectory) -> None:
    """Store the command or the call that runs the sweep now."""
    now = caller()
    how = {"arguments": now.arguments} if isinstance(now, CommandLine) else {"call": vars(now)}
    where = {"folder": str(Path.cwd()), "place": _place(directory)}
    directory.command.write_text(json.dumps({**where, **how}), encoding="utf-8")


def stored_caller(directory: SweepDirectory) -> Caller:
    """The command or the call that last ran a sweep; `sweep run FILE` if it is unknown.

    If the sweep was moved or copied since then, it says where it is now.
    """
    with suppress(OSError, ValueError, LookupError, TypeError):
        content = json.loads(directory.command.read_text(encoding="utf-8"))
        folder, place = Path(content["folder"]), _place(directory)
        before = content.get("place", place)
        changes: dict[str, str | None] = {}
        if before != place:
            folder = _folder_after_move(directory.root, Path(before), folder, content.get("arguments", ()))
            runs = _shown(place.rpartition("/")[0], folder)
            changes["runs"] = None if runs == str(RUNS) else runs
            if directory.name != Path(before).name:
                changes["name"] = directory.name
        if "call" in content:
            return PythonCall(**{**content["call"], **changes})
        command = CommandLine(content["arguments"], "" if folder == Path.cwd() else str(folder))
        return command.changed(**changes)
    return CommandLine(("run", "FILE"))


def _folder_after_move(root: Path, before: Path, folder: Path, arguments: Iterable[str]) -> Path:
    """Where to give the command that has run a sweep.

    Args:
        root: the directory of the sweep now.
        before: its directory when it ran.
        folder: where the command was given. It can have been moved as well, or be on another machine.
        arguments: those of the command; the sweep file is among them.
    """
    if before.is_relative_to(folder):
        place = before.relative_to(folder).parts
        moved = Path(*root.parts[: -len(place)])
        is_here = moved == Path.cwd() and any(Path(argument).is_file() for argument in arguments)
        if root.parts[-len(place) :] == place and (is_here or not folder.is_dir()):
            return moved
    return folder if folder.is_dir() else Path.cwd()


def how_to_continue(view: SweepView) -> dict[str, str]:
    """What runs more trials of a finished sweep, or a new sweep: the commands or calls by their purpose."""
    rule = view.stopped_by
    ways = {"a new sweep": caller().again(fresh=True)}
    if rule is None or rule not in Stop.model_fields:
        return ways
    if rule == "target":
        return {"more trials": caller().again(**{"stop.target": PLACEHOLDER}), **ways}
    limit: float = 2 * (view.finished_trials if rule == "trials" else getattr(view.spec.stop, rule))
    shown = int(limit) if limit == int(limit) else limit
    return {"more trials": caller().again(**{f"stop.{rule}": shown}), **ways}
