"""How to resume a sweep, or to continue it after it has finished, for messages."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from pathlib import Path

from sweep.analysis.view import SweepView
from sweep.caller import PLACEHOLDER, caller
from sweep.sweepfile.model import Stop
from sweep.system.directory import RUNS, SweepDirectory


def name_for_commands(directory: SweepDirectory) -> str:
    """The name by which a command finds a sweep from the current folder: `digits-cnn`, or a path."""
    root = directory.root
    if root.parent == RUNS.resolve():
        return root.name
    return shlex.quote(str(root.relative_to(Path.cwd()) if root.is_relative_to(Path.cwd()) else root))


def store_command(directory: SweepDirectory) -> None:
    """Store the command or the call that runs the sweep now."""
    content = {"folder": str(Path.cwd()), "resume": caller().again()}
    directory.command.write_text(json.dumps(content), encoding="utf-8")


def resume_command(directory: SweepDirectory) -> str:
    """The command or the call that resumes a sweep, as far as it is known."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(directory.command.read_text(encoding="utf-8"))
        resume, folder = str(content["resume"]), str(content["folder"])
        is_command = resume.startswith("sweep ")
        return f"cd {shlex.quote(folder)} && {resume}" if is_command and folder != str(Path.cwd()) else resume
    return "sweep run FILE"


def how_to_continue(view: SweepView) -> dict[str, str]:
    """What runs more trials of a finished sweep, or a new sweep: the commands or calls by their purpose."""
    rule = view.stopped_by
    ways = {"a new sweep": caller().again(fresh=True)}
    if rule is None or rule not in Stop.model_fields:
        return ways
    if rule == "target":
        return {"more trials": caller().again(target=PLACEHOLDER), **ways}
    limit: float = 2 * (view.finished_trials if rule == "trials" else getattr(view.spec.stop, rule))
    return {"more trials": caller().again(**{rule: int(limit) if limit == int(limit) else limit}), **ways}
