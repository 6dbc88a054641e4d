"""How to resume a sweep, or to continue it after it has finished, for messages."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from pathlib import Path

from sweep.analysis.view import SweepView
from sweep.caller import PLACEHOLDER, Caller, CommandLine, PythonCall, caller
from sweep.sweepfile.model import Stop
from sweep.system.directory import RUNS, SweepDirectory


def name_for_commands(directory: SweepDirectory) -> str:
    """The name by which a command finds a sweep from the current folder: `digits-cnn`, or a path."""
    root = directory.root
    if root.parent == RUNS.resolve():
        return root.name
    return shlex.quote(str(root.relative_to(Path.cwd()) if root.is_relative_to(Path.cwd()) else root))


def store_caller(directory: SweepDirectory) -> None:
    """Store the command or the call that runs the sweep now."""
    now = caller()
    how = {"arguments": now.arguments} if isinstance(now, CommandLine) else {"call": vars(now)}
    directory.command.write_text(json.dumps({"folder": str(Path.cwd()), **how}), encoding="utf-8")


def stored_caller(directory: SweepDirectory) -> Caller:
    """The command or the call that last ran a sweep; `sweep run FILE` if it is unknown."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        content = json.loads(directory.command.read_text(encoding="utf-8"))
        if "call" in content:
            return PythonCall(**content["call"])
        folder = content["folder"]
        return CommandLine(content["arguments"], "" if folder == str(Path.cwd()) else folder)
    return CommandLine(("run", "FILE"))


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
